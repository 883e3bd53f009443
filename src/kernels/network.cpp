#include "kernels/network.h"

#include <fmt/format.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cstring>
#include <string>

#include "kernels/task.h"
#include "mneme/errors.h"

namespace mneme::kernels {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// Tensors by position, some of them undefined. Inputs: rows, gates [B,H,L,T] and a slow gain, then four of each fast weight; outputs: the
// reads, then the first three of each.
struct Place {
  enum { query, key, value, theta, alpha, eta, gain, layers };
  enum Of { weights, momentum, refresh_point, initial };
  static int in(Of of, int l) { return layers + 4 * l + of; }
  static int out(Of of, int l) { return 1 + 3 * l + of; }
};

std::vector<bool> outputs_of(const NetworkShape& s) {
  std::vector<bool> there{true};
  for (int l = 0; l < s.layers(); ++l) there.insert(there.end(), {true, s.momentum, s.has_refresh_point(l)});
  return there;
}

NetworkTask network_task(const NetworkShape& s, const tensor_list& x, const at::Tensor& slots, int64_t n) {
  NetworkTask t{};
  t.query = task_rows(x[Place::query], n), t.key = task_rows(x[Place::key], n), t.value = task_rows(x[Place::value], n);
  for (int l = 0; l < s.layers(); ++l) {
    auto gate = [&](int i) { return x[i].defined() ? task_data(x[i], n) + l * s.tokens : nullptr; };
    auto matrix = [&](Place::Of of) { return task_data(x[Place::in(of, l)], n); };
    t.theta[l] = gate(Place::theta), t.alpha[l] = gate(Place::alpha), t.eta[l] = gate(Place::eta);
    t.weights[l] = matrix(Place::weights), t.momentum[l] = matrix(Place::momentum);
    t.refresh_point[l] = matrix(Place::refresh_point), t.initial[l] = matrix(Place::initial);
  }
  if (x[Place::gain].defined()) t.refresh_point[s.layers()] = task_data(x[Place::gain], n);
  t.slots = task_data(slots, n);
  return t;
}

void run_network(const NetworkShape& s, const tensor_list& x, const tensor_list& out, const at::Tensor& slots, int64_t n, float* scratch) {
  NetworkTask t = network_task(s, x, slots, n);
  t.reads = task_data(out[0], n);
  for (int l = 0; l < s.layers(); ++l) {
    auto end = [&](Place::Of of) { return task_data(out[Place::out(of, l)], n); };
    t.end_weights[l] = end(Place::weights), t.end_momentum[l] = end(Place::momentum), t.end_refresh_point[l] = end(Place::refresh_point);
  }
  engine().network(s, t, scratch);
}

void run_network_gradient(const NetworkShape& s, const tensor_list& x, const at::Tensor& slots, const tensor_list& out_bar, const tensor_list& bar,
                          int64_t n, float* scratch) {
  const NetworkTask call = network_task(s, x, slots, n);
  NetworkGradientTask t{};
  t.call = &call, t.reads = task_rows(out_bar[0], n);
  t.query = task_data(bar[Place::query], n), t.key = task_data(bar[Place::key], n), t.value = task_data(bar[Place::value], n);
  for (int l = 0; l < s.layers(); ++l) {
    auto given = [&](Place::Of of) { return task_data(out_bar[Place::out(of, l)], n); };
    auto gate = [&](int i) { return bar[i].defined() ? task_data(bar[i], n) + l * s.tokens : nullptr; };
    auto wanted = [&](Place::Of of) { return task_data(bar[Place::in(of, l)], n); };
    t.end_weights[l] = given(Place::weights), t.end_momentum[l] = given(Place::momentum), t.end_refresh_point[l] = given(Place::refresh_point);
    t.theta[l] = gate(Place::theta), t.alpha[l] = gate(Place::alpha), t.eta[l] = gate(Place::eta);
    t.weights[l] = wanted(Place::weights), t.momentum[l] = wanted(Place::momentum);
    t.refresh_point[l] = wanted(Place::refresh_point), t.initial[l] = wanted(Place::initial);
  }
  if (bar[Place::gain].defined()) t.refresh_point[s.layers()] = task_data(bar[Place::gain], n);
  engine().network_gradient(s, t, scratch);
}

/// The kernel forward and backward over its tasks; between the two it keeps the states at tile starts. Tensors are those present, in order.
struct NetworkFunction : torch::autograd::Function<NetworkFunction> {
  static tensor_list forward(AutogradContext* ctx, NetworkShape shape, bool keep, std::vector<bool> mask, at::TensorList present) {
    const tensor_list x = Present::restore(present, mask);
    const int64_t B = x[Place::key].size(0), H = x[Place::key].size(1);
    at::Tensor slots;
    if (keep) slots = at::empty({B, H, shape.tiles, shape.slot_floats}, x[Place::key].options());
    const std::vector<bool> there = outputs_of(shape);
    tensor_list out(there.size());
    out[0] = at::empty(x[Place::value].sizes(), x[Place::value].options());
    for (int l = 0; l < shape.layers(); ++l)
      for (const Place::Of of : {Place::weights, Place::momentum, Place::refresh_point})
        if (there[Place::out(of, l)]) out[Place::out(of, l)] = at::empty_like(x[Place::in(Place::weights, l)]);
    for_each_task(B * H, engine().network_scratch(shape), [&](int64_t n, float* scratch) { run_network(shape, x, out, slots, n, scratch); });
    if (keep) {
      tensor_list saved = present.vec();
      saved.push_back(slots);
      ctx->save_for_backward(saved);
      ctx->saved_data["shape"] = std::string(reinterpret_cast<const char*>(&shape), sizeof shape);
      ctx->saved_data["inputs"] = c10::IValue(mask);
    }
    return Present(out).tensors;
  }

  static tensor_list backward(AutogradContext* ctx, tensor_list given) {
    tensor_list saved = ctx->get_saved_variables();
    const at::Tensor slots = saved.back();
    saved.pop_back();
    NetworkShape shape;
    std::memcpy(&shape, ctx->saved_data["shape"].toStringRef().data(), sizeof shape);
    const tensor_list x = Present::restore(saved, ctx->saved_data["inputs"].toBoolList().vec());
    tensor_list out_bar = Present::restore(given, outputs_of(shape)), x_bar(x.size());
    for (at::Tensor& g : out_bar)
      if (g.defined()) g = g.contiguous();
    for (size_t i = 0; i < x.size(); ++i)
      if (x[i].defined()) x_bar[i] = at::empty(x[i].sizes(), x[i].options());
    for_each_task(slots.size(0) * slots.size(1), engine().network_gradient_scratch(shape),
                  [&](int64_t n, float* scratch) { run_network_gradient(shape, x, slots, out_bar, x_bar, n, scratch); });
    tensor_list result(3);  // of shape, keep, mask
    for (const at::Tensor& g : Present(x_bar).tensors) result.push_back(g);
    return result;
  }
};

NetworkShape network_shape(const NetworkCall& call, const NetworkState& state) {
  NetworkShape s{};
  s.form = call.form, s.fast_gain = s.norm() && state.weights.size() > 2;
  if (int64_t(state.weights.size()) != s.layers())
    throw ConfigError(fmt::format("memory: the fused network has one matrix (linear), two (feature), or two and perhaps a gain "
                                  "(residual_norm), not {} fast weights", state.weights.size()));
  const bool linear = s.form == Form::linear;
  auto four = [](const at::Tensor& x, const char* name) {
    if (!x.defined() || x.dim() != 4) throw ConfigError(fmt::format("memory: {} should have four dimensions, not {}", name, x.defined() ? x.dim() : 0));
  };
  four(call.key, "key"), four(call.value, "value"), four(state.weights[0], "weights of layer 1");
  s.tokens = call.key.size(2), s.width = call.key.size(3), s.value_width = linear ? call.value.size(3) : s.width;
  s.hidden = linear ? 0 : state.weights[0].size(3);
  s.exact_last = linear ? call.exact_last || call.refresh == 1 : call.exact_last && !s.norm();
  s.refresh = linear && s.exact_last ? 0 : call.refresh, s.position = call.position;
  s.clip = call.clip && !s.norm(), s.sweeps = call.sweeps, s.guard_limit = float(call.guard_limit);
  s.momentum = call.eta.defined(), s.to_initial = !call.initial.empty();
  s.factor = float(call.factor);
  s.tiles = tile_count(s.refresh, s.position, s.tokens);
  s.slot_floats = engine().network_slot(s);
  return s;
}

void require_rule(const NetworkShape& s) {
  if (s.sweeps > 0 && (s.form != Form::feature || !s.exact_last))
    throw ConfigError("memory: fused sweeps follow exact_last gradients of the form `feature`");
  if (s.guarded() && (s.form == Form::linear || s.exact_last))
    throw ConfigError("memory: the fused guard is for gradients at the refresh point, of two matrices");
  if (s.to_initial && s.form == Form::linear) throw ConfigError("memory: the fused linear memory forgets towards zero");
  if ((s.sweeps > 0 || s.guarded()) && (s.refresh > kTileTokens || s.position % s.refresh || s.tokens % s.refresh))
    throw ConfigError(fmt::format("memory: fused sweeps and guards want whole refresh intervals of at most {} tokens; these are {} tokens from "
                                  "position {} on, refresh {}", kTileTokens, s.tokens, s.position, s.refresh));
}

}  // namespace

bool supports(const NetworkCall& call, const NetworkState& state) { return fusable(call.query) && fusable(state.weights[0]); }

at::Tensor network(const NetworkCall& call, NetworkState& state) {
  if (call.value.dim() == 4 && call.value.size(2) == 0) return at::empty_like(call.value);
  require_clock(call.refresh, call.position);
  const NetworkShape s = network_shape(call, state);
  require_rule(s);
  const int64_t B = call.key.size(0), H = call.key.size(1), T = s.tokens;
  const int layers = s.layers();
  require_sizes(call.query, {B, H, T, s.width}, "query");
  require_sizes(call.value, {B, H, T, s.value_width}, "value");
  tensor_list x(Place::in(Place::weights, layers));
  x[Place::query] = with_contiguous_columns(call.query), x[Place::key] = with_contiguous_columns(call.key);
  x[Place::value] = with_contiguous_columns(call.value);
  auto gates = [&](const at::Tensor& g, const char* name) {
    require_sizes(g, {B, H, T, layers}, name);
    return g.transpose(2, 3).contiguous();
  };
  x[Place::theta] = gates(call.theta, "theta"), x[Place::alpha] = gates(call.alpha, "alpha");
  if (s.momentum) x[Place::eta] = gates(call.eta, "eta");
  for (int l = 0; l < layers; ++l) {
    auto matrix = [&](const std::vector<at::Tensor>& list, const char* name) {
      const std::string layer = l < s.matrices() ? " of layer " + std::to_string(l + 1) : " of the gain";
      const at::Tensor w = size_t(l) < list.size() ? list[l] : at::Tensor();
      require_sizes(w, {B, H, s.in(l), s.out(l)}, name + layer);
      return w.contiguous();
    };
    x[Place::in(Place::weights, l)] = matrix(state.weights, "weights");
    if (s.momentum) x[Place::in(Place::momentum, l)] = matrix(state.momentum, "momentum");
    if (s.has_refresh_point(l) && s.position % s.refresh) x[Place::in(Place::refresh_point, l)] = matrix(state.refresh_point, "refresh point");
    if (s.to_initial) x[Place::in(Place::initial, l)] = matrix(call.initial, "initial weights");
  }
  if (s.norm() && !s.fast_gain && call.gain.defined()) {
    require_sizes(call.gain, {B, H, 1, s.width}, "gain");
    x[Place::gain] = call.gain.contiguous();
  }

  const Present inputs(x);
  bool keep = false;
  for (const at::Tensor& t : inputs.tensors) keep |= t.requires_grad();
  const tensor_list out = Present::restore(
      NetworkFunction::apply(s, keep && at::GradMode::is_enabled(), inputs.mask, at::TensorList(inputs.tensors)), outputs_of(s));
  state = {};
  for (int l = 0; l < layers; ++l) {
    state.weights.push_back(out[Place::out(Place::weights, l)]);
    if (s.momentum) state.momentum.push_back(out[Place::out(Place::momentum, l)]);
    if (s.has_refresh_point(l)) state.refresh_point.push_back(out[Place::out(Place::refresh_point, l)]);
  }
  if (s.exact_last && !call.exact_last) state.refresh_point = state.weights;  // `linear`, refresh 1: every token moves it
  return out[0];
}

}  // namespace mneme::kernels
