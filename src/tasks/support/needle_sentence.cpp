#include "tasks/support/needle_sentence.h"

#include <string_view>

#include "base/assert.h"

namespace mneme {
namespace {

constexpr std::string_view kName = "{name}", kValue = "{value}";

bool once(const std::string& text, std::string_view part) {
  const size_t place = text.find(part);
  return place != std::string::npos && text.find(part, place + 1) == std::string::npos;
}

}  // namespace

void NeedleFormat::check(const std::string& key, Problems& problems) const {
  if (!once(sentence, kName) || !once(sentence, kValue) || sentence.find(kName) > sentence.find(kValue))
    problems.add(key, "needs {name} once and, after it, {value} once, e.g. The code of {name} is {value}.");
  else if (sentence.find(kName) + kName.size() == sentence.find(kValue))
    problems.add(key, "needs some text between {name} and {value}, to end the question with");
}

NeedleSentence::NeedleSentence(const NeedleFormat& format)
    : digits_(format.digits), name_letters_(format.name_letters) {
  const size_t name = format.sentence.find(kName), value = format.sentence.find(kValue);
  MNEME_ASSERT(name < value && value != std::string::npos);  // by check()
  before_ = format.sentence.substr(0, name);
  between_ = format.sentence.substr(name + kName.size(), value - name - kName.size());
  after_ = format.sentence.substr(value + kValue.size());
}

std::string NeedleSentence::characters(Random& random, char first, uint64_t kinds, int64_t count) {
  std::string text;
  for (int64_t i = 0; i < count; ++i) text += static_cast<char>(first + static_cast<char>(random.below(kinds)));
  return text;
}

}  // namespace mneme
