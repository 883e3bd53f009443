#include "memory/gates.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/text.h"
#include "memory/group.h"
#include "nn/init.h"

namespace mneme {

void measure_gates(const std::vector<Gate>& gates, const MemoryInput& input, Probe& probe) {
  for (const Gate& gate : gates) {
    const at::Tensor& x = input.gate(gate.name);
    if (x.numel() == 0) continue;
    const std::string what = gate.help.empty() ? "gate " + gate.name : gate.help;
    probe.mean({gate.name + "_mean", "1", what + ", mean over tokens, heads and fast weights"}, x.mean().item<double>(), double(x.numel()));
    probe.largest({gate.name + "_max", "1", what + ", largest"}, x.max().item<double>());
  }
}

bool is_fixed(const MemoryOptions& options, const Gate& gate) {
  const std::vector<std::string> names = split(options.fixed_gates, ',');
  return std::find(names.begin(), names.end(), gate.name) != names.end();
}

void check_fixed_gates(const MemoryOptions& options, const std::vector<Gate>& gates, Problems& problems) {
  std::vector<std::string> there;
  for (const Gate& gate : gates) there.push_back(gate.name);
  for (const std::string& name : split(options.fixed_gates, ','))
    if (std::find(there.begin(), there.end(), name) == there.end())
      problems.add("memory.fixed_gates",
                   "memory.kind = " + options.kind + " has no gate '" + name + "' as it is configured; there are " + join(there, ", "));
}

MemoryGates::MemoryGates(const BlockContext& context, std::vector<Gate> gates, int64_t key_width, int64_t value_width)
    : options_(context.memory), heads_(options_.heads), own_heads_(options_.gate_per_head ? heads_ : 1), steps_(options_.keys_per_token) {
  const int64_t C = context.model.width;
  at::Generator g = context.generator;
  auto place = [&](const Gate& gate) { return is_fixed(options_, gate) ? 3 : !gate.previous || gate.rank > 0 ? 2 : gate.pooled ? 1 : 0; };
  std::stable_sort(gates.begin(), gates.end(), [&](const Gate& a, const Gate& b) { return place(a) < place(b); });
  int64_t rows = 0, pooled_rows = 0;
  for (const Gate& gate : gates) {
    const int64_t width = gate.per == Gate::Per::head ? gate.copies : gate.per == Gate::Per::key_channel ? key_width : value_width;
    made_.push_back({gate, width, steps_ * own_heads_ * width, is_fixed(options_, gate)});
    if (place(gate) >= 2) continue;
    ++shared_, rows += made_.back().rows;
    if (gate.pooled) pooled_rows += made_.back().rows;
    else first_pooled_ = shared_;
  }
  auto normal = [&](int64_t out, int64_t in) { return at::empty({out, in}, at::kFloat).normal_(0, 0.02, g); };
  if (rows > 0) weights_ = parameter("gate", normal(rows, 2 * C), Role::gate);
  for (size_t i = shared_; i < made_.size(); ++i) {
    if (made_[i].fixed) continue;
    const Gate& gate = made_[i].gate;
    const int64_t from = gate.previous ? 2 * C : C;
    own_[gate.name] = parameter(gate.name, gate.rank > 0 ? nn::linear_weight(gate.rank, from, g) : normal(made_[i].rows, from), Role::gate);
    if (gate.rank > 0) up_[gate.name] = parameter(gate.name + "_up", normal(made_[i].rows, gate.rank), Role::gate);
  }
  for (const Made& made : made_)
    if (made.gate.activation == Gate::Activation::log_decay && !made.fixed)
      rate_[made.gate.name] = parameter(made.gate.name + "_rate", at::zeros({own_heads_}, at::kFloat), Role::gate);
  if (pooled_rows > 0 && options_.group > 1 && options_.gate_pooling == "attention")
    pool_ = parameter("pool", at::zeros({pooled_rows, C}, at::kFloat), Role::gate);
}

// [x_t, x_{t−1}] Wᵀ; what the last token gives to the next one waits in the state.
at::Tensor MemoryGates::with_previous(const at::Tensor& x, const at::Tensor& weights, const std::string& name, State& state) const {
  const int64_t B = x.size(0), T = x.size(1), C = x.size(2);
  const std::vector<at::Tensor> both = at::linear(x, weights.view({-1, C})).view({B, T, -1, 2}).unbind(3);
  const at::Tensor &now = both[0], &shifted = both[1];
  at::Tensor& tail = state.tensor(name);  // [B,1,rows]
  const at::Tensor first = tail.defined() ? tail : at::zeros({B, 1, now.size(2)}, now.options());
  tail = shifted.narrow(1, T - 1, 1).clone();
  return now + at::cat({first, shifted.narrow(1, 0, T - 1)}, 1);
}

// Logits [B,T,rows] → at each group's last token those of the group.
at::Tensor MemoryGates::pooled(const at::Tensor& x, const at::Tensor& logits, const at::Tensor& step, State& state) const {
  at::Tensor weight = pool_.defined() ? (at::linear(x, pool_) / 8).tanh().mul(8).exp() : at::ones_like(logits);
  if (step.defined()) weight = weight * step.unsqueeze(2).to(weight.scalar_type());
  return memory::group_average(logits, weight, options_.group, state);
}

// Logits [B,T,rows] → [B,H,T·n,width]
at::Tensor MemoryGates::activated(const Made& made, const at::Tensor& logits) const {
  const int64_t B = logits.size(0), T = logits.size(1);
  const at::Tensor z = logits + made.gate.bias;
  auto by_head = [&](const at::Tensor& y) { return y.view({B, T * steps_, own_heads_, made.width}).transpose(1, 2); };
  auto scaled = [&](const at::Tensor& y) { return made.gate.scale == 1 ? y : y * made.gate.scale; };
  at::Tensor y;
  switch (made.gate.activation) {
    case Gate::Activation::sigmoid: y = by_head(z.sigmoid()); break;
    case Gate::Activation::tanh: y = by_head(z.tanh()); break;
    case Gate::Activation::identity: y = by_head(z); break;
    case Gate::Activation::log_decay:
      y = -by_head(at::softplus(z));
      if (!made.fixed) y = y * rate_.at(made.gate.name).exp().view({1, -1, 1, 1});
      break;
  }
  y = scaled(y);
  return own_heads_ == heads_ ? y : y.expand({B, heads_, T * steps_, made.width});
}

std::map<std::string, at::Tensor> MemoryGates::forward(const at::Tensor& x, const at::Tensor& step, State& state, ForwardContext* context) {
  std::map<std::string, at::Tensor> values;
  at::Tensor all, slow;
  int64_t fast_rows = 0, at_row = 0;
  for (size_t i = 0; i < first_pooled_; ++i) fast_rows += made_[i].rows;
  if (weights_.defined()) {
    all = with_previous(x, weights_, "gate_tail", state) * options_.gate_scale;
    if (options_.group > 1 && shared_ > first_pooled_) slow = pooled(x, all.narrow(2, fast_rows, all.size(2) - fast_rows), step, state);
  }
  for (size_t i = 0; i < made_.size(); ++i) {
    const Made& made = made_[i];
    at::Tensor logits;
    if (i < shared_) {
      const bool from_slow = slow.defined() && i >= first_pooled_;
      logits = from_slow ? slow.narrow(2, at_row - fast_rows, made.rows) : all.narrow(2, at_row, made.rows);
      at_row += made.rows;
    } else if (made.fixed) {
      logits = at::zeros({x.size(0), x.size(1), made.rows}, x.options());
    } else {
      const at::Tensor& own = own_.at(made.gate.name);
      logits = made.gate.previous ? with_previous(x, own, made.gate.name + "_tail", state) : at::linear(x, own);
      if (made.gate.rank > 0) logits = at::linear(logits, up_.at(made.gate.name));
      logits = logits * options_.gate_scale;
    }
    const at::Tensor value = activated(made, logits);
    if (made.gate.writes && context && options_.write_penalty > 0 && at::GradMode::is_enabled()) {
      const at::Tensor penalty = (made.gate.scale == 1 ? value : value / made.gate.scale).mean() * options_.write_penalty;
      context->penalty = context->penalty.defined() ? context->penalty + penalty : penalty;
    }
    values[made.gate.name] = value;
  }
  return values;
}

}  // namespace mneme
