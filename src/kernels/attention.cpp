#include "kernels/attention.h"

#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

#include "kernels/task.h"

namespace mneme::kernels {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

struct In {
  enum { query, key, value, prefix_key, prefix_value, count };
};

RowsOut out_rows(const at::Tensor& x, int64_t n) {
  const Rows rows = task_rows(x, n);
  return {const_cast<float*>(rows.data), rows.stride};
}

AttentionShape shape_of(const tensor_list& x, int64_t window, double scale) {
  const int64_t keys = x[In::key].size(2), prefix = x[In::prefix_key].defined() ? x[In::prefix_key].size(2) : 0;
  return {x[In::query].size(2), keys, prefix, x[In::query].size(3), window > 0 && window < keys ? window : keys, float(scale)};
}

AttentionTask task_of(const tensor_list& x, const at::Tensor& out, const at::Tensor& log_sums, int64_t n) {
  return {task_rows(x[In::query], n),       task_rows(x[In::key], n),         task_rows(x[In::value], n),           task_rows(x[In::prefix_key], n),
          task_rows(x[In::prefix_value], n), out_rows(out, n), log_sums.mutable_data_ptr<float>() + n * log_sums.size(1)};
}

/// Inputs with contiguous columns whose width is a multiple of kPad.
struct Attention : torch::autograd::Function<Attention> {
  static at::Tensor forward(AutogradContext* ctx, int64_t window, double scale, bool prefix, at::TensorList inputs) {
    const tensor_list x = Present::restore(inputs, {true, true, true, prefix, prefix});
    const AttentionShape s = shape_of(x, window, scale);
    const int64_t B = x[In::query].size(0), H = x[In::query].size(1), tiles = s.tiles();
    const at::Tensor out = at::empty({B, s.queries, H, s.width}, x[In::query].options()).transpose(1, 2);
    const at::Tensor log_sums = at::empty({B * H, s.queries}, x[In::query].options());
    for_each_task(B * H * tiles, engine().attention_scratch(s), [&](int64_t i, float* scratch) {
      engine().attention(s, task_of(x, out, log_sums, i / tiles), i % tiles, scratch);
    });
    tensor_list saved = inputs.vec();
    saved.insert(saved.end(), {out, log_sums});
    ctx->save_for_backward(saved);
    ctx->saved_data["window"] = window, ctx->saved_data["scale"] = scale, ctx->saved_data["prefix"] = prefix;
    return out;
  }

  static tensor_list backward(AutogradContext* ctx, tensor_list given) {
    const bool prefix = ctx->saved_data["prefix"].toBool();
    const tensor_list saved = ctx->get_saved_variables();
    const at::Tensor out = saved[saved.size() - 2], log_sums = saved.back(), out_bar = with_contiguous_columns(given[0]);
    const tensor_list x = Present::restore(at::TensorList(saved).slice(0, saved.size() - 2), {true, true, true, prefix, prefix});
    const AttentionShape s = shape_of(x, ctx->saved_data["window"].toInt(), ctx->saved_data["scale"].toDouble());
    tensor_list bar(In::count);
    for (size_t i = 0; i < In::count; ++i)
      if (x[i].defined()) bar[i] = i == In::query ? at::empty(x[i].sizes(), x[i].options()) : at::zeros(x[i].sizes(), x[i].options());
    for_each_task(log_sums.size(0), engine().attention_gradient_scratch(s), [&](int64_t n, float* scratch) {
      const AttentionTask call = task_of(x, out, log_sums, n);
      engine().attention_gradient(s,
                               {&call, task_rows(out_bar, n), out_rows(bar[In::query], n), out_rows(bar[In::key], n), out_rows(bar[In::value], n),
                                out_rows(bar[In::prefix_key], n), out_rows(bar[In::prefix_value], n)},
                               scratch);
    });
    tensor_list result(3);  // of window, scale, prefix
    for (const at::Tensor& g : Present(bar).tensors) result.push_back(g);
    return result;
  }
};

}  // namespace

bool supports_attention(const at::Tensor& query) { return fusable(query); }

at::Tensor attention(const AttentionCall& call) {
  const int64_t B = call.query.size(0), H = call.query.size(1), T = call.query.size(2), D = call.query.size(3);
  require_sizes(call.key, {B, H, std::max(T, call.key.size(2)), D}, "key");
  require_sizes(call.value, call.key.sizes(), "value");
  if (call.prefix_key.defined() || call.prefix_value.defined()) {
    require_sizes(call.prefix_key, {B, H, call.prefix_key.defined() ? call.prefix_key.size(2) : 0, D}, "prefix key");
    require_sizes(call.prefix_value, call.prefix_key.sizes(), "prefix value");
  }
  auto usable = [&](const at::Tensor& x) {
    if (!x.defined()) return x;
    return with_contiguous_columns(D % kPad ? at::constant_pad_nd(x, {0, padded(D) - D}) : x);  // zeros add nothing to a score
  };
  tensor_list x;
  for (const at::Tensor* t : {&call.query, &call.key, &call.value, &call.prefix_key, &call.prefix_value}) x.push_back(usable(*t));
  const Present inputs(x);
  const at::Tensor out =
      Attention::apply(call.window, 1 / std::sqrt(double(D)), call.prefix_key.defined(), at::TensorList(inputs.tensors));
  return D % kPad ? out.narrow(3, 0, D) : out;
}

}  // namespace mneme::kernels
