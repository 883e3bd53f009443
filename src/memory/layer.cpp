#include "memory/layer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "memory/clock_phases.h"
#include "memory/projections.h"
#include "memory/step_cap.h"
#include "nn/init.h"
#include "nn/row_norm.h"
#include "nn/short_conv.h"

namespace mneme {

bool has_memory(const BlockContext& context) {
  const auto& layers = context.model.memory_layers;
  return layers.empty() || std::find(layers.begin(), layers.end(), context.layer) != layers.end();
}

MemoryLayer::MemoryLayer(const BlockContext& context)
    : model_(context.model), options_(context.memory), layer_(context.layer), heads_(options_.heads), pairs_(options_.keys_per_token) {
  const int64_t C = model_.width;
  head_width_ = options_.head_width ? options_.head_width : C / heads_;
  value_width_ = std::llround(options_.expand_v * double(head_width_));
  if (value_width_ < 1) throw ConfigError("memory.expand_v leaves values of no channels; make it larger");
  const int64_t keys = heads_ * head_width_, inner = heads_ * value_width_;
  MemoryOptions per_step = options_;  // the memory counts steps
  per_step.refresh *= pairs_;
  if (options_.group > 1) per_step.group *= pairs_;
  memory_ = MemoryRegistry::instance().get(options_.kind).make({per_step, heads_, head_width_, value_width_, context.generator});
  register_module("memory", memory_);
  at::Generator g = context.generator;
  qkv_ = register_parameter("qkv", qkv_weight(C, keys, pairs_ * keys, pairs_ * inner, model_.conv_width > 0 && model_.conv_init == "shift", g));
  if (model_.conv_width > 0) taps_ = parameter("conv", qkv_taps(model_, keys, pairs_ * keys, pairs_ * inner, g), Role::convolution);
  gates_ = register_module("gates", std::make_shared<MemoryGates>(context, memory_->gates(), head_width_, value_width_));
  Problems problems;
  if (options_.step_cap > 0) check_step_cap(options_, memory_->gates(), problems);
  check_fixed_gates(options_, memory_->gates(), problems);
  if (!problems.empty()) throw ConfigError(problems.list()[0].key + " " + problems.list()[0].message);
  if (options_.cache > 0)
    cache_ = register_module("cache", std::make_shared<SurpriseCache>(options_.cache, options_.read == "before", heads_, head_width_, value_width_));
  if (options_.qk_norm == "rms") {
    query_gain_ = register_parameter("query_gain", at::ones({heads_, 1, head_width_}, at::kFloat));
    key_gain_ = register_parameter("key_gain", at::ones({heads_, 1, head_width_}, at::kFloat));
  }
  if (model_.persistent_tokens > 0)
    persistent_ = parameter("persistent", at::empty({model_.persistent_tokens, C}, at::kFloat).normal_(0, 1, g), Role::embedding);
  norm_ = register_parameter("norm", at::ones({value_width_}, at::kFloat));
  out_gate_ = register_parameter("out_gate", nn::linear_weight(inner, C, g));
  out_ = register_parameter("out", nn::linear_weight(C, inner, g, 0.5));
}

at::Tensor MemoryLayer::forward(const at::Tensor& x, State& state, ForwardContext& context) {
  return by_phase(x, state, context, period(), [&](const at::Tensor& rows, State& part, ForwardContext& inner) {
    begin(part, rows.size(0));
    part.advance(rows.size(1));
    return run(rows, part, &inner);
  });
}

void MemoryLayer::begin(State& state, int64_t rows) {
  const bool begun = writes() ? !state.child("memory").empty() : !taps_.defined() || state.has("conv_tail");
  if (begun) return;
  if (persistent_.defined())  // where nothing is written, what remains of them is the convolution's tail
    run(persistent_.unsqueeze(0).expand({rows, -1, -1}), state, nullptr);
  else if (writes()) {
    memory_->start(state.child("memory"), rows);
    if (cache_) cache_->start(state.child("cache"), rows);
  }
}

void MemoryLayer::reset(State& state, const at::Tensor& rows) {
  State fresh;
  begin(fresh, 1);
  state = with_rows(state, rows, fresh, 1);
}

bool MemoryLayer::writes() const { return !options_.off && (!options_.frozen || is_training()); }

int64_t MemoryLayer::period() const { return memory_->period() % pairs_ == 0 ? memory_->period() / pairs_ : memory_->period(); }

at::Tensor MemoryLayer::queries(const at::Tensor& x, at::Tensor& tail) const {
  const int64_t inner = heads_ * head_width_;
  at::Tensor q = at::linear(x, qkv_.narrow(0, 0, inner));
  if (taps_.defined()) {
    const at::Tensor next = nn::next_tail(q, tail, taps_.size(0));
    q = nn::short_conv(q, taps_.narrow(1, 0, inner).contiguous(), tail, true);
    tail = next;
  } else {
    q = at::silu(q);
  }
  return normalized(q.unflatten(2, at::IntArrayRef({heads_, head_width_})), query_gain_);
}

State MemoryLayer::readable(State& state) const {
  if (!state.has_child("memory")) return {};
  if (!cache_) return memory_->readable(state.child("memory"));
  State both;
  both.child("weights") = memory_->readable(state.child("memory")), both.child("cache") = state.child("cache");
  return both;
}

at::Tensor MemoryLayer::retrieve(const at::Tensor& queries, const at::Tensor& x, State& readable) {
  if (!cache_ || !readable.has_child("weights")) return output(memory_->read(queries, readable), x);
  return output(memory_->read(queries, readable.child("weights")) + cache_->read(queries, readable.child("cache")), x);
}

at::Tensor MemoryLayer::output(const at::Tensor& reads, const at::Tensor& x) const {
  const at::Tensor y = nn::rms_norm(reads.transpose(1, 2), norm_).reshape({x.size(0), x.size(1), heads_ * value_width_});
  return at::linear(y * at::silu(at::linear(x, out_gate_)), out_);
}

at::Tensor MemoryLayer::run(const at::Tensor& x, State& state, ForwardContext* context) {
  const int64_t B = x.size(0), T = x.size(1), H = heads_, K = head_width_, V = value_width_;
  at::Tensor qkv = at::linear(x, qkv_);
  if (taps_.defined()) {
    at::Tensor& tail = state.tensor("conv_tail");
    const at::Tensor next = nn::next_tail(qkv, tail, taps_.size(0));
    qkv = nn::short_conv(qkv, taps_, tail, true);
    tail = next;
  } else {
    qkv = at::silu(qkv);
  }
  const std::vector<at::Tensor> maps = qkv.split_with_sizes({H * K, pairs_ * H * K, pairs_ * H * V}, 2);
  const at::Tensor query = normalized(maps[0].view({B, T, H, K}), query_gain_);
  at::Tensor reads;
  if (!writes()) {
    State initial;
    reads = memory_->read(query, initial);
  } else {
    auto steps = [&](const at::Tensor& pairs, int64_t width) { return pairs.reshape({B, T * pairs_, H, width}); };
    auto per_step = [&](const at::Tensor& rows) { return pairs_ == 1 ? rows : rows.repeat_interleave(pairs_, 2); };
    const at::Tensor step = context ? context->steps() : at::Tensor();
    Probe measured;
    MemoryInput input{per_step(query), normalized(steps(maps[1], K), key_gain_), steps(maps[2], V).transpose(1, 2),
                      gates_->forward(x, step, state.child("gates"), context)};
    input.step = step.defined() && pairs_ > 1 ? step.repeat_interleave(pairs_, 1) : step;
    if (context && context->probe) input.probe = &measured;
    if (options_.step_cap > 0) cap_steps(memory_->gates(), options_.step_cap, input);
    at::Tensor losses;
    const bool surprise = context && context->surprise;
    if (surprise || cache_) input.losses = &losses;
    reads = memory_->forward(input, state.child("memory"));
    if (surprise) context->add_surprise(layer_, losses);
    if (cache_) reads = reads + cached(input, losses, state.child("cache"));
    if (pairs_ > 1) reads = reads.slice(2, options_.read == "before" ? 0 : pairs_ - 1, c10::nullopt, pairs_);
    if (input.probe) {
      measure_gates(memory_->gates(), input, measured);
      measure_maps(qkv_, {H * K, pairs_ * H * K, pairs_ * H * V}, measured);
      context->probe->add("layer" + std::to_string(layer_) + "/memory/", measured);
    }
  }
  return output(reads, x);
}

at::Tensor MemoryLayer::cached(const MemoryInput& input, const at::Tensor& losses, State& state) const {
  if (!losses.defined())
    throw UsageError("memory.cache needs each token's inner loss, and memory.kind = " + options_.kind + " does not fill MemoryInput::losses");
  if (input.probe) input.probe->mean({"cache_share", "1", "gate of the cache's read, mean over heads"}, cache_->share().mean().item<double>(), 1);
  return cache_->forward(input, SurpriseCache::priority_of(memory_->gates(), input, losses), state);
}

// [B,T,H,D] → [B,H,T,D]
at::Tensor MemoryLayer::normalized(const at::Tensor& heads, const at::Tensor& gain) const {
  if (options_.qk_norm == "none") return heads.transpose(1, 2);
  const at::Tensor unit = nn::l2_normalize(heads).transpose(1, 2);
  return gain.defined() ? unit * (gain * std::sqrt(double(head_width_))) : unit;
}

}  // namespace mneme
