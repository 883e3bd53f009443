#include "memory/network_memory.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "memory/group.h"

namespace mneme::memory {
namespace {

constexpr int64_t kNever = int64_t{1} << 40;  // refresh interval of exact gradients, times the group

Gradient gradient_of(const MemoryOptions& options, Gradient by_default) {
  if (options.gradient == "refresh") return Gradient::refresh;
  if (options.gradient == "sweeps") return Gradient::sweeps;
  return options.gradient == "auto" ? by_default : Gradient::exact_last;
}

std::string named(const char* name, size_t l) { return name + std::to_string(l); }

}  // namespace

Network matrix_of(const MemoryOptions& options) {
  Network net;
  net.depth = 1, net.form = Form::plain;
  net.loss = options.inner_loss == "l2"        ? InnerLoss::l2
             : options.inner_loss == "l2_mean" ? InnerLoss::l2_mean
             : options.inner_loss == "dot"     ? InnerLoss::dot
                                               : InnerLoss::huber;
  net.huber_delta = options.huber_delta;
  return net;
}

NetworkMemory::NetworkMemory(const MemoryContext& context, NetworkSettings settings)
    : options_(context.options), settings_(std::move(settings)), net_(settings_.net), gradient_(gradient_of(context.options, settings_.default_gradient)) {
  for (size_t l = 0; l < settings_.matrices.size(); ++l)
    initial_.push_back(parameter(named("weights_", l), settings_.matrices[l], Role::memory_start));
  settings_.matrices.clear();
  if (net_.form == Form::residual_norm) gain_ = parameter("gain", at::zeros({context.heads, 1, context.head_width}, at::kFloat), Role::memory_start);
  if (settings_.fast_gain) initial_.push_back(gain_);
  if (net_.form == Form::feature && net_.depth > 1 && !settings_.lower_frozen) {
    const double logit = std::log(settings_.lower_step / (1 - settings_.lower_step));
    lower_step_ = parameter("lower_step", at::full({context.heads, net_.depth - 1}, logit, at::kFloat), Role::memory_start);
  }
}

std::vector<Gate> NetworkMemory::gates() const {
  Gate theta{"theta", "step size"}, alpha{"alpha", "forgetting"}, eta{"eta", "momentum"};
  theta.bias = options_.theta_bias, theta.scale = options_.theta_max, theta.writes = true;
  alpha.bias = options_.alpha_bias, eta.bias = options_.eta_bias;
  alpha.pooled = eta.pooled = true;
  theta.copies = alpha.copies = eta.copies = settings_.gate_per_matrix ? fast_weights() : 1;
  std::vector<Gate> asked{theta};
  if (options_.forgetting) asked.push_back(alpha);
  if (options_.momentum) asked.push_back(eta);
  return asked;
}

void check_network_rule(const MemoryOptions& o, bool one_matrix, bool refresh_by_default, Problems& problems) {
  const bool chosen = o.gradient != "auto", refresh = o.gradient == "refresh" || (!chosen && refresh_by_default);
  auto needs_refresh = [&](const char* key, const char* why) { problems.add(key, std::string(why) + "; set memory.gradient = refresh"); };
  if (o.gradient != "refresh" && o.inner_loss == "huber" && (chosen || one_matrix))
    needs_refresh("memory.inner_loss", "leaves no linear system for exact gradients");
  if (o.clip > 0 && !refresh) needs_refresh("memory.clip", "needs every gradient before the first step is taken");
  if (o.gradient_at == "decayed" && refresh) problems.add("memory.gradient_at", "is for exact gradients; set memory.gradient_at = previous");
  if (o.group > 1 && !(one_matrix && o.gradient != "refresh") && o.refresh % o.group != 0)
    problems.add("memory.group", "does not divide memory.refresh = " + std::to_string(o.refresh) + "; choose a divisor");
}

// θ of every fast weight, [B,H,T,L].
at::Tensor NetworkMemory::step_sizes(const MemoryInput& input) const {
  const at::Tensor& all = input.gate("theta");
  if (!lower_step_.defined()) return of_learning(by_weight(all));
  std::vector<at::Tensor> steps = by_weight(all).unbind(3);
  for (int64_t l = 0; l + 1 < net_.depth; ++l) steps[l] = steps[l] * lower_step_.select(1, l).sigmoid().view({1, -1, 1});
  return at::stack(steps, 2).transpose(2, 3);
}

// Gates of all fast weights, which may share one.
at::Tensor NetworkMemory::by_weight(const at::Tensor& gates) const { return gates.expand({-1, -1, -1, fast_weights()}); }

// Steps or decays [B,H,T,L], 0 for matrices that stay as they are.
at::Tensor NetworkMemory::of_learning(const at::Tensor& gates) const {
  if (!settings_.lower_frozen || net_.depth == 1) return gates;
  std::vector<at::Tensor> all = gates.unbind(3);
  for (int64_t l = 0; l + 1 < net_.depth; ++l) all[l] = at::zeros_like(all[l]);
  return at::stack(all, 2).transpose(2, 3);
}

// θ ← (1 − η) θ with the η of the token's group, which only its end knows.
at::Tensor NetworkMemory::damped(const MemoryInput& input) const {
  return input.gate("theta") * (1 - at_group_end(input.gate("eta"), 2, options_.group));
}

// What every call of this memory has, without its tensors.
NetworkCall NetworkMemory::rule() const {
  NetworkCall call;
  call.net = net_;
  if (settings_.retain_initial) call.initial = initial_;
  call.gradient = gradient_;
  call.sweeps = settings_.sweeps;
  call.group = options_.group;
  call.refresh = gradient_ == Gradient::exact_last && net_.depth == 1 ? kNever * call.group : options_.refresh;
  call.tile = options_.tile;
  call.read_before = options_.read == "before";
  call.decayed = options_.gradient_at == "decayed";
  if (gradient_ == Gradient::refresh) call.clip = options_.clip;
  call.guard = guarded();
  return call;
}

NetworkCall NetworkMemory::call_of(const MemoryInput& input, int64_t position) const {
  auto each_row = [&](const at::Tensor& of_heads) { return of_heads.unsqueeze(0).expand({input.key.size(0), -1, -1, -1}); };
  NetworkCall call = rule();
  call.query = features(input.query), call.key = features(input.key), call.value = input.value;
  call.theta = step_sizes(input);
  call.alpha = options_.forgetting ? of_learning(by_weight(input.gate("alpha"))) : at::zeros_like(call.theta);
  if (options_.momentum) call.eta = by_weight(input.gate("eta"));
  for (at::Tensor& initial : call.initial) initial = each_row(initial);
  if (gain_.defined() && !settings_.fast_gain) call.gain = each_row(gain_);
  call.step = input.step;
  call.position = position;
  call.losses = input.losses || input.probe;
  return call;
}

// Only tokens that share a gradient point can overshoot together, and a dot product has no curvature to overshoot.
bool NetworkMemory::guarded() const {
  return options_.guard && gradient_ == Gradient::refresh && options_.refresh > 1 && net_.loss != InnerLoss::dot;
}

namespace {

std::string where_gradients_are_taken(const NetworkCall& rule) {
  const std::string interval = "refreshed every " + std::to_string(rule.refresh) + (rule.refresh == 1 ? " token" : " tokens");
  switch (rule.gradient) {
    case Gradient::refresh: return "gradients at weights " + interval + (rule.guarded() ? ", guarded" : "") + (rule.clipped() ? ", clipped" : "");
    case Gradient::sweeps: return "gradients by " + std::to_string(rule.sweeps) + " sweeps, lower weights " + interval;
    default: break;
  }
  const std::string point = rule.decayed ? "after their own forgetting" : "at each token's own weights";
  return rule.net.depth == 1 ? "gradients " + point : "gradients of the last matrix " + point + ", lower weights " + interval;
}

}  // namespace

MemoryDescription NetworkMemory::describe(const CallShape& shape) const {
  const NetworkCall call = rule();
  const std::string loss = net_.loss == InnerLoss::l2 ? "‖M(k) − v‖²" : net_.loss == InnerLoss::l2_mean ? "mean (M(k) − v)²"
                           : net_.loss == InnerLoss::dot ? "−⟨M(k), v⟩" : "huber(‖M(k) − v‖)";
  const std::string kept = !options_.forgetting ? "M" : settings_.retain_initial ? "M_0 + (1 − α) (M − M_0)" : "(1 − α) M";
  const std::string theta = options_.momentum && options_.momentum_damping ? "(1 − η) θ" : "θ";
  const std::string step = options_.momentum ? "S = η S − " + theta + " ∇" + loss + ";  M = " + kept + " + S" : "M = " + kept + " − θ ∇" + loss;
  const std::string group = options_.group > 1 ? ", " + std::to_string(options_.group) + " tokens a step" : "";
  const std::string held = settings_.lower_frozen ? ", lower weights held" : "";
  return {step + ";  " + where_gradients_are_taken(call) + held + group, fits(network_kernels(), options_.kernel, call, shape)};
}

at::Tensor NetworkMemory::forward(const MemoryInput& input, State& state) {
  const int64_t B = input.key.size(0), H = input.key.size(1), T = input.key.size(2);
  if (T == 0) {  // nothing read, nothing written; a fresh state stays one
    if (input.losses) *input.losses = at::empty({B, H, 0}, input.value.options());
    return at::empty_like(input.value);
  }
  if (!state.has("weights_0")) start(state, B);
  Joined joined = join_pending(input, state, options_.group);
  if (options_.momentum && options_.momentum_damping) joined.input.gates["theta"] = damped(joined.input);
  const NetworkCall call = call_of(joined.input, state.position - joined.waiting);
  NetworkWeights w = held(state);
  const at::Tensor reads = choose(network_kernels(), options_.kernel, call, shape_of(joined.input)).run(call, w);
  hold(state, w);
  state.position += T;
  if (input.losses) *input.losses = w.losses.narrow(2, joined.waiting, T);
  if (input.probe) measure(w, joined.waiting, T, *input.probe);
  return reads.narrow(2, joined.waiting, T);
}

void NetworkMemory::measure(const NetworkWeights& w, int64_t waiting, int64_t steps, Probe& probe) const {
  const at::Tensor losses = w.losses.narrow(2, waiting, steps);
  probe.mean({"surprise", "1", "inner loss of a token at the weights its gradient was taken at, mean"}, losses.mean().item<double>(),
             double(losses.numel()));
  if (w.firings.defined()) probe.sum({"guard_firings", "steps", "steps that the guard shortened"}, w.firings.item<double>());
  double square = 0;
  for (const at::Tensor& weights : w.weights) square += weights.square().sum().item<double>() / double(weights.size(0) * weights.size(1));
  probe.mean({"weights_norm", "1", "Frobenius norm of a head's fast weights after a call, root mean square"}, std::sqrt(square), double(steps));
}

at::Tensor NetworkMemory::read(const at::Tensor& query, State& state) {
  const bool fresh = !state.has("weights_0");
  auto held = [&](size_t l) { return fresh ? initial_[l] : state.tensor(named("weights_", l)); };
  std::vector<at::Tensor> matrices;
  for (int64_t l = 0; l < net_.depth; ++l) matrices.push_back(held(l));
  return network_apply(net_, features(query), matrices, settings_.fast_gain ? held(net_.depth) : gain_);
}

State NetworkMemory::readable(const State& state) const {
  State weights;
  weights.position = state.position;
  for (const auto& [name, x] : state.flatten())
    if (name.rfind("weights_", 0) == 0) weights.tensor(name) = x;
  return weights;
}

int64_t NetworkMemory::period() const {
  const bool refreshes = gradient_ != Gradient::exact_last || net_.depth > 1;
  return refreshes ? options_.refresh : options_.group;
}

void NetworkMemory::start(State& state, int64_t rows) {
  const bool exact_last = gradient_ != Gradient::refresh;
  for (size_t l = 0; l < initial_.size(); ++l) {
    const at::Tensor initial = initial_[l].unsqueeze(0).expand({rows, -1, -1, -1}), zero = at::zeros_like(initial);
    state.tensor(named("weights_", l)) = initial;
    if (options_.momentum) state.tensor(named("momentum_", l)) = zero;
    if (!exact_last || int64_t(l) + 1 < net_.depth) state.tensor(named("refresh_point_", l)) = initial;
    const int64_t E = initial.size(2);
    if (guarded() && int64_t(l) < net_.depth)
      state.tensor(named("load_", l)) = at::zeros({rows, initial.size(1), E, E}, initial.options());
    for (int64_t n = 0; gradient_ == Gradient::sweeps && n < settings_.sweeps; ++n) {
      const std::string sweep = "sweep_" + std::to_string(n) + "_";
      state.tensor(sweep + named("weights_", l)) = initial;
      if (options_.momentum) state.tensor(sweep + named("momentum_", l)) = zero;
    }
  }
}

NetworkWeights NetworkMemory::held(State& state) const {
  auto all = [&](const std::string& name) {
    std::vector<at::Tensor> list;
    for (size_t l = 0; state.has(named(name.c_str(), l)); ++l) list.push_back(state.tensor(named(name.c_str(), l)));
    return list;
  };
  NetworkWeights w{all("weights_"), all("momentum_"), all("refresh_point_"), all("load_")};
  for (int64_t n = 0; gradient_ == Gradient::sweeps && n < settings_.sweeps; ++n) {
    w.sweep_weights.push_back(all("sweep_" + std::to_string(n) + "_weights_"));
    w.sweep_momentum.push_back(all("sweep_" + std::to_string(n) + "_momentum_"));
  }
  return w;
}

void NetworkMemory::hold(State& state, const NetworkWeights& w) const {
  auto all = [&](const std::string& name, const std::vector<at::Tensor>& list) {
    for (size_t l = 0; l < list.size(); ++l) state.tensor(named(name.c_str(), l)) = list[l];
  };
  all("weights_", w.weights), all("momentum_", w.momentum), all("refresh_point_", w.refresh_point), all("load_", w.load);
  for (size_t n = 0; n < w.sweep_weights.size(); ++n) {
    all("sweep_" + std::to_string(n) + "_weights_", w.sweep_weights[n]);
    all("sweep_" + std::to_string(n) + "_momentum_", w.sweep_momentum[n]);
  }
}

}  // namespace mneme::memory
