// Needles that need their key: variant = keys, and streams in which many needles wait for their questions.
#include <functional>
#include <map>
#include <set>

#include "tasks/support/token_stream.h"
#include "tests/support/test.h"
#include "tests/unit/tasks/task_fixture.h"

using namespace mneme;
using namespace mneme::test;
using Catch::Contains;

namespace {

std::string keys_of(const TemporaryFolder& folder, const std::string& more) {
  write_file(folder / "book.txt", prose(6000, 1));
  return "task.kind = needle; task.length = 300; task.needle.train_text = " + folder / "book.txt" + "; " + more;
}

struct Found {
  size_t at;  // of "ab=123. "
  std::string name, value;
};

/// The needles "ab=123. " and the question "\nab=" of a row: the made-up prose has no '='.
struct Read {
  std::vector<Found> needles;
  std::string text, prose, asked, answer;
  size_t question = 0;
  size_t which = 0;      // the newest needle of the asked name
  size_t same_name = 0;  // needles of the asked name
};

Read read_row(const Sample& row, size_t letters = 2, size_t digits = 3) {
  Read read;
  read.text = text_of(row.tokens);
  read.question = read.text.rfind('\n') + 1;
  size_t copied = 0;
  for (size_t equals = read.text.find('='); equals < read.question; equals = read.text.find('=', equals + 1)) {
    const size_t at = equals - letters;
    read.needles.push_back({at, read.text.substr(at, letters), read.text.substr(equals + 1, digits)});
    CHECK(read.text.substr(equals + 1 + digits, 2) == ". ");
    CHECK((at == 0 || read.text[at - 1] == ' ' || read.text[at - 1] == '\n'));
    read.prose += read.text.substr(copied, at - copied);
    copied = equals + 1 + digits + 2;
  }
  read.prose += read.text.substr(copied, read.question - 1 - copied);
  read.asked = read.text.substr(read.question, letters);
  CHECK(read.text.substr(read.question + letters) == "=" + text_of({row.targets.end() - static_cast<long>(digits), row.targets.end() - 1}));
  read.answer = text_of({row.targets.end() - static_cast<long>(digits), row.targets.end()});
  for (size_t i = 0; i < read.needles.size(); ++i)
    if (read.needles[i].name == read.asked) read.which = i, ++read.same_name;
  return read;
}

}  // namespace

TEST_CASE("needle keys: one of several is asked, others stand before and after it, the row says the answer", "[tasks][needle]") {
  TemporaryFolder folder;
  const MadeTask made = make_task(keys_of(folder, ""));
  const std::string book = prose(6000, 1);
  CHECK(made->chance() == Approx(1e-3));
  std::map<size_t, int64_t> counts, asked;
  for (uint64_t index = 0; index < 1000; ++index) {
    const Sample row = made->sample(Split::train, 1, index, {300});
    REQUIRE(row.tokens.size() == 300);
    const Read read = read_row(row);
    ++counts[read.needles.size()];
    REQUIRE(read.same_name == 1);
    CHECK((read.which > 0 && read.which + 1 < read.needles.size()));
    CHECK(read.needles[read.which].value == read.answer);
    CHECK(book.find(read.prose) != std::string::npos);
    std::set<std::string> names, values;
    for (const Found& needle : read.needles) names.insert(needle.name), values.insert(needle.value);
    CHECK(names.size() == read.needles.size());
    CHECK(values.size() == read.needles.size());
    const size_t depth = read.needles[read.which].at - 8 * read.which;  // in the prose
    CHECK(row.slice.at(0) == static_cast<int64_t>(depth * 10 / (read.prose.size() + 1) * 10));
    if (read.needles.size() == 6) ++asked[read.which];
  }
  CHECK(counts.size() == 5);
  for (const auto& [count, rows] : counts) CHECK(std::abs(rows - 200) < 60);
  CHECK(counts.begin()->first == 4);
  CHECK(asked.size() == 4);
}

TEST_CASE("needle keys: what needs no key scores chance", "[tasks][needle][leak]") {
  TemporaryFolder folder;
  constexpr int64_t kRows = 3000;
  const auto share = [&](const std::string& more, auto guess) {
    const MadeTask made = make_task(keys_of(folder, more + "; task.needle.digits = 2"));
    int64_t right = 0;
    for (uint64_t index = 0; index < kRows; ++index) {
      const Read read = read_row(made->sample(Split::test, 1, index, {300}), 2, 2);
      right += guess(read) == read.answer;
    }
    return static_cast<double>(right) / kRows;
  };
  // The digits written last, or first, are those of another needle, and no two values of a row agree.
  for (const char* repeats : {"task.needle.repeats = 0", "task.needle.repeats = 1"}) {
    CHECK(share(repeats, [](const Read& read) { return read.needles.back().value; }) == 0);
    CHECK(share(repeats, [](const Read& read) { return read.needles.front().value; }) == 0);
  }
  CHECK(share("", [](const Read&) { return std::string("42"); }) == Approx(0.01).margin(4 * std::sqrt(0.01 / kRows)));
}

TEST_CASE("needle keys: who knows all places but no name is right in 1 / (needles - 2) of the rows", "[tasks][needle][leak]") {
  TemporaryFolder folder;
  constexpr uint64_t kRows = 4000;
  // Where the asked place was drawn alone, one other forced before it and one after: the likeliest of the ranks i at x = place / bytes,
  // P(asked = i | places) ~ (i - 1) (n - i) / (x (1 - x)).
  const auto likeliest = [](const Read& read) {
    const double n = static_cast<double>(read.needles.size()), bytes = static_cast<double>(read.prose.size()) + 1;
    size_t best = 1;
    double most = 0;
    for (size_t i = 1; i + 1 < read.needles.size(); ++i) {
      const double rank = static_cast<double>(i), x = (static_cast<double>(read.needles[i].at - 8 * i) + 0.5) / bytes;
      if (const double odds = rank * (n - 1 - rank) / (x * (1 - x)); odds > most) most = odds, best = i;
    }
    return best;
  };
  const auto second = [](const Read&) { return size_t{1}; };
  const auto last_but_one = [](const Read& read) { return read.needles.size() - 2; };
  const auto central = [](const Read& read) { return read.needles.size() / 2; };
  const std::vector<std::function<size_t(const Read&)>> guesses{likeliest, second, last_but_one, central};
  for (const char* more : {"", "task.needle.min_distance = 120"}) {
    const MadeTask made = make_task(keys_of(folder, more));
    std::vector<double> right(guesses.size());
    double chance = 0, variance = 0;
    for (uint64_t index = 0; index < kRows; ++index) {
      const Read read = read_row(made->sample(Split::test, 1, index, {300}));
      const double share = 1.0 / static_cast<double>(read.needles.size() - 2);
      chance += share;
      variance += share * (1 - share);
      for (size_t g = 0; g < guesses.size(); ++g) right[g] += guesses[g](read) == read.which;
    }
    for (size_t g = 0; g < guesses.size(); ++g) {
      CAPTURE(more, g, right[g] / kRows, chance / kRows);
      CHECK(std::abs(right[g] - chance) < 3 * std::sqrt(variance));
    }
  }
}

TEST_CASE("needle keys: a name that comes again has a new value, the newest is asked; older ones are wrong", "[tasks][needle]") {
  TemporaryFolder folder;
  const MadeTask made = make_task(keys_of(folder, "task.needle.needles = 6; task.needle.repeats = 3"));
  int64_t rewritten = 0;
  constexpr int64_t kRows = 1000;
  for (uint64_t index = 0; index < kRows; ++index) {
    const Read read = read_row(made->sample(Split::train, 1, index, {300}));
    std::set<std::string> names;
    for (const Found& needle : read.needles) names.insert(needle.name);
    CHECK(names.size() == 3);
    CHECK(read.needles[read.which].value == read.answer);
    CHECK(read.which + 1 < read.needles.size());
    rewritten += read.same_name > 1;
  }
  CHECK(rewritten > kRows / 2);
  CHECK(rewritten < kRows * 3 / 4);
}

TEST_CASE("needle keys: the question is at least min_distance bytes after the needle, at any depth before that", "[tasks][needle]") {
  TemporaryFolder folder;
  const MadeTask made = make_task(keys_of(folder, "task.needle.min_distance = 150; task.needle.needles = 4"));
  int64_t early = 0;
  for (uint64_t index = 0; index < 1000; ++index) {
    const Read read = read_row(made->sample(Split::train, 1, index, {300}));
    const size_t distance = read.question - (read.needles[read.which].at + 8);
    CHECK(distance >= 150);
    early += read.needles[read.which].at - 8 * read.which < 60;  // of 262 bytes of prose 121 may be its place
  }
  // Three places are in those 121 bytes, the fourth as well with p = 121 / 263; of four the two middle ones are asked, early in half of the
  // rows; of three the second (1/2) and the third (1/8). (Places are word starts before those drawn: a little earlier.)
  const double within = 121.0 / 263, expected = 1000 * (within / 2 + (1 - within) * 5 / 16);
  CHECK(std::abs(static_cast<double>(early) - expected) < 90);
  CHECK_THAT(error_of(keys_of(folder, "task.length = 150; task.needle.min_distance = 150")), Contains("too short") && Contains("min_distance apart"));
}

TEST_CASE("needle keys: names may have digits, and never stand in the prose with their '='", "[tasks][needle]") {
  TemporaryFolder folder;
  std::set<char> seen;
  const MadeTask both = make_task(keys_of(folder, "task.needle.alphabet = both; task.needle.name_letters = 4"));
  for (uint64_t index = 0; index < 300; ++index)
    for (const Found& needle : read_row(both->sample(Split::train, 1, index, {300}), 4).needles) seen.insert(needle.name.begin(), needle.name.end());
  CHECK(seen.size() == 36);
  std::string code;
  for (int i = 0; i < 3000; ++i) code += "a" + std::string(1, static_cast<char>('a' + i % 20)) + "=5 ";
  write_file(folder / "code.txt", code);
  const MadeTask made = make_task("task.kind = needle; task.length = 300; task.needle.train_text = " + folder / "code.txt");
  for (uint64_t index = 0; index < 100; ++index) {
    const std::string text = text_of(made->sample(Split::train, 1, index, {300}).tokens), question = text.substr(text.rfind('\n') + 1, 3);
    size_t times = 0;
    for (size_t at = text.find(question); at != std::string::npos; at = text.find(question, at + 1)) ++times;
    CHECK(times == 2);
  }
}

TEST_CASE("needle keys: settings that cannot be made say what to change", "[tasks][needle][errors]") {
  TemporaryFolder folder;
  const auto wrong = [&](const std::string& more) { return error_of(keys_of(folder, more)); };
  CHECK_THAT(wrong("task.needle.needles = 8, 4"), Contains("task.needle.needles") && Contains("the least and the most"));
  CHECK_THAT(wrong("task.needle.needles = 4, 5, 6"), Contains("task.needle.needles"));
  CHECK_THAT(wrong("task.needle.needles = 2"), Contains("task.needle.needles") && Contains("out of range"));
  CHECK_THAT(wrong("task.needle.repeats = 2"), Contains("task.needle.repeats") && Contains("at most 1"));
  CHECK_THAT(wrong("task.needle.digits = 1"), Contains("there are only 10 values") && Contains("more digits"));
  CHECK_THAT(wrong("task.needle.alphabet = digits; task.needle.needles = 60"), Contains("there are only 100 names"));
  CHECK_THAT(wrong("task.needle.variant = stream; task.length = 600; task.needle.pending = 8; task.needle.pool = 8"),
             Contains("task.needle.pool") && Contains("at least 9"));
  CHECK_THAT(wrong("task.needle.variant = stream; task.length = 600; task.needle.pending = 400"), Contains("there are only 676 names"));
  CHECK(wrong("task.needle.variant = single; task.needle.repeats = 9") == "");  // what a variant does not have is not looked at
}

TEST_CASE("stream of many needles: as many as said wait, names come again, each is asked as often as said, the newest counts", "[tasks][stream]") {
  TemporaryFolder folder;
  const MadeTask made = make_task(keys_of(folder, "task.length = 600; task.needle.variant = stream; task.needle.pending = 6; task.needle.pool = 10; "
                                                  "task.needle.asks = 1, 2; task.needle.validation_share = 0.5"));
  const std::unique_ptr<TokenStream> stream = make_stream(*made.task, {3, {40, 300, 1000}, 1});
  CHECK(stream->axes() == std::vector<std::string>{"distance", "time"});
  std::map<std::string, std::string> newest;
  std::map<std::string, int64_t> asked;  // of the needle that waits, or waited last
  std::map<int64_t, int64_t> times;
  std::set<std::string> waiting, last;
  size_t most = 0;
  int64_t hidden = 0, once = 0, read = 0;
  while (read < 60000) {
    const Sample piece = stream->next();
    const std::string text = text_of(piece.tokens);
    read += static_cast<int64_t>(text.size());
    if (!piece.slice.empty()) {
      const std::string name = text.substr(1, 2);
      std::string scored;
      for (const int64_t target : piece.targets)
        if (target >= 0) scored += static_cast<char>(target);
      CHECK(scored == newest.at(name));
      CHECK(piece.slice.at(1) == ++asked[name]);
      ++times[piece.slice[1]];
      waiting.erase(name);
    } else if (text.size() == 8 && text[2] == '=') {
      const std::string name = text.substr(0, 2);
      if (asked.count(name)) CHECK((asked[name] == 1 || asked[name] == 2));
      once += asked.count(name) && asked[name] == 1;
      asked[name] = 0;
      newest[name] = text.substr(3, 3);
      waiting.insert(name);
      most = std::max(most, waiting.size());
      ++hidden;
    }
  }
  CHECK(newest.size() == 10);
  CHECK(most == 6);
  CHECK(hidden > 100);
  CHECK(std::abs(once - hidden / 2) < hidden / 5);
  CHECK(times.size() == 2);
  CHECK(std::abs(times[1] - hidden) <= 10);
}

TEST_CASE("stream of many needles: rows of it have several at once; what nobody was told is another value each time", "[tasks][stream]") {
  TemporaryFolder folder;
  const std::string lines = keys_of(folder, "task.length = 600; task.needle.variant = stream; task.needle.pending = 6; task.needle.asks = 2");
  const MadeTask made = make_task(lines), impossible = make_task(lines + "; task.control = impossible");
  int64_t right = 0, wrong = 0, questions = 0;
  for (uint64_t index = 0; index < 100; ++index)
    for (const MadeTask* task : {&made, &impossible}) {
      const Sample row = (*task)->sample(Split::train, 1, index, {600});
      const std::string text = text_of(row.tokens);
      for (size_t t = 1; t + 3 < 600; ++t) {
        if (row.targets[t] < 0 || row.targets[t - 1] >= 0) continue;
        const std::string question = text.substr(t - 2, 3), answer = text.substr(t + 1, 3);
        const bool told = text.rfind(question + answer, t - 3) != std::string::npos;
        (task == &made ? right : wrong) += told;
        questions += task == &made;
      }
    }
  CHECK(questions > 800);
  CHECK(right == questions);
  CHECK(wrong < questions / 50);
}

TEST_CASE("what was made by a former default keeps its identity, the new default has another", "[tasks][hash]") {
  const auto hash = [](const std::string& lines) { return config_hash(make_task(lines).config); };
  CHECK(hash("task.kind = mqar; task.mqar.filler = zeros") == "78ddfb7c32b0654d");
  CHECK(hash("task.kind = mqar") != "78ddfb7c32b0654d");
  CHECK(hash("task.kind = needle; task.needle.variant = repeated" + kLongSentence) == "8338fa6b45f6b4e3");
  CHECK(hash("task.kind = needle; task.needle.variant = repeated") != "8338fa6b45f6b4e3");
  TemporaryFolder folder;
  CHECK(hash(keys_of(folder, "")) != hash(keys_of(folder, kSingleNeedle)));
}
