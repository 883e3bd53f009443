// Language model over bytes, reported by position: does a longer past help? Rows are passages at random places; every
// position predicts the next byte.
//
//   token    I  t     i  s     a     t  r  u  t
//   target   t     i  s     a     t  r  u  t  h
#include <cmath>

#include "tasks/support/seeded_task.h"
#include "tasks/support/text_source.h"

namespace mneme {
namespace {

constexpr int64_t kBytes = 256;

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
  std::vector<std::string> notes() const override { return text_.notes(); }
  std::string token_text(int64_t token) const override { return byte_text(token); }

 protected:
  Sample make(Random& random, Split split, const Setting& setting) const override {
    const std::string_view passage = text_.passage(random, split, static_cast<size_t>(setting.at(0)) + 1);
    Sample row = blank_row(setting.at(0), 0);
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
