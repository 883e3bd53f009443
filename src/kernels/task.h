// From tensors to tasks: what the kernels share of argument handling.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <functional>
#include <string>
#include <vector>

#include "kernels/dispatch.h"

namespace mneme::kernels {

/// This thread's scratch, at least `floats` long and aligned for any vector; kept between calls.
float* thread_scratch(int64_t floats);

/// For tests: fill scratch with NaN before every task, so that reading what was not written shows.
void poison_scratch(bool on);

/// f(task, scratch) for every task, in parallel.
void for_each_task(int64_t tasks, int64_t scratch_floats, const std::function<void(int64_t, float*)>& f);

/// x itself, or a copy where its columns are not contiguous.
at::Tensor with_contiguous_columns(const at::Tensor& x);
/// Rows of task n of a tensor [B,H,T,D]; null data for an undefined one.
Rows task_rows(const at::Tensor& x, int64_t n);

/// fp32 on the CPU, not empty.
bool fusable(const at::Tensor& x);

/// Throws ConfigError with `name` unless the sizes are these.
void require_sizes(const at::Tensor& x, at::IntArrayRef sizes, const std::string& name);

/// Throws ConfigError unless refresh ≥ 1 and position ≥ 0.
void require_clock(int64_t refresh, int64_t position);

/// Tensors of which some are undefined, as the list that torch::autograd::Function::apply can take, and back.
struct Present {
  std::vector<at::Tensor> tensors;
  std::vector<bool> mask;
  explicit Present(const std::vector<at::Tensor>& all);
  static std::vector<at::Tensor> restore(at::TensorList tensors, const std::vector<bool>& mask);
};

/// Data of task n = row · H + head of a contiguous tensor [B,H,…]; null for an undefined one.
inline float* task_data(const at::Tensor& x, int64_t n) {
  return x.defined() ? const_cast<float*>(x.const_data_ptr<float>()) + n * (x.numel() / (x.size(0) * x.size(1))) : nullptr;
}

}  // namespace mneme::kernels
