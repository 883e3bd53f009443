#include "tasks/support/token_stream.h"

#include "mneme/errors.h"

namespace mneme {
namespace {

constexpr int64_t kSpacing = 128;

class RowStream : public TokenStream {
 public:
  RowStream(const Task& task, uint64_t seed) : task_(task), seed_(seed), order_(seed, "stream") {}

  Sample next() override {
    if (settings_.empty()) {
      settings_ = task_.test_settings();
      order_.shuffle(settings_);
    }
    const Setting setting = settings_.back();
    settings_.pop_back();
    const uint64_t there = task_.rows(Split::test), index = there > 0 ? index_ % there : index_;
    ++index_;
    Sample row = task_.sample(Split::test, seed_, index, setting);
    row.slice = setting;
    return row;
  }

  std::vector<std::string> axes() const override { return task_.axes(); }

 private:
  const Task& task_;
  uint64_t seed_, index_ = 0;
  Random order_;
  std::vector<Setting> settings_;  // those still to come, before all come again
};

}  // namespace

std::unique_ptr<TokenStream> make_stream(const Task& task, const StreamOptions& options) {
  if (!task.objective().of_tokens())
    throw UsageError("a stream is of tokens; the rows of this task are of " + task.objective().text() + ": mneme eval measures them");
  if (const auto* own = dynamic_cast<const StreamingTask*>(&task)) {
    StreamOptions filled = options;
    for (int64_t distance = 64; options.distances.empty() && distance <= 16384; distance *= 2) filled.distances.push_back(distance);
    if (filled.spacing == 0) filled.spacing = kSpacing;
    return own->stream(filled);
  }
  if (!options.distances.empty() || options.spacing > 0)
    throw UsageError("--distances and --spacing are for the task needle; the stream of any other task is its test rows end to end: "
                     "choose their settings instead (eval.lengths, or test of the task's own section)");
  return std::make_unique<RowStream>(task, options.seed);
}

}  // namespace mneme
