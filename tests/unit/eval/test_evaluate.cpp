#include "tests/support/test.h"

#include <c10/core/Allocator.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "tests/support/train_fixture.h"
#include "eval/batch.h"
#include "eval/checkpoint.h"
#include "eval/evaluate.h"
#include "eval/loss.h"
#include "eval/make.h"
#include "eval/measure.h"

using namespace mneme;
using namespace mneme::test;

namespace {

Evaluation evaluated(const std::string& name, const std::vector<std::string>& overrides, Split split = Split::test) {
  const World world(tiny_config(arm(name) + overrides));
  return evaluate(*world.model, *world.task, world.config, {split, 7, {}});
}

/// Bytes of all tensors made while it is installed, and the most they ever were together.
struct TensorBytes : c10::MemoryReportingInfoBase {
  void reportMemoryUsage(void*, int64_t size, size_t, size_t, c10::Device) override {
    now += size;
    peak = std::max(peak, now);
  }
  bool memoryProfilingEnabled() const override { return true; }
  int64_t now = 0, peak = 0;
};

}  // namespace

TEST_CASE("reading rows in segments, few at a time, measures what one call measures", "[train]") {
  const std::string name = GENERATE("full", "window", "lmm", "mag", "mag_mlp", "mag_off");
  CAPTURE(name);
  const std::vector<std::string> wide{"runtime.dtype=float64"};
  const Evaluation whole = evaluated(name, wide + std::vector<std::string>{"eval.segment=4096"});
  const Evaluation cut = evaluated(name, wide + std::vector<std::string>{"eval.segment=5", "eval.batch_tokens=15"});
  REQUIRE(whole.settings.size() == 2);
  for (size_t i = 0; i < 2; ++i) {
    const EvalSums &a = whole.settings[i].sums, &b = cut.settings[i].sums;
    CHECK(a.rows == 16);
    CHECK(a.scored == (i == 0 ? 64 : 128));  // 4 and 8 pairs a row
    CHECK((a.rows == b.rows && a.scored == b.scored && a.correct == b.correct && a.exact == b.exact));
    CHECK(b.loss == Approx(a.loss).epsilon(1e-9));
  }
}

TEST_CASE("positions of a position axis are added up by their value, whatever the segment", "[train]") {
  TemporaryFolder folder;
  std::string text;
  Random random(3, "text");
  while (text.size() < 20000) text += std::string(1 + random.below(3), static_cast<char>('a' + random.below(8))) + (random.below(9) ? " " : ", ");
  std::ofstream(folder / "train.txt") << text;
  const std::vector<std::string> lm{"task.kind=lm", "task.lm.train_text=" + (folder / "train.txt"), "task.length=48", "runtime.dtype=float64"};
  const Evaluation whole = evaluated("mag", lm), cut = evaluated("mag", lm + std::vector<std::string>{"eval.segment=7"});
  CHECK(whole.row_axes == std::vector<std::string>{"last_seen"});
  const EvalSetting &a = whole.settings.at(0), &b = cut.settings.at(0);
  REQUIRE(a.slices.size() == 3);  // no word, never, within 256
  int64_t scored = 0;
  for (const auto& [place, sums] : a.slices) {
    CHECK((b.slices.at(place).scored == sums.scored && b.slices.at(place).loss == Approx(sums.loss).epsilon(1e-9)));
    CHECK((sums.rows <= a.sums.rows && sums.rows > a.sums.rows / 2));
    scored += sums.scored;
  }
  CHECK(scored <= a.sums.scored);
  CHECK(scored > a.sums.scored * 8 / 10);  // but for words that a row's ends cut
}

TEST_CASE("eval.reset reads parts of a row as rows of their own, whatever the segment", "[train]") {
  const std::string name = GENERATE("window", "mag");
  const std::vector<std::string> wide{"runtime.dtype=float64", "eval.samples=4"};
  const World world(tiny_config(arm(name) + wide));
  at::NoGradGuard no_grad;
  const EvaluationMode evaluation(*world.model);
  const Setting setting = world.task->test_settings().back();
  const Batch rows = make_batch(*world.task, Split::test, rows_seed(world.config), 0, 4, setting);
  double loss = 0;
  for (int64_t first = 0; first < rows.length(); first += 40) {
    const Batch part = rows.part_of_positions(first, std::min<int64_t>(40, rows.length() - first));
    State state;
    ForwardContext context;
    const at::Tensor hidden = world.model->hidden(part.inputs, state, context);
    if (const Scored scored = scored_positions(part); scored.count > 0) loss += loss_sum(*world.model, hidden, scored).item<double>();
  }
  for (const char* segment : {"eval.segment=1024", "eval.segment=7"}) {
    const Evaluation reset = evaluated(name, wide + std::vector<std::string>{segment, "eval.reset=40"});
    CHECK(reset.settings.back().sums.loss == Approx(loss).epsilon(1e-9));
  }
  CHECK(std::abs(evaluated(name, wide).settings.back().sums.loss - loss) > 1e-6);
}

TEST_CASE("validation has new rows of the training settings", "[train]") {
  const Evaluation validation = evaluated("full", {}, Split::validation), test = evaluated("full", {});
  CHECK(validation.split == "validation");
  CHECK(validation.step == 7);
  REQUIRE(validation.settings.size() == 1);
  CHECK(validation.settings[0].setting == Setting{32, 4});
  CHECK(validation.settings[0].sums.loss != test.settings[0].sums.loss);
}

TEST_CASE("rows are the same for every seed, or drawn anew for each with eval.per_seed, never for each arm", "[train]") {
  const World world(tiny_config(arm("full")));
  const auto loss = [&](const std::vector<std::string>& overrides) {
    const std::vector<std::string> numbers{"eval.seed=3"};
    return evaluate(*world.model, *world.task, tiny_config(arm("full") + numbers + overrides), {Split::test, 7, {}}).settings[0].sums.loss;
  };
  const std::vector<std::string> one{"run.seed=1"}, two{"run.seed=2"}, anew{"eval.per_seed=true"};
  CHECK(loss(one) == loss(two));
  CHECK(loss(anew + one) != loss(anew + two));
  CHECK(loss(anew + one) != loss(one));
  CHECK(loss(anew + one) == loss(anew + one + std::vector<std::string>{"model.ffn_width=999", "train.lr=0.1"}));
}

TEST_CASE("state bytes: full attention grows with the row, a window and a memory do not", "[train]") {
  const auto bytes = [](const std::string& name) {
    const Evaluation evaluation = evaluated(name, {});
    return std::pair(evaluation.settings[0].state_bytes, evaluation.settings[1].state_bytes);
  };
  const auto [full_32, full_64] = bytes("full");
  CHECK(full_64 - full_32 == 2 * 32 * 2 * 16 * 4);  // layers · tokens · (key, value) · width · fp32
  const auto [mag_32, mag_64] = bytes("mag");
  CHECK(mag_32 > 0);
  CHECK(mag_32 == mag_64);
}

TEST_CASE("evaluating sixteen times longer rows takes no more memory than their tokens", "[train]") {
  const std::string name = GENERATE("window", "lmm", "mag", "mag_mlp");
  CAPTURE(name);
  constexpr int64_t kSegment = 64, kRows = 4, kTokenBytes = 2 * 8;  // token and target, int64
  const auto peak = [&](int64_t length) {
    const std::string setting = std::to_string(length) + "x8";
    const World world(tiny_config(arm(name) + std::vector<std::string>{"task.mqar.test=" + setting, "eval.samples=4",
                                                                       "eval.segment=" + std::to_string(kSegment),
                                                                       "eval.batch_tokens=" + std::to_string(kRows * kSegment)}));
    const auto tensors = std::make_shared<TensorBytes>();
    const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, tensors);
    evaluate(*world.model, *world.task, world.config, {});
    return tensors->peak - kRows * length * kTokenBytes;
  };
  const int64_t few = peak(4 * kSegment), many = peak(64 * kSegment);
  CHECK(few > 0);
  CHECK(static_cast<double>(many) <= 1.05 * static_cast<double>(few));
}

TEST_CASE("rows read side by side: as many segments as eval.batch_tokens holds, whole rows with full attention", "[train]") {
  const auto at_once = [](const std::string& name) {
    return rows_at_once(tiny_config(arm(name) + std::vector<std::string>{"eval.segment=64", "eval.batch_tokens=1024"}), 512);
  };
  CHECK(at_once("full") == 2);
  CHECK(at_once("window") == 16);
  CHECK(at_once("mag") == 16);
  CHECK(at_once("lmm") == 16);
  CHECK(rows_at_once(tiny_config(arm("full") + std::vector<std::string>{"eval.batch_tokens=8"}), 512) == 1);
}

TEST_CASE("rows of a setting: samples, fewer where eval.tokens says so, never under 16 for that", "[train]") {
  Config config = tiny_config();
  const World world(config);
  config.eval.samples = 256;
  config.eval.tokens = 64 * 100;
  CHECK(eval_rows(*world.task, config.eval, Split::test, {32, 4}) == 200);
  CHECK(eval_rows(*world.task, config.eval, Split::test, {64, 8}) == 100);
  config.eval.tokens = 64;
  CHECK(eval_rows(*world.task, config.eval, Split::test, {64, 8}) == 16);
  config.eval.samples = 4;
  CHECK(eval_rows(*world.task, config.eval, Split::test, {64, 8}) == 4);
}

TEST_CASE("loss by position: the bins hold every scored token once", "[train]") {
  TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 4000; ++i) text += "word " + std::to_string(i * i % 997) + ", ";
  overwrite(folder.path() + "/book.txt", text);
  const World world(tiny_config(
      {"task.kind=lm", "task.length=300", "task.lm.train_text=" + folder.path() + "/book.txt", "eval.samples=5"}));
  const Evaluation evaluation = evaluate(*world.model, *world.task, world.config, {});
  CHECK(evaluation.position_edges == std::vector<int64_t>{0, 256, 1024});
  const EvalSetting& setting = evaluation.settings.at(0);
  REQUIRE(setting.positions.size() == 2);
  CHECK(setting.positions[0].scored == 5 * 256);
  CHECK(setting.positions[0].scored + setting.positions[1].scored == setting.sums.scored);
  CHECK(setting.positions[0].loss + setting.positions[1].loss == Approx(setting.sums.loss));
}

TEST_CASE("what is not finite is counted, has no value, and is named by row, layer, head and token", "[train]") {
  const std::string name = GENERATE("mag", "mag_mlp");
  const World world(tiny_config(arm(name) + std::vector<std::string>{"memory.heads=2", "memory.theta_bias=3"}));
  const EvalRequest request{Split::test, 7, {}};
  const Evaluation good = evaluate(*world.model, *world.task, world.config, request);
  CHECK((good.not_finite() == "" && std::isfinite(good.value())));
  at::NoGradGuard no_grad;
  for (const auto& [parameter, tensor] : named_tensors(*world.model))
    if (parameter == "layers_0.block.memory.memory.weights_0") tensor.select(0, 1).fill_(std::nan(""));
  const Evaluation bad = evaluate(*world.model, *world.task, world.config, request);
  for (const EvalSetting& entry : bad.settings) {
    CHECK((entry.sums.not_finite == 16 && entry.sums.correct == 0 && entry.sums.exact == 0));
    CHECK(std::isnan(Metric::accuracy.value(entry.sums)));
  }
  CHECK_THAT(bad.text(), Catch::Contains("not finite, 32 of 32 rows"));
  CHECK_THAT(bad.not_finite(), Catch::Contains("on the test split, answers are not finite at 32x4 (16 of 16 rows; row 0: ") &&
                                   Catch::Contains("layer 0, head 1: fast weights 0 are not finite from token 0 on") && Catch::Contains("64x8"));
}

TEST_CASE("a memory that overflows on the way is named with the token at which it does", "[train]") {
  const World world(tiny_config(arm("mag_mlp") + std::vector<std::string>{"memory.heads=2"}));
  at::NoGradGuard no_grad;
  const at::Tensor tokens = at::zeros({1, 60}, at::kLong);
  CHECK(where_not_finite(*world.model, tokens) == "");
  State state;
  ForwardContext context;
  world.model->hidden(tokens.narrow(1, 0, 20), state, context);
  State broken = state.clone();
  std::vector<std::pair<std::string, at::Tensor>> all = broken.flatten();
  for (auto& [path, tensor] : all)
    if (path.find("layers_1") != std::string::npos && path.ends_with("weights_1")) tensor.select(1, 1).fill_(1e38);
  CHECK_THAT(where_not_finite(*world.model, tokens.narrow(1, 20, 40), State::unflatten(all), 20), Catch::Contains("not finite from token 2") && Catch::Contains("layer 1, head 1: fast weights"));
}
