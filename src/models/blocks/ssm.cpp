// Diagonal selective state space model in the form of Mamba-2 (arXiv 2405.21060): a recurrence of its own, not built on a memory.
//
//   z, s, d = W_in x_t        x, B, C = SiLU(conv(s) + b)        Δ = softplus(d + bias), a = exp(−Δ A): per head
//   h_t = a_t h_{t−1} + B_t (Δ_t x_t)ᵀ        y_t = h_tᵀ C_t + D x_t        output W_out RMSNorm(y ⊙ SiLU(z))
//
// All heads share B and C. Padding has Δ = 0: nothing decays, nothing is written. ForwardContext::write is for memories and not read.
// Nothing depends on the clock, so rows of different age run together.
// State per row: the convolution's tail [K−1, inner + 2 N], h [H,N,P]; N = model.ssm.state, P = width of a head.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "memory/linear_recurrence.h"
#include "mneme/model.h"
#include "nn/init.h"
#include "nn/row_norm.h"
#include "nn/short_conv.h"

namespace mneme {
namespace {

struct SsmOptions : Options {
  int64_t state = 64;
  int64_t expand = 2;
  int64_t head_width = 0;
  int64_t conv_width = 4;
  double dt_min = 0.001, dt_max = 0.1;
  void describe(OptionVisitor& v) override {
    v.option("state", state, {1, 4096}, "channels of the state, which B writes and C reads; every channel of a head has as many");
    v.option("expand", expand, {1, 16}, "inner width as a multiple of model.width");
    v.option("head_width", head_width, {0, 65536}, "channels that share a decay; divides the inner width; 0 = the largest divisor up to 64");
    v.option("conv_width", conv_width, {0, 64}, "taps of the causal convolution on x, B, C; 0 = none");
    v.option("dt_min", dt_min, {1e-6, 100}, "smallest step of a head at the start of training");
    v.option("dt_max", dt_max, {1e-6, 100}, "largest one; drawn log-uniformly");
  }
};

int64_t head_width_of(const SsmOptions& own, int64_t inner) {
  if (own.head_width) return own.head_width;
  int64_t width = std::min<int64_t>(64, inner);
  while (inner % width) --width;
  return width;
}

void check_options(const ModelOptions& model, const MemoryOptions&, Problems& problems) {
  const SsmOptions& own = own_options<SsmOptions>(model.own);
  const int64_t inner = own.expand * model.width;
  if (own.head_width && inner % own.head_width)
    problems.add("model.ssm.head_width", std::to_string(own.head_width) + " does not divide the inner width " + std::to_string(inner) +
                                             " (model.ssm.expand · model.width); choose a divisor, or 0");
  if (own.dt_min > own.dt_max) problems.add("model.ssm.dt_min", "is larger than model.ssm.dt_max");
  if (!model.memory_layers.empty()) problems.add("model.memory_layers", "is not for model.kind = ssm, which has no memory; leave it out");
  if (model.persistent_tokens > 0) problems.add("model.persistent_tokens", "is not for model.kind = ssm; allowed: 0");
}

class SsmBlock : public Block {
 public:
  explicit SsmBlock(const BlockContext& context) {
    const SsmOptions& own = own_options<SsmOptions>(context.model.own);
    const int64_t C = context.model.width, inner = own.expand * C;
    channels_ = own.state, head_width_ = head_width_of(own, inner), heads_ = inner / head_width_;
    at::Generator g = context.generator;
    const int64_t streams = inner + 2 * channels_;
    in_ = register_parameter("in", nn::linear_weight(inner + streams + heads_, C, g));
    if (own.conv_width > 0) {
      taps_ = parameter("conv", nn::conv_taps(own.conv_width, streams, "random", 0, g), Role::convolution);
      const double bound = 1 / std::sqrt(double(own.conv_width));
      conv_bias_ = parameter("conv_bias", at::empty({streams}, at::kFloat).uniform_(-bound, bound, g), Role::convolution);
    }
    const at::Tensor step = at::empty({heads_}, at::kFloat).uniform_(std::log(own.dt_min), std::log(own.dt_max), g).exp();
    delta_bias_ = parameter("delta_bias", step + (-(-step).expm1()).log(), Role::gate);  // the inverse of softplus
    log_a_ = parameter("log_a", at::empty({heads_}, at::kFloat).uniform_(1, 16, g).log(), Role::gate);
    skip_ = register_parameter("skip", at::ones({heads_}, at::kFloat));
    norm_ = register_parameter("norm", at::ones({inner}, at::kFloat));
    out_ = register_parameter("out", nn::linear_weight(C, inner, g));
  }

  at::Tensor forward(const at::Tensor& x, State& state, ForwardContext& context) override {
    const int64_t B = x.size(0), T = x.size(1), H = heads_, P = head_width_, N = channels_, inner = H * P;
    const std::vector<at::Tensor> parts = at::linear(x, in_).split_with_sizes({inner, inner + 2 * N, H}, 2);
    const std::vector<at::Tensor> streams = convolved(parts[1], state).split_with_sizes({inner, N, N}, 2);
    const at::Tensor heads = streams[0].unflatten(2, at::IntArrayRef({H, P}));
    at::Tensor delta = at::softplus(parts[2] + delta_bias_);
    if (context.mask.defined()) delta = delta.masked_fill(~context.mask.unsqueeze(2), 0);
    auto by_head = [](const at::Tensor& of) { return of.transpose(1, 2); };  // [B,T,H or 1,·] → [B,H or 1,T,·]
    const memory::LinearRecurrence call{.query = by_head(streams[2].unsqueeze(2)),
                                        .write_key = by_head(streams[1].unsqueeze(2)),
                                        .write_value = by_head(heads * delta.unsqueeze(3)),
                                        .log_decay = by_head((delta * -log_a_.exp()).unsqueeze(3))};
    at::Tensor& h = state.tensor("h");
    if (!h.defined()) h = at::zeros({B, H, N, P}, x.options());
    const at::Tensor reads = T == 1 ? memory::linear_recurrence_reference(call, h) : memory::linear_recurrence_chunked(call, h);
    state.advance(T);
    const at::Tensor y = reads.transpose(1, 2) + skip_.unsqueeze(1) * heads;
    return at::linear(nn::rms_norm(y.flatten(2) * at::silu(parts[0]), norm_, 1e-5), out_);
  }

  void reset(State& state, const at::Tensor& rows) override {
    if (!state.has("h")) return;
    state.tensor("h") = state.tensor("h").masked_fill(rows.view({-1, 1, 1, 1}), 0);
    if (state.has("conv_tail")) state.tensor("conv_tail") = state.tensor("conv_tail").masked_fill(rows.view({-1, 1, 1}), 0);
    state.set_clock(state.clock(rows.size(0)).masked_fill(rows.cpu(), 0));
  }

 private:
  at::Tensor convolved(const at::Tensor& x, State& state) const {
    if (!taps_.defined()) return at::silu(x);
    at::Tensor& tail = state.tensor("conv_tail");
    const at::Tensor next = nn::next_tail(x, tail, taps_.size(0)), z = nn::short_conv(x, taps_, tail, false);
    tail = next;
    return at::silu(z + conv_bias_);
  }

  int64_t heads_, head_width_, channels_;
  at::Tensor in_, out_;                   // [inner + (inner + 2 N) + H, C]: z, x B C, d; [C, inner]
  at::Tensor taps_, conv_bias_;           // [K, inner + 2 N], [inner + 2 N]
  at::Tensor delta_bias_, log_a_, skip_;  // [H]: bias, log A, D
  at::Tensor norm_;                       // [inner]
};

}  // namespace

void register_block_ssm(BlockRegistry& registry) {
  registry.add({.name = "ssm",
                .summary = "selective state space model with one decay a head (Mamba-2)",
                .make = [](const BlockContext& context) { return std::make_shared<SsmBlock>(context); },
                .attends = false,
                .has_memory = false,
                .options = [] { return std::make_shared<SsmOptions>(); },
                .check = check_options});
}

}  // namespace mneme
