// Needle in a book, in bytes: a sentence at a random depth of real prose is asked for at the end. Mini form of RULER's
// needle tasks (Hsieh et al., arXiv 2404.06654).
//
//   token    …ould kd=941. have ab=123. been glad, vy=056. had⏎ab=12
//   target                                                      123
//
// The digits of the answer are fed as they are predicted (teacher forcing); the last one is only a target. A row counts
// when all its digits are right. Row axis: depth of the asked needle, in bins of ten percent.
//
// variant = keys: other needles stand before and after the one that is asked for, so that neither the first nor the last digits of the row
// are the answer; a name that comes again has another value then, and the newest counts.
//
// Where several texts are drawn from (text_weights = equal), which one a row is of is a row axis too, text. renamed: training rows whose prose
// has other byte values (a permutation of all 256, one for the row), needles and question as ever. What looks like a needle is then told from
// what does not by more than familiar bytes.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "tasks/support/needle_sentence.h"
#include "tasks/support/needle_stream.h"
#include "tasks/support/seeded_task.h"
#include "tasks/support/text_source.h"

namespace mneme {
namespace {

constexpr int64_t kNeedleVocab = 256;
constexpr size_t kKeysOfMultiKey = 4;  // RULER's multi-key 1
constexpr int64_t kShortestStream = 512;
// RULER's repeated filler.
constexpr std::string_view kNoise =
    "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again. ";

struct NeedleOptions : Options {
  TextOptions text;
  NeedleFormat format;
  std::string variant = "keys";
  std::vector<int64_t> needles = {4, 8};
  int64_t repeats = 0;
  int64_t min_distance = 0;
  int64_t pending = 1;
  int64_t pool = 0;
  std::vector<int64_t> asks = {1};
  double renamed = 0;

  void describe(OptionVisitor& v) override {
    text.describe(v);
    v.option("variant", variant, {"keys", "single", "multi_key", "repeated", "stream"},
             "keys: several needles in prose, one is asked that has others before and after it; single: one; multi_key: four, any is asked; "
             "repeated: one in ever the same sentences; stream: one after the other, each asked for on the way");
    v.option("needles", needles, {3, 4096}, "of variant = keys: needles of a row, or the least and the most of them");
    v.option("repeats", repeats, {0, 4093}, "of variant = keys: needles that give a new value to a name of the row; the newest counts");
    v.option("min_distance", min_distance, {0, 1 << 30}, "of variant = keys: bytes from the asked needle's end to its question, at least");
    v.option("pending", pending, {1, 4096}, "of variant = stream: needles that wait for their questions at a time, at most; at 1 the value "
             "written last is always the answer, no key is needed");
    v.option("pool", pool, {0, 1 << 16}, "of variant = stream: names, used again and again, more than pending; 0 = any name");
    v.option("asks", asks, {1, 16}, "of variant = stream: questions of a needle, or the least and the most of them");
    v.option("renamed", renamed, {0, 1}, "share of the training rows in whose prose every byte value stands for another one, drawn for the row: "
             "unfamiliar bytes are met in training");
    format.describe(v);
  }

  void check(const std::string& prefix, Problems& problems) const override {
    if (variant != "repeated") text.check(prefix, problems);
    if (variant == "repeated" && renamed > 0 && !problems.stored)
      problems.add(prefix + "renamed", fmt::format("of texts, and {}variant = repeated reads none; leave it out", prefix));
    format.check(prefix + "sentence", problems);
    check_range(prefix + "needles", needles, problems);
    check_range(prefix + "asks", asks, problems);
    if (!problems.empty()) return;
    const NeedleSentence sentence(format);
    const auto few = [&](const char* what, int64_t there, const char* key, int64_t most, const char* cure) {
      if (most * 2 > there)  // names and values of a row are drawn until they differ
        problems.add(prefix + key, fmt::format("{} are too many: there are only {} {}, and at most half are used at a time; {}", most, there,
                                               what, cure));
    };
    if (variant == "keys") {
      few("names", sentence.names(), "needles", needles.back(), "fewer needles or a larger name_letters");
      few("values", sentence.values(), "needles", needles.back(), "fewer needles or more digits");
      if (repeats > needles.front() - 3)
        problems.add(prefix + "repeats", fmt::format("{} of {} needles leave fewer than 3 names, for the asked one, one before and one after; at "
                                                     "most {}, or more needles", repeats, needles.front(), needles.front() - 3));
    } else if (variant == "stream") {
      few("names", sentence.names(), pool > 0 ? "pool" : "pending", std::max(pool, pending), "fewer or a larger name_letters");
      if (pool > 0 && pool <= pending)
        problems.add(prefix + "pool", fmt::format("{} names are too few while {} needles wait for their questions; at least {}, or 0 for any "
                                                  "name", pool, pending, pending + 1));
    }
  }

 private:
  static void check_range(const std::string& key, const std::vector<int64_t>& range, Problems& problems) {
    if (range.empty() || range.size() > 2 || range.front() > range.back())
      problems.add(key, "needs one number, or the least and the most, e.g. 4, 8");
  }
};

/// How many bytes of a row are what.
struct Layout {
  bool keys, stream;
  size_t least, most;               // needles of a row
  size_t needle, question, digits;  // needle: with the space after it; question: with the newline before it
  size_t min_distance;

  Layout(const NeedleOptions& options, const NeedleSentence& sentence)
      : keys(options.variant == "keys"),
        stream(options.variant == "stream"),
        least(options.variant == "multi_key" ? kKeysOfMultiKey : keys ? static_cast<size_t>(options.needles.front()) : 1),
        most(keys ? static_cast<size_t>(options.needles.back()) : least),
        needle(sentence.text_bytes() + 1),
        question(sentence.question_bytes() + 1),
        digits(static_cast<size_t>(options.format.digits)),
        min_distance(keys ? static_cast<size_t>(options.min_distance) : 0) {}

  int64_t shortest() const { return stream ? kShortestStream : all_but_prose(most) + static_cast<int64_t>(apart()); }
  /// Bytes of prose in a row of `length` tokens (of a stream: at most); the row's last digit is a target only.
  int64_t prose(int64_t length, size_t needles) const { return length - all_but_prose(needles); }
  int64_t most_prose(int64_t length) const { return prose(length, least); }
  /// Bytes of prose from the asked needle to the question, at least: one more needle and the newline lie between them too.
  size_t apart() const { return min_distance - std::min(min_distance, needle + 1); }

 private:
  int64_t all_but_prose(size_t needles) const { return static_cast<int64_t>(needles * needle + question + digits - 1); }
};

class Needle : public LengthTask, public StreamingTask {
 public:
  Needle(const TaskContext& context, const NeedleOptions& options)
      : Needle(context, options, NeedleSentence(options.format)) {}

  int64_t vocab() const override { return kNeedleVocab; }
  Metric metric() const override { return Metric::exact_match; }
  double chance() const override { return std::pow(10.0, -static_cast<double>(layout_.digits)); }
  std::vector<std::string> row_axes() const override {
    std::vector<std::string> axes;
    if (!layout_.stream) axes.push_back("depth_percent");
    if (several_texts_) axes.push_back("text");
    return axes;
  }
  std::vector<std::string> row_names(const std::string& axis, Split split) const override {
    return axis == "text" && several_texts_ ? text_->names(split) : std::vector<std::string>{};
  }
  std::string token_text(int64_t token) const override { return byte_text(token); }
  std::vector<std::string> notes() const override { return text_ ? text_->notes() : std::vector<std::string>{}; }

  std::unique_ptr<TokenStream> stream(const StreamOptions& options) const override {
    return std::make_unique<NeedleStream>(sentence_, stream_options(options, text_ ? text_->part(Split::test) : kNoise));
  }

 protected:
  Sample make(Random& random, Split split, const Setting& setting) const override {
    if (layout_.stream) return cut_of_stream(random, split, setting.at(0));
    if (layout_.keys) return keyed(random, split, setting.at(0));
    const size_t prose = static_cast<size_t>(layout_.prose(setting.at(0), layout_.most));
    const std::string repeated = text_ ? "" : noise(random, prose);
    const Prose filler = text_ ? passage(random, split, prose) : Prose{repeated, repeated};
    const std::vector<std::string> names = distinct(layout_.most, [&] { return sentence_.random_name(random); });
    const std::vector<size_t> places = random_places(random, filler.words);
    const size_t asked = random.below(names.size());
    std::vector<Hidden> needles;
    for (size_t i = 0; i < names.size(); ++i) needles.push_back({places[i], names[i], sentence_.random_value(random)});
    return row_of(random, filler, needles, asked);
  }

 private:
  struct Prose {
    std::string text;   // as it stands in the row
    std::string words;  // before it was renamed: where words start
    int64_t source = 0;  // of the texts of its split
  };
  struct Hidden {
    size_t place;  // in the prose
    std::string name, value;
  };

  Needle(const TaskContext& context, const NeedleOptions& options, const NeedleSentence& sentence)
      : LengthTask("needle", context, Layout(options, sentence).shortest(),
                   options.variant == "stream" ? "so that every row has a question"
                   : options.variant == "keys" && options.min_distance > 0
                       ? "the needles and the question with its digits, min_distance apart"
                       : "the needles and the question with its digits, without any prose"),
        options_(options),
        sentence_(sentence),
        layout_(options, sentence) {
    if (options.variant == "repeated") return;
    text_ = std::make_unique<TextSplits>("task.needle.", options.text);
    several_texts_ = !text_->names(Split::test).empty();
    const int64_t train = train_settings()[0][0];
    for (const Split split : {Split::train, Split::validation, Split::test}) {
      const int64_t length = split == Split::test ? longest() : train;  // validation is of the training length
      text_->require(split, layout_.most_prose(length), length);
    }
  }

  /// Renamed in its share of the training rows.
  Prose passage(Random& random, Split split, size_t bytes) const {
    Prose prose;
    std::string& text = prose.text = prose.words = text_->passage(random, split, bytes, &prose.source);
    if (split == Split::train && options_.renamed > 0 && random.uniform() < options_.renamed) {
      const std::vector<int64_t> name = random.distinct(kNeedleVocab, kNeedleVocab);
      for (char& byte : text) byte = static_cast<char>(name[static_cast<unsigned char>(byte)]);
    }
    return prose;
  }

  /// All places are drawn, then which of those between the first and the last is asked: the places alone say nothing about it, its share is
  /// 1 / (needles - 2) for every guess. All but one place are drawn where they are min_distance from the question, so all that may be asked
  /// are. After the asked needle its name does not come again.
  Sample keyed(Random& random, Split split, int64_t length) const {
    const size_t count = static_cast<size_t>(random.between(static_cast<int64_t>(layout_.least), static_cast<int64_t>(layout_.most)));
    const size_t prose = static_cast<size_t>(layout_.prose(length, count));
    const Prose filler = passage(random, split, prose);
    std::vector<size_t> places;
    for (size_t i = 0; i < count; ++i)
      places.push_back(word_start(filler.words, random.below((i == 0 ? prose : prose - layout_.apart()) + 1)));
    std::sort(places.begin(), places.end());
    const size_t asked = 1 + random.below(count - 2);

    const std::vector<size_t> owners = random_owners(random, count, asked);
    const std::vector<std::string> names = distinct(count, [&] { return unread_name(random, filler.text); });
    const std::vector<std::string> values = distinct(count, [&] { return sentence_.random_value(random); });
    std::vector<Hidden> needles;
    for (size_t i = 0; i < count; ++i) needles.push_back({places[i], names[owners[i]], values[i]});
    return row_of(random, filler, needles, asked);
  }

  /// Which needle each one has its name from: itself, or one before it (as many as `repeats`). Behind the asked one none has its name.
  std::vector<size_t> random_owners(Random& random, size_t count, size_t asked) const {
    const int64_t repeats = options_.repeats;
    std::vector<size_t> owners(count);
    bool possible = false;
    while (!possible) {
      for (size_t i = 0; i < count; ++i) owners[i] = i;
      std::vector<int64_t> again = repeats > 0 ? random.distinct(repeats, static_cast<int64_t>(count) - 1) : std::vector<int64_t>{};
      std::sort(again.begin(), again.end());
      possible = true;
      for (const int64_t index : again) {
        const size_t needle = static_cast<size_t>(index) + 1;
        std::vector<size_t> known;  // each name once, by the needle it came with
        for (size_t i = 0; i < needle; ++i)
          if (owners[i] == i && (needle <= asked || i != owners[asked])) known.push_back(i);
        possible = possible && !known.empty();
        if (possible) owners[needle] = known[random.below(known.size())];
      }
    }
    return owners;
  }

  /// A name whose question does not stand in the prose, where one is found.
  std::string unread_name(Random& random, std::string_view filler) const {
    constexpr int kTries = 100;
    std::string name;
    for (int tries = 0; tries < kTries; ++tries)
      if (name = sentence_.random_name(random); filler.find(sentence_.question(name)) == std::string_view::npos) break;
    return name;
  }

  NeedleStreamOptions stream_options(const StreamOptions& options, std::string_view prose) const {
    const bool own = layout_.stream;
    return {options, prose, own ? static_cast<size_t>(options_.pending) : layout_.most, own ? static_cast<size_t>(options_.pool) : 0,
            own ? options_.asks.front() : 1, own ? options_.asks.back() : 1, impossible()};
  }

  /// The first tokens of a stream of its own; questions up to half the row after their needles, short distances more often. The more
  /// needles may wait, the closer they come.
  Sample cut_of_stream(Random& random, Split split, int64_t length) const {
    StreamOptions options{random.next(), {}, std::max<int64_t>(1, length / (16 * options_.pending))};
    const Prose prose = passage(random, split, static_cast<size_t>(layout_.most_prose(length)));
    for (int64_t distance = 16; distance <= length / 2; distance *= 2) options.distances.push_back(distance);
    NeedleStream stream(sentence_, stream_options(options, prose.text));
    Sample row;
    if (several_texts_) row.slice = {prose.source};
    while (row.tokens.size() < static_cast<size_t>(length)) {
      const Sample piece = stream.next();
      row.tokens.insert(row.tokens.end(), piece.tokens.begin(), piece.tokens.end());
      row.targets.insert(row.targets.end(), piece.targets.begin(), piece.targets.end());
    }
    row.tokens.resize(static_cast<size_t>(length));
    row.targets.resize(static_cast<size_t>(length));
    return row;
  }

  template <class Draw>
  static std::vector<std::string> distinct(size_t count, Draw draw) {
    std::vector<std::string> all;
    while (all.size() < count)
      if (std::string one = draw(); std::find(all.begin(), all.end(), one) == all.end()) all.push_back(std::move(one));
    return all;
  }

  // Starts of words, ascending.
  std::vector<size_t> random_places(Random& random, std::string_view filler) const {
    std::vector<size_t> places;
    for (size_t i = 0; i < layout_.most; ++i) places.push_back(word_start(filler, random.below(filler.size() + 1)));
    std::sort(places.begin(), places.end());
    return places;
  }

  static std::string noise(Random& random, size_t bytes) {
    std::string text(kNoise.substr(word_start(kNoise, random.below(kNoise.size()))));
    while (text.size() < bytes) text += kNoise;
    return text.substr(0, bytes);
  }

  /// The needles, in the order of their places, in the prose, and the question. Draws the answer where it cannot be known.
  Sample row_of(Random& random, const Prose& prose, const std::vector<Hidden>& needles, size_t asked) const {
    const std::string_view filler = prose.text;
    std::string stream;
    size_t copied = 0;
    for (const Hidden& needle : needles) {
      stream += filler.substr(copied, needle.place - copied);
      copied = needle.place;
      stream += sentence_.text(needle.name, needle.value) + " ";
    }
    stream += filler.substr(copied);
    stream += "\n" + sentence_.question(needles[asked].name) + (impossible() ? sentence_.random_value(random) : needles[asked].value);

    Sample row = blank_row(static_cast<int64_t>(stream.size()) - 1, 0);
    for (size_t t = 0; t < row.tokens.size(); ++t) {
      row.tokens[t] = static_cast<unsigned char>(stream[t]);
      if (t + layout_.digits >= row.tokens.size()) row.targets[t] = static_cast<unsigned char>(stream[t + 1]);
    }
    row.slice = {static_cast<int64_t>(needles[asked].place * 10 / (filler.size() + 1) * 10)};
    if (several_texts_) row.slice.push_back(prose.source);
    return row;
  }

  NeedleOptions options_;
  NeedleSentence sentence_;
  Layout layout_;
  std::unique_ptr<TextSplits> text_;  // none where the filler is repeated
  bool several_texts_ = false;        // that are drawn from
};

}  // namespace

void register_task_needle(TaskRegistry& registry) {
  registry.add({"needle", "needle in a book: a sentence hidden in real prose is asked for at the end (bytes)",
                [] { return std::make_unique<NeedleOptions>(); },
                [](const TaskContext& context) {
                  return std::make_unique<Needle>(context, dynamic_cast<const NeedleOptions&>(context.options));
                },
                {{"variant", "single"}, {"sentence", "The code of {name} is {value}."}, {"digits", "5"}, {"name_letters", "3"}}});
}

}  // namespace mneme
