// Drift: a stream of facts whose live set moves. Regimes follow each other, each with keys of its own; its facts are written, some
// anew, and asked about while it lasts and at its end. What an earlier regime wrote is never asked again, so that it may be forgotten,
// and what is never forgotten piles up. After the concept drift of learning from streams (Gama et al., ACM Computing Surveys 46(4), 2014).
//
//   token    | k7 v3 ~5 k2 v9 k7 v5 k7 ~9 k2 k7 ~0 | k4 v1 k8 v6 ~2 k4 k8 v2 ~7 ~7 k8 k4     setting 2x2 (keys x regimes), marked,
//   target   -  -  -  -  -  -  -  - v5  - v9 v5  - -  -  -  -  -  - v1  -  -  -  - v2 v1     rewrites and asks .5, noise .25; | = mark,
//             └─ writes, questions ─────┘ └ all ┘                                            ~ = noise
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "tasks/support/noisy_vocabulary.h"
#include "tasks/support/seeded_task.h"

namespace mneme {
namespace {

struct DriftOptions : Options {
  int64_t vocab = 2048;
  int64_t noise_tokens = 64;
  std::vector<Setting> train = {{8, 4}};
  std::vector<Setting> test = {{8, 4}, {8, 16}, {8, 64}};
  double rewrites = 0.5;
  double asks = 0.5;
  double reused = 0;
  double noise = 0.25;
  bool marked = false;

  void describe(OptionVisitor& v) override {
    v.option("vocab", vocab, {4, 1 << 20}, "tokens of pairs: keys in the lower half, values in the upper half");
    v.option("noise_tokens", noise_tokens, {1, 1 << 20}, "further tokens, which mean nothing");
    v.settings("train", train, 2, {1, 1 << 24}, "keys x regimes trained on: live keys of a regime, regimes in a row");
    v.settings("test", test, 2, {1, 1 << 24}, "keys x regimes tested");
    v.option("rewrites", rewrites, {0, 1000}, "new values of a regime per key, beside the first one");
    v.option("asks", asks, {0, 1000}, "questions per key while facts are written; at a regime's end every key is asked once more");
    v.option("reused", reused, {0, 1}, "share of a regime's keys that earlier ones had; they come back with new values");
    v.option("noise", noise, {0, 0.99}, "share of tokens that mean nothing, between facts and questions");
    v.option("marked", marked, "a token of its own, 0, stands before each regime; false = nothing tells of a change but the keys");
  }

  void check(const std::string& prefix, Problems& problems) const override {
    check_settings(prefix + "train", train, problems);
    check_settings(prefix + "test", test, problems);
  }

  /// Keys of a regime after the first that no earlier one had.
  int64_t fresh(int64_t keys) const { return keys - std::llround(reused * static_cast<double>(keys)); }

 private:
  void check_settings(const std::string& key, const std::vector<Setting>& settings, Problems& problems) const {
    if (settings.empty()) problems.add(key, "no setting given; write keys x regimes, e.g. 8x4");
    const int64_t known = PairVocabulary{vocab}.keys();
    for (const Setting& setting : settings) {
      const int64_t keys = setting.at(0), needed = keys + (setting.at(1) - 1) * fresh(keys);
      if (needed > known)
        problems.add(key, fmt::format("{}: vocab = {} has {} keys, {} are needed with reused = {}; set vocab to at least {}, or reused "
                                      "nearer to 1",
                                      setting_text(setting), vocab, known, needed, reused, 2 * needed + 2));
    }
  }
};

class Drift : public SeededTask {
 public:
  Drift(const TaskContext& context, const DriftOptions& options)
      : SeededTask("drift", context.common), options_(options), vocabulary_{{options.vocab}, options.noise_tokens} {}

  int64_t vocab() const override { return vocabulary_.size(); }
  double chance() const override { return 1.0 / static_cast<double>(vocabulary_.pairs.values()); }
  std::vector<std::string> axes() const override { return {"keys", "regimes"}; }
  std::vector<Setting> train_settings() const override { return options_.train; }
  std::vector<Setting> test_settings() const override { return options_.test; }
  int64_t length(const Setting& setting) const override { return setting.at(1) * Counts(options_, setting.at(0)).length(); }
  bool by_position() const override { return true; }
  std::string token_text(int64_t token) const override { return vocabulary_.text(token); }

 protected:
  Sample make(Random& random, Split, const Setting& setting) const override {
    const Counts counts(options_, setting.at(0));
    const std::vector<int64_t> unused =
        vocabulary_.pairs.distinct_keys(random, counts.keys + (setting.at(1) - 1) * options_.fresh(counts.keys));
    Writer writer{blank_row(length(setting), 0), 0};
    std::vector<int64_t> known;                                                   // keys that were ever written
    std::vector<int64_t> newest(static_cast<size_t>(options_.vocab / 2 + 1), -1);  // by key
    for (int64_t regime = 0; regime < setting.at(1); ++regime) {
      const size_t fresh = static_cast<size_t>(regime == 0 ? counts.keys : options_.fresh(counts.keys)), before = known.size();
      std::vector<int64_t> live(unused.begin() + static_cast<std::ptrdiff_t>(before),
                                unused.begin() + static_cast<std::ptrdiff_t>(before + fresh));
      known.insert(known.end(), live.begin(), live.end());
      for (const int64_t old : random.distinct(counts.keys - static_cast<int64_t>(fresh), static_cast<int64_t>(before)))
        live.push_back(known[static_cast<size_t>(old)]);
      random.shuffle(live);
      write_regime(random, counts, live, newest, writer);
    }
    if (impossible())
      for (int64_t& target : writer.row.targets)
        if (target >= 0) target = vocabulary_.pairs.value(random);
    return std::move(writer.row);
  }

 private:
  struct Counts {  // of one regime
    int64_t keys, rewrites, asks, noise, mark;
    Counts(const DriftOptions& options, int64_t live)
        : keys(live), rewrites(of(options.rewrites, live)), asks(of(options.asks, live)), mark(options.marked ? 1 : 0) {
      noise = of(options.noise / (1 - options.noise), length_without_noise());
    }
    int64_t length() const { return length_without_noise() + noise; }

   private:
    static int64_t of(double share, int64_t count) { return std::llround(share * static_cast<double>(count)); }
    int64_t length_without_noise() const { return mark + 2 * (keys + rewrites) + asks + keys; }
  };

  struct Writer {
    Sample row;
    size_t at;
    void token(int64_t token, int64_t target = -1) {
      row.tokens[at] = token;
      row.targets[at++] = target;
    }
  };

  enum Event { write, ask, ask_all, mean_nothing };

  // A write first, the others and the questions among them in random order, then every key once; noise anywhere between.
  std::vector<Event> events(Random& random, const Counts& counts) const {
    std::vector<Event> body(static_cast<size_t>(counts.keys + counts.rewrites - 1), write);
    body.insert(body.end(), static_cast<size_t>(counts.asks), ask);
    random.shuffle(body);
    body.insert(body.begin(), write);
    body.insert(body.end(), static_cast<size_t>(counts.keys), ask_all);
    std::vector<bool> noisy(body.size() + static_cast<size_t>(counts.noise));
    for (const int64_t place : random.distinct(counts.noise, static_cast<int64_t>(noisy.size()))) noisy[static_cast<size_t>(place)] = true;
    std::vector<Event> all;
    size_t next = 0;
    for (const bool noise : noisy) all.push_back(noise ? mean_nothing : body[next++]);
    return all;
  }

  // `live` keys get their first values in this order, then any of them new ones.
  void write_regime(Random& random, const Counts& counts, const std::vector<int64_t>& live, std::vector<int64_t>& newest,
                    Writer& writer) const {
    std::vector<int64_t> order = live;
    random.shuffle(order);
    size_t written = 0, asked = 0;
    if (counts.mark) writer.token(0);
    for (const Event event : events(random, counts)) {
      if (event == mean_nothing) {
        writer.token(vocabulary_.noise_token(random));
      } else if (event == write) {
        const int64_t key = written < live.size() ? live[written++] : live[random.below(live.size())];
        int64_t& value = newest[static_cast<size_t>(key)];
        value = vocabulary_.other_value(random, value);
        writer.token(key);
        writer.token(value);
      } else {
        const int64_t key = event == ask_all ? order[asked++] : live[random.below(written)];
        writer.token(key, newest[static_cast<size_t>(key)]);
      }
    }
  }

  DriftOptions options_;
  NoisyVocabulary vocabulary_;
};

}  // namespace

void register_task_drift(TaskRegistry& registry) {
  registry.add({"drift", "associative recall while the live keys change: only facts of the running regime are asked",
                [] { return std::make_unique<DriftOptions>(); },
                [](const TaskContext& context) {
                  return std::make_unique<Drift>(context, dynamic_cast<const DriftOptions&>(context.options));
                }});
}

}  // namespace mneme
