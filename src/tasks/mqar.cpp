// Multi-query associative recall: key-value pairs, then each key is asked exactly once. Protocol of Zoology and Based
// (Arora et al., arXiv 2312.04927 and 2402.18668).
//
//   token   k7 v3 k2 v9  ·  ·  k2  ·  ·  ·  k7  ·      4 × pairs ≤ length, both even; · = filler
//   target   -  -  -  -  -  -  v9  -  -  -  v3  -
//   token   k7 v3 k2 v9  ·  ·  k2 v9  ·  ·  k7 v3      echo
#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "tasks/support/pair_vocabulary.h"
#include "tasks/support/query_slots.h"
#include "tasks/support/seeded_task.h"

namespace mneme {
namespace {

struct MqarOptions : Options {
  int64_t vocab = 512;
  std::vector<Setting> train = {{64, 4}, {128, 8}, {256, 16}, {256, 32}};
  std::vector<Setting> test = {{256, 32}, {512, 64}, {1024, 32}, {2048, 32}, {2048, 128}};
  double a = 0.01;
  std::string filler = "random";
  bool echo = false;

  void describe(OptionVisitor& v) override {
    v.option("vocab", vocab, {4, 1 << 20}, "different tokens: keys in the lower half, values in the upper half");
    v.settings("train", train, 2, {1, 1 << 24}, "length x pairs trained on");
    v.settings("test", test, 2, {1, 1 << 24}, "length x pairs tested");
    v.option("a", a, {1e-6, 1},
             "slot g is asked with weight g^(a-1); 1 = everywhere alike, small = soon after the pairs");
    v.option("filler", filler, {"random", "no_keys", "zeros"},
             "tokens between the queries: any token of the vocabulary (as published), any but the row's keys, or token 0");
    v.option("echo", echo, "the value follows its question, as in text; false = filler does (as published)");
  }

  void check(const std::string& prefix, Problems& problems) const override {
    check_settings(prefix + "train", train, problems);
    check_settings(prefix + "test", test, problems);
  }

 private:
  void check_settings(const std::string& key, const std::vector<Setting>& settings, Problems& problems) const {
    if (settings.empty()) problems.add(key, "no setting given; write length x pairs, e.g. 256x16");
    for (const Setting& setting : settings) {
      const int64_t length = setting.at(0), pairs = setting.at(1), keys = PairVocabulary{vocab}.keys();
      const std::string name = setting_text(setting);
      if (length % 2 != 0)
        problems.add(key, fmt::format("{}: the length must be even; use {}x{}", name, length + 1, pairs));
      if (length < 4 * pairs)
        problems.add(
            key, fmt::format("{}: {} tokens are too short for {} pairs; length must be at least 4 x pairs = {}", name,
                             length, pairs, 4 * pairs));
      if (pairs > keys)
        problems.add(key, fmt::format("{}: vocab = {} has {} keys, {} are needed; set vocab to at least {}", name,
                                      vocab, keys, pairs, 2 * pairs + 2));
    }
  }
};

class Mqar : public SeededTask {
 public:
  Mqar(const TaskContext& context, const MqarOptions& options)
      : SeededTask("mqar", context.common), options_(options), vocabulary_{options.vocab} {
    for (const auto* settings : {&options_.train, &options_.test})
      for (const Setting& setting : *settings) slots_.try_emplace(space(setting), space(setting), options_.a);
  }

  int64_t vocab() const override { return options_.vocab; }
  double chance() const override { return 1.0 / static_cast<double>(vocabulary_.values()); }
  std::vector<std::string> axes() const override { return {"length", "pairs"}; }
  std::vector<Setting> train_settings() const override { return options_.train; }
  std::vector<Setting> test_settings() const override { return options_.test; }
  std::string token_text(int64_t token) const override { return vocabulary_.text(token); }

 protected:
  Sample make(Random& random, Split, const Setting& setting) const override {
    const int64_t pairs = setting.at(1);
    const std::vector<int64_t> keys = vocabulary_.distinct_keys(random, pairs);
    const std::vector<int64_t> values = vocabulary_.distinct_values(random, pairs);
    const std::vector<int64_t> slots = ask(random, setting);
    const std::vector<int64_t> answers = impossible() ? vocabulary_.distinct_values(random, pairs) : values;

    Sample row = blank_row(setting.at(0), 0);
    for (size_t i = 0; i < keys.size(); ++i) {
      const size_t query = static_cast<size_t>(2 * (pairs + slots[i]));
      row.tokens[2 * i] = keys[i];
      row.tokens[2 * i + 1] = values[i];
      row.tokens[query] = keys[i];
      row.targets[query] = answers[i];
      if (options_.echo) row.tokens[query + 1] = answers[i];
    }
    if (options_.filler != "zeros")
      for (int64_t& token : row.tokens)
        if (token == 0) token = filler(random, keys);
    return row;
  }

 private:
  static int64_t space(const Setting& setting) { return setting.at(0) / 2 - setting.at(1); }

  int64_t filler(Random& random, const std::vector<int64_t>& keys) const {
    int64_t token;
    do token = static_cast<int64_t>(random.below(static_cast<uint64_t>(options_.vocab)));
    while (options_.filler == "no_keys" && std::find(keys.begin(), keys.end(), token) != keys.end());
    return token;
  }

  std::vector<int64_t> ask(Random& random, const Setting& setting) const {
    const auto known = slots_.find(space(setting));
    if (known != slots_.end()) return known->second.draw(random, setting.at(1));
    return QuerySlots(space(setting), options_.a).draw(random, setting.at(1));
  }

  MqarOptions options_;
  PairVocabulary vocabulary_;
  std::map<int64_t, QuerySlots> slots_;  // by number of slots
};

}  // namespace

void register_task_mqar(TaskRegistry& registry) {
  registry.add({"mqar", "multi-query associative recall: pairs, then every key asked once",
                [] { return std::make_unique<MqarOptions>(); },
                [](const TaskContext& context) {
                  return std::make_unique<Mqar>(context, dynamic_cast<const MqarOptions&>(context.options));
                },
                {{"filler", "zeros"}}});
}

}  // namespace mneme
