// Language model over bytes, reported by position: does a longer past help? Rows are passages at random places; every
// position predicts the next byte. And reported by how long ago the row last had the word that a byte belongs to: what a
// memory can know, and what a window can.
//
//   token      I  t     i  s     a     t  r  u  t
//   target     t     i  s     a     t  r  u  t  h
#include <algorithm>
#include <cmath>
#include <string_view>
#include <unordered_map>

#include "tasks/support/seeded_task.h"
#include "tasks/support/text_source.h"

namespace mneme {
namespace {

constexpr int64_t kBytes = 256;

/// Of a byte between words, of one of a word that the row did not have before, or had: where the last one began, in bytes before it.
const std::vector<std::string> kLastSeen = {"no word", "never", "within 256", "within 1k", "within 4k", "before"};
enum LastSeen : int64_t { no_word, never, first_distance };
constexpr int64_t kDistances[] = {256, 1024, 4096};

bool of_word(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || byte >= 0x80;  // and what letters beyond ASCII are made of
}

int64_t at_distance(int64_t distance) {
  int64_t place = first_distance;
  for (const int64_t most : kDistances) place += distance > most;
  return place;
}

/// By byte of the passage. Words that its ends cut are on no place (−1).
std::vector<int64_t> last_seen(std::string_view passage) {
  std::vector<int64_t> places(passage.size(), no_word);
  std::unordered_map<std::string_view, int64_t> begins;
  for (size_t begin = 0, end = 0; begin < passage.size(); begin = end) {
    end = begin + 1;
    if (!of_word(passage[begin])) continue;
    while (end < passage.size() && of_word(passage[end])) ++end;
    int64_t place = -1;
    if (begin > 0 && end < passage.size()) {
      const auto [last, added] = begins.try_emplace(passage.substr(begin, end - begin), static_cast<int64_t>(begin));
      place = added ? static_cast<int64_t>(never) : at_distance(static_cast<int64_t>(begin) - last->second);
      last->second = static_cast<int64_t>(begin);
    }
    std::fill(places.begin() + static_cast<ptrdiff_t>(begin), places.begin() + static_cast<ptrdiff_t>(end), place);
  }
  return places;
}

struct LmOptions : Options {
  TextOptions text;
  void describe(OptionVisitor& v) override { text.describe(v); }
  void check(const std::string& prefix, Problems& problems) const override { text.check(prefix, problems); }
};

class LanguageModel : public LengthTask {
 public:
  LanguageModel(const TaskContext& context, const LmOptions& options)
      : LengthTask("lm", context, 1, "one byte"), text_("task.lm.", options.text) {
    const int64_t train = train_settings()[0][0];
    for (const Split split : {Split::train, Split::validation, Split::test}) {
      const int64_t length = split == Split::test ? longest() : train;  // validation is of the training length
      text_.require(split, length + 1, length);
    }
  }

  int64_t vocab() const override { return kBytes; }
  Metric metric() const override { return Metric::loss; }
  double chance() const override { return std::log(static_cast<double>(kBytes)); }
  bool by_position() const override { return true; }
  std::string position_axis() const override { return "last_seen"; }
  std::vector<std::string> row_names(const std::string&, Split) const override { return kLastSeen; }
  std::vector<std::string> notes() const override { return text_.notes(); }
  std::string token_text(int64_t token) const override { return byte_text(token); }

 protected:
  Sample make(Random& random, Split split, const Setting& setting) const override {
    const std::string_view passage = text_.passage(random, split, static_cast<size_t>(setting.at(0)) + 1);
    Sample row = blank_row(setting.at(0), 0);
    const std::vector<int64_t> places = last_seen(passage);
    row.places.assign(places.begin() + 1, places.end());  // of what is predicted
    for (size_t t = 0; t < row.tokens.size(); ++t) {
      row.tokens[t] = static_cast<unsigned char>(passage[t]);
      row.targets[t] = impossible() ? random.between(0, kBytes - 1) : static_cast<unsigned char>(passage[t + 1]);
    }
    return row;
  }

 private:
  TextSplits text_;
};

}  // namespace

void register_task_lm(TaskRegistry& registry) {
  registry.add({"lm", "language model over bytes, reported by position", [] { return std::make_unique<LmOptions>(); },
                [](const TaskContext& context) {
                  return std::make_unique<LanguageModel>(context, dynamic_cast<const LmOptions&>(context.options));
                }});
}

}  // namespace mneme
