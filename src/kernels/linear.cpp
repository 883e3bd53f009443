#include "kernels/linear.h"

#include "kernels/function.h"

namespace mneme::kernels {
namespace {

struct LinearKernel {
  using Shape = LinearShape;
  enum Input { kQuery, kKey, kValue, kTheta, kAlpha, kEta, kWeights, kMomentum, kRefreshPoint, kInputs };
  enum Output { kReads, kEndWeights, kEndMomentum, kEndRefreshPoint, kOutputs };

  static int64_t scratch(const Shape& s) { return engine().linear_scratch(s); }
  static int64_t gradient_scratch(const Shape& s) { return engine().linear_gradient_scratch(s); }

  static bool has_output(const Shape& s, int i) {
    if (i == kEndMomentum) return s.momentum;
    return i != kEndRefreshPoint || s.refresh > 0;
  }
  static at::Tensor output(const Shape& s, const tensor_list& x, int i) {
    if (!has_output(s, i)) return {};
    const at::Tensor& like = i == kReads ? x[kValue] : x[kWeights];
    return at::empty(like.sizes(), like.options());
  }

  static LinearTask task(const tensor_list& x, const at::Tensor& slots, int64_t n) {
    auto in = [&](int i) { return task_data(x[i], n); };
    LinearTask t{};
    t.query = task_rows(x[kQuery], n), t.key = task_rows(x[kKey], n), t.value = task_rows(x[kValue], n);
    t.theta = in(kTheta), t.alpha = in(kAlpha), t.eta = in(kEta);
    t.weights = in(kWeights), t.momentum = in(kMomentum), t.refresh_point = in(kRefreshPoint);
    t.slots = task_data<float>(slots, n);
    return t;
  }

  static void run(const Shape& s, const tensor_list& x, const tensor_list& out, const at::Tensor& slots, int64_t n, float* scratch) {
    LinearTask t = task(x, slots, n);
    t.reads = head_data(out[kReads], n);
    t.end_weights = task_data<float>(out[kEndWeights], n), t.end_momentum = task_data<float>(out[kEndMomentum], n);
    t.end_refresh_point = task_data<float>(out[kEndRefreshPoint], n);
    engine().linear(s, t, scratch);
  }

  static void run_gradient(const Shape& s, const tensor_list& x, const at::Tensor& slots, const tensor_list& out_bar,
                           const tensor_list& bar, int64_t n, float* scratch) {
    const LinearTask call = task(x, slots, n);
    auto wanted = [&](int i) { return task_data<float>(bar[i], n); };
    LinearGradientTask t{};
    t.call = &call;
    if (out_bar[kReads].defined()) t.reads = task_rows(out_bar[kReads], n);
    t.end_weights = task_data(out_bar[kEndWeights], n), t.end_momentum = task_data(out_bar[kEndMomentum], n);
    t.end_refresh_point = task_data(out_bar[kEndRefreshPoint], n);
    t.query = head_data(bar[kQuery], n), t.key = head_data(bar[kKey], n), t.value = head_data(bar[kValue], n);
    t.theta = wanted(kTheta), t.alpha = wanted(kAlpha), t.eta = wanted(kEta);
    t.weights = wanted(kWeights), t.momentum = wanted(kMomentum), t.refresh_point = wanted(kRefreshPoint);
    engine().linear_gradient(s, t, scratch);
  }
};

LinearShape shape_of(const LinearCall& call, const at::Tensor& key, const at::Tensor& value) {
  LinearShape s{};
  s.tokens = key.size(2), s.key_width = key.size(3), s.value_width = value.size(3);
  s.refresh = call.refresh > 1 ? call.refresh : 0, s.position = call.position;
  s.momentum = call.eta.defined();
  s.factor = float(call.factor);
  s.tiles = tile_count(s.refresh, s.position, s.tokens);
  s.slot_floats = engine().linear_slot(s);
  return s;
}

}  // namespace

bool supports(const LinearCall& call, const LinearState& state) { return fusable(call.query) && fusable(state.weights); }

at::Tensor linear(const LinearCall& call, LinearState& state) {
  if (call.value.size(-2) == 0) return at::empty_like(call.value);
  require_clock(call.refresh, call.position);
  using K = LinearKernel;
  tensor_list x(K::kInputs);
  x[K::kQuery] = as_heads(call.query), x[K::kKey] = as_heads(call.key), x[K::kValue] = as_heads(call.value);
  const LinearShape s = shape_of(call, x[K::kKey], x[K::kValue]);
  const int64_t B = x[K::kKey].size(0), H = x[K::kKey].size(1), N = B * H;
  require_sizes(x[K::kQuery], {B, H, s.tokens, s.key_width}, "query");
  require_sizes(x[K::kValue], {B, H, s.tokens, s.value_width}, "value");
  auto gate = [&](const at::Tensor& g, const char* name) { return gate_rows(g, N, s.tokens, name); };
  auto matrix = [&](const at::Tensor& w, const char* name) {
    require_sizes(w, {N, s.key_width, s.value_width}, name);
    return w.contiguous();
  };
  x[K::kTheta] = gate(call.theta, "theta"), x[K::kAlpha] = gate(call.alpha, "alpha");
  if (s.momentum) x[K::kEta] = gate(call.eta, "eta"), x[K::kMomentum] = matrix(state.momentum, "momentum");
  x[K::kWeights] = matrix(state.weights, "weights");
  if (s.refresh && s.position % s.refresh) x[K::kRefreshPoint] = matrix(state.refresh_point, "refresh point");
  const tensor_list out = FusedFunction<K>::call(s, N, x);
  state = {out[K::kEndWeights], out[K::kEndMomentum], out[K::kEndRefreshPoint]};
  return out[K::kReads].view(call.value.sizes());
}

}  // namespace mneme::kernels
