// Needle in a book: where it lies, what is asked, what is scored.
#include <map>

#include "tests/support/test.h"
#include "tests/unit/tasks/task_fixture.h"

using namespace mneme;
using namespace mneme::test;
using Catch::Contains;

namespace {

std::string needle(const TemporaryFolder& folder, const std::string& more) {
  write_file(folder / "book.txt", prose(6000, 1));
  return "task.kind = needle; task.needle.train_text = " + folder / "book.txt" + kSingleNeedle + "; " + more;
}

std::vector<size_t> places(const std::string& text, const std::string& part) {
  std::vector<size_t> found;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) found.push_back(at);
  return found;
}

}  // namespace

TEST_CASE("needle: one sentence at a word's start in unbroken prose, the question at the end, its digits scored",
          "[tasks][needle]") {
  TemporaryFolder folder;
  const MadeTask made = make_task(needle(folder, "task.length = 300"));
  const std::string book = prose(6000, 1);
  for (uint64_t index = 0; index < 200; ++index) {
    const Sample row = made->sample(Split::train, 1, index, {300});
    const std::string text = text_of(row.tokens);
    const std::vector<size_t> sentences = places(text, "The code of ");
    REQUIRE(sentences.size() == 2);
    const size_t at = sentences[0], question = sentences[1];
    CHECK((at == 0 || text[at - 1] == ' ' || text[at - 1] == '\n'));
    const std::string sentence = text.substr(at, 25), digits = sentence.substr(19, 5);
    CHECK(sentence.substr(15, 4) == " is ");
    CHECK(sentence[24] == '.');
    CHECK(text.substr(question) == sentence.substr(0, 19) + digits.substr(0, 4));
    const std::string prose_read = text.substr(0, at) + text.substr(at + 26, question - 1 - (at + 26));
    CHECK(book.find(prose_read) != std::string::npos);
    for (size_t t = 0; t < 295; ++t) REQUIRE(row.targets[t] == -1);
    CHECK(text_of({row.targets.end() - 5, row.targets.end()}) == digits);
    CHECK(row.slice[0] == static_cast<int64_t>(at * 10 / (prose_read.size() + 1) * 10));
  }
}

TEST_CASE("needle: every depth comes equally often", "[tasks][needle]") {
  TemporaryFolder folder;
  for (const char* variant : {"single", "multi_key", "repeated"}) {
    INFO(variant);
    const MadeTask made = make_task(needle(
        folder,
        std::string("task.length = 1000; task.needle.validation_share = 0.2; task.needle.variant = ") + variant));
    std::map<int64_t, int64_t> depths;
    for (uint64_t index = 0; index < 2000; ++index) ++depths[made->sample(Split::test, 1, index, {1000}).slice.at(0)];
    CHECK(depths.size() == 10);
    for (const auto& [depth, count] : depths) CHECK(std::abs(count - 200) < 70);
  }
}

TEST_CASE("needle: multi_key hides four names, one is asked; repeated fills with ever the same sentences",
          "[tasks][needle]") {
  TemporaryFolder folder;
  const MadeTask four = make_task(needle(folder, "task.length = 400; task.needle.variant = multi_key"));
  std::map<size_t, int64_t> asked;
  for (uint64_t index = 0; index < 400; ++index) {
    const std::string text = text_of(four->sample(Split::train, 1, index, {400}).tokens);
    const std::vector<size_t> sentences = places(text, "The code of ");
    REQUIRE(sentences.size() == 5);
    size_t matches = 0;
    for (size_t i = 0; i < 4; ++i)
      if (text.substr(sentences[i], 19) == text.substr(sentences[4], 19)) ++matches, ++asked[i];
    CHECK(matches == 1);
  }
  for (const auto& [which, count] : asked) CHECK(std::abs(count - 100) < 45);

  const MadeTask repeated = make_task("task.kind = needle; task.length = 400; task.needle.variant = repeated" + kLongSentence);
  CHECK(places(text_of(repeated->sample(Split::train, 1, 0, {400}).tokens), "The sky is blue.").size() >= 2);
}

TEST_CASE("needle: sentence, digits and name length are options; the shortest row has no prose", "[tasks][needle]") {
  const std::string lines =
      "task.kind = needle; task.needle.variant = repeated; task.needle.digits = 3; "
      "task.needle.name_letters = 2; task.needle.sentence = Key {name}: {value}!; task.length = ";
  const MadeTask made = make_task(lines + "24");
  CHECK(made->chance() == Approx(1e-3));
  const Sample row = made->sample(Split::test, 1, 0, {24});
  const std::string text = text_of(row.tokens);  // "Key ab: 123! " + "\nKey ab: 12"
  CHECK(text.substr(0, 4) == "Key ");
  CHECK(text.substr(13) == "\n" + text.substr(0, 10));
  CHECK_THAT(error_of(lines + "23"), Contains("task.length = 23: too short") && Contains("at least 24"));
}

TEST_CASE("needle: texts without spaces and any bytes are texts", "[tasks][needle]") {
  TemporaryFolder folder;
  std::string bytes;
  for (int i = 0; i < 40000; ++i) bytes += static_cast<char>(128 + i % 127);
  write_file(folder / "bytes.bin", bytes);
  const MadeTask made =
      make_task("task.kind = needle; task.length = 256; task.needle.train_text = " + folder / "bytes.bin" + kSingleNeedle);
  for (uint64_t index = 0; index < 50; ++index)
    CHECK(places(text_of(made->sample(Split::train, 1, index, {256}).tokens), "The code of ").size() == 2);
}

TEST_CASE("needle: what is wrong with the sentence or the text is said", "[tasks][needle][errors]") {
  TemporaryFolder folder;
  const auto sentence = [&](const std::string& text) {
    return error_of(needle(folder, "task.needle.sentence = " + text));
  };
  CHECK_THAT(sentence("The code is {value}."), Contains("task.needle.sentence") && Contains("needs {name} once"));
  CHECK_THAT(sentence("{value} is the code of {name}"), Contains("after it, {value} once"));
  CHECK_THAT(sentence("{name}{value}"), Contains("some text between"));
  CHECK(sentence("{name}={value}") == "");
  CHECK_THAT(error_of(needle(folder, "task.length = 256; eval.lengths = 1000000")),
             Contains("task.needle.train_text") && Contains("rows of 1000000 tokens need"));
  CHECK_THAT(error_of(needle(folder, "eval.lengths = 256, 40")), Contains("eval.lengths = 40: too short"));
}
