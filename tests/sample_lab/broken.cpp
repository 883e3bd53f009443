// Three memories that are wrong, each in a way that is easily written: what mneme_conformance must find.
//   broken_future  normalises by the mean over all tokens of the call
//   broken_split   keeps its matrix in a member as well as in the state
//   broken_detach  cuts the graph of what it carries
#include <ATen/ATen.h>

#include "memory/recurrent_memory.h"

namespace mneme {
namespace {

class Sound : public memory::RecurrentMemory {
 public:
  explicit Sound(const MemoryContext& context) : memory::RecurrentMemory(context) {}
  std::vector<Gate> gates() const override {
    return {{.name = "theta", .help = "how much is written", .bias = options_.theta_bias, .writes = true}};
  }

 private:
  Terms terms(const MemoryInput& in, State&) const override {
    return {.query = in.query, .write_key = in.key, .write_value = in.gate("theta") * in.value};
  }
};

class Future : public Sound {
 public:
  using Sound::Sound;
  at::Tensor forward(const MemoryInput& in, State& state) override {
    const at::Tensor reads = Sound::forward(in, state);
    return in.key.size(2) > 0 ? reads - reads.mean(2, true) : reads;
  }
};

class Split : public Sound {
 public:
  using Sound::Sound;
  at::Tensor forward(const MemoryInput& in, State& state) override {
    at::Tensor reads = Sound::forward(in, state);
    if (in.key.size(2) == 0) return reads;
    if (last_.defined() && last_.sizes() == reads.select(2, 0).sizes() && last_.scalar_type() == reads.scalar_type()) reads = reads + 0.1 * last_.unsqueeze(2);
    last_ = reads.select(2, -1).detach();
    return reads;
  }

 private:
  at::Tensor last_;
};

class Detach : public Sound {
 public:
  using Sound::Sound;
  at::Tensor forward(const MemoryInput& in, State& state) override {
    state.detach();
    return Sound::forward(in, state);
  }
};

template <class T>
void add(MemoryRegistry& registry, const std::string& name, const std::string& summary) {
  registry.add({.name = name,
                .summary = summary,
                .make = [](const MemoryContext& context) { return std::make_shared<T>(context); },
                .check = memory::check_recurrent_rule});
}

}  // namespace

void register_memory_broken(MemoryRegistry& registry) {
  add<Future>(registry, "broken_future", "sees later tokens");
  add<Split>(registry, "broken_split", "remembers beside its state");
  add<Detach>(registry, "broken_detach", "loses gradients between calls");
}

}  // namespace mneme
