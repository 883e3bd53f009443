// The fused attention against the explicit mask in fp64: reads, every gradient, on each instruction set; bits.
#include "kernels/dispatch.h"
#include "kernels/attention.h"
#include "mneme/errors.h"
#include "nn/attention.h"
#include "tests/support/poisoned.h"
#include "tests/support/tensors.h"

using namespace mneme;
using namespace mneme::test;
namespace kernels = mneme::kernels;
using Tensors = std::vector<at::Tensor>;

namespace {

struct Case {
  int64_t window, prefix, past, steps, width = 16, heads = 2;
};

Tensors inputs(const Case& c) {
  Tensors x;
  for (const int64_t n : {c.steps, c.past + c.steps, c.past + c.steps, c.prefix, c.prefix}) x.push_back(normal({2, c.heads, n, c.width}) * 2);
  return x;
}

enum class Layout { by_head, by_token };  // by token, as projections write: rows far apart

Tensors kernel(const Tensors& x, const Case& c, Layout layout = Layout::by_head) {
  auto single = [&](const at::Tensor& t) {
    if (t.size(2) == 0) return at::Tensor();
    const at::Tensor y = t.to(at::kFloat);
    return layout == Layout::by_head ? y : y.transpose(1, 2).contiguous().transpose(1, 2);
  };
  return {kernels::attention({single(x[0]), single(x[1]), single(x[2]), single(x[3]), single(x[4]), c.window})};
}

Tensors explicit_mask(const Tensors& x, const Case& c) {
  auto part = [&](int64_t first, int64_t n) {
    return n ? nn::KeyValue{x[1].narrow(2, first, n), x[2].narrow(2, first, n)} : nn::KeyValue{};
  };
  const nn::KeyValue prefix = c.prefix ? nn::KeyValue{x[3], x[4]} : nn::KeyValue{};
  return {nn::attention_reference(x[0], part(c.past, c.steps), part(0, c.past), prefix, c.window)};
}

void require_explicit_mask(const Case& c, Layout layout = Layout::by_head) {
  INFO("window " << c.window << " prefix " << c.prefix << " past " << c.past << " steps " << c.steps << " width " << c.width << " heads "
                 << c.heads << " engine " << kernels::engine().name);
  require_same([&](const Tensors& x) { return kernel(x, c, layout); }, [&](const Tensors& x) { return explicit_mask(x, c); }, inputs(c), kSingle, kSingle);
}

}  // namespace

TEST_CASE("fused attention equals the explicit mask, gradients too", "[nn][attention][fused]") {
  torch::manual_seed(1);
  const Poisoned poisoned;
  for (int64_t window : {1, 2, 7, 32, 64, 100, 128})
    for (int64_t prefix : {0, 1, 5})
      for (int64_t past : {0, 1, 6, 31, 99})
        for (int64_t steps : {1, 2, 63, 64, 65, 200})
          if (past < window) require_explicit_mask({window, prefix, past, steps});
  for (int64_t past : {0, 3, 700})  // full attention, several blocks of keys
    for (int64_t steps : {1, 65, 600}) require_explicit_mask({0, 5, past, steps});
  require_explicit_mask({600, 520, 300, 700});
  for (int64_t window : {0, 32}) require_explicit_mask({window, 3, 20, 150, 24, 5}, Layout::by_token);
  for (int64_t width : {8, 24, 60, 64, 80})
    for (int64_t heads : {1, 5}) require_explicit_mask({32, 3, 10, 100, width, heads});
}

TEST_CASE("fused attention: every instruction set", "[nn][attention][fused]") {
  torch::manual_seed(2);
  const Poisoned poisoned;
  for (const char* name : {"generic", "avx2", "avx512"}) {
    if (!kernels::use_engine(name)) continue;
    for (int64_t window : {1, 5, 32, 100}) require_explicit_mask({window, 3, window - 1, 137, 24});
  }
}

TEST_CASE("fused attention: causal, row-independent, repeatable and blind to strides, bit by bit", "[nn][attention][fused]") {
  torch::manual_seed(3);
  const Poisoned poisoned;
  const Case c = GENERATE(Case{32, 3, 20, 150, 16, 5}, Case{0, 3, 600, 150, 16, 5});
  Tensors x;
  for (const at::Tensor& t : inputs(c)) x.push_back(t.to(at::kFloat));
  const at::Tensor whole = kernel(x, c)[0];
  REQUIRE(at::equal(kernel(x, c)[0], whole));
  Tensors changed = x;
  for (at::Tensor& t : changed) t = t.clone();
  for (int i = 0; i < 3; ++i) {
    changed[i].narrow(2, changed[i].size(2) - 70, 70).mul_(-30);  // later tokens
    changed[i][1].mul_(7);                                        // another row
  }
  REQUIRE(at::equal(kernel(changed, c)[0][0].narrow(1, 0, 80), whole[0].narrow(1, 0, 80)));
  REQUIRE_FALSE(at::equal(kernel(changed, c)[0][0], whole[0]));
  REQUIRE(at::equal(kernel(x, c, Layout::by_token)[0], whole));
  Tensors alone;
  for (const at::Tensor& t : x) alone.push_back(t.narrow(0, 1, 1));
  REQUIRE(at::equal(kernel(alone, c)[0][0], whole[1]));
}

TEST_CASE("fused attention: scores of any size", "[nn][attention][fused]") {
  torch::manual_seed(4);
  const Case c{32, 2, 0, 100};
  Tensors x = inputs(c);
  for (const double scale : {0.0, 1e-20, 1e3}) {
    Tensors scaled = x;
    scaled[0] = x[0] * scale;
    const at::Tensor y = kernel(scaled, c)[0];
    REQUIRE(relative_error(y, explicit_mask(scaled, c)[0]) < (scale > 1 ? 1e-3 : kSingle));  // fp32 scores of 1e4 carry errors of 1e-3
  }
}

TEST_CASE("fused attention: NaN is not hidden, and reaches only who sees it", "[nn][attention][fused]") {
  torch::manual_seed(5);
  const Case c{32, 0, 0, 100};
  Tensors x = inputs(c);
  x[1][0][0][50][3] = NAN;  // a key of row 0, head 0
  const at::Tensor bad = kernel(x, c)[0].isnan().any(3);
  REQUIRE(bad[0][0].narrow(0, 50, 32).all().item<bool>());
  REQUIRE(bad.sum().item<int64_t>() == 32);
}

TEST_CASE("fused attention names what does not fit", "[nn][attention][fused]") {
  auto rows = [](int64_t n) { return normal({2, 2, n, 16}, at::kFloat); };
  auto message = [](const char* text) { return Catch::Contains(text); };
  REQUIRE_THROWS_WITH(kernels::attention({rows(9), rows(9), rows(5), {}, {}, 4}), message("value has sizes [2,2,5,16], should have [2,2,9,16]"));
  REQUIRE_THROWS_WITH(kernels::attention({rows(9), rows(5), rows(5), {}, {}, 4}), message("key has sizes [2,2,5,16], should have [2,2,9,16]"));
  REQUIRE_THROWS_WITH(kernels::attention({rows(9), rows(9), rows(9), rows(3), {}, 4}), message("prefix value is missing"));
  REQUIRE_THROWS_WITH(kernels::attention({rows(9), rows(9), rows(9), rows(3), rows(2), 4}), message("prefix value has sizes [2,2,2,16]"));
  REQUIRE_THROWS_WITH(kernels::attention({rows(9), rows(9), rows(9), rows(3).narrow(0, 0, 1), rows(3), 4}), message("prefix key has sizes [1,2,3,16]"));
}
