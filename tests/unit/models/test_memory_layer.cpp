// The layer around a memory, for every registered one.
#include "tests/support/tensors.h"
#include "tests/support/memory_options.h"

#include "mneme/model.h"
#include "memory/layer.h"

using namespace mneme;
using namespace mneme::test;

namespace {

std::shared_ptr<MemoryLayer> layer_of(const std::string& kind, bool off) {
  ModelOptions model;
  model.kind = "lmm", model.width = 16, model.conv_width = 0;
  AnyMemory memory;
  memory.kind = kind, memory.heads = 2, memory.off = off, memory.init = "random";
  auto generator = at::make_generator<at::CPUGeneratorImpl>(5);
  auto layer = std::make_shared<MemoryLayer>(BlockContext{model, memory.made(), 0, generator});
  at::NoGradGuard no_grad;
  for (auto& p : layer->parameters()) p.add_(at::empty_like(p).normal_(0, 0.2, generator));
  layer->to(at::kDouble);
  return layer;
}

std::vector<std::string> memories() {
  register_memories();
  return MemoryRegistry::instance().names();
}

}  // namespace

TEST_CASE("a memory that is off is a constant map: what came before does not matter", "[models][memory_layer]") {
  at::NoGradGuard no_grad;
  torch::manual_seed(1);
  for (const std::string& kind : memories()) {
    INFO(kind);
    const at::Tensor x = normal({2, 12, 16});
    auto read = [&](const std::shared_ptr<MemoryLayer>& layer, const at::Tensor& input) {
      State state;
      ForwardContext context;
      return layer->forward(input, state, context);
    };
    const auto off = layer_of(kind, true), on = layer_of(kind, false);
    const at::Tensor y = read(off, x);
    for (int64_t t = 0; t < 12; ++t) REQUIRE(relative_error(read(off, x.narrow(1, t, 1)), y.narrow(1, t, 1)) < kExact);
    REQUIRE(relative_error(read(on, x.narrow(1, 11, 1)), read(on, x).narrow(1, 11, 1)) > 1e-4);
  }
}

TEST_CASE("padding writes nothing", "[models][memory_layer]") {
  at::NoGradGuard no_grad;
  torch::manual_seed(2);
  for (const std::string& kind : memories()) {
    INFO(kind);
    const auto layer = layer_of(kind, false);
    State state;
    ForwardContext plain, padding, again;
    layer->forward(normal({2, 9, 16}), state, plain);
    const at::Tensor x = normal({2, 3, 16});
    at::Tensor no_tail;
    const at::Tensor queries = layer->queries(x, no_tail);
    auto said = [&] {
      State weights = layer->readable(state);
      return layer->retrieve(queries, x, weights);
    };
    const at::Tensor before = said();
    padding.mask = at::zeros({2, 7}, at::kBool);
    layer->forward(normal({2, 7, 16}), state, padding);
    REQUIRE(relative_error(said(), before) < kExact);
    layer->forward(normal({2, 7, 16}), state, again);
    REQUIRE(relative_error(said(), before) > 1e-4);
  }
}
