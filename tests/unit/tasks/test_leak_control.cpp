// A perfect reader of rows is right on every row, and at chance where task.control = impossible.
#include <algorithm>
#include <cmath>
#include <map>

#include "tests/support/test.h"
#include "tests/unit/tasks/task_fixture.h"

using namespace mneme;
using namespace mneme::test;

namespace {

// Answers every query by the newest (or previous) value that stands behind the same token before it. `pairs`: how many
// leading tokens are key-value pairs.
std::vector<int64_t> look_up(const Sample& row, size_t pair_tokens, bool previous = false) {
  std::map<int64_t, int64_t> newest, before;
  for (size_t t = 0; t < pair_tokens; t += 2) {
    before[row.tokens[t]] = newest.count(row.tokens[t]) ? newest[row.tokens[t]] : -1;
    newest[row.tokens[t]] = row.tokens[t + 1];
  }
  std::vector<int64_t> answers;
  for (size_t t = 0; t < row.tokens.size(); ++t)
    if (row.targets[t] >= 0) answers.push_back((previous ? before : newest).at(row.tokens[t]));
  return answers;
}

// The newest value behind the same token so far, wherever in the row: a key that is no question stands before its value.
std::vector<int64_t> newest_so_far(const Sample& row) {
  std::map<int64_t, int64_t> newest;
  std::vector<int64_t> answers;
  for (size_t t = 0; t < row.tokens.size(); ++t)
    if (row.targets[t] >= 0) answers.push_back(newest.at(row.tokens[t]));
    else if (t + 1 < row.tokens.size()) newest[row.tokens[t]] = row.tokens[t + 1];
  return answers;
}

// Value of the key's pair that has a mark (token 0) among the `distance` tokens before or behind it.
std::vector<int64_t> marked_pair(const Sample& row, const Setting& setting, bool before) {
  const size_t pairs = static_cast<size_t>(setting[1]), keys = static_cast<size_t>(setting[0]), block = (row.tokens.size() - keys) / pairs;
  std::map<int64_t, int64_t> kept;
  for (size_t at = 0; at < pairs * block; at += block)
    for (size_t t = at; t < at + block; ++t)
      if (row.tokens[t] == 0) kept[row.tokens[before ? at + block - 2 : at]] = row.tokens[before ? at + block - 1 : at + 1];
  std::vector<int64_t> answers;
  for (size_t t = pairs * block; t < row.tokens.size(); ++t) answers.push_back(kept.at(row.tokens[t]));
  return answers;
}

std::vector<int64_t> induce(const Sample& row) {
  const auto special = std::find(row.tokens.begin(), row.tokens.end() - 1, row.tokens.back());
  return {*(special + 1)};
}

// Finds the sentence asked for at the end: all but the value of the question stands before in the text.
std::vector<int64_t> find_needle(const Sample& row) {
  const std::string text = text_of(row.tokens);
  const size_t scored = row.targets.size() - static_cast<size_t>(std::count(row.targets.begin(), row.targets.end(), -1));
  const size_t question = text.rfind("\n") + 1, digits = text.size() - (scored - 1);
  const size_t needle = text.rfind(text.substr(question, digits - question), question - 1);  // the newest
  std::vector<int64_t> answers;
  for (size_t i = 0; i < scored; ++i) answers.push_back(text.at(needle + (digits - question) + i));
  return answers;
}

// Rows of two pairs, filler and a key, of every value equally often: the value that stood behind the key.
std::string file_rows() {
  Random random(3, "rows");
  std::string lines;
  for (int64_t row = 0; row < 600; ++row) {
    const int64_t asked = row % 8, other = random.between(0, 7), first = random.between(0, 1);
    const int64_t pairs[2][2] = {{8, first ? other : asked}, {9, first ? asked : other}};
    lines += "{\"tokens\": [" + std::to_string(pairs[0][0]) + ", " + std::to_string(pairs[0][1]) + ", " + std::to_string(pairs[1][0]) + ", " +
             std::to_string(pairs[1][1]) + ", 10, 10, " + std::to_string(pairs[first][0]) + "], \"targets\": [-1, -1, -1, -1, -1, -1, " +
             std::to_string(asked) + "]}\n";
  }
  return lines;
}

// Knows the book: the bytes that follow each of a passage's.
std::vector<int64_t> read_on(const Sample& row, const std::string& book) {
  const size_t at = book.find(text_of(row.tokens));
  std::vector<int64_t> answers;
  for (size_t t = 1; t <= row.tokens.size(); ++t) answers.push_back(static_cast<unsigned char>(book.at(at + t)));
  return answers;
}

struct Oracle {
  std::string lines;
  std::function<std::vector<int64_t>(const Sample&, const Setting&)> answer;
};

std::vector<Oracle> oracles(const TemporaryFolder& folder) {
  write_file(folder / "book.txt", prose(6000, 1));
  write_file(folder / "rows.jsonl", file_rows());
  const std::string keys = "task.kind = needle; task.length = 256; task.needle.train_text = " + folder / "book.txt", needle = keys + kSingleNeedle;
  const std::string rows = folder / "rows.jsonl", book = prose(6000, 1);
  const auto pairs = [](const Sample& row, const Setting& s) { return look_up(row, 2 * static_cast<size_t>(s[1])); };
  const auto previous = [](const Sample& row, const Setting& s) {
    return look_up(row, 2 * static_cast<size_t>(s[1]), true);
  };
  const auto found = [](const Sample& row, const Setting&) { return find_needle(row); };
  return {
      {"task.kind = mqar; task.mqar.vocab = 64; task.mqar.train = 64x4; task.mqar.test = 64x16; task.mqar.filler = zeros", pairs},
      {"task.kind = mqar; task.mqar.vocab = 64; task.mqar.train = 64x4; task.mqar.test = 64x4; task.mqar.filler = zeros; task.mqar.echo = true",
       pairs},
      {"task.kind = mqar; task.mqar.vocab = 64; task.mqar.train = 64x4; task.mqar.test = 64x4; task.mqar.filler = "
       "random; task.mqar.a = 1",
       pairs},
      {"task.kind = rewrite; task.rewrite.vocab = 64; task.rewrite.train = 4x8; task.rewrite.test = 8x64", pairs},
      {"task.kind = rewrite; task.rewrite.vocab = 64; task.rewrite.train = 4x8; task.rewrite.test = 8x20; "
       "task.rewrite.ask = previous",
       previous},
      {"task.kind = rewrite; task.rewrite.vocab = 64; task.rewrite.train = 4x8; task.rewrite.test = 8x64; task.rewrite.writes = hot", pairs},
      {"task.kind = rewrite; task.rewrite.vocab = 64; task.rewrite.train = 4x8; task.rewrite.test = 8x64; task.rewrite.writes = zipf", pairs},
      {"task.kind = drift; task.drift.vocab = 64; task.drift.train = 4x2; task.drift.test = 4x5; task.drift.marked = true",
       [](const Sample& row, const Setting&) { return newest_so_far(row); }},
      {"task.kind = drift; task.drift.vocab = 64; task.drift.train = 4x2; task.drift.test = 6x20; task.drift.reused = 0.8; task.drift.noise = 0.5",
       [](const Sample& row, const Setting&) { return newest_so_far(row); }},
      {"task.kind = cue; task.cue.vocab = 64; task.cue.train = 4x8; task.cue.test = 4x20",
       [](const Sample& row, const Setting& s) { return marked_pair(row, s, true); }},
      {"task.kind = cue; task.cue.vocab = 64; task.cue.train = 4x8; task.cue.test = 6x6; task.cue.mark = behind; task.cue.distance = 7",
       [](const Sample& row, const Setting& s) { return marked_pair(row, s, false); }},
      {"task.kind = induction; task.length = 64", [](const Sample& row, const Setting&) { return induce(row); }},
      {needle, found},
      {keys, found},
      {keys + "; task.needle.needles = 6; task.needle.repeats = 3; task.needle.alphabet = both", found},
      {keys + "; task.needle.min_distance = 100; task.needle.digits = 2; task.needle.repeats = 1", found},
      {needle + "; task.needle.variant = multi_key", found},
      {"task.kind = needle; task.length = 256; task.needle.variant = repeated" + kLongSentence, found},
      {"task.kind = lm; task.length = 128; task.lm.train_text = " + folder / "book.txt",
       [book](const Sample& row, const Setting&) { return read_on(row, book); }},
      {"task.kind = file; task.file.train = " + rows + "; task.file.test = " + rows,
       [](const Sample& row, const Setting&) { return look_up(row, 4); }},
  };
}

}  // namespace

TEST_CASE("a perfect reader answers every row; without the answer in the row it scores chance", "[tasks][leak]") {
  TemporaryFolder folder;
  constexpr uint64_t kRows = 600;
  for (const Oracle& oracle : oracles(folder)) {
    INFO(oracle.lines);
    const MadeTask normal = make_task(oracle.lines),
                   impossible = make_task(oracle.lines + "; task.control = impossible");
    const Setting setting = normal->test_settings()[0];
    const auto answer = [&](const Sample& row) { return oracle.answer(row, setting); };
    CHECK(score(*normal.task, setting, kRows, answer) == 1.0);
    CHECK(impossible->chance() == normal->chance());
    // Of a loss: the share of right answers of one who knows nothing.
    const double chance = normal->metric() == Metric::loss ? std::exp(-normal->chance()) : normal->chance();
    const double four_sd = 4 * std::sqrt(chance / kRows);  // of rows: no fewer answers than rows
    CHECK(std::abs(score(*impossible.task, setting, kRows, answer) - chance) < four_sd);
  }
}

TEST_CASE("only the answers differ in the impossible variant", "[tasks][leak]") {
  TemporaryFolder folder;
  for (const Oracle& oracle : oracles(folder)) {
    if (oracle.lines.find("needle") != std::string::npos || oracle.lines.find("random") != std::string::npos ||
        oracle.lines.find("echo") != std::string::npos)
      continue;
    INFO(oracle.lines);
    const MadeTask normal = make_task(oracle.lines),
                   impossible = make_task(oracle.lines + "; task.control = impossible");
    const Setting setting = normal->test_settings()[0];
    const Sample a = normal->sample(Split::train, 1, 4, setting), b = impossible->sample(Split::train, 1, 4, setting);
    CHECK(a.tokens == b.tokens);
    for (size_t t = 0; t < a.targets.size(); ++t) CHECK((a.targets[t] < 0) == (b.targets[t] < 0));
  }
}

TEST_CASE("the impossible language model predicts bytes that have nothing to do with the text", "[tasks][leak]") {
  TemporaryFolder folder;
  write_file(folder / "book.txt", prose(6000, 1));
  const MadeTask made = make_task(
      "task.kind = lm; task.control = impossible; task.length = 256; task.lm.train_text = " + folder / "book.txt");
  std::vector<int64_t> counts(256, 0);
  for (uint64_t index = 0; index < 200; ++index)
    for (const int64_t target : made->sample(Split::train, 1, index, {256}).targets)
      ++counts[static_cast<size_t>(target)];
  for (const int64_t count : counts) CHECK(std::abs(count - 200) < 5 * std::sqrt(200.0));
}
