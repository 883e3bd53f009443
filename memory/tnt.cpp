// TNT (Li et al., arXiv 2511.07343): a global memory that stands still over a shard of tokens, local memories that live for one shard.
//
//   y_t = V_s q_t + Σ_i W_t^(i) (P_t q_t)                      P_t = Σ_{τ ≤ t of the shard} k_τ k_τᵀ / ‖k_τ‖²
//   global   V_{s+1} = V_s moved by its shard's tokens, all gradients at V_s;  reads see V_s until the shard ends
//   local    W^(i) starts every shard at its learned W_init^(i); gradients at the start of its chunk of tokens (1: exact)
//   both     M_t = (1 − α_t) M_{t−1} − θ_t ∇‖M k_t − v_t‖²     gates of their own: copy 0 the global memory's, then the local ones'
//
// shard: 2048 in the paper, where it is the global chunk too. P is a projection where keys are orthogonal; a key that comes n times in a
// shard counts n times, as printed (projection = sum; none: local memories are asked by q). The guard bounds stale steps (memory.guard): those
// of the global memory and of local ones whose chunk has more than one token; guard_firings counts what it shortened in all of them.
// A shard's state does not depend on the shard before it but through V: that is what lets the paper train shards side by side; here they
// follow one another. The surprise of a token is its local memories' inner loss, their mean.
// State per row: global and its point V_s [H,K,V], projection [H,K,K], local_i [H,K,V]; points and the guard's loads [H,K,K] of stale ones.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "memory/linear_recurrence.h"
#include "memory/network_kernels.h"
#include "memory/recurrent_memory.h"
#include "memory/unread_options.h"
#include "mneme/memory.h"

namespace mneme {
namespace {

constexpr int64_t kNoChunk = int64_t{1} << 40;  // of exact gradients

struct TntOptions : Options {
  int64_t shard = 64;
  std::vector<int64_t> chunks{1};
  std::string projection = "sum";
  void describe(OptionVisitor& v) override {
    v.option("shard", shard, {1, 1 << 24}, "tokens after which the global memory moves and local ones start again");
    v.option("chunks", chunks, {1, 1 << 24}, "a local memory for each: tokens that share a gradient point; each divides shard");
    v.option("projection", projection, {"sum", "none"}, "local memories are asked by Σ k kᵀ/‖k‖² q over the shard's keys so far, or by q");
  }
  void check(const std::string& prefix, Problems& problems) const override {
    if (chunks.empty()) problems.add(prefix + "chunks", "names no local memory; give at least one chunk, e.g. 1");
    for (const int64_t chunk : chunks)
      if (shard % chunk != 0)
        problems.add(prefix + "chunks", "has " + std::to_string(chunk) + ", which does not divide " + prefix + "shard = " + std::to_string(shard) + "; choose a divisor");
  }
};

class Tnt : public Memory {
 public:
  explicit Tnt(const MemoryContext& context)
      : options_(context.options), heads_(context.heads), key_width_(context.head_width), value_width_(context.value_width) {
    const TntOptions& own = own_options<TntOptions>(context.options.own);
    projects_ = own.projection == "sum";
    shard_ = own.shard * options_.keys_per_token;  // a memory counts steps
    for (const int64_t chunk : own.chunks) chunks_.push_back(chunk * options_.keys_per_token);
    for (size_t i = 0; i <= chunks_.size(); ++i)
      starts_.push_back(parameter(i == 0 ? "global" : local(i - 1), at::zeros({heads_, key_width_, value_width_}, at::kFloat), Role::memory_start));
  }

  MemoryDescription describe(const CallShape& call) const override {
    return {"y = V q + Σ W (P q);  W, V = (1 − α) M − θ ∇‖M k − v‖², V once a shard, W from its start with each", memory::recurrence_kernels(options_.kernel, call)};
  }

  std::vector<Gate> gates() const override {
    const auto copies = int64_t(starts_.size());
    std::vector<Gate> all{{.name = "theta", .help = "step size", .copies = copies, .bias = options_.theta_bias, .scale = options_.theta_max, .writes = true}};
    if (options_.forgetting) all.push_back({.name = "alpha", .help = "forgetting", .copies = copies, .bias = options_.alpha_bias});
    return all;
  }

  at::Tensor forward(const MemoryInput& input, State& state) override {
    const int64_t B = input.key.size(0), T = input.key.size(2);
    if (T == 0) {
      if (input.losses) *input.losses = at::empty({B, heads_, 0}, input.value.options());
      return at::empty_like(input.value);
    }
    if (!state.has("global")) start(state, B);
    std::vector<at::Tensor> reads, losses;
    at::Tensor firings;
    for (const MemoryInput& part : parts_of(input, state.position)) {
      reads.push_back(within_shard(part, state, losses, firings));
      state.position += part.key.size(2);
      if (state.position % shard_ == 0) begin_shard(state, B);
    }
    if (input.losses) *input.losses = at::cat(losses, 2);
    if (input.probe) measure(at::cat(losses, 2), firings, state, *input.probe);
    return at::cat(reads, 2);
  }

  at::Tensor read(const at::Tensor& query, State& state) override {
    const bool fresh = !state.has("global_point");
    auto held = [&](const std::string& name, const at::Tensor& start) { return fresh ? start : state.tensor(name); };
    at::Tensor reads = at::matmul(query, held("global_point", starts_[0])), asked = query;
    if (projects_) asked = fresh ? at::zeros_like(query) : at::matmul(query, state.tensor("projection"));
    for (size_t i = 0; i < chunks_.size(); ++i) reads = reads + at::matmul(asked, held(local(i), starts_[i + 1]));
    return reads;
  }

  void start(State& state, int64_t rows) override {
    state.tensor("global") = state.tensor("global_point") = start_of(0, rows);
    if (guarded(shard_)) state.tensor("global_load") = square(rows);
    begin_shard(state, rows);
  }

  State readable(const State& state) const override {
    State kept;
    kept.position = state.position;
    std::set<std::string> names{"global_point", "projection"};
    for (size_t i = 0; i < chunks_.size(); ++i) names.insert(local(i));
    for (const auto& [name, x] : state.flatten())
      if (names.count(name)) kept.tensor(name) = x;
    return kept;
  }

  int64_t period() const override { return shard_; }

 private:
  static std::string local(size_t i) { return "local_" + std::to_string(i); }
  at::Tensor start_of(size_t i, int64_t rows) const { return starts_[i].unsqueeze(0).expand({rows, -1, -1, -1}); }
  at::Tensor square(int64_t rows) const { return at::zeros({rows, heads_, key_width_, key_width_}, starts_[0].options()); }

  // The call cut where shards end.
  std::vector<MemoryInput> parts_of(const MemoryInput& input, int64_t position) const {
    std::vector<int64_t> sizes;
    for (int64_t left = input.key.size(2), at = position; left > 0; left -= sizes.back(), at += sizes.back())
      sizes.push_back(std::min(shard_ - at % shard_, left));
    const auto cut = [&](const at::Tensor& x, int64_t dim) { return x.split_with_sizes(sizes, dim); };
    const auto query = cut(input.query, 2), key = cut(input.key, 2), value = cut(input.value, 2);
    std::vector<MemoryInput> parts;
    for (size_t i = 0; i < sizes.size(); ++i) parts.push_back({query[i], key[i], value[i]});
    for (const auto& [name, x] : input.gates) {
      const auto gate = cut(x, 2);
      for (size_t i = 0; i < sizes.size(); ++i) parts[i].gates[name] = gate[i];
    }
    if (!input.step.defined()) return parts;
    const auto step = cut(input.step, 1);
    for (size_t i = 0; i < sizes.size(); ++i) parts[i].step = step[i];
    return parts;
  }

  void begin_shard(State& state, int64_t rows) const {
    if (projects_) state.tensor("projection") = square(rows);
    for (size_t i = 0; i < chunks_.size(); ++i) {
      state.tensor(local(i)) = start_of(i + 1, rows);
      if (chunks_[i] == 1) continue;
      state.tensor(local(i) + "_point") = start_of(i + 1, rows);
      if (guarded(chunks_[i])) state.tensor(local(i) + "_load") = square(rows);
    }
  }

  // Only steps that share a gradient point can overshoot together.
  bool guarded(int64_t chunk) const { return options_.guard && chunk > 1; }

  // Tokens of one shard: reads [B,H,T,V]; appends their losses [B,H,T], and adds what the guard shortened.
  at::Tensor within_shard(const MemoryInput& in, State& state, std::vector<at::Tensor>& losses, at::Tensor& firings) const {
    at::Tensor reads = at::matmul(in.query, state.tensor("global_point")), sum;
    auto count = [&](const at::Tensor& more) {
      if (more.defined()) firings = firings.defined() ? firings + more : more;
    };
    count(moved(in, in.query, state, 0, shard_, "global").firings);
    const at::Tensor asked = projects_ ? projected(in, state) : in.query;
    for (size_t i = 0; i < chunks_.size(); ++i) {
      const Moved m = moved(in, asked, state, i + 1, chunks_[i], local(i));
      reads = reads + m.reads;
      count(m.firings);
      sum = sum.defined() ? sum + m.losses : m.losses;
    }
    losses.push_back(sum / double(chunks_.size()));
    return reads;
  }

  struct Moved {
    at::Tensor reads, losses;  // [B,H,T,V], [B,H,T]
    at::Tensor firings;        // steps that the guard shortened; undefined without it
  };
  // The i-th memory, of that name in the state, moved on; gradients are those of the start of its chunk.
  Moved moved(const MemoryInput& in, const at::Tensor& query, State& state, size_t i, int64_t chunk, const std::string& name) const {
    const bool stale = i == 0 || chunk > 1;
    memory::NetworkCall call;
    call.net.depth = 1, call.net.form = memory::Form::plain;
    call.query = query, call.key = in.key, call.value = in.value, call.step = in.step;
    auto gate = [&](const char* of) { return in.gate(of).narrow(3, int64_t(i), 1); };
    call.theta = gate("theta"), call.alpha = options_.forgetting ? gate("alpha") : at::zeros_like(call.theta);
    call.gradient = stale ? memory::Gradient::refresh : memory::Gradient::exact_last;
    call.refresh = stale ? chunk : kNoChunk;
    call.position = state.position, call.tile = options_.tile, call.read_before = options_.read == "before";
    call.guard = guarded(chunk), call.losses = true;
    memory::NetworkWeights w{{state.tensor(name)}};
    if (stale) w.refresh_point = {state.tensor(name + "_point")};
    if (call.guard) w.load = {state.tensor(name + "_load")};
    const at::Tensor reads = options_.kernel == "reference" ? network_reference(call, w) : network_chunked(call, w);
    state.tensor(name) = w.weights[0];
    if (stale) state.tensor(name + "_point") = w.refresh_point[0];
    if (call.guard) state.tensor(name + "_load") = w.load[0];
    return {reads, w.losses, w.firings};
  }

  // P_t q_t [B,H,T,K]; P moves on.
  at::Tensor projected(const MemoryInput& in, State& state) const {
    const at::Tensor share = in.key / in.key.square().sum(3, true).clamp_min(1e-12);
    memory::LinearRecurrence call{in.query, in.key, in.step.defined() ? share * in.step.view({-1, 1, in.key.size(2), 1}) : share};
    call.read_before = options_.read == "before", call.tile = options_.tile;
    return memory::linear_recurrence(call, state.tensor("projection"), options_.kernel);
  }

  void measure(const at::Tensor& losses, const at::Tensor& firings, State& state, Probe& probe) const {
    probe.mean({"surprise", "1", "inner loss of a token at the weights its gradient was taken at, mean over local memories and tokens"},
               losses.mean().item<double>(), double(losses.numel()));
    if (firings.defined()) probe.sum({"guard_firings", "steps", "steps that the guard shortened, of the global and local memories"}, firings.item<double>());
    const at::Tensor& global = state.tensor("global");
    probe.mean({"weights_norm", "1", "Frobenius norm of a head's global memory after a call, root mean square"},
               std::sqrt(global.square().sum().item<double>() / double(global.size(0) * heads_)), double(losses.size(2)));
  }

  MemoryOptions options_;
  int64_t heads_, key_width_, value_width_, shard_;
  bool projects_;
  std::vector<int64_t> chunks_;     // of the local memories, in steps
  std::vector<at::Tensor> starts_;  // [H,K,V]: the global memory's, then the local ones'
};

void check_tnt(const MemoryOptions& options, Problems& problems) {
  memory::check_unread_options(options, {"kernel", "read", "tile"}, problems);
}

}  // namespace

void register_memory_tnt(MemoryRegistry& registry) {
  registry.add({.name = "tnt",
                .summary = "TNT: a global memory that moves once a shard, local memories that start again with each",
                .make = [](const MemoryContext& context) { return std::make_shared<Tnt>(context); },
                .options = [] { return std::make_shared<TntOptions>(); },
                .check = check_tnt});
}

}  // namespace mneme
