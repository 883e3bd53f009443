// my_rule: rows of tokens with answers to score; here the word that stands at the start is asked for at the end, behind noise.
//
//   token    w3  ·  ·  ·  ?        ·: any of 16 noise tokens
//   target    -  -  -  -  w3
//
// A row is a function of split, seed, setting and index: all that is random in it comes from `random` (tasks/support/seeded_task.h).
#include "tasks/support/seeded_task.h"

namespace mneme {
namespace {

struct MyRuleTaskOptions : Options {
  int64_t words = 8;
  void describe(OptionVisitor& v) override { v.option("words", words, {2, 65536}, "different words"); }
};

class MyRuleTask : public mneme::LengthTask {
 public:
  MyRuleTask(const TaskContext& context, const MyRuleTaskOptions& options)
      : mneme::LengthTask("my_rule", context, 4, "a word, noise and the question"), words_(options.words) {}

  int64_t vocab() const override { return words_ + kNoise + 1; }  // words, noise, the question
  double chance() const override { return 1.0 / double(words_); }
  std::string token_text(int64_t token) const override {
    return token < words_ ? std::string("w").append(std::to_string(token)).append(" ") : token < words_ + kNoise ? "· " : "? ";
  }

 protected:
  Sample make(Random& random, Split, const Setting& setting) const override {
    Sample row = blank_row(setting.at(0), 0);
    for (int64_t& token : row.tokens) token = random.between(words_, words_ + kNoise - 1);
    row.tokens.front() = random.between(0, words_ - 1);
    row.tokens.back() = words_ + kNoise;
    // task.control = impossible: an answer that nothing in the row tells
    row.targets.back() = impossible() ? random.between(0, words_ - 1) : row.tokens.front();
    return row;
  }

 private:
  static constexpr int64_t kNoise = 16;
  int64_t words_;
};

}  // namespace

void register_task_my_rule(TaskRegistry& registry) {
  registry.add({"my_rule", "which word stood at the start?", [] { return std::make_unique<MyRuleTaskOptions>(); },
                [](const TaskContext& context) {
                  return std::make_unique<MyRuleTask>(context, dynamic_cast<const MyRuleTaskOptions&>(context.options));
                }});
}

}  // namespace mneme
