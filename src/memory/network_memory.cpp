#include "memory/network_memory.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "memory/group.h"
#include "memory/kernel_table.h"
#include "memory/linear_chunked.h"
#include "memory/network_fused.h"
#include "memory/pending.h"

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
  if (net_.form == Form::feature && net_.depth > 1)
    lower_step_ = parameter("lower_step", at::full({context.heads, net_.depth - 1}, std::log(0.1 / 0.9), at::kFloat), Role::memory_start);
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

at::Tensor NetworkMemory::per_row(const at::Tensor& parameter, int64_t rows) const {
  return parameter.unsqueeze(0).expand({rows, -1, -1, -1}).reshape({rows * parameter.size(0), parameter.size(1), parameter.size(2)});
}

at::Tensor NetworkMemory::step_size(const MemoryInput& input, int64_t l) const {
  const at::Tensor& all = input.gate("theta");
  const at::Tensor theta = all.select(3, std::min(l, all.size(3) - 1));
  if (!lower_step_.defined() || l + 1 >= net_.depth) return theta;
  return theta * lower_step_.select(1, l).sigmoid().view({1, -1, 1});
}

// θ ← (1 − η) θ with the η of the token's group, which only its end knows.
at::Tensor NetworkMemory::damped(const MemoryInput& input) const {
  return input.gate("theta") * (1 - at_group_end(input.gate("eta"), 2, options_.group));
}

// What every call of this memory has, without its tensors.
MlpCall NetworkMemory::rule() const {
  MlpCall call;
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

MlpCall NetworkMemory::call_of(const MemoryInput& input, int64_t position) const {
  const int64_t B = input.key.size(0), H = input.key.size(1), T = input.key.size(2);
  auto rows = [&](const at::Tensor& x) { return x.reshape({B * H, T, x.size(3)}); };
  auto gate = [&](const at::Tensor& x, int64_t l) { return x.select(3, std::min(l, x.size(3) - 1)).reshape({B * H, T}); };
  MlpCall call = rule();
  call.query = rows(input.query), call.key = rows(input.key), call.value = rows(input.value);
  for (int64_t l = 0; l < fast_weights(); ++l) {
    call.theta.push_back(step_size(input, l).reshape({B * H, T}));
    call.alpha.push_back(options_.forgetting ? gate(input.gate("alpha"), l) : at::zeros({B * H, T}, input.key.options()));
    if (options_.momentum) call.eta.push_back(gate(input.gate("eta"), l));
    if (settings_.retain_initial) call.initial[l] = per_row(initial_[l], B);
  }
  if (gain_.defined() && !settings_.fast_gain) call.gain = per_row(gain_, B);
  if (input.step.defined())
    call.step = input.step.to(call.key.scalar_type()).unsqueeze(1).expand({B, H, T}).reshape({B * H, T});
  call.position = position;
  return call;
}

// Only tokens that share a gradient point can overshoot together, and a dot product has no curvature to overshoot.
bool NetworkMemory::guarded() const {
  return options_.guard && gradient_ == Gradient::refresh && options_.refresh > 1 && net_.loss != InnerLoss::dot;
}

namespace {

at::Tensor run_linear(const MlpCall& call, const MemoryInput&, MlpWeights& state) {
  LinearCall linear{call.query, call.key, call.value, call.theta[0], call.alpha[0], call.momentum() ? call.eta[0] : at::Tensor(), call.step};
  linear.tile = call.tile, linear.group = call.group, linear.read_before = call.read_before, linear.decayed = call.decayed;
  linear.factor = loss_factor(call.net, call.value.size(2));
  LinearWeights w{state.weights[0], call.momentum() ? state.momentum[0] : at::Tensor()};
  // Retention towards the initial weights is the same rule for W − W_init with targets v − k W_init.
  const at::Tensor initial = call.initial.empty() ? at::Tensor() : call.initial[0];
  if (initial.defined()) linear.value = linear.value - at::bmm(call.key, initial), w.weights = w.weights - initial;
  at::Tensor reads = linear_chunked(linear, w);
  if (initial.defined()) reads = at::baddbmm(reads, call.query, initial), w.weights = w.weights + initial;
  state.weights[0] = w.weights;
  if (call.momentum()) state.momentum[0] = w.momentum;
  return reads;
}

// One matrix, exact gradients of a squared error: solved for all tiles at once.
std::string why_not_linear(const MlpCall& rule, const CallShape& call) {
  const Network& net = rule.net;
  if (net.depth != 1 || net.form != Form::plain) return "it has one matrix alone";
  if (rule.gradient != Gradient::exact_last) return "it has exact gradients";
  if (net.loss != InnerLoss::l2 && net.loss != InnerLoss::l2_mean) return "it has squared losses";
  return call.measured ? "losses are asked for" : "";
}

std::string why_not_reference(const MlpCall& rule, const CallShape&) {
  return rule.gradient == Gradient::sweeps ? "it has no sweeps: what they converge to is memory.gradient = refresh, memory.refresh = 1" : "";
}

using NetworkRun = at::Tensor(const MlpCall& call, const MemoryInput& input, MlpWeights& weights);

const KernelTable<MlpCall, NetworkRun>& network_kernels() {
  static const KernelTable<MlpCall, NetworkRun> table{
      {"fused", "hand-written CPU kernel, float32: one matrix, or two", "fused", why_not_fused,
       [](const MlpCall& call, const MemoryInput& input, MlpWeights& w) {
         const at::Tensor reads = run_fused(call, input, w);
         return reads.reshape({call.key.size(0), call.key.size(1), reads.size(3)});
       }},
      {"linear tiles", "tiles of one matrix with exact gradients, all solved at once", "chunked", why_not_linear, run_linear},
      {"chunked", "tiles of matrix products", "chunked", always,
       [](const MlpCall& call, const MemoryInput&, MlpWeights& w) { return mlp_chunked(call, w); }},
      {"reference", "the loop over tokens: the definition", "reference", why_not_reference,
       [](const MlpCall& call, const MemoryInput&, MlpWeights& w) { return mlp_reference(call, w); }}};
  return table;
}

std::string where_gradients_are_taken(const MlpCall& rule) {
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
  const MlpCall call = rule();
  const std::string loss = net_.loss == InnerLoss::l2 ? "‖M(k) − v‖²" : net_.loss == InnerLoss::l2_mean ? "mean (M(k) − v)²"
                           : net_.loss == InnerLoss::dot ? "−⟨M(k), v⟩" : "huber(‖M(k) − v‖)";
  const std::string kept = !options_.forgetting ? "M" : settings_.retain_initial ? "M_0 + (1 − α) (M − M_0)" : "(1 − α) M";
  const std::string theta = options_.momentum && options_.momentum_damping ? "(1 − η) θ" : "θ";
  const std::string step = options_.momentum ? "S = η S − " + theta + " ∇" + loss + ";  M = " + kept + " + S" : "M = " + kept + " − θ ∇" + loss;
  const std::string group = options_.group > 1 ? ", " + std::to_string(options_.group) + " tokens a step" : "";
  return {step + ";  " + where_gradients_are_taken(call) + group, fits(network_kernels(), options_.kernel, call, shape)};
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
  joined.input.query = features(joined.input.query), joined.input.key = features(joined.input.key);
  MlpCall call = call_of(joined.input, state.position - joined.waiting);
  call.losses = input.losses || input.probe;
  MlpWeights w = held(state);
  const at::Tensor reads = choose(network_kernels(), options_.kernel, call, shape_of(joined.input)).run(call, joined.input, w);
  hold(state, w, B);
  state.position += T;
  if (input.losses) *input.losses = w.losses.narrow(1, joined.waiting, T).view({B, H, T});
  if (input.probe) measure(w, joined.waiting, T, *input.probe);
  return reads.narrow(1, joined.waiting, T).view({B, H, T, reads.size(2)});
}

void NetworkMemory::measure(const MlpWeights& w, int64_t waiting, int64_t steps, Probe& probe) const {
  const at::Tensor losses = w.losses.narrow(1, waiting, steps);
  probe.mean({"surprise", "1", "inner loss of a token at the weights its gradient was taken at, mean"}, losses.mean().item<double>(),
             double(losses.numel()));
  if (w.firings.defined()) probe.sum({"guard_firings", "steps", "steps that the guard shortened"}, w.firings.item<double>());
  double square = 0;
  for (const at::Tensor& weights : w.weights) square += weights.square().sum().item<double>() / double(weights.size(0));
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

MlpWeights NetworkMemory::held(State& state) const {
  auto all = [&](const std::string& name) {
    std::vector<at::Tensor> list;
    for (size_t l = 0; state.has(named(name.c_str(), l)); ++l) {
      const at::Tensor& x = state.tensor(named(name.c_str(), l));
      list.push_back(x.reshape({x.size(0) * x.size(1), x.size(2), x.size(3)}));
    }
    return list;
  };
  MlpWeights w{all("weights_"), all("momentum_"), all("refresh_point_"), all("load_"), {}, {}, {}};
  for (int64_t n = 0; gradient_ == Gradient::sweeps && n < settings_.sweeps; ++n) {
    w.sweep_weights.push_back(all("sweep_" + std::to_string(n) + "_weights_"));
    w.sweep_momentum.push_back(all("sweep_" + std::to_string(n) + "_momentum_"));
  }
  return w;
}

void NetworkMemory::hold(State& state, const MlpWeights& w, int64_t rows) const {
  auto all = [&](const std::string& name, const std::vector<at::Tensor>& list) {
    for (size_t l = 0; l < list.size(); ++l)
      state.tensor(named(name.c_str(), l)) = list[l].view({rows, list[l].size(0) / rows, list[l].size(1), list[l].size(2)});
  };
  all("weights_", w.weights), all("momentum_", w.momentum), all("load_", w.load);
  if (net_.depth > 1 || gradient_ == Gradient::refresh) all("refresh_point_", w.refresh_point);
  for (size_t n = 0; n < w.sweep_weights.size(); ++n) {
    all("sweep_" + std::to_string(n) + "_weights_", w.sweep_weights[n]);
    all("sweep_" + std::to_string(n) + "_momentum_", w.sweep_momentum[n]);
  }
}

}  // namespace mneme::memory
