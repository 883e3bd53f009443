// Needle in a book, in bytes: a sentence at a random depth of real prose is asked for at the end. Mini form of RULER's
// needle tasks (Hsieh et al., arXiv 2404.06654).
//
//   token    …ould have The code of xyz is 12345. been glad, had⏎The code of xyz is 1234
//   target                                                                        12345
//
// The digits of the answer are fed as they are predicted (teacher forcing); the last one is only a target. A row counts
// when all its digits are right. Row axis: depth of the asked needle, in bins of ten percent.
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
  std::string variant = "single";

  void describe(OptionVisitor& v) override {
    text.describe(v);
    v.option("variant", variant, {"single", "multi_key", "repeated", "stream"},
             "single: one needle in prose; multi_key: four, one is asked; repeated: one in ever the same sentences; stream: one after the "
             "other, each asked for on the way");
    v.option("digits", format.digits, {1, 15}, "digits of the value");
    v.option("name_letters", format.name_letters, {2, 32}, "letters of the name");
    v.option("sentence", format.sentence, {}, "the needle; the question is its part before {value}");
  }

  void check(const std::string& prefix, Problems& problems) const override {
    if (variant != "repeated") text.check(prefix, problems);
    format.check(prefix + "sentence", problems);
  }
};

/// How many bytes of a row are what.
struct Layout {
  bool stream;
  size_t needles, needle, question, digits;  // needle: with the space after it; question: with the newline before it

  Layout(const NeedleOptions& options, const NeedleSentence& sentence)
      : stream(options.variant == "stream"),
        needles(options.variant == "multi_key" ? kKeysOfMultiKey : 1),
        needle(sentence.text_bytes() + 1),
        question(sentence.question_bytes() + 1),
        digits(static_cast<size_t>(options.format.digits)) {}

  int64_t shortest() const { return stream ? kShortestStream : all_but_prose(); }
  /// Bytes of prose in a row of `length` tokens (of a stream: at most); the row's last digit is a target only.
  int64_t prose(int64_t length) const { return length - all_but_prose(); }

 private:
  int64_t all_but_prose() const { return static_cast<int64_t>(needles * needle + question + digits - 1); }
};

class Needle : public LengthTask, public StreamingTask {
 public:
  Needle(const TaskContext& context, const NeedleOptions& options)
      : Needle(context, options, NeedleSentence(options.format)) {}

  int64_t vocab() const override { return kNeedleVocab; }
  Metric metric() const override { return Metric::exact_match; }
  double chance() const override { return std::pow(10.0, -static_cast<double>(layout_.digits)); }
  std::vector<std::string> row_axes() const override {
    return layout_.stream ? std::vector<std::string>{} : std::vector<std::string>{"depth_percent"};
  }
  std::string token_text(int64_t token) const override { return byte_text(token); }

  std::unique_ptr<TokenStream> stream(const StreamOptions& options) const override {
    return std::make_unique<NeedleStream>(
        sentence_, NeedleStreamOptions{options, text_ ? text_->part(Split::test) : kNoise, layout_.needles, impossible()});
  }

 protected:
  Sample make(Random& random, Split split, const Setting& setting) const override {
    if (layout_.stream) return cut_of_stream(random, split, setting.at(0));
    const size_t prose = static_cast<size_t>(layout_.prose(setting.at(0)));
    const std::string filler =
        text_ ? std::string(random_passage(random, text_->part(split), prose)) : noise(random, prose);
    const std::vector<std::string> names = distinct_names(random);
    const std::vector<size_t> places = random_places(random, filler);
    const size_t asked = random.below(names.size());
    std::string answer, stream;
    for (size_t i = 0, copied = 0; i <= names.size(); ++i) {
      const size_t place = i < names.size() ? places[i] : filler.size();
      stream.append(filler, copied, place - copied);
      copied = place;
      if (i == names.size()) break;
      const std::string value = sentence_.random_value(random);
      if (i == asked) answer = value;
      stream += sentence_.text(names[i], value) + " ";
    }
    if (impossible()) answer = sentence_.random_value(random);
    stream += "\n" + sentence_.question(names[asked]) + answer;
    return row_of(stream, places[asked] * 10 / (prose + 1) * 10);
  }

 private:
  Needle(const TaskContext& context, const NeedleOptions& options, const NeedleSentence& sentence)
      : LengthTask("needle", context, Layout(options, sentence).shortest(),
                   options.variant == "stream" ? "so that every row has a question"
                                               : "the needles and the question with its digits, without any prose"),
        sentence_(sentence),
        layout_(options, sentence) {
    if (options.variant == "repeated") return;
    text_ = std::make_unique<TextSplits>("task.needle.", options.text);
    const int64_t train = train_settings()[0][0];
    for (const Split split : {Split::train, Split::validation, Split::test}) {
      const int64_t length = split == Split::test ? longest() : train;  // validation is of the training length
      text_->require(split, layout_.prose(length), length);
    }
  }

  /// The first tokens of a stream of its own; questions up to half the row after their needles, short distances more often.
  Sample cut_of_stream(Random& random, Split split, int64_t length) const {
    NeedleStreamOptions options{{random.next(), {}, length / 16}, {}, layout_.needles, impossible()};
    options.prose = random_passage(random, text_->part(split), static_cast<size_t>(layout_.prose(length)));
    for (int64_t distance = 16; distance <= length / 2; distance *= 2) options.distances.push_back(distance);
    NeedleStream stream(sentence_, options);
    Sample row;
    while (row.tokens.size() < static_cast<size_t>(length)) {
      const Sample piece = stream.next();
      row.tokens.insert(row.tokens.end(), piece.tokens.begin(), piece.tokens.end());
      row.targets.insert(row.targets.end(), piece.targets.begin(), piece.targets.end());
    }
    row.tokens.resize(static_cast<size_t>(length));
    row.targets.resize(static_cast<size_t>(length));
    return row;
  }

  std::vector<std::string> distinct_names(Random& random) const {
    std::vector<std::string> names;
    while (names.size() < layout_.needles)
      if (std::string name = sentence_.random_name(random); std::find(names.begin(), names.end(), name) == names.end())
        names.push_back(std::move(name));
    return names;
  }

  // Starts of words, ascending.
  std::vector<size_t> random_places(Random& random, std::string_view filler) const {
    std::vector<size_t> places;
    for (size_t i = 0; i < layout_.needles; ++i) places.push_back(word_start(filler, random.below(filler.size() + 1)));
    std::sort(places.begin(), places.end());
    return places;
  }

  static std::string noise(Random& random, size_t bytes) {
    std::string text(kNoise.substr(word_start(kNoise, random.below(kNoise.size()))));
    while (text.size() < bytes) text += kNoise;
    return text.substr(0, bytes);
  }

  Sample row_of(const std::string& stream, size_t depth_percent) const {
    Sample row = blank_row(static_cast<int64_t>(stream.size()) - 1, 0);
    for (size_t t = 0; t < row.tokens.size(); ++t) {
      row.tokens[t] = static_cast<unsigned char>(stream[t]);
      if (t + layout_.digits >= row.tokens.size()) row.targets[t] = static_cast<unsigned char>(stream[t + 1]);
    }
    row.slice = {static_cast<int64_t>(depth_percent)};
    return row;
  }

  NeedleSentence sentence_;
  Layout layout_;
  std::unique_ptr<TextSplits> text_;  // none where the filler is repeated
};

}  // namespace

void register_task_needle(TaskRegistry& registry) {
  registry.add({"needle", "needle in a book: a sentence hidden in real prose is asked for at the end (bytes)",
                [] { return std::make_unique<NeedleOptions>(); },
                [](const TaskContext& context) {
                  return std::make_unique<Needle>(context, dynamic_cast<const NeedleOptions&>(context.options));
                }});
}

}  // namespace mneme
