// Rewrite MQAR: keys get new values again and again; then every key is asked once, in random order. The newest value
// counts (or the one before it). After Rodkin et al., Associative Recurrent Memory Transformer (arXiv 2407.04841).
//
//   token   k7 v3 k2 v9 k7 v5 k7 v1 | k2 k7        keys 2, writes 4, length 2 × writes + keys
//   target   -  -  -  -  -  -  -  - | v9 v1        ask = newest
//                                   |  - v5        ask = previous (k2 was written once: not scored)
#include <fmt/format.h>

#include "tasks/support/pair_vocabulary.h"
#include "tasks/support/seeded_task.h"

namespace mneme {
namespace {

struct RewriteOptions : Options {
  int64_t vocab = 512;
  std::vector<Setting> train = {{8, 16}, {8, 32}, {16, 64}};
  std::vector<Setting> test = {{8, 64}, {8, 512}, {8, 2048}, {16, 512}, {32, 256}};
  std::string ask = "newest";

  void describe(OptionVisitor& v) override {
    v.option("vocab", vocab, {4, 1 << 20}, "different tokens: keys in the lower half, values in the upper half");
    v.settings("train", train, 2, {1, 1 << 24}, "keys x writes trained on; a row has 2 x writes + keys tokens");
    v.settings("test", test, 2, {1, 1 << 24}, "keys x writes tested");
    v.option("ask", ask, {"newest", "previous"}, "the value asked: the newest of a key, or the one before it");
  }

  void check(const std::string& prefix, Problems& problems) const override {
    check_settings(prefix + "train", train, problems);
    check_settings(prefix + "test", test, problems);
  }

 private:
  void check_settings(const std::string& key, const std::vector<Setting>& settings, Problems& problems) const {
    if (settings.empty()) problems.add(key, "no setting given; write keys x writes, e.g. 8x16");
    const int64_t known = PairVocabulary{vocab}.keys();
    for (const Setting& setting : settings) {
      const int64_t keys = setting.at(0), writes = setting.at(1), least = keys + (ask == "previous" ? 1 : 0);
      const std::string name = setting_text(setting);
      if (writes < least)
        problems.add(key, fmt::format("{}: {} writes are too few for {} keys with ask = {}; at least {}", name, writes,
                                      keys, ask, least));
      if (keys > known)
        problems.add(key, fmt::format("{}: vocab = {} has {} keys, {} are needed; set vocab to at least {}", name,
                                      vocab, known, keys, 2 * keys + 2));
    }
  }
};

class Rewrite : public SeededTask {
 public:
  Rewrite(const TaskContext& context, const RewriteOptions& options)
      : SeededTask("rewrite", context.common), options_(options), vocabulary_{options.vocab} {}

  int64_t vocab() const override { return options_.vocab; }
  double chance() const override { return 1.0 / static_cast<double>(vocabulary_.values()); }
  std::vector<std::string> axes() const override { return {"keys", "writes"}; }
  std::vector<Setting> train_settings() const override { return options_.train; }
  std::vector<Setting> test_settings() const override { return options_.test; }
  int64_t length(const Setting& setting) const override { return 2 * setting.at(1) + setting.at(0); }
  std::string token_text(int64_t token) const override { return vocabulary_.text(token); }

 protected:
  Sample make(Random& random, Split, const Setting& setting) const override {
    const size_t keys = static_cast<size_t>(setting.at(0)), writes = static_cast<size_t>(setting.at(1));
    const std::vector<int64_t> names = vocabulary_.distinct_keys(random, setting.at(0));
    std::vector<int64_t> newest(keys, -1), previous(keys, -1);

    Sample row = blank_row(length(setting), 0);
    for (size_t write = 0; write < writes; ++write) {
      const size_t key = write < keys ? write : random.below(keys);
      previous[key] = newest[key];
      newest[key] = other_value(random, newest[key]);
      row.tokens[2 * write] = names[key];
      row.tokens[2 * write + 1] = newest[key];
    }
    std::vector<size_t> order(keys);
    for (size_t i = 0; i < keys; ++i) order[i] = i;
    random.shuffle(order);
    const std::vector<int64_t>& answers = options_.ask == "newest" ? newest : previous;
    for (size_t i = 0; i < keys; ++i) {
      row.tokens[2 * writes + i] = names[order[i]];
      row.targets[2 * writes + i] = answers[order[i]];
    }
    if (impossible())
      for (int64_t& target : row.targets)
        if (target >= 0) target = vocabulary_.value(random);
    return row;
  }

 private:
  // Any value but `current`: a write always changes something.
  int64_t other_value(Random& random, int64_t current) const {
    int64_t value = vocabulary_.value(random);
    while (value == current) value = vocabulary_.value(random);
    return value;
  }

  RewriteOptions options_;
  PairVocabulary vocabulary_;
};

}  // namespace

void register_task_rewrite(TaskRegistry& registry) {
  registry.add({"rewrite", "associative recall of values that are overwritten: the newest counts",
                [] { return std::make_unique<RewriteOptions>(); },
                [](const TaskContext& context) {
                  return std::make_unique<Rewrite>(context, dynamic_cast<const RewriteOptions&>(context.options));
                }});
}

}  // namespace mneme
