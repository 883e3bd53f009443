#include "nn/init.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <cmath>

#include "mneme/random.h"

namespace mneme::nn {

at::Generator make_generator(uint64_t seed, std::string_view stream) {
  return at::make_generator<at::CPUGeneratorImpl>(mix_seed(seed, stream));
}

at::Tensor linear_weight(int64_t out, int64_t in, at::Generator generator, double gain) {
  const double bound = gain / std::sqrt(double(in));
  return at::empty({out, in}, at::kFloat).uniform_(-bound, bound, generator);
}

at::Tensor orthogonal_weight(int64_t rows, int64_t columns, at::Generator generator, double gain) {
  const bool wide = rows < columns;
  at::Tensor normal = at::empty({wide ? columns : rows, wide ? rows : columns}, at::kDouble).normal_(0, 1, generator);
  auto [q, r] = at::linalg_qr(normal);
  q = q * r.diagonal().sign();
  return ((wide ? q.t() : q) * gain).contiguous().to(at::kFloat);
}

}  // namespace mneme::nn
