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

#include "config/titans_pytorch.h"
#include "memory/clock_phases.h"
#include "memory/group_average.h"
#include "memory/gates.h"
#include "mneme/errors.h"
#include "mneme/model.h"
#include "nn/init.h"
#include "nn/row_norm.h"

namespace mneme {
namespace {

class TitansPytorchBlock : public Block {
 public:
  explicit TitansPytorchBlock(const BlockContext& context) : options_(titans_pytorch_memory(context.memory)), layer_(context.layer), heads_(options_.heads) {
    const int64_t C = context.model.width, H = heads_;
    width_ = options_.head_width ? options_.head_width : C / H;
    at::Generator g = context.generator;
    memory_ = register_module("memory", MemoryRegistry::instance().get("neural_mlp").make({options_, H, width_, g}));
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
    if (H > 1) retrieve_gate_ = register_parameter("retrieve_gate", nn::linear_weight(H, C, g));
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
    return {register_parameter(name + "_weight", nn::linear_weight(heads_, width, g)),
            register_parameter(name + "_bias", at::full({heads_}, bias, at::kFloat))};
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
      const at::Tensor pooled = group_average(xs, weight, options_.group, state.child("gates"));
      MemoryInput input{query, heads_of(xs, keys_, k_gain_), heads_of(xs, values_, {}), step_(xs) * options_.theta_max, decay_(pooled),
                        {}, step};
      if (!options_.forgetting) input.alpha = at::zeros_like(input.alpha);
      input.eta = options_.momentum ? momentum_(pooled) : at::zeros_like(input.alpha);
      at::Tensor losses;
      if (context.surprise) input.losses = &losses;
      Probe measured;
      if (context.probe) input.probe = &measured;
      reads = memory_->forward(input, state.child("memory"));
      if (input.losses) context.add_surprise(layer_, losses);
      if (context.probe) {
        measure_gates(input, measured);
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
  registry.add({"titans_pytorch", "the memory of the package titans-pytorch, number by number",
                [](const BlockContext& context) { return std::make_shared<TitansPytorchBlock>(context); }, /*attends=*/false});
}

}  // namespace mneme
