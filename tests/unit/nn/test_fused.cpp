// The fused kernels against the plain operations: values and every gradient, fp64 and fp32, ragged sizes.
#include "tests/support/tensors.h"

#include "nn/feed_forward.h"
#include "nn/rope.h"
#include "nn/row_norm.h"
#include "nn/short_conv.h"

using namespace mneme;
using namespace mneme::test;

TEST_CASE("row norms equal their plain form", "[nn]") {
  torch::manual_seed(1);
  for (int64_t rows : {1, 3, 200})
    for (int64_t width : {1, 8, 24, 65}) {
      require_same([](auto& x) { return std::vector{nn::rms_norm(x[0], x[1])}; },
                   [](auto& x) { return std::vector{nn::rms_norm_reference(x[0], x[1])}; }, {normal({2, rows, width}), normal({width})},
                   kExact, kExactGradient);
      require_same([](auto& x) { return std::vector{nn::l2_normalize(x[0])}; },
                   [](auto& x) { return std::vector{nn::l2_normalize_reference(x[0])}; }, {normal({2, rows, width})}, kExact, kExactGradient);
    }
}

TEST_CASE("a row of zeros stays zero and finite under normalisation", "[nn]") {
  const at::Tensor x = leaf(at::zeros({2, 8}, at::kFloat));
  const at::Tensor y = nn::l2_normalize(x);
  REQUIRE(y.abs().max().item<double>() == 0);
  REQUIRE(torch::autograd::grad({y.sum()}, {x})[0].isfinite().all().item<bool>());
}

TEST_CASE("SwiGLU equals its plain form", "[nn]") {
  torch::manual_seed(2);
  for (int64_t hidden : {1, 7, 64})
    require_same([](auto& x) { return std::vector{nn::swiglu(x[0])}; }, [](auto& x) { return std::vector{nn::swiglu_reference(x[0])}; },
                 {normal({3, 5, 2 * hidden})}, kExact, kExactGradient);
}

TEST_CASE("short convolution equals its plain form, with and without a tail", "[nn]") {
  torch::manual_seed(3);
  for (bool silu : {false, true})
    for (int64_t k : {1, 2, 4})
      for (int64_t steps : {1, 2, 3, 65}) {
        auto fused = [&](auto& x) { return std::vector{nn::short_conv(x[0], x[1], x[2], silu)}; };
        auto plain = [&](auto& x) { return std::vector{nn::short_conv_reference(x[0], x[1], x[2], silu)}; };
        require_same(fused, plain, {normal({2, steps, 24}), normal({k, 24}), normal({2, k - 1, 24})}, kExact, kExactGradient);
        require_same([&](auto& x) { return std::vector{nn::short_conv(x[0], x[1], {}, silu)}; },
                     [&](auto& x) { return std::vector{nn::short_conv_reference(x[0], x[1], {}, silu)}; },
                     {normal({2, steps, 24}), normal({k, 24})}, kExact, kExactGradient);
      }
}

TEST_CASE("short convolution in two calls equals one", "[nn]") {
  torch::manual_seed(4);
  const at::Tensor x = normal({2, 20, 8}), taps = normal({4, 8});
  const at::Tensor whole = nn::short_conv(x, taps, {}, true);
  for (int64_t cut : {1, 2, 3, 4, 19}) {
    const at::Tensor first = x.narrow(1, 0, cut), rest = x.narrow(1, cut, 20 - cut);
    const at::Tensor tail = nn::next_tail(first, {}, 4);
    REQUIRE(at::equal(at::cat({nn::short_conv(first, taps, {}, true), nn::short_conv(rest, taps, tail, true)}, 1), whole));
    REQUIRE(at::equal(nn::next_tail(rest, tail, 4), nn::next_tail(x, {}, 4)));
  }
}

TEST_CASE("rotary embedding equals its plain form", "[nn]") {
  torch::manual_seed(5);
  nn::RotaryTable table(24, 10000);
  const at::Tensor rows = table.rows(7, 9, at::TensorOptions().dtype(at::kDouble));
  require_same([&](auto& x) { return std::vector{nn::rope(x[0], rows)}; }, [&](auto& x) { return std::vector{nn::rope_reference(x[0], rows)}; },
               {normal({2, 9, 3, 24})}, kExact, kExactGradient);
}

TEST_CASE("rotary scores depend on the distance alone, also far out", "[nn]") {
  torch::manual_seed(6);
  nn::RotaryTable table(64, 10000);
  const at::Tensor q = normal({1, 1, 1, 64}, at::kFloat), k = normal({1, 1, 1, 64}, at::kFloat);
  auto score = [&](int64_t query_position, int64_t key_position) {
    const auto options = at::TensorOptions().dtype(at::kFloat);
    const at::Tensor a = nn::rope(q, table.rows(query_position, 1, options)), b = nn::rope(k, table.rows(key_position, 1, options));
    return (a * b).sum().item<double>();
  };
  const double near = score(5, 0);
  REQUIRE(std::abs(score(2'000'005, 2'000'000) - near) < 1e-4 * std::max(1.0, std::abs(near)));
}

TEST_CASE("rotary rows are cosines and sines of their angles at any position", "[nn]") {
  const auto wide = at::TensorOptions().dtype(at::kDouble);
  const at::Tensor frequency = at::pow(10000.0, at::arange(0, 64, 2, wide) / -64);
  for (int64_t first : {0, 1000, 2'000'000, 30'000'000}) {
    const at::Tensor angle = at::arange(first, first + 50, wide).unsqueeze(1) * frequency;
    const at::Tensor rows = nn::RotaryTable(64, 10000).rows(first, 50, wide);
    REQUIRE((rows - at::cat({angle.cos(), angle.sin()}, 1)).abs().max().item<double>() < 2e-15);
  }
}

TEST_CASE("fp32 kernels stay within rounding of fp64", "[nn]") {
  torch::manual_seed(7);
  const at::Tensor x = normal({4, 33, 130}) * 3, taps = normal({4, 130});
  REQUIRE(relative_error(nn::short_conv(x.to(at::kFloat), taps.to(at::kFloat), {}, true), nn::short_conv(x, taps, {}, true)) < 1e-6);
  REQUIRE(relative_error(nn::swiglu(x.to(at::kFloat)), nn::swiglu(x)) < 1e-6);
  const at::Tensor wide = at::linspace(-200, 200, 2002, at::TensorOptions().dtype(at::kFloat)).view({1, 2002});
  REQUIRE(relative_error(nn::swiglu(wide), nn::swiglu_reference(wide)) < 1e-6);
}
