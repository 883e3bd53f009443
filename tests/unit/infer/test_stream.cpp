// One endless stream through a model: answers, stretches, bounds.
#include <csignal>

#include "mneme/errors.h"
#include "tests/support/test.h"
#include "tests/support/train_fixture.h"
#include "base/signals.h"
#include "infer/stream.h"

using namespace mneme;
using namespace mneme::test;
using Catch::Contains;

namespace {

struct Streaming : World {
  explicit Streaming(const std::string& name, const std::vector<std::string>& more = {}) : World(tiny_config(arm(name) + more)) {}
  StreamRecord read(int64_t tokens, int64_t segment, std::function<void(const StreamRecord&, const StreamBin&)> progress = {}) {
    return read_stream({config, model, 7, "run/checkpoint/step-7"}, *make_stream(*task, {2, {}, 0}),
                       {tokens, segment, std::move(progress)});
  }
};

}  // namespace

TEST_CASE("a stream is read in segments of any length with the same answers", "[train][stream]") {
  const std::string name = GENERATE("window", "lmm", "mag", "mag_mlp", "mag_off");
  CAPTURE(name);
  Streaming streaming(name, {"runtime.dtype=float64"});
  const StreamRecord whole = streaming.read(5000, 4096), cut = streaming.read(5000, 37);
  CHECK(whole.axes == std::vector<std::string>{"length", "pairs"});
  CHECK((whole.status == "done" && whole.step == 7 && whole.checkpoint == "step-7"));
  REQUIRE(whole.bins.size() == 2);
  REQUIRE(cut.bins.size() == 2);
  for (size_t i = 0; i < 2; ++i) {
    const StreamBin &a = whole.bins[i], &b = cut.bins[i];
    CHECK((a.first == b.first && a.end == b.end && a.state_bytes == b.state_bytes));
    CHECK((a.questions.rows == b.questions.rows && a.questions.correct == b.questions.correct && a.questions.exact == b.questions.exact));
    CHECK(b.questions.loss == Approx(a.questions.loss).epsilon(1e-9));
    CHECK(a.slices.size() == 2);
  }
  CHECK(std::abs(whole.bins[0].questions.rows - 4096 * 2 / (32 + 64)) <= 2);
  CHECK(whole.bins[0].questions.scored > 4 * whole.bins[0].questions.rows);
}

TEST_CASE("stretches of a stream double up to 65,536 tokens; what a model carries does not grow", "[train][stream]") {
  Streaming streaming("mag");
  const StreamRecord record = streaming.read(140000, 4096);
  std::vector<int64_t> ends;
  for (const StreamBin& bin : record.bins) ends.push_back(bin.end);
  CHECK(ends == std::vector<int64_t>{4096, 8192, 16384, 32768, 65536, 131072, 140000});
  for (const StreamBin& bin : record.bins) CHECK(bin.state_bytes == record.bins[0].state_bytes);
  CHECK(doubling_bins(record).size() == 7);
  const StreamBin all = whole_stream(record);
  CHECK(all.tokens() == 140000);
  EvalSums sum;
  for (const auto& [setting, sums] : all.slices) sum += sums;
  CHECK(sum == all.questions);
}

TEST_CASE("an interrupted stream is what was read until then", "[train][stream]") {
  Streaming streaming("mag");
  const InterruptGuard guard;
  const StreamRecord record = streaming.read(100000, 1000, [](const StreamRecord& done, const StreamBin&) {
    if (done.tokens() == 4096 && !interrupt_requested()) std::raise(SIGINT);
  });
  CHECK(record.status == "interrupted");
  CHECK(record.tokens() == 5096);
}

TEST_CASE("full attention is read as far as it can be kept, and a foreign vocabulary not at all", "[train][stream]") {
  CHECK(Streaming("full").read(500, 100).tokens() == 500);
  CHECK_THAT(message_of<ConfigError>([] { Streaming("full").read(20000, 100); }),
             Contains("model.attention = window") && Contains("16384 tokens"));
  Streaming streaming("mag");
  const World larger(tiny_config(arm("mag") + std::vector<std::string>{"task.mqar.vocab=100"}));
  CHECK_THAT(message_of<DataError>([&] {
               read_stream({streaming.config, streaming.model, 0, ""}, *make_stream(*larger.task, {2, {}, 0}), {500, 100, {}});
             }), Contains("0 to 63"));
}

TEST_CASE("a stream says from which token on its answers are not finite", "[train][stream]") {
  Streaming streaming("mag");
  at::NoGradGuard no_grad;
  CHECK(streaming.read(500, 100).error == "");
  for (const auto& [name, tensor] : named_tensors(*streaming.model))
    if (name == "embedding") tensor.select(0, 40).fill_(std::nan(""));
  const StreamRecord record = streaming.read(3000, 100);
  const EvalSums all = whole_stream(record).questions;
  CHECK((all.not_finite > 0 && all.not_finite <= all.rows));
  CHECK(std::isnan(record.metric.value(all)));
  CHECK_THAT(record.error, Contains(" questions are not finite; ") && Contains("layer 0, head 0: fast weights 0 are not finite from token "));
  CHECK(streaming.read(3000, 37).error == record.error);
}
