// Rewrite MQAR: keys get new values again and again; then every key is asked once, in random order. The newest value
// counts (or the one before it). After Rodkin et al., Associative Recurrent Memory Transformer (arXiv 2407.04841).
//
//   token   k7 v3 k2 v9 k7 v5 k7 v1 | k2 k7        keys 2, writes 4, length 2 × writes + keys
//   target   -  -  -  -  -  -  -  - | v9 v1        ask = newest
//                                   |  - v5        ask = previous (k2 was written once: not scored)
//
// Each key is written once; which key a further write goes to is drawn: every key alike, by Zipf's law, or one hot key most of the time.
#include <map>

#include <fmt/format.h>

#include "tasks/support/pair_vocabulary.h"
#include "tasks/support/power_weights.h"
#include "tasks/support/seeded_task.h"

namespace mneme {
namespace {

struct RewriteOptions : Options {
  int64_t vocab = 512;
  std::vector<Setting> train = {{8, 16}, {8, 32}, {16, 64}};
  std::vector<Setting> test = {{8, 64}, {8, 512}, {8, 2048}, {16, 512}, {32, 256}};
  std::string ask = "newest";
  std::string written = "uniform";
  double zipf_exponent = 1;
  double hot_share = 0.9;

  void describe(OptionVisitor& v) override {
    v.option("vocab", vocab, {4, 1 << 20}, "different tokens: keys in the lower half, values in the upper half");
    v.settings("train", train, 2, {1, 1 << 24}, "keys x writes trained on; a row has 2 x writes + keys tokens");
    v.settings("test", test, 2, {1, 1 << 24}, "keys x writes tested");
    v.option("ask", ask, {"newest", "previous"}, "the value asked: the newest of a key, or the one before it");
    v.option("writes", written, {"uniform", "zipf", "hot"},
             "which keys get new values: all alike; zipf: the r-th of a row's keys with weight r^-zipf_exponent; hot: one key gets hot_share of "
             "them, the others the rest alike");
    v.option("zipf_exponent", zipf_exponent, {0, 8}, "of writes = zipf; 0 = uniform");
    v.option("hot_share", hot_share, {0, 1}, "share of the new values that go to the hot key, of writes = hot");
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
      : SeededTask("rewrite", context.common), options_(options), vocabulary_{options.vocab} {
    if (options_.written != "zipf") return;
    for (const auto* settings : {&options_.train, &options_.test})
      for (const Setting& setting : *settings) zipf_.try_emplace(setting.at(0), setting.at(0), -options_.zipf_exponent);
  }

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
    const std::vector<size_t> ranked = ranks(random, keys);

    Sample row = blank_row(length(setting), 0);
    for (size_t write = 0; write < writes; ++write) {
      const size_t key = write < keys ? write : rewritten(random, ranked);
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

  // The keys by how often they are written; of uniform writes any order is as good.
  std::vector<size_t> ranks(Random& random, size_t keys) const {
    std::vector<size_t> ranked(keys);
    for (size_t i = 0; i < keys; ++i) ranked[i] = i;
    if (options_.written != "uniform") random.shuffle(ranked);
    return ranked;
  }

  size_t rewritten(Random& random, const std::vector<size_t>& ranked) const {
    const size_t keys = ranked.size();
    if (options_.written == "zipf") {
      const auto known = zipf_.find(static_cast<int64_t>(keys));
      return ranked[known != zipf_.end() ? known->second.draw(random)
                                         : PowerDraw(static_cast<int64_t>(keys), -options_.zipf_exponent).draw(random)];
    }
    if (options_.written == "hot" && (keys == 1 || random.uniform() < options_.hot_share)) return ranked[0];
    return options_.written == "hot" ? ranked[1 + random.below(keys - 1)] : ranked[random.below(keys)];
  }

  RewriteOptions options_;
  PairVocabulary vocabulary_;
  std::map<int64_t, PowerDraw> zipf_;  // by number of keys
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
