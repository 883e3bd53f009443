#include "memory/projections.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "nn/init.h"
#include "nn/short_conv.h"

namespace mneme {

at::Tensor qkv_weight(int64_t width, int64_t q, int64_t k, int64_t v, bool tied, at::Generator generator) {
  at::Tensor weight = nn::linear_weight(q + k + v, width, generator);
  for (int64_t first = 0; tied && first < k; first += q) {  // several keys a token: each starts as the query
    const int64_t rows = std::min(q, k - first);
    weight.narrow(0, q + first, rows).copy_(weight.narrow(0, 0, rows));
  }
  return weight;
}

at::Tensor qkv_taps(const ModelOptions& options, int64_t q, int64_t k, int64_t v, at::Generator generator) {
  auto taps = [&](int64_t channels, int64_t main_tap) {
    return nn::conv_taps(options.conv_width, channels, options.conv_init, main_tap, generator);
  };
  return at::cat({taps(q, 0), taps(k, 1), taps(v, 0)}, 1);
}

void measure_maps(const at::Tensor& qkv, const std::array<int64_t, 3>& rows, Probe& probe) {
  const std::vector<at::Tensor> maps = qkv.split_with_sizes({rows[0], rows[1], rows[2]}, 0);
  const std::array<std::string, 3> names{"query", "key", "value"};
  for (size_t i = 0; i < 3; ++i)
    probe.mean({names[i] + "_map_norm", "1", "Frobenius norm of the " + names[i] + " projection"}, maps[i].norm().item<double>());
}

}  // namespace mneme
