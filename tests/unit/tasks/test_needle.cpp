// Needle in a book: where it lies, what is asked, what is scored.
#include <algorithm>
#include <cctype>
#include <filesystem>
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

/// The prose of a row with one needle in the long form.
std::string prose_of(const Sample& row) {
  const std::string text = text_of(row.tokens);
  const std::vector<size_t> sentences = places(text, "The code of ");
  REQUIRE(sentences.size() == 2);
  return text.substr(0, sentences[0]) + text.substr(sentences[0] + 26, sentences[1] - 1 - (sentences[0] + 26));
}

/// Which place a byte value came at first, for each byte: the same for two texts that differ by a renaming.
std::vector<size_t> shape_of(const std::string& text) {
  std::vector<size_t> shape;
  for (const char byte : text) shape.push_back(text.find(byte));
  return shape;
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

TEST_CASE("needle: renamed prose has other byte values in the same order, in that share of the training rows alone", "[tasks][needle]") {
  TemporaryFolder folder;
  const std::string lines = needle(folder, "task.length = 300");
  const MadeTask plain = make_task(lines), all = make_task(lines + "; task.needle.renamed = 1"), some = make_task(lines + "; task.needle.renamed = 0.3");
  std::map<char, int64_t> values;
  int64_t same = 0;
  for (uint64_t index = 0; index < 300; ++index) {
    const std::string before = prose_of(plain->sample(Split::train, 1, index, {300})), after = prose_of(all->sample(Split::train, 1, index, {300}));
    CHECK(shape_of(after) == shape_of(before));
    for (const char byte : after) ++values[byte];
    same += prose_of(some->sample(Split::train, 1, index, {300})) == before;
    for (const Split split : {Split::validation, Split::test})
      CHECK(all->sample(split, 1, index, {300}).tokens == plain->sample(split, 1, index, {300}).tokens);
  }
  CHECK(values.size() == 256);
  CHECK(std::abs(same - 210) < 40);
}

TEST_CASE("needle: of several texts that are drawn from, which one a row is of is a row axis with names", "[tasks][needle]") {
  TemporaryFolder folder;
  std::filesystem::create_directories(folder / "more");
  write_file(folder / "lower.txt", prose(3000, 2));
  std::string upper = prose(3000, 3);
  for (char& letter : upper) letter = static_cast<char>(std::toupper(letter));
  write_file(folder / "upper.txt", upper);
  write_file(folder / "more/lower.txt", prose(3000, 4));
  const std::string variant = GENERATE("single", "keys", "stream");
  const std::string tests = "task.length = 600; task.needle.text_weights = equal; task.needle.test_text = " + folder / "lower.txt" + ", ";
  const std::string kind = "; task.needle.variant = " + variant;
  const MadeTask two = make_task(needle(folder, tests + folder / "upper.txt" + kind));
  CHECK(two->row_axes() == (variant == "stream" ? std::vector<std::string>{"text"} : std::vector<std::string>{"depth_percent", "text"}));
  CHECK(two->row_names("text", Split::test) == std::vector<std::string>{"lower", "upper"});
  CHECK(two->row_names("text", Split::validation) == std::vector<std::string>{"book"});
  CHECK(two->row_names("depth_percent", Split::test).empty());
  std::map<int64_t, int64_t> rows;
  for (uint64_t index = 0; index < 100; ++index) {
    const Sample row = two->sample(Split::test, 1, index, {600});
    const std::string text = text_of(row.tokens);
    CHECK((std::count_if(text.begin(), text.end(), [](char c) { return c >= 'A' && c <= 'Z'; }) > 150) == (row.slice.back() == 1));
    ++rows[row.slice.back()];
    CHECK(two->sample(Split::validation, 1, index, {600}).slice.back() == 0);
  }
  CHECK(std::abs(rows[0] - 50) < 20);
  const MadeTask alike = make_task(needle(folder, tests + folder / "more/lower.txt" + kind));
  CHECK(alike->row_names("text", Split::test) == std::vector<std::string>{folder / "lower.txt", folder / "more/lower.txt"});
  CHECK(make_task(needle(folder, "task.length = 600; task.needle.text_weights = equal" + kind))->row_names("text", Split::test).empty());
}
