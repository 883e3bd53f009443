// MAC, memory as a context (Titans, section 4.1), strictly causal. A row is cut into segments of model.mac.segment tokens:
//
//   h_i = M*(q_i)                             read from the memory that earlier segments left (no write)
//   y_i = norm(attention([persistent ‖ h_≤i ‖ x_≤i]))     inside the segment (src/models/segment_attention.h)
//   o_i = y_i ⊗ norm(M_i(u_i))                u_i = x_i + y_i; M_i: the memory after u_1 … u_i were written, token by token
//
// (or another combination, src/models/combination.h). With model.mac.residual = false, as the paper prints it, u_i = y_i: the memory then
// sees tokens only through attention within a segment. As printed in the paper, h and y of the whole segment reach each of its
// tokens; j ≤ i is what a language model needs. Persistent tokens stand in the attention's context only. With the memory
// off, h is read from the initial weights. Layers outside model.memory_layers are attention inside segments.
//
// h of a segment needs the memory after the one before, which read y of that one, so segments follow one another; all
// projections of x run once for the whole call, and without writes all whole segments run as one batch.
// State per row: those of attention and memory, `frozen` (what reads of the running segment need), the tail of h's query.
#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

#include "memory/clock_phases.h"
#include "models/combination.h"
#include "memory/layer.h"
#include "models/segment_attention.h"
#include "mneme/model.h"

namespace mneme {
namespace {

ModelOptions without_persistent(ModelOptions options) {
  options.persistent_tokens = 0;
  return options;
}

struct MacOptions : Options {
  int64_t segment = 64;
  bool residual = true;
  void describe(OptionVisitor& v) override {
    v.option("segment", segment, {1, int64_t{1} << 30}, "tokens of a segment, which attend to each other");
    v.option("residual", residual, "the memory is written with x + norm(attention), not with norm(attention) alone");
  }
};

class MacBlock : public Block {
 public:
  explicit MacBlock(const BlockContext& context)
      : segment_(own_options<MacOptions>(context.model.own).segment), period_(segment_), residual_(own_options<MacOptions>(context.model.own).residual) {
    attention_ = register_module("attention", std::make_shared<SegmentAttention>(context, segment_));
    if (!has_memory(context)) return;
    const ModelOptions model = without_persistent(context.model);
    const BlockContext of_memory{model, context.memory, context.layer, context.generator};
    memory_ = register_module("memory", std::make_shared<MemoryLayer>(of_memory));
    combination_ = Combination(*this, context);
    period_ = memory_->period() > 0 ? std::lcm(segment_, memory_->period()) : 0;
  }

  at::Tensor forward(const at::Tensor& x, State& state, ForwardContext& context) override {
    return by_phase(x, state, context, period_, [&](const at::Tensor& rows, State& part, ForwardContext& inner) {
      const at::Tensor y = memory_ ? with_memory(rows, part, inner) : attention_alone(rows, part, inner);
      part.advance(rows.size(1));
      return y;
    });
  }

  void reset(State& state, const at::Tensor& rows) override {
    SegmentAttention::reset(state.child("attention"), rows);
    const int64_t B = rows.size(0);
    if (memory_) {
      memory_->reset(state.child("memory"), rows);
      state.child("frozen") = with_rows(state.child("frozen"), rows, memory_->readable(state.child("memory")), B);
      at::Tensor& tail = state.tensor("retrieval_tail");
      if (tail.defined()) tail = tail.masked_fill(rows.view({-1, 1, 1}), 0);
    }
    state.set_clock(state.clock(B).masked_fill(rows.cpu(), 0));
  }

 private:
  /// A call in parts that can run at once: the rest of the running segment, then segments, in one batch where none writes.
  std::vector<int64_t> parts_of(int64_t phase, int64_t steps, bool writes) const {
    std::vector<int64_t> parts;
    for (int64_t left = steps; left > 0; left -= parts.back()) {
      const bool batch = phase == 0 && !writes && left >= segment_;
      parts.push_back(batch ? left / segment_ * segment_ : std::min(segment_ - phase, left));
      phase = 0;
    }
    return parts;
  }

  // Split, not narrowed part by part: the backward pass then writes each gradient once, not a whole row per part.
  static std::vector<at::Tensor> split(const at::Tensor& x, const std::vector<int64_t>& parts, int64_t dimension) {
    return x.defined() ? x.split_with_sizes(parts, dimension) : std::vector<at::Tensor>(parts.size());
  }

  static std::vector<AttentionProjection::Projected> split(const AttentionProjection::Projected& all, const std::vector<int64_t>& parts) {
    const std::vector<at::Tensor> query = split(all.query, parts, 2), key = split(all.own.key, parts, 2),
                                  value = split(all.own.value, parts, 2), visible = split(all.own.visible, parts, 1);
    std::vector<AttentionProjection::Projected> result;
    for (size_t i = 0; i < parts.size(); ++i) result.push_back({query[i], {key[i], value[i], visible[i]}});
    return result;
  }

  at::Tensor with_memory(const at::Tensor& x, State& state, ForwardContext& context) {
    const int64_t T = x.size(1);
    State &attention = state.child("attention"), &memory = state.child("memory"), &frozen = state.child("frozen");
    memory_->begin(memory, x.size(0));
    int64_t phase = state.position % segment_, first = 0;
    const std::vector<int64_t> parts = parts_of(phase, T, memory_->writes());
    const std::vector<AttentionProjection::Projected> tokens = split(attention_->project(x, phase, attention, context), parts);
    const std::vector<at::Tensor> queries = split(memory_->queries(x, state.tensor("retrieval_tail")), parts, 2), inputs = split(x, parts, 1);
    std::vector<at::Tensor> near, far;
    for (size_t i = 0; i < parts.size(); first += parts[i++], phase = 0) {
      const int64_t steps = parts[i];
      if (phase == 0) frozen = memory_->readable(memory);
      const at::Tensor h = memory_->retrieve(queries[i], inputs[i], frozen);
      const at::Tensor y = combination_.near(attention_->forward(tokens[i], h, phase, attention));
      ForwardContext part = context.tokens(first, steps);
      auto seen = [&](const at::Tensor& rows) { return part.mask.defined() ? rows.masked_fill(~part.mask.unsqueeze(2), 0) : rows; };
      near.push_back(seen(y));
      far.push_back(memory_->forward(residual_ ? seen(inputs[i] + y) : near.back(), memory, part));
      context.add_penalty(part, double(steps) / double(T));
    }
    return combination_.join(x, at::cat(near, 1), at::cat(far, 1));
  }

  at::Tensor attention_alone(const at::Tensor& x, State& state, ForwardContext& context) {
    State& attention = state.child("attention");
    int64_t phase = state.position % segment_;
    const std::vector<int64_t> parts = parts_of(phase, x.size(1), false);
    std::vector<at::Tensor> near;
    for (const AttentionProjection::Projected& tokens : split(attention_->project(x, phase, attention, context), parts)) {
      near.push_back(attention_->forward(tokens, {}, phase, attention));
      phase = 0;
    }
    return at::cat(near, 1);
  }

  int64_t segment_, period_;
  bool residual_;
  std::shared_ptr<SegmentAttention> attention_;
  std::shared_ptr<MemoryLayer> memory_;
  Combination combination_;
};

}  // namespace

void register_block_mac(BlockRegistry& registry) {
  registry.add({.name = "mac",
                .summary = "memory as a context: attention in segments, over what the memory says and the tokens",
                .make = [](const BlockContext& context) { return std::make_shared<MacBlock>(context); },
                .attends = false,
                .options = [] { return std::make_shared<MacOptions>(); },
                .check = check_rotary_heads,
                .former = {{"residual", "false"}}});
}

}  // namespace mneme
