// Attention against an explicit mask: full, window, persistent tokens, past; and splits.
#include "tests/support/tensors.h"

#include "nn/attention.h"

using namespace mneme;
using namespace mneme::test;

namespace {
nn::KeyValue optional(const at::Tensor& key, const at::Tensor& value) {
  return key.size(2) ? nn::KeyValue{key, value} : nn::KeyValue{};
}
// Attention of query, key, value, past key and value, prefix key and value, `visible` of past and own keys; or the explicit mask.
Function attention(int64_t window, bool reference, const at::Tensor& visible = {}) {
  return [=](const std::vector<at::Tensor>& x) {
    nn::KeyValue own{x[1], x[2]}, past = optional(x[3], x[4]), prefix = optional(x[5], x[6]);
    if (visible.defined()) {
      own.visible = visible.narrow(1, x[3].size(2), x[1].size(2));
      if (past.defined()) past.visible = visible.narrow(1, 0, x[3].size(2));
    }
    if (reference) return std::vector{nn::attention_reference(x[0], own, past, prefix, window)};
    return std::vector{window ? nn::window_attention(x[0], own, past, prefix, window) : nn::full_attention(x[0], own, past, prefix)};
  };
}

std::vector<at::Tensor> inputs(int64_t steps, int64_t past, int64_t prefix) {
  std::vector<at::Tensor> x;
  for (const int64_t n : {steps, steps, steps, past, past, prefix, prefix}) x.push_back(normal({2, 3, n, 8}));
  return x;
}
}  // namespace

TEST_CASE("attention equals the explicit mask, gradients too", "[nn][attention]") {
  torch::manual_seed(1);
  for (int64_t window : {0, 1, 5, 32})
    for (int64_t prefix : {0, 3})
      for (int64_t past : {0, 2, 31})
        for (int64_t steps : {1, 2, 40, 65}) {
          if (window && past >= window) continue;
          INFO("window " << window << " prefix " << prefix << " past " << past << " steps " << steps);
          require_same(attention(window, false), attention(window, true), inputs(steps, past, prefix), kExact, kExactGradient);
        }
}

TEST_CASE("a later key or another row never changes a bit", "[nn][attention]") {
  torch::manual_seed(2);
  for (int64_t window : {0, 7, 32}) {
    auto run = [&](const at::Tensor& x) {
      const nn::KeyValue own{x, x.flip(-1)};
      return window ? nn::window_attention(x, own, {}, {}, window) : nn::full_attention(x, own, {}, {});
    };
    const at::Tensor x = normal({3, 2, 100, 16}, at::kFloat);
    at::Tensor later = x.clone(), other = x.clone();
    later.narrow(2, 61, 39).copy_(normal({3, 2, 39, 16}, at::kFloat) * 10);
    other[2].copy_(normal({2, 100, 16}, at::kFloat) * 10);
    REQUIRE(at::equal(run(x).narrow(2, 0, 61), run(later).narrow(2, 0, 61)));
    REQUIRE(at::equal(run(x).narrow(0, 0, 2), run(other).narrow(0, 0, 2)));
  }
}

TEST_CASE("hidden keys are as if they were not there", "[nn][attention]") {
  torch::manual_seed(3);
  for (int64_t window : {0, 9})
    for (int64_t prefix : {0, 3})
      for (int64_t past : {0, 5, 8})
        for (int64_t steps : {1, 40}) {
          INFO("window " << window << " prefix " << prefix << " past " << past << " steps " << steps);
          const at::Tensor seen = at::rand({2, past + steps}) > 0.4;
          require_same(attention(window, false, seen), attention(window, true, seen), inputs(steps, past, prefix), kExact, kExactGradient);
        }
}

TEST_CASE("a long hidden past, whole blocks of it, changes no bit", "[nn][attention]") {
  at::NoGradGuard no_grad;
  torch::manual_seed(4);
  const int64_t past = 1500, steps = 20;
  const at::Tensor q = normal({2, 2, steps, 16}, at::kFloat);
  const nn::KeyValue own{normal({2, 2, steps, 16}, at::kFloat), normal({2, 2, steps, 16}, at::kFloat), {}};
  const at::Tensor hidden = at::zeros({2, past}, at::kBool);
  nn::KeyValue a{normal({2, 2, past, 16}, at::kFloat), normal({2, 2, past, 16}, at::kFloat), hidden}, b = a;
  b.key = b.key * 7, b.value = b.value - 100;
  const at::Tensor y = nn::full_attention(q, own, a, {});
  REQUIRE(at::equal(y, nn::full_attention(q, own, b, {})));
  REQUIRE(relative_error(y, nn::full_attention(q, own, {}, {})) < kSingle);
}
