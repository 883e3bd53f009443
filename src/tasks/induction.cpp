// Induction heads (Gu & Dao, Mamba, arXiv 2312.00752, table 11): a special token stands at a random place and again at
// the end; the answer is the token that followed it. Trained at 256, tested at up to 4096 times that.
//
//   token    4 11  * 7  0 15  …  3  *
//   target   -  -  - -  -  -  …  -  7
#include <fmt/format.h>

#include "tasks/support/seeded_task.h"

namespace mneme {
namespace {

struct InductionOptions : Options {
  int64_t vocab = 16;

  void describe(OptionVisitor& v) override {
    v.option("vocab", vocab, {2, 1 << 20}, "different tokens; the special token comes on top");
  }
};

class Induction : public LengthTask {
 public:
  Induction(const TaskContext& context, const InductionOptions& options)
      : LengthTask("induction", context, 4, "special token, answer and special token again"), letters_(options.vocab) {}

  int64_t vocab() const override { return letters_ + 1; }
  double chance() const override { return 1.0 / static_cast<double>(letters_); }
  std::string token_text(int64_t token) const override { return token == letters_ ? "* " : fmt::format("{} ", token); }

 protected:
  Sample make(Random& random, Split, const Setting& setting) const override {
    Sample row = blank_row(setting.at(0), 0);
    for (int64_t& token : row.tokens) token = letter(random);
    const size_t place = random.below(row.tokens.size() - 2);
    row.tokens[place] = letters_;
    row.tokens.back() = letters_;
    row.targets.back() = impossible() ? letter(random) : row.tokens[place + 1];
    return row;
  }

 private:
  int64_t letter(Random& random) const { return random.between(0, letters_ - 1); }

  int64_t letters_;
};

}  // namespace

void register_task_induction(TaskRegistry& registry) {
  registry.add({"induction", "induction heads: what followed the special token?",
                [] { return std::make_unique<InductionOptions>(); },
                [](const TaskContext& context) {
                  return std::make_unique<Induction>(context, dynamic_cast<const InductionOptions&>(context.options));
                }});
}

}  // namespace mneme
