#include "tasks/support/needle_sentence.h"

#include <algorithm>

#include "base/assert.h"

namespace mneme {
namespace {

constexpr std::string_view kName = "{name}", kValue = "{value}";

bool once(const std::string& text, std::string_view part) {
  const size_t place = text.find(part);
  return place != std::string::npos && text.find(part, place + 1) == std::string::npos;
}

}  // namespace

void NeedleFormat::describe(OptionVisitor& v) {
  v.option("digits", digits, {1, 15}, "digits of the value");
  v.option("name_letters", name_letters, {2, 32}, "letters of the name");
  v.option("alphabet", alphabet, {"letters", "digits", "both"}, "of the names: a to z, 0 to 9 as in the values, or both");
  v.option("sentence", sentence, {}, "the needle; the question is its part before {value}");
}

void NeedleFormat::check(const std::string& key, Problems& problems) const {
  if (!once(sentence, kName) || !once(sentence, kValue) || sentence.find(kName) > sentence.find(kValue))
    problems.add(key, "needs {name} once and, after it, {value} once, e.g. {name}={value}.");
  else if (sentence.find(kName) + kName.size() == sentence.find(kValue))
    problems.add(key, "needs some text between {name} and {value}, to end the question with");
}

NeedleSentence::NeedleSentence(const NeedleFormat& format)
    : digits_(format.digits),
      name_letters_(format.name_letters),
      alphabet_(format.alphabet == "letters" ? "abcdefghijklmnopqrstuvwxyz"
                : format.alphabet == "digits" ? kDigits
                                              : "abcdefghijklmnopqrstuvwxyz0123456789") {
  const size_t name = format.sentence.find(kName), value = format.sentence.find(kValue);
  MNEME_ASSERT(name < value && value != std::string::npos);  // by check()
  before_ = format.sentence.substr(0, name);
  between_ = format.sentence.substr(name + kName.size(), value - name - kName.size());
  after_ = format.sentence.substr(value + kValue.size());
}

std::string NeedleSentence::characters(Random& random, std::string_view alphabet, int64_t count) {
  std::string text;
  for (int64_t i = 0; i < count; ++i) text += alphabet[random.below(alphabet.size())];
  return text;
}

int64_t NeedleSentence::power(size_t base, int64_t exponent) {
  constexpr int64_t kMany = int64_t{1} << 30;
  int64_t result = 1;
  for (int64_t i = 0; i < exponent && result < kMany; ++i) result *= static_cast<int64_t>(base);
  return std::min(result, kMany);
}

}  // namespace mneme
