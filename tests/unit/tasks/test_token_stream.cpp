// Tasks as endless streams: needles and their questions in prose that goes on, and rows end to end.
#include <map>

#include "mneme/errors.h"
#include "tasks/support/token_stream.h"
#include "tests/support/test.h"
#include "tests/unit/tasks/task_fixture.h"

using namespace mneme;
using namespace mneme::test;
using Catch::Contains;

namespace {

constexpr size_t kNeedle = 26;     // "The code of abc is 12345. "
constexpr size_t kQuestion = 27;   // "\nThe code of abc is 12345. "
const StreamOptions kNear{3, {40, 300, 2000}, 150};

struct Streamed {
  std::string prose, all;
  std::map<std::string, std::pair<std::string, size_t>> hidden;  // by name: value, and where the needle ended
  std::map<int64_t, int64_t> asked;                              // by distance
};

MadeTask needle_task(const TemporaryFolder& folder, const std::string& more = "") {
  write_file(folder / "book.txt", prose(400, 1));
  write_file(folder / "train.txt", prose(400, 1));
  return make_task("task.kind = needle; task.length = 256; task.needle.validation_share = 0.5; task.needle.train_text = " + folder / "train.txt" +
                   "; task.needle.test_text = " + folder / "book.txt" + kSingleNeedle + more);
}

/// Reads `tokens` tokens; checks what every question says.
Streamed read(TokenStream& stream, size_t tokens, bool impossible = false) {
  Streamed read;
  while (read.all.size() < tokens) {
    const Sample piece = stream.next();
    REQUIRE(piece.tokens.size() == piece.targets.size());
    const std::string text = text_of(piece.tokens);
    REQUIRE(!text.empty());
    if (!piece.slice.empty()) {
      REQUIRE(text.size() == kQuestion);
      const std::string name = text.substr(13, 3);
      REQUIRE(read.hidden.count(name));
      const auto& [value, end] = read.hidden.at(name);
      CHECK((text.substr(20, 5) == value) != impossible);
      const auto distance = static_cast<int64_t>(read.all.size() - end);
      CHECK(distance >= piece.slice.at(0));
      CHECK(distance < piece.slice.at(0) + 10 + 5 * static_cast<int64_t>(kQuestion));  // the word ends; others may be asked first
      std::string scored;
      for (size_t t = 0; t < text.size(); ++t) {
        REQUIRE((piece.targets[t] < 0 || t + 1 < text.size()));
        if (piece.targets[t] >= 0) REQUIRE(piece.targets[t] == piece.tokens[t + 1]);
        if (piece.targets[t] >= 0) scored += static_cast<char>(piece.targets[t]);
      }
      CHECK(scored == text.substr(20, 5));
      ++read.asked[piece.slice[0]];
      read.hidden.erase(name);
    } else {
      for (const int64_t target : piece.targets) REQUIRE(target == -1);
      if (text.starts_with("The code of ")) {
        REQUIRE(text.size() == kNeedle);
        CHECK((read.all.empty() || read.all.back() == ' ' || read.all.back() == '\n'));
        REQUIRE(read.hidden.emplace(text.substr(12, 3), std::pair{text.substr(19, 5), read.all.size() + kNeedle}).second);
      } else {
        read.prose += text;
      }
    }
    read.all += text;
  }
  return read;
}

}  // namespace

TEST_CASE("stream of needles: prose goes on from its beginning, each needle is asked for once, at its distance", "[tasks][stream]") {
  TemporaryFolder folder;
  const MadeTask made = needle_task(folder);
  const Streamed found = read(*make_stream(*made.task, kNear), 60000);
  std::string book = prose(400, 1), endless;
  while (endless.size() < found.prose.size()) endless += book;
  CHECK(found.prose == endless.substr(0, found.prose.size()));
  CHECK(found.asked.size() == 3);
  for (const auto& [distance, count] : found.asked) CHECK(std::abs(count - 60000 / (780 + 150 + 26 + 27) / 3) <= 2);
}

TEST_CASE("stream of needles: a seed is a stream; distances and spacing have defaults", "[tasks][stream]") {
  TemporaryFolder folder;
  const MadeTask made = needle_task(folder);
  CHECK(read(*make_stream(*made.task, kNear), 5000).all == read(*make_stream(*made.task, kNear), 5000).all);
  CHECK(read(*make_stream(*made.task, kNear), 5000).all != read(*make_stream(*made.task, {4, kNear.distances, 150}), 5000).all);
  const Streamed usual = read(*make_stream(*made.task, {1, {}, 0}), 200000);
  CHECK(usual.asked.size() == 9);
  CHECK(usual.asked.begin()->first == 64);
  CHECK(usual.asked.rbegin()->first == 16384);
}

TEST_CASE("stream of needles: as many wait as a row has; repeated prose; answers nobody was told", "[tasks][stream]") {
  TemporaryFolder folder;
  const MadeTask four = needle_task(folder, "; task.needle.variant = multi_key");
  const Streamed crowded = read(*make_stream(*four.task, {1, {1000}, 1}), 20000);
  CHECK(crowded.hidden.size() <= 4);
  CHECK(crowded.asked.at(1000) > 4 * 20000 / 1200 - 8);
  const MadeTask repeated = make_task("task.kind = needle; task.needle.variant = repeated" + kLongSentence);
  CHECK_THAT(read(*make_stream(*repeated.task, kNear), 3000).prose, Contains("The sky is blue."));
  const MadeTask impossible = needle_task(folder, "; task.control = impossible");
  read(*make_stream(*impossible.task, kNear), 5000, true);
}

TEST_CASE("rows of a stream of needles: prose of one place, each needle asked for, a question in every row", "[tasks][stream]") {
  TemporaryFolder folder;
  const MadeTask made = needle_task(folder, "; task.needle.variant = stream; task.length = 600");
  std::map<int64_t, int64_t> questions;
  for (uint64_t index = 0; index < 200; ++index) {
    const Sample row = made->sample(Split::train, 1, index, {600});
    REQUIRE(row.tokens.size() == 600);
    const std::string text = text_of(row.tokens);
    int64_t scored = 0;
    for (size_t t = 0; t + 1 < 600; ++t) {
      if (row.targets[t] < 0) continue;
      ++scored;
      REQUIRE(row.targets[t] == row.tokens[t + 1]);
    }
    ++questions[scored / 5];
    const std::string name = text.substr(text.find("The code of ") + 12, 3);
    CHECK(text.find("\nThe code of " + name) != std::string::npos);  // the first needle fits in
  }
  CHECK(questions.begin()->first >= 1);
  CHECK(questions.rbegin()->first >= 3);
  const std::string text = "task.needle.train_text = " + folder / "book.txt";
  CHECK_THAT(error_of("task.kind = needle; task.needle.variant = stream; task.length = 300; " + text), Contains("at least 512"));
}

TEST_CASE("stream of any other task: its test rows end to end, all settings equally often", "[tasks][stream]") {
  TemporaryFolder folder;
  for (const std::string& lines : every_task(folder)) {
    const MadeTask made = make_task(lines);
    if (made.config.task.kind == "needle") continue;
    INFO(lines);
    if (!made->objective().of_tokens()) {
      CHECK_THROWS_AS(make_stream(*made.task, {5, {}, 0}), UsageError);
      continue;
    }
    const std::unique_ptr<TokenStream> stream = make_stream(*made.task, {5, {}, 0});
    CHECK(stream->axes() == made->axes());
    std::map<std::vector<int64_t>, int> seen;
    for (uint64_t index = 0; index < 20; ++index) {
      const Sample piece = stream->next();
      const uint64_t there = made->rows(Split::test);
      const Sample row = made->sample(Split::test, 5, there ? index % there : index, piece.slice);
      CHECK(piece.tokens == row.tokens);
      CHECK(piece.targets == row.targets);
      ++seen[piece.slice];
    }
    CHECK(seen.size() == made->test_settings().size());
    for (const auto& [setting, count] : seen) CHECK(count == 20 / static_cast<int>(seen.size()));
    try {
      make_stream(*made.task, kNear);
      FAIL("distances were taken");
    } catch (const UsageError& error) {
      CHECK_THAT(error.what(), Contains("--distances") && Contains("eval.lengths"));
    }
  }
}
