// One autograd function for both kernels: it lets a kernel run forward and backward over its tasks, and keeps the states at
// tile starts between the two.
//
// A Kernel names its tensors by position, any of which may be undefined: `kInputs` of them, then `kOutputs`. It provides
//   Shape                                 plain numbers
//   output(shape, x, i)                   output i uninitialised; undefined if the shape has none
//   run(shape, x, out, slots, n, scratch)                    task n forward; slots undefined: states are not kept
//   run_gradient(shape, x, slots, out_bar, x_bar, n, scratch)
#pragma once

#include <torch/csrc/autograd/custom_function.h>

#include <cstring>
#include <string>

#include "kernels/task.h"

namespace mneme::kernels {

using torch::autograd::tensor_list;

template <class Kernel>
struct FusedFunction : torch::autograd::Function<FusedFunction<Kernel>> {
  using Shape = typename Kernel::Shape;
  static constexpr size_t kSettings = 4;  // arguments of forward before the tensors

  static tensor_list forward(torch::autograd::AutogradContext* ctx, Shape shape, int64_t tasks, bool keep, std::vector<bool> mask,
                             at::TensorList present) {
    const tensor_list x = Present::restore(present, mask);
    at::Tensor slots;
    if (keep) slots = at::empty({tasks, shape.tiles, shape.slot_floats}, present[0].options());
    tensor_list out;
    for (int i = 0; i < Kernel::kOutputs; ++i) out.push_back(Kernel::output(shape, x, i));
    for_each_task(tasks, Kernel::scratch(shape), [&](int64_t n, float* scratch) { Kernel::run(shape, x, out, slots, n, scratch); });
    if (keep) {
      tensor_list saved = present.vec();
      saved.push_back(slots);
      ctx->save_for_backward(saved);
      ctx->saved_data["shape"] = std::string(reinterpret_cast<const char*>(&shape), sizeof shape);
      ctx->saved_data["inputs"] = c10::IValue(mask);
      ctx->saved_data["outputs"] = c10::IValue(Present(out).mask);
    }
    return Present(out).tensors;
  }

  static tensor_list backward(torch::autograd::AutogradContext* ctx, tensor_list given) {
    tensor_list saved = ctx->get_saved_variables();
    const at::Tensor slots = saved.back();
    saved.pop_back();
    Shape shape;
    std::memcpy(&shape, ctx->saved_data["shape"].toStringRef().data(), sizeof shape);
    auto mask = [&](const char* name) { return ctx->saved_data[name].toBoolList().vec(); };
    const tensor_list x = Present::restore(saved, mask("inputs"));
    tensor_list out_bar = Present::restore(given, mask("outputs")), x_bar(x.size());
    for (at::Tensor& g : out_bar)
      if (g.defined()) g = g.contiguous();
    for (size_t i = 0; i < x.size(); ++i)
      if (x[i].defined()) x_bar[i] = at::empty(x[i].sizes(), x[i].options());
    for_each_task(slots.size(0), Kernel::gradient_scratch(shape),
                  [&](int64_t n, float* scratch) { Kernel::run_gradient(shape, x, slots, out_bar, x_bar, n, scratch); });
    tensor_list result(kSettings);
    for (const at::Tensor& g : Present(x_bar).tensors) result.push_back(g);
    return result;
  }

  /// Outputs by position, for inputs by position.
  static tensor_list call(const Shape& shape, int64_t tasks, const tensor_list& x) {
    const Present inputs(x);
    bool keep = false;
    for (const at::Tensor& t : inputs.tensors) keep |= t.requires_grad();
    const tensor_list out =
        FusedFunction::apply(shape, tasks, keep && at::GradMode::is_enabled(), inputs.mask, at::TensorList(inputs.tensors));
    std::vector<bool> there;
    for (int i = 0; i < Kernel::kOutputs; ++i) there.push_back(Kernel::has_output(shape, i));
    return Present::restore(out, there);
  }
};

}  // namespace mneme::kernels
