// Outer gradients of every registered block and memory against finite differences: every parameter, and everything that floats in a
// state carried into the call.
#include "tests/property/model_runs.h"
#include "eval/state_file.h"

using namespace mneme;
using namespace mneme::test;

namespace {

const char* const kGradientHint =
    "look for detach(), item(), a NoGradGuard, an operation in place, a value kept from an earlier call, or a backward pass by hand that is not that of its forward";

struct Leaf {
  std::string name;
  at::Tensor x, gradient;  ///< undefined = 0
};

/// A direction of a leaf: ± 1 in up to three random coordinates and 1 in the one that matters most, and the derivative along it.
struct Along {
  at::Tensor direction;
  double found = 0;
};

Along some_direction(const Leaf& leaf, Random& random) {
  Along along{at::zeros_like(leaf.x)};
  for (int i = 0; i < 3; ++i) along.direction.view(-1)[int64_t(random.below(leaf.x.numel()))] = random.below(2) ? 1 : -1;
  if (!leaf.gradient.defined()) return along;
  along.direction.view(-1)[leaf.gradient.abs().argmax().item<int64_t>()] = 1;
  along.found = (leaf.gradient * along.direction).sum().item<double>();
  return along;
}

/// The derivative of `loss` along the leaves' directions, all at once, must be what their gradients say.
template <class Loss>
void require_derivative(const std::vector<Leaf>& leaves, const Loss& loss, Random& random) {
  std::vector<at::Tensor> old;
  std::vector<Along> along;
  double found = 0;
  for (const Leaf& leaf : leaves) {
    old.push_back(leaf.x.clone()), along.push_back(some_direction(leaf, random));
    found += along.back().found;
  }
  auto at_offset = [&](double offset) {
    for (size_t i = 0; i < leaves.size(); ++i) leaves[i].x.copy_(old[i] + offset * along[i].direction);
    return loss().template item<double>();
  };
  // Fourth order and a small step: normalising a read near zero bends the loss, of clipped writes on a scale of 1e-4.
  constexpr double h = 1e-6;
  const double expected = (8 * (at_offset(h) - at_offset(-h)) - (at_offset(2 * h) - at_offset(-2 * h))) / (12 * h);
  for (size_t i = 0; i < leaves.size(); ++i) leaves[i].x.copy_(old[i]);
  INFO("gradient " << found << ", finite difference " << expected);
  REQUIRE(std::abs(found - expected) <= 1e-5 * std::max(std::abs(expected), 1e-3));
}

/// Every leaf alone of a plug-in; else every third alone, in turn over the variants, where small ones are not lost beside large ones, and
/// all of them together.
template <class Loss>
void require_derivatives(const std::vector<Leaf>& leaves, const Loss& loss, size_t turn, Random& random) {
  for (size_t i = 0; i < leaves.size(); ++i) {
    INFO(leaves[i].name);
    if (in_turn(i + turn, 3)) require_derivative<Loss>({leaves[i]}, loss, random);
  }
  INFO("all at once");
  require_derivative(leaves, loss, random);
}

/// Two layers where the second is of another kind, and of every eighth variant.
std::vector<Variant> shallow_variants() {
  std::vector<Variant> all = variants();
  for (size_t i = 0; i < all.size(); ++i)
    if (i % 8 && all[i].model.memory_layers.empty()) all[i].model.layers = 1;
  return all;
}

}  // namespace

TEST_CASE("models: outer gradients agree with finite differences", "[models][gradient][slow][conformance]") {
  INFO(kGradientHint);
  Random random(5);
  size_t turn = 0;
  for (const Variant& v : shallow_variants()) {
    INFO(v.name);
    const auto model = make(v, at::kDouble);
    const at::Tensor x = tokens(2, 9);
    auto loss = [&] { return run(*model, x).square().mean(); };
    const auto found = gradients(*model, loss());
    at::NoGradGuard no_grad;
    std::vector<Leaf> leaves;
    for (auto& p : model->named_parameters()) {
      const auto of = found.find(p.key());
      leaves.push_back({p.key(), p.value(), of == found.end() ? at::Tensor() : of->second});
    }
    require_derivatives(leaves, loss, turn++, random);
  }
}

TEST_CASE("models: gradients with respect to a state carried in agree with finite differences", "[models][gradient][slow][conformance]") {
  INFO(kGradientHint);
  Random random(6);
  size_t turn = 0;
  for (const Variant& v : shallow_variants()) {
    INFO(v.name);
    const auto model = make(v, at::kDouble);
    std::vector<std::pair<std::string, at::Tensor>> carried;
    std::vector<size_t> floating;
    {
      at::NoGradGuard no_grad;
      State before;
      run(*model, tokens(2, 13), before);  // inside groups, refresh intervals and segments
      carried = before.flatten();
    }
    std::vector<at::Tensor> leaves;
    bool held = !has_memory(v) || v.memory.off;  // then a memory holds nothing
    for (size_t i = 0; i < carried.size(); ++i)
      if (carried[i].second.is_floating_point() && carried[i].second.numel() > 0) {
        carried[i].second = carried[i].second.clone(at::MemoryFormat::Contiguous).set_requires_grad(true);
        floating.push_back(i), leaves.push_back(carried[i].second);
      }
    for (const auto& [name, tensor] : memories_of(State::unflatten(carried)).flatten()) held = held || (tensor.is_floating_point() && tensor.numel() > 0);
    INFO("a memory keeps floating-point tensors in its state");
    REQUIRE(held);
    if (leaves.empty()) continue;  // off and without attention: nothing is carried
    const at::Tensor x = tokens(2, 5, 7);
    auto loss = [&] {
      State state = State::unflatten(carried);
      return run(*model, x, state).square().mean();
    };
    const auto found = torch::autograd::grad({loss()}, leaves, {}, false, false, true);
    at::NoGradGuard no_grad;
    std::vector<Leaf> of_state;
    for (size_t i = 0; i < leaves.size(); ++i) of_state.push_back({carried[floating[i]].first, leaves[i], found[i]});
    require_derivatives(of_state, loss, turn++, random);
  }
}
