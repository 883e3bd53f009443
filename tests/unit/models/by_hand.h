// Definitions written out with plain operations, from docs/maths.md and the papers: oracles of src/models. Nothing in the by_hand
// headers calls what it is an oracle of; parameters come by their names in checkpoints. One row at a time, one token at a time:
// vectors [n], heads are loops.
#pragma once

#include "tests/support/tensors.h"

#include <map>
#include <string>

namespace mneme::test::by_hand {

using Parameters = std::map<std::string, at::Tensor>;

inline Parameters parameters_of(const torch::nn::Module& module) {
  Parameters all;
  for (const auto& p : module.named_parameters()) all[p.key()] = p.value();
  return all;
}

/// Those below a submodule, by their names there.
inline Parameters under(const Parameters& all, const std::string& path) {
  Parameters part;
  for (const auto& [name, value] : all)
    if (name.rfind(path + ".", 0) == 0) part[name.substr(path.size() + 1)] = value;
  return part;
}

inline at::Tensor logistic(const at::Tensor& x) { return 1 / (1 + (-x).exp()); }
inline at::Tensor swish(const at::Tensor& x) { return x * logistic(x); }
inline at::Tensor exact_gelu(const at::Tensor& x) { return 0.5 * x * (1 + at::erf(x / std::sqrt(2.0))); }
inline at::Tensor length(const at::Tensor& x) { return x.square().sum().sqrt(); }
inline at::Tensor unit(const at::Tensor& x) { return x / (x.square().sum() + 1e-6).sqrt(); }
inline at::Tensor rms_normed(const at::Tensor& x, const at::Tensor& gain) { return x / (x.square().mean() + 1e-6).sqrt() * gain; }
inline at::Tensor applied(const at::Tensor& weight, const at::Tensor& x) { return at::mv(weight, x); }
inline at::Tensor part(const at::Tensor& x, int64_t index, int64_t width) { return x.narrow(0, index * width, width); }

/// Depthwise: z_t = Σ_j taps[j] ⊙ x_{t−j}; without taps x itself.
class Convolution {
 public:
  explicit Convolution(const at::Tensor& taps) : taps_(taps) {}
  at::Tensor operator()(const at::Tensor& x) {
    if (!taps_.defined()) return x;
    seen_.push_back(x);
    at::Tensor z = taps_[0] * x;
    for (int64_t j = 1; j < taps_.size(0) && j < int64_t(seen_.size()); ++j) z = z + taps_[j] * seen_[seen_.size() - 1 - j];
    return z;
  }

 private:
  at::Tensor taps_;
  std::vector<at::Tensor> seen_;
};

inline at::Tensor of(const Parameters& p, const std::string& name) { return p.count(name) ? p.at(name) : at::Tensor(); }

}  // namespace mneme::test::by_hand
