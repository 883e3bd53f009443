// The sentence that is hidden and asked for: a template with {name} and {value}, e.g. "{name}={value}." or "The code of {name} is
// {value}."
#pragma once

#include <string>
#include <string_view>

#include "mneme/options.h"
#include "mneme/random.h"

namespace mneme {

struct NeedleFormat {
  std::string sentence = "{name}={value}.";
  int64_t digits = 3;
  int64_t name_letters = 2;
  std::string alphabet = "letters";

  void describe(OptionVisitor& visitor);
  void check(const std::string& key, Problems& problems) const;
};

class NeedleSentence {
 public:
  explicit NeedleSentence(const NeedleFormat& format);

  std::string random_name(Random& random) const { return characters(random, alphabet_, name_letters_); }
  std::string random_value(Random& random) const { return characters(random, kDigits, digits_); }
  /// How many names and values there are; of more than 2^30, 2^30.
  int64_t names() const { return power(alphabet_.size(), name_letters_); }
  int64_t values() const { return power(kDigits.size(), digits_); }
  /// "ab=123." and its first part, "ab=".
  std::string text(const std::string& name, const std::string& value) const {
    return before_ + name + between_ + value + after_;
  }
  std::string question(const std::string& name) const { return before_ + name + between_; }

  size_t text_bytes() const { return question_bytes() + static_cast<size_t>(digits_) + after_.size(); }
  size_t question_bytes() const { return before_.size() + static_cast<size_t>(name_letters_) + between_.size(); }

 private:
  static constexpr std::string_view kDigits = "0123456789";

  static std::string characters(Random& random, std::string_view alphabet, int64_t count);
  static int64_t power(size_t base, int64_t exponent);

  int64_t digits_, name_letters_;
  std::string_view alphabet_;
  std::string before_, between_, after_;
};

}  // namespace mneme
