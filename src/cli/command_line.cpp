#include "cli/command_line.h"

#include <fmt/format.h>

#include <boost/program_options/parsers.hpp>
#include <boost/program_options/positional_options.hpp>
#include <boost/program_options/value_semantic.hpp>
#include <charconv>

#include "base/provenance.h"
#include "base/text.h"
#include "mneme/errors.h"

namespace mneme {
namespace po = boost::program_options;

namespace {

constexpr const char* kPositional = "argument";

/// `section.key=value`: a path may hold '=' too, but not after lower-case words joined by dots.
bool is_override(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) return false;
  const std::string key = text.substr(0, equals);
  return key.find('.') != std::string::npos &&
         key.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.") ==
             std::string::npos &&
         key.front() != '.';
}

int64_t whole_number(const std::string& name, const std::string& value, int64_t min, int64_t max) {
  int64_t result = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), result);
  if (error != std::errc() || end != value.data() + value.size() || result < min || result > max)
    throw UsageError(fmt::format("--{} = {}: not a whole number from {} to {}", name, value, min, max));
  return result;
}

std::vector<std::string> option_names(const po::options_description& options) {
  std::vector<std::string> result;
  for (const auto& option : options.options()) result.push_back("--" + option->long_name());
  return result;
}

}  // namespace

CommandLine::CommandLine(std::string command, const po::options_description& options,
                         const std::vector<std::string>& arguments)
    : command_(std::move(command)), arguments_(arguments) {
  po::options_description all;
  all.add(options);
  all.add_options()(kPositional, po::value<std::vector<std::string>>());
  po::positional_options_description positional;
  positional.add(kPositional, -1);
  namespace style = po::command_line_style;
  const int strict = style::unix_style & ~style::allow_guessing;
  try {
    po::store(po::command_line_parser(arguments).options(all).positional(positional).style(strict).run(), values_);
  } catch (const po::unknown_option& error) {
    throw UsageError(fmt::format("mneme {} has no option {}{} (mneme {} --help lists them)", command_,
                                 error.get_option_name(), did_you_mean(error.get_option_name(), option_names(options)),
                                 command_));
  } catch (const po::error& error) {
    throw UsageError(fmt::format("mneme {}: {}; see mneme {} --help", command_, error.what(), command_));
  }
  if (!values_.count(kPositional)) return;
  for (const std::string& text : values_[kPositional].as<std::vector<std::string>>())
    (is_override(text) ? overrides_ : names_).push_back(text);
}

std::string CommandLine::typed() const {
  std::vector<const char*> argv{"mneme", command_.c_str()};
  for (const std::string& argument : arguments_) argv.push_back(argument.c_str());
  return command_line(static_cast<int>(argv.size()), argv.data());
}

const std::string& CommandLine::text(const std::string& name) const {
  if (!has(name)) throw UsageError(fmt::format("mneme {} needs --{}; see mneme {} --help", command_, name, command_));
  return values_[name].as<std::string>();
}

std::string CommandLine::text_or(const std::string& name, const std::string& fallback) const {
  return has(name) ? text(name) : fallback;
}

const std::string& CommandLine::file(const std::string& name) const {
  if (text(name).empty()) throw UsageError(fmt::format("--{} is empty; name a file", name));
  return text(name);
}

std::string CommandLine::file_or(const std::string& name, const std::string& fallback) const {
  return has(name) ? file(name) : fallback;
}

int64_t CommandLine::integer_or(const std::string& name, int64_t fallback, int64_t min, int64_t max) const {
  return has(name) ? whole_number(name, text(name), min, max) : fallback;
}

std::vector<int64_t> CommandLine::integers(const std::string& name, int64_t min, int64_t max) const {
  std::vector<int64_t> numbers;
  for (const std::string& value : list(name)) numbers.push_back(whole_number(name, value, min, max));
  return numbers;
}

std::vector<std::string> CommandLine::list(const std::string& name) const {
  std::vector<std::string> result;
  if (!has(name)) return result;
  for (const std::string& value : values_[name].as<std::vector<std::string>>()) {
    if (trim(value).empty()) throw UsageError(fmt::format("--{} is empty; give it a value, or leave it out", name));
    for (std::string& part : split_values(value, ',')) result.push_back(std::move(part));
  }
  return result;
}

const std::string& CommandLine::only_name(const std::string& what) const {
  if (names_.size() == 1) return names_.front();
  throw UsageError(names_.empty()
                       ? fmt::format("mneme {} needs {}; see mneme {} --help", command_, what, command_)
                       : fmt::format("mneme {} takes one {}, but got {}: {} (an override is written section.key=value)",
                                     command_, what, names_.size(), join(names_, ", ")));
}

void CommandLine::refuse_overrides() const {
  if (!overrides_.empty())
    throw UsageError(fmt::format("mneme {} takes no key=value, but got {}", command_, overrides_.front()));
}

void CommandLine::refuse_names() const {
  if (!names_.empty())
    throw UsageError(
        fmt::format("mneme {} takes no argument '{}'; see mneme {} --help", command_, names_.front(), command_));
}

}  // namespace mneme
