#include "kernels/mlp.h"

#include <fmt/format.h>

#include "kernels/function.h"
#include "mneme/errors.h"

namespace mneme::kernels {
namespace {

struct MlpKernel {
  using Shape = MlpShape;
  // One per layer of each but the first; a slow gain is the third refresh point.
  enum Input {
    kQuery,
    kKey,
    kValue,
    kTheta,
    kAlpha = kTheta + 3,
    kEta = kAlpha + 3,
    kWeights = kEta + 3,
    kMomentum = kWeights + 3,
    kRefreshPoint = kMomentum + 3,
    kInitial = kRefreshPoint + 3,
    kInputs = kInitial + 3
  };
  enum Output { kReads, kEndWeights, kEndMomentum = kEndWeights + 3, kEndRefreshPoint = kEndMomentum + 3, kOutputs = kEndRefreshPoint + 3 };

  static int64_t scratch(const Shape& s) { return engine().mlp_scratch(s); }
  static int64_t gradient_scratch(const Shape& s) { return engine().mlp_gradient_scratch(s); }

  static bool has_output(const Shape& s, int i) {
    if (i == kReads) return true;
    const int l = (i - kEndWeights) % 3;
    if (i >= kEndRefreshPoint) return s.has_refresh_point(l);
    return l < s.layers() && (i < kEndMomentum || s.momentum);
  }
  static at::Tensor output(const Shape& s, const tensor_list& x, int i) {
    if (!has_output(s, i)) return {};
    const at::Tensor& like = i == kReads ? x[kQuery] : x[kWeights + (i - kEndWeights) % 3];
    return at::empty(like.sizes(), like.options());
  }

  static MlpTask task(const tensor_list& x, const at::Tensor& slots, int64_t n) {
    MlpTask t{};
    t.query = task_rows(x[kQuery], n), t.key = task_rows(x[kKey], n), t.value = task_rows(x[kValue], n);
    for (int l = 0; l < 3; ++l) {
      t.theta[l] = task_data(x[kTheta + l], n), t.alpha[l] = task_data(x[kAlpha + l], n), t.eta[l] = task_data(x[kEta + l], n);
      t.weights[l] = task_data(x[kWeights + l], n), t.momentum[l] = task_data(x[kMomentum + l], n);
      t.refresh_point[l] = task_data(x[kRefreshPoint + l], n), t.initial[l] = task_data(x[kInitial + l], n);
    }
    t.slots = task_data<float>(slots, n);
    return t;
  }

  static void run(const Shape& s, const tensor_list& x, const tensor_list& out, const at::Tensor& slots, int64_t n, float* scratch) {
    MlpTask t = task(x, slots, n);
    t.reads = head_data(out[kReads], n);
    for (int l = 0; l < 3; ++l) {
      t.end_weights[l] = task_data<float>(out[kEndWeights + l], n), t.end_momentum[l] = task_data<float>(out[kEndMomentum + l], n);
      t.end_refresh_point[l] = task_data<float>(out[kEndRefreshPoint + l], n);
    }
    engine().mlp(s, t, scratch);
  }

  static void run_gradient(const Shape& s, const tensor_list& x, const at::Tensor& slots, const tensor_list& out_bar,
                           const tensor_list& bar, int64_t n, float* scratch) {
    const MlpTask call = task(x, slots, n);
    MlpGradientTask t{};
    t.call = &call;
    if (out_bar[kReads].defined()) t.reads = task_rows(out_bar[kReads], n);
    t.query = head_data(bar[kQuery], n), t.key = head_data(bar[kKey], n), t.value = head_data(bar[kValue], n);
    for (int l = 0; l < 3; ++l) {
      auto given = [&](int i) { return task_data(out_bar[i + l], n); };
      auto wanted = [&](int i) { return task_data<float>(bar[i + l], n); };
      t.end_weights[l] = given(kEndWeights), t.end_momentum[l] = given(kEndMomentum), t.end_refresh_point[l] = given(kEndRefreshPoint);
      t.theta[l] = wanted(kTheta), t.alpha[l] = wanted(kAlpha), t.eta[l] = wanted(kEta), t.weights[l] = wanted(kWeights);
      t.momentum[l] = wanted(kMomentum), t.refresh_point[l] = wanted(kRefreshPoint), t.initial[l] = wanted(kInitial);
    }
    engine().mlp_gradient(s, t, scratch);
  }
};

MlpShape shape_of(const MlpCall& call, const at::Tensor& query, const MlpState& state) {
  MlpShape s{};
  s.tokens = query.size(2), s.width = query.size(3), s.hidden = state.weights[0].size(2);
  s.refresh = call.refresh, s.position = call.position;
  s.norm = call.form == Form::residual_norm, s.fast_gain = s.norm && call.theta[2].defined();
  s.exact_last = call.exact_last && !s.norm, s.clip = call.clip && !s.norm, s.sweeps = call.sweeps, s.guard_limit = float(call.guard_limit);
  s.momentum = call.eta[0].defined(), s.to_initial = call.initial[0].defined();
  s.factor = float(call.factor);
  s.tiles = tile_count(s.refresh, s.position, s.tokens);
  s.slot_floats = engine().mlp_slot(s);
  return s;
}

}  // namespace

bool supports(const MlpCall& call, const MlpState& state) { return fusable(call.query) && fusable(state.weights[0]); }

at::Tensor mlp(const MlpCall& call, MlpState& state) {
  if (call.query.size(-2) == 0) return at::empty_like(call.query);
  require_clock(call.refresh, call.position);
  using K = MlpKernel;
  tensor_list x(K::kInputs);
  x[K::kQuery] = as_heads(call.query), x[K::kKey] = as_heads(call.key), x[K::kValue] = as_heads(call.value);
  const MlpShape s = shape_of(call, x[K::kQuery], state);
  if (s.sweeps > 0 && !s.exact_last) throw ConfigError("memory: fused sweeps follow exact_last gradients of the form `feature`");
  if (s.guarded() && s.exact_last) throw ConfigError("memory: the fused guard is for gradients at the refresh point");
  if (call.whole_intervals() && (s.refresh > kTileTokens || s.position % s.refresh || s.tokens % s.refresh))
    throw ConfigError(fmt::format("memory: fused sweeps and guards want whole refresh intervals of at most {} tokens; these are {} tokens from "
                                  "position {} on, refresh {}", kTileTokens, s.tokens, s.position, s.refresh));
  const int64_t B = x[K::kQuery].size(0), H = x[K::kQuery].size(1), N = B * H;
  require_sizes(x[K::kKey], {B, H, s.tokens, s.width}, "key");
  require_sizes(x[K::kValue], {B, H, s.tokens, s.width}, "value");
  const bool mid_interval = s.position % s.refresh != 0;
  for (int l = 0; l < s.layers(); ++l) {
    const std::string layer = l < 2 ? " of layer " + std::to_string(l + 1) : " of the gain";
    auto gate = [&](const at::Tensor& g, const char* name) { return gate_rows(g, N, s.tokens, name + layer); };
    auto matrix = [&](const at::Tensor& w, const char* name) {
      require_sizes(w, {N, s.in(l), s.out(l)}, name + layer);
      return w.contiguous();
    };
    x[K::kTheta + l] = gate(call.theta[l], "theta"), x[K::kAlpha + l] = gate(call.alpha[l], "alpha");
    if (s.momentum) x[K::kEta + l] = gate(call.eta[l], "eta"), x[K::kMomentum + l] = matrix(state.momentum[l], "momentum");
    x[K::kWeights + l] = matrix(state.weights[l], "weights");
    if (mid_interval && s.has_refresh_point(l)) x[K::kRefreshPoint + l] = matrix(state.refresh_point[l], "refresh point");
    if (s.to_initial) x[K::kInitial + l] = matrix(call.initial[l], "initial weights");
  }
  if (s.norm && !s.fast_gain && call.gain.defined()) {
    require_sizes(call.gain, {N, 1, s.width}, "gain");
    x[K::kRefreshPoint + 2] = call.gain.contiguous();
  }
  const tensor_list out = FusedFunction<K>::call(s, N, x);
  for (int l = 0; l < 3; ++l) {
    state.weights[l] = out[K::kEndWeights + l];
    state.momentum[l] = out[K::kEndMomentum + l];
    state.refresh_point[l] = out[K::kEndRefreshPoint + l];
  }
  return out[K::kReads].view(call.query.sizes());
}

}  // namespace mneme::kernels
