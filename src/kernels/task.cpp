#include "kernels/task.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <atomic>
#include <limits>
#include <memory>
#include <new>

#include "mneme/errors.h"

namespace mneme::kernels {
namespace {

constexpr std::align_val_t kAlignment{64};
struct Release {
  void operator()(float* block) const { ::operator delete[](block, kAlignment); }
};
std::atomic<bool> poison{false};

std::string text(at::IntArrayRef sizes) { return fmt::format("[{}]", fmt::join(sizes, ",")); }

}  // namespace

float* thread_scratch(int64_t floats) {
  thread_local std::unique_ptr<float[], Release> block;
  thread_local int64_t size = 0;
  if (size < floats) {
    block.reset();
    block.reset(new (kAlignment) float[static_cast<size_t>(floats)]);
    size = floats;
  }
  return block.get();
}

void poison_scratch(bool on) { poison = on; }

void for_each_task(int64_t tasks, int64_t scratch_floats, const std::function<void(int64_t, float*)>& f) {
  at::parallel_for(0, tasks, 1, [&](int64_t first, int64_t last) {
    float* scratch = thread_scratch(scratch_floats);
    for (int64_t n = first; n < last; ++n) {
      if (poison) std::fill(scratch, scratch + scratch_floats, std::numeric_limits<float>::quiet_NaN());
      f(n, scratch);
    }
  });
}

at::Tensor with_contiguous_columns(const at::Tensor& x) { return x.stride(3) == 1 || x.size(3) == 1 ? x : x.contiguous(); }

Rows task_rows(const at::Tensor& x, int64_t n) {
  if (!x.defined()) return {};
  const int64_t heads = x.size(1);
  return {x.const_data_ptr<float>() + n / heads * x.stride(0) + n % heads * x.stride(1), x.stride(2)};
}

bool fusable(const at::Tensor& x) { return x.device().is_cpu() && x.scalar_type() == at::kFloat && x.numel() > 0; }

void require_sizes(const at::Tensor& x, at::IntArrayRef sizes, const std::string& name) {
  if (!x.defined()) throw ConfigError(fmt::format("memory: {} is missing; it should have sizes {}", name, text(sizes)));
  if (x.sizes() != sizes) throw ConfigError(fmt::format("memory: {} has sizes {}, should have {}", name, text(x.sizes()), text(sizes)));
  if (x.scalar_type() != at::kFloat || !x.device().is_cpu())
    throw ConfigError(fmt::format("memory: {} should be a float32 tensor on the CPU for the fused kernel", name));
}

void require_clock(int64_t refresh, int64_t position) {
  if (refresh < 1) throw ConfigError(fmt::format("memory: refresh is a number of tokens, at least 1, not {}", refresh));
  if (position < 0) throw ConfigError(fmt::format("memory: position is the number of tokens read before, not {}", position));
}

Present::Present(const std::vector<at::Tensor>& all) {
  for (const at::Tensor& x : all) {
    mask.push_back(x.defined());
    if (x.defined()) tensors.push_back(x);
  }
}

std::vector<at::Tensor> Present::restore(at::TensorList tensors, const std::vector<bool>& mask) {
  std::vector<at::Tensor> all;
  size_t next = 0;
  for (const bool present : mask) all.push_back(present ? tensors[next++] : at::Tensor());
  return all;
}

}  // namespace mneme::kernels
