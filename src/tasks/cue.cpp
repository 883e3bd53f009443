// Cue: pairs of which few are to be kept. A mark stands 1 … distance tokens before (or behind) the pair that counts; the same key comes
// with other values in pairs without a mark, before and after it. At the end every key is asked for its marked value.
//
//   token   ~4  | ~1 k7 v3 ~9 ~2 ~6 k7 v5 ~3 ~8  | k2 v9 ~5 ~1 ~7 k7 v1 k2 k7     setting 2x4 (keys x pairs), distance 3, mark before
//   target   -  -  -  -  -  -  -  -  -  -  -  -  -  -  -  -  -  -  -  - v9 v3
//
// What momentum can do here: S_t = η S_{t−1} − θ_t u_t carries u of the mark on to the pair, never θ or η of the mark. So it does not
// enlarge the write of a pair that follows; a mark behind the pair finds in S what is left of the pair's u, which its own η lets go on or ends.
#include <algorithm>

#include <fmt/format.h>

#include "tasks/support/noisy_vocabulary.h"
#include "tasks/support/seeded_task.h"

namespace mneme {
namespace {

struct CueOptions : Options {
  int64_t vocab = 512;
  int64_t noise_tokens = 64;
  std::vector<Setting> train = {{4, 8}, {4, 16}};
  std::vector<Setting> test = {{4, 8}, {4, 16}, {4, 64}};
  int64_t distance = 4;
  std::string mark = "before";

  void describe(OptionVisitor& v) override {
    v.option("vocab", vocab, {6, 1 << 20}, "tokens of pairs: keys in the lower half, values in the upper half");
    v.option("noise_tokens", noise_tokens, {1, 1 << 20}, "further tokens, which mean nothing");
    v.settings("train", train, 2, {1, 1 << 24}, "keys x pairs trained on; a row has (distance + 2) x pairs + keys tokens");
    v.settings("test", test, 2, {1, 1 << 24}, "keys x pairs tested");
    v.option("distance", distance, {1, 4096}, "the mark is 1 … distance tokens from its pair, each equally often; noise fills the rest");
    v.option("mark", mark, {"before", "behind"}, "on which side of its pair the mark stands");
  }

  void check(const std::string& prefix, Problems& problems) const override {
    check_settings(prefix + "train", train, problems);
    check_settings(prefix + "test", test, problems);
  }

 private:
  void check_settings(const std::string& key, const std::vector<Setting>& settings, Problems& problems) const {
    if (settings.empty()) problems.add(key, "no setting given; write keys x pairs, e.g. 4x16");
    const int64_t known = PairVocabulary{vocab}.keys();
    for (const Setting& setting : settings) {
      const int64_t keys = setting.at(0), pairs = setting.at(1);
      const std::string name = setting_text(setting);
      if (pairs < keys)
        problems.add(key, fmt::format("{}: {} pairs are too few for {} keys, each of which has a marked one; at least {}", name, pairs, keys,
                                      keys));
      if (keys > known)
        problems.add(key, fmt::format("{}: vocab = {} has {} keys, {} are needed; set vocab to at least {}", name, vocab, known, keys,
                                      2 * keys + 2));
    }
  }
};

class Cue : public SeededTask {
 public:
  Cue(const TaskContext& context, const CueOptions& options)
      : SeededTask("cue", context.common), options_(options), vocabulary_{{options.vocab}, options.noise_tokens} {}

  int64_t vocab() const override { return vocabulary_.size(); }
  double chance() const override { return 1.0 / static_cast<double>(vocabulary_.pairs.values()); }
  std::vector<std::string> axes() const override { return {"keys", "pairs"}; }
  std::vector<Setting> train_settings() const override { return options_.train; }
  std::vector<Setting> test_settings() const override { return options_.test; }
  int64_t length(const Setting& setting) const override { return (options_.distance + 2) * setting.at(1) + setting.at(0); }
  std::string token_text(int64_t token) const override { return vocabulary_.text(token); }

 protected:
  Sample make(Random& random, Split, const Setting& setting) const override {
    const size_t keys = static_cast<size_t>(setting.at(0)), pairs = static_cast<size_t>(setting.at(1));
    const std::vector<int64_t> names = vocabulary_.pairs.distinct_keys(random, setting.at(0));
    std::vector<int64_t> kept(keys);
    for (int64_t& value : kept) value = vocabulary_.pairs.value(random);
    std::vector<size_t> order(pairs);  // below `keys`: the marked pair of that key
    for (size_t i = 0; i < pairs; ++i) order[i] = i;
    random.shuffle(order);

    Sample row = blank_row(length(setting), 0);
    size_t at = 0;
    for (const size_t pair : order) {
      const bool marked = pair < keys;
      const size_t key = marked ? pair : random.below(keys);
      const int64_t value = marked ? kept[key] : vocabulary_.other_value(random, kept[key]);
      const int64_t from_pair = marked ? random.between(1, options_.distance) : 0;
      if (options_.mark == "before") {
        for (int64_t left = options_.distance; left > 0; --left) row.tokens[at++] = left == from_pair ? 0 : vocabulary_.noise_token(random);
        row.tokens[at++] = names[key];
        row.tokens[at++] = value;
      } else {
        row.tokens[at++] = names[key];
        row.tokens[at++] = value;
        for (int64_t gone = 1; gone <= options_.distance; ++gone) row.tokens[at++] = gone == from_pair ? 0 : vocabulary_.noise_token(random);
      }
    }
    std::vector<size_t> asked(keys);
    for (size_t i = 0; i < keys; ++i) asked[i] = i;
    random.shuffle(asked);
    for (const size_t key : asked) {
      row.tokens[at] = names[key];
      row.targets[at++] = impossible() ? vocabulary_.pairs.value(random) : kept[key];
    }
    return row;
  }

 private:
  CueOptions options_;
  NoisyVocabulary vocabulary_;
};

}  // namespace

void register_task_cue(TaskRegistry& registry) {
  registry.add({"cue", "associative recall of the pairs that a mark tells to keep, among others of the same keys",
                [] { return std::make_unique<CueOptions>(); },
                [](const TaskContext& context) {
                  return std::make_unique<Cue>(context, dynamic_cast<const CueOptions&>(context.options));
                }});
}

}  // namespace mneme
