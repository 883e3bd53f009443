// The neural memory of the public package titans-pytorch (0.5), by its own conventions: a sequence mixer whose numbers can be
// compared with it. Its `chunk_size` is memory.group, its `batch_size` memory.refresh, its `max_lr` memory.theta_max, its
// `qk_rmsnorm` memory.qk_norm = rms.
//
//   xs, xr = RMSNorm(x) with gains of their own, eps of the dtype;    k, v = xs W_k, xs W_v;   q = xr W_q     no convolution, no SiLU
//   θ_t = theta_max σ(xs w + b) per token and head;   η_G, α_G = σ(mean of xs over the group · w + b)
//   M(z) = LN(chain(z)) ⊙ (1 + gain) + z, the gain a fast weight; loss: mean over channels; a group is one step; no damping
//   y = reads, with several heads times σ(xr W_r), joined by W_o
//
// Unlike every other block it has no output norm and no write penalty, as the package. Tests: tests/golden/test_titans_pytorch.cpp.
#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "config/fields.h"
#include "memory/clock_phases.h"
#include "memory/group.h"
#include "memory/gates.h"
#include "mneme/errors.h"
#include "mneme/model.h"
#include "nn/init.h"
#include "nn/row_norm.h"

namespace mneme {
namespace {

// The block's own options: what the package leaves open of its network. Open in section memory: heads, head_width, refresh, group,
// momentum, forgetting, theta_max, the biases, qk_norm (rms | none), kernel, tile, off, frozen.
struct TitansPytorchOptions : Options {
  int64_t depth = 2;
  int64_t expansion = 1;
  void describe(OptionVisitor& v) override {
    v.option("depth", depth, {1, 4}, "weight matrices of the memory");
    v.option("expansion", expansion, {1, 64}, "their hidden width as a multiple of memory.head_width");
  }
};

/// The memory options with everything that the package does not leave open.
MemoryOptions fixed_memory(MemoryOptions o) {
  o.kind = "neural_mlp", o.inner_loss = "l2_mean", o.gradient = "refresh", o.gradient_at = "previous", o.retention_target = "zero";
  o.read = "after", o.momentum_damping = false, o.clip = 0, o.guard = false, o.expand_v = 1;
  o.keys_per_token = 1, o.gate_pooling = "mean", o.gate_per_head = true, o.gate_scale = 1, o.fixed_gates.clear(), o.write_penalty = 0, o.step_cap = 0, o.cache = 0;
  return o;
}

MemoryOptions fixed_memory(const BlockContext& context) {
  MemoryOptions o = fixed_memory(context.memory);
  const TitansPytorchOptions& own = own_options<TitansPytorchOptions>(context.model.own);
  o.own = MemoryRegistry::instance().get("neural_mlp").options();
  for (Field& field : fields_of(*o.own, "")) {
    if (field.key == "form") field.parse("residual+norm");
    if (field.key == "fast_gain") field.parse("true");
    if (field.key == "gate_per_matrix") field.parse("false");
    if (field.key == "depth") field.parse(std::to_string(own.depth));
    if (field.key == "expansion") field.parse(std::to_string(own.expansion));
  }
  return o;
}

/// What was chosen, but is fixed to something else, or what the block does not have.
void check_titans_pytorch(const ModelOptions& model, const MemoryOptions& memory, Problems& problems) {
  MemoryOptions given = memory, fixed = fixed_memory(memory), usual;
  const std::vector<Field> of_given = fields_of(given, "memory."), of_fixed = fields_of(fixed, "memory."), of_usual = fields_of(usual, "memory.");
  for (size_t i = 0; i < of_given.size(); ++i)  // a default is nobody's choice
    if (of_given[i].text() != of_fixed[i].text() && of_given[i].text() != of_usual[i].text())
      problems.add(of_given[i].key, "is fixed to " + of_fixed[i].text() + " by model.kind = titans_pytorch; leave it out");
  if (!model.memory_layers.empty())
    problems.add("model.memory_layers", "is not for model.kind = titans_pytorch, whose every layer is a memory; leave it out");
  if (model.persistent_tokens > 0) problems.add("model.persistent_tokens", "is not for model.kind = titans_pytorch; allowed: 0");
}

class TitansPytorchBlock : public Block {
 public:
  explicit TitansPytorchBlock(const BlockContext& context) : options_(fixed_memory(context)), layer_(context.layer), heads_(options_.heads) {
    const int64_t C = context.model.width, H = heads_;
    width_ = options_.head_width ? options_.head_width : C / H;
    at::Generator g = context.generator;
    memory_ = register_module("memory", MemoryRegistry::instance().get("neural_mlp").make({options_, H, width_, width_, g}));
    store_norm_ = register_parameter("store_norm", at::ones({C}, at::kFloat));
    retrieve_norm_ = register_parameter("retrieve_norm", at::ones({C}, at::kFloat));
    queries_ = register_parameter("to_queries", nn::linear_weight(H * width_, C, g));
    keys_ = register_parameter("to_keys", nn::linear_weight(H * width_, C, g));
    values_ = register_parameter("to_values", nn::linear_weight(H * width_, C, g));
    step_ = gate("to_adaptive_step", C, options_.theta_bias, g);
    if (options_.momentum) momentum_ = gate("to_momentum", C, options_.eta_bias, g);
    decay_ = gate("to_decay_factor", C, options_.alpha_bias, g);
    if (options_.qk_norm == "rms") {
      q_gain_ = register_parameter("q_norm", at::zeros({H, 1, width_}, at::kFloat));
      k_gain_ = register_parameter("k_norm", at::zeros({H, 1, width_}, at::kFloat));
    }
    if (H > 1) retrieve_gate_ = parameter("retrieve_gate", nn::linear_weight(H, C, g), Role::gate);
    if (H > 1 || H * width_ != C) combine_ = register_parameter("combine_heads", nn::linear_weight(C, H * width_, g));
  }

  at::Tensor forward(const at::Tensor& x, State& state, ForwardContext& context) override {
    return by_phase(x, state, context, memory_->period(), [&](const at::Tensor& rows, State& part, ForwardContext& inner) {
      if (writes() && part.child("memory").empty()) memory_->start(part.child("memory"), rows.size(0));
      part.advance(rows.size(1));
      return run(rows, part, inner);
    });
  }

  void reset(State& state, const at::Tensor& rows) override {
    State fresh;
    if (writes()) memory_->start(fresh.child("memory"), 1);
    state = with_rows(state, rows, fresh, 1);
  }

 private:
  bool writes() const { return !options_.off && (!options_.frozen || is_training()); }

  struct Gate {
    at::Tensor weight, bias;  // [H,C], [H]
    at::Tensor operator()(const at::Tensor& x) const { return at::linear(x, weight, bias).sigmoid().transpose(1, 2).unsqueeze(3); }
  };

  Gate gate(const std::string& name, int64_t width, double bias, at::Generator g) {
    return {parameter(name + "_weight", nn::linear_weight(heads_, width, g), Role::gate),
            parameter(name + "_bias", at::full({heads_}, bias, at::kFloat), Role::gate)};
  }

  at::Tensor normalised(const at::Tensor& x, const at::Tensor& gain) const {  // RMSNorm with eps of the dtype
    const double eps = x.scalar_type() == at::kDouble ? std::numeric_limits<double>::epsilon() : std::numeric_limits<float>::epsilon();
    return nn::rms_norm(x, gain, eps);
  }

  at::Tensor heads_of(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& gain) const {  // [B,T,C] → [B,H,T,D]
    const at::Tensor y = at::linear(x, weight).view({x.size(0), x.size(1), heads_, width_}).transpose(1, 2);
    if (!gain.defined()) return y;
    return y / y.square().sum(-1, true).clamp_min(1e-24).sqrt() * (std::sqrt(double(width_)) * (1 + gain));
  }

  at::Tensor run(const at::Tensor& x, State& state, ForwardContext& context) {
    const int64_t B = x.size(0), T = x.size(1);
    const at::Tensor xs = normalised(x, store_norm_), xr = normalised(x, retrieve_norm_);
    const at::Tensor query = heads_of(xr, queries_, q_gain_);
    at::Tensor reads;
    if (!writes()) {
      State initial;
      reads = memory_->read(query, initial);
    } else {
      at::Tensor weight = at::ones_like(xs);
      const at::Tensor step = context.steps();
      if (step.defined()) weight = weight * step.unsqueeze(2).to(xs.scalar_type());
      const at::Tensor pooled = memory::group_average(xs, weight, options_.group, state.child("gates"));
      MemoryInput input{query, heads_of(xs, keys_, k_gain_), heads_of(xs, values_, {}), {{"theta", step_(xs) * options_.theta_max}}, step};
      if (options_.forgetting) input.gates["alpha"] = decay_(pooled);
      if (options_.momentum) input.gates["eta"] = momentum_(pooled);
      at::Tensor losses;
      if (context.surprise) input.losses = &losses;
      Probe measured;
      if (context.probe) input.probe = &measured;
      reads = memory_->forward(input, state.child("memory"));
      if (input.losses) context.add_surprise(layer_, losses);
      if (context.probe) {
        measure_gates(memory_->gates(), input, measured);
        context.probe->add("layer" + std::to_string(layer_) + "/memory/", measured);
      }
    }
    if (retrieve_gate_.defined()) reads = reads * at::linear(xr, retrieve_gate_).sigmoid().transpose(1, 2).unsqueeze(3);
    const at::Tensor y = reads.transpose(1, 2).reshape({B, T, heads_ * width_});
    return combine_.defined() ? at::linear(y, combine_) : y;
  }

  MemoryOptions options_;
  int64_t layer_, heads_, width_;
  std::shared_ptr<Memory> memory_;
  at::Tensor store_norm_, retrieve_norm_;              // [C]
  at::Tensor queries_, keys_, values_, combine_;       // [H D, C], combine [C, H D]
  at::Tensor q_gain_, k_gain_, retrieve_gate_;         // [H,1,D], [H,C]
  Gate step_, momentum_, decay_;
};

}  // namespace

void register_block_titans_pytorch(BlockRegistry& registry) {
  registry.add({.name = "titans_pytorch",
                .summary = "the memory of the package titans-pytorch, number by number",
                .make = [](const BlockContext& context) { return std::make_shared<TitansPytorchBlock>(context); },
                .attends = false,
                .options = [] { return std::make_shared<TitansPytorchOptions>(); },
                .check = check_titans_pytorch});
}

}  // namespace mneme
