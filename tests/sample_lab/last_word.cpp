// The first token of a row is asked for at its end, behind noise.
#include "tasks/support/seeded_task.h"

namespace mneme {
namespace {

struct LastWordOptions : Options {
  int64_t words = 8;
  void describe(OptionVisitor& v) override { v.option("words", words, {2, 1024}, "different words"); }
};

class LastWord : public LengthTask {
 public:
  LastWord(const TaskContext& context, const LastWordOptions& options)
      : LengthTask("last_word", context, 4, "a word, noise and the question"), words_(options.words) {}
  int64_t vocab() const override { return words_ + kNoise + 1; }
  double chance() const override { return 1.0 / double(words_); }

 protected:
  Sample make(Random& random, Split, const Setting& setting) const override {
    Sample row = blank_row(setting.at(0), 0);
    for (int64_t& token : row.tokens) token = random.between(words_, words_ + kNoise - 1);
    row.tokens.front() = random.between(0, words_ - 1);
    row.tokens.back() = words_ + kNoise;
    row.targets.back() = impossible() ? random.between(0, words_ - 1) : row.tokens.front();
    return row;
  }

 private:
  static constexpr int64_t kNoise = 4;
  int64_t words_;
};

}  // namespace

void register_task_last_word(TaskRegistry& registry) {
  registry.add({"last_word", "which word came first?", [] { return std::make_unique<LastWordOptions>(); }, [](const TaskContext& context) {
                  return std::make_unique<LastWord>(context, dynamic_cast<const LastWordOptions&>(context.options));
                }});
}

}  // namespace mneme
