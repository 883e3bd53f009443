// What a person reads of a run of mneme_conformance: a line per property, and of one that does not hold where it broke and what to look for.
#define CATCH_CONFIG_EXTERNAL_INTERFACES
#include "tests/support/test.h"

#include <fmt/format.h>

#include <chrono>
#include <string>
#include <utility>

namespace {

using Base = Catch::TestEventListenerBase;
using Answer = decltype(std::declval<Base&>().assertionEnded(std::declval<const Catch::AssertionStats&>()));  // bool; void since Catch2 3

// LibTorch's messages carry a stack; who calls what is not the reader's business.
std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

int broken_cases = 0;

struct Report : Base {
  using Base::TestEventListenerBase;

  void testCaseStarting(const Catch::TestCaseInfo& info) override {
    name_ = info.name;
    broken_.clear();
    start_ = std::chrono::steady_clock::now();
  }

  Answer assertionEnded(const Catch::AssertionStats& stats) override {
    const auto& result = stats.assertionResult;
    if (!result.isOk() && broken_.empty()) {  // the first thing that is wrong says it
      for (const auto& info : stats.infoMessages) broken_ += "          " + info.message + "\n";
      if (result.hasExpression()) {
        const std::string found = first_line(result.getExpandedExpression());
        broken_ += fmt::format("          {}\n", result.getExpression());
        if (!found.empty() && found != result.getExpression()) broken_ += fmt::format("          here: {}\n", found);
      }
      if (result.hasMessage()) broken_ += fmt::format("          {}\n", first_line(std::string(result.getMessage())));
    }
    return Answer();
  }

  void testCaseEnded(const Catch::TestCaseStats&) override {
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    fmt::print("  {} {:6.1f} s  {}\n{}", broken_.empty() ? "ok    " : "BROKEN", seconds, name_, broken_);
    std::fflush(stdout);
    broken_cases += !broken_.empty();
  }

 private:
  std::string name_, broken_;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace

namespace mneme::test {

int broken_properties() { return broken_cases; }

}  // namespace mneme::test

CATCH_REGISTER_LISTENER(Report)
