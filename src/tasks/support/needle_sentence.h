// The sentence that is hidden and asked for: a template with {name} and {value}, e.g. "The code of {name} is {value}."
#pragma once

#include <string>

#include "mneme/options.h"
#include "mneme/random.h"

namespace mneme {

struct NeedleFormat {
  std::string sentence = "The code of {name} is {value}.";
  int64_t digits = 5;
  int64_t name_letters = 3;

  void check(const std::string& key, Problems& problems) const;
};

class NeedleSentence {
 public:
  explicit NeedleSentence(const NeedleFormat& format);

  std::string random_name(Random& random) const { return characters(random, 'a', 26, name_letters_); }
  std::string random_value(Random& random) const { return characters(random, '0', 10, digits_); }
  /// "The code of abc is 12345." and its first part, "The code of abc is ".
  std::string text(const std::string& name, const std::string& value) const {
    return before_ + name + between_ + value + after_;
  }
  std::string question(const std::string& name) const { return before_ + name + between_; }

  size_t text_bytes() const { return question_bytes() + static_cast<size_t>(digits_) + after_.size(); }
  size_t question_bytes() const { return before_.size() + static_cast<size_t>(name_letters_) + between_.size(); }

 private:
  static std::string characters(Random& random, char first, uint64_t kinds, int64_t count);

  int64_t digits_, name_letters_;
  std::string before_, between_, after_;
};

}  // namespace mneme
