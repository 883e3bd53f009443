// A memory from the bottom: the interface Memory (mneme/memory.h) and nothing else of this tree. One matrix S [K,V] per head:
//
//   S_t = (1 − f_t) S_{t−1} + w_t k_t (v_t − S_{t−1}ᵀ k_t)ᵀ        y_t = S_tᵀ q_t
//
// the delta rule (Widrow, Hoff 1960) with two gates, w how much is written and f how much is forgotten. `memory/recurrent_memory.h` would
// make it 10 lines and fast; here is what stands behind, in the order in which it is called. What every memory has to hold is tested by
//
//   mneme_conformance --plugin minimal_memory.so
//
// Shapes: B rows, T tokens, H heads, K key width, V value width.
#include <ATen/ATen.h>

#include "mneme/memory.h"

namespace mneme {
namespace {

// Options of its own: keys memory.minimal.<name> of a config, checked, hashed, listed by `mneme options memory.minimal`.
struct MinimalOptions : Options {
  std::string start = "zero";
  void describe(OptionVisitor& v) override { v.option("start", start, {"zero", "learned"}, "what S is at the start of a sequence"); }
};

class MinimalMemory : public Memory {
 public:
  explicit MinimalMemory(const MemoryContext& context)
      : options_(context.options), heads_(context.heads), key_width_(context.head_width), value_width_(context.value_width) {
    // S at the start: a parameter, which training moves and weight decay leaves alone, or a buffer of zeros. Both follow the model to
    // another type or device. Random numbers come from context.generator only, so that a seed says what a model is.
    const bool learned = own_options<MinimalOptions>(context.options.own).start == "learned";
    const at::Tensor zero = at::zeros({heads_, key_width_, value_width_}, at::kFloat);
    start_ = learned ? parameter("start", zero.normal_(0, 0.1, context.generator), Role::memory_start) : register_buffer("start", zero);
  }

  // What it wants the layer to make of the tokens. Projection, activation, bias, pooling and the name in measurements
  // ("layer0/memory/write_mean") follow from this. `writes`: memory.write_penalty holds it down.
  std::vector<Gate> gates() const override {
    return {{.name = "write", .help = "how much of the error is written", .bias = options_.theta_bias, .writes = true},
            {.name = "forget", .help = "how much is forgotten", .bias = options_.alpha_bias}};
  }

  // The state of fresh rows. A state is named tensors with the rows first; whatever a later token needs of an earlier one is in it, and
  // nothing is kept in members: then any split into calls is one call, and files, documents and decoding work.
  void start(State& state, int64_t rows) override { state.tensor("S") = start_.unsqueeze(0).repeat({rows, 1, 1, 1}); }

  at::Tensor forward(const MemoryInput& in, State& state) override {
    const int64_t T = in.key.size(2);
    if (T == 0) {  // an empty call reads nothing and leaves even a fresh state alone
      if (in.losses) *in.losses = at::empty({in.key.size(0), heads_, 0}, in.value.options());
      return at::empty_like(in.value);
    }
    if (!state.has("S")) start(state, in.key.size(0));
    const at::Tensor &write = in.gate("write"), &forget = in.gate("forget");  // [B,H,T,1]
    at::Tensor S = state.tensor("S");                                         // [B,H,K,V]
    std::vector<at::Tensor> reads, losses;
    for (int64_t t = 0; t < T; ++t) {
      auto at_token = [t](const at::Tensor& x) { return x.narrow(2, t, 1); };  // [B,H,1,·]
      const at::Tensor key = at_token(in.key), error = at_token(in.value) - at::matmul(key, S);
      const at::Tensor kept = (1 - at_token(forget)) * S;
      at::Tensor next = kept + at::matmul(key.transpose(2, 3), at_token(write) * error);
      // Padding, and what must not be written (in.step false): no step at all. `where` lets nothing through, not even a NaN.
      if (in.step.defined()) next = at::where(in.step.select(1, t).view({-1, 1, 1, 1}), next, S);
      reads.push_back(at::matmul(at_token(in.query), options_.read == "before" ? S : next));
      losses.push_back(error.square().sum(-1));  // of the token before its own step: its surprise
      S = next;                                  // a new tensor: autograd still needs the old one
    }
    state.tensor("S") = S;
    state.position += T;
    const at::Tensor surprise = at::cat(losses, 2);  // [B,H,T]
    if (in.losses) *in.losses = surprise;
    if (in.probe)  // measured at every validation, stored in run.h5
      in.probe->mean({"surprise", "1", "squared error of a token before its own step, mean"}, surprise.mean().item<double>(), double(surprise.numel()));
    return at::cat(reads, 2);  // [B,H,T,V]
  }

  // Reads without a write: MAC asks before it writes, and a memory that is off (memory.off) is asked with a state that stays fresh.
  at::Tensor read(const at::Tensor& query, State& state) override {
    return at::matmul(query, state.has("S") ? state.tensor("S") : start_.unsqueeze(0));
  }

  // Nothing here depends on how many tokens a row has read, so rows of any age run together (1). A memory that does something every
  // n-th token answers n; without an answer rows of different age are run one by one.
  int64_t period() const override { return 1; }

 private:
  MemoryOptions options_;  // a copy: the context ends with the constructor
  int64_t heads_, key_width_, value_width_;
  at::Tensor start_;  // [H,K,V]
};

// Options of section memory that this rule has no use for, those that people would compare: refused, so that nobody compares what is the same.
void check_minimal(const MemoryOptions& options, Problems& problems) {
  if (options.group != 1) problems.add("memory.group", "memory.kind = minimal writes every token; allowed: 1");
  if (options.gradient != "auto") problems.add("memory.gradient", "memory.kind = minimal has one gradient, that of the error before the step; allowed: auto");
  if (options.inner_loss != "l2") problems.add("memory.inner_loss", "memory.kind = minimal descends the squared error; allowed: l2");
}

}  // namespace

// Found by its name: in memory/ of the tree by CMake, in a plug-in by mneme_add_plugin.
void register_memory_minimal(MemoryRegistry& registry) {
  registry.add({.name = "minimal",
                .summary = "the delta rule with gates, written out",
                .make = [](const MemoryContext& context) { return std::make_shared<MinimalMemory>(context); },
                .options = [] { return std::make_shared<MinimalOptions>(); },
                .check = check_minimal});
}

}  // namespace mneme
