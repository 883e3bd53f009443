// The fused memories and attention as PyTorch operators, gradients included: torch.ops.load_library("libmneme_ops.so"), then
// torch.ops.mneme.linear_memory, .mlp_memory and .attention. Needs LibTorch alone. ops/README.md shows them in use.
//
// Shapes: query, key [B,H,T,E], value [B,H,T,D], gates [B,H,T] (or [N,T,·] and [N,T]). Weights [B,H,in,out] or, the same for
// every row of the batch, [H,in,out]; states come back as [B,H,in,out] (or [N,in,out]), None where there is none.
#include <ATen/ATen.h>
#include <torch/library.h>

#include <array>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "kernels/attention.h"
#include "kernels/linear.h"
#include "kernels/mlp.h"

namespace mneme {
namespace {

using Optional = std::optional<at::Tensor>;
using Tensors = std::vector<at::Tensor>;
using OptionalTensors = std::optional<Tensors>;
using Layers = std::array<at::Tensor, 3>;

at::Tensor or_undefined(const Optional& x) { return x.has_value() ? *x : at::Tensor(); }

/// Weight-shaped tensors of the caller as [N,in,out], and back.
struct Batch {
  bool heads;  // inputs are [B,H,T,·]
  int64_t B, N;

  explicit Batch(const at::Tensor& key) : heads(key.dim() == 4), B(key.size(0)), N(heads ? key.size(0) * key.size(1) : key.size(0)) {
    TORCH_CHECK(key.dim() == 3 || key.dim() == 4, "mneme: key should be [B,H,T,D] or [N,T,D], is of ", key.dim(), " dimensions");
  }

  at::Tensor rows(const at::Tensor& w) const {
    if (!w.defined()) return w;
    const int64_t in = w.size(-2), out = w.size(-1);
    if (heads && w.dim() == 3 && w.size(0) * B == N) return w.unsqueeze(0).expand({B, -1, -1, -1}).reshape({N, in, out});
    return w.reshape({-1, in, out});
  }
  at::Tensor unrolled(const at::Tensor& w) const { return w.defined() && heads ? w.view({B, N / B, w.size(1), w.size(2)}) : w; }
};

void require_float_cpu(const at::Tensor& x) {
  TORCH_CHECK(x.device().is_cpu() && x.scalar_type() == at::kFloat && x.numel() > 0,
              "mneme: the fused kernels take float32 tensors on the CPU that are not empty; got ", x.toString(), " of sizes ", x.sizes());
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> linear_memory(const at::Tensor& query, const at::Tensor& key,
                                                                         const at::Tensor& value, const at::Tensor& theta,
                                                                         const at::Tensor& alpha, const Optional& eta,
                                                                         const at::Tensor& weights, const Optional& momentum,
                                                                         const Optional& refresh_point, int64_t refresh, int64_t position) {
  require_float_cpu(query);
  const Batch batch(key);
  kernels::LinearCall call{query, key, value, theta, alpha, or_undefined(eta), refresh, position};
  kernels::LinearState state{batch.rows(weights), batch.rows(or_undefined(momentum)), batch.rows(or_undefined(refresh_point))};
  if (call.eta.defined() && !state.momentum.defined()) state.momentum = at::zeros_like(state.weights);
  const at::Tensor reads = kernels::linear(call, state);
  return {reads, batch.unrolled(state.weights), batch.unrolled(state.momentum), batch.unrolled(state.refresh_point)};
}

Layers layers(const Tensors& list, const char* name) {
  TORCH_CHECK(list.size() <= 3, "mneme: ", name, " has ", list.size(), " tensors; there are two matrices, and a gain where it learns");
  Layers result;
  for (size_t l = 0; l < list.size(); ++l) result[l] = list[l];
  return result;
}

std::tuple<at::Tensor, Tensors, Tensors, Tensors> mlp_memory(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                                             const Tensors& theta, const Tensors& alpha, const OptionalTensors& eta,
                                                             const Tensors& weights, const OptionalTensors& momentum,
                                                             const OptionalTensors& refresh_point, const OptionalTensors& initial,
                                                             const Optional& gain, const std::string& form, const std::string& gradient,
                                                             int64_t refresh, int64_t position, int64_t sweeps, double guard) {
  require_float_cpu(query);
  TORCH_CHECK(form == "feature" || form == "residual+norm", "mneme: form is feature or residual+norm, not ", form);
  TORCH_CHECK(gradient == "exact_last" || gradient == "refresh" || gradient == "sweeps",
              "mneme: gradient is exact_last, refresh or sweeps, not ", gradient);
  TORCH_CHECK(gradient != "sweeps" || sweeps > 0, "mneme: sweeps is the number of them, at least 1, not ", sweeps);
  TORCH_CHECK(guard >= 0, "mneme: guard is a limit (0.4 in our models), or 0 for none, not ", guard);
  TORCH_CHECK(form == "feature" || gradient == "refresh", "mneme: form residual+norm takes gradient = refresh");
  TORCH_CHECK(weights.size() >= 2 && theta.size() == weights.size() && alpha.size() == weights.size(),
              "mneme: weights, theta and alpha are lists of one tensor per layer, two or with a fast gain three");
  const Batch batch(key);
  const Tensors none, &etas = eta ? *eta : none;
  auto rows = [&](const OptionalTensors& list, const char* name) {
    Layers x = layers(list ? *list : none, name);
    for (at::Tensor& w : x) w = batch.rows(w);
    return x;
  };
  kernels::MlpCall call{query, key, value, layers(theta, "theta"), layers(alpha, "alpha"), layers(etas, "eta"), rows(initial, "initial")};
  call.exact_last = gradient != "refresh", call.refresh = refresh, call.position = position;
  call.sweeps = gradient == "sweeps" ? sweeps : 0, call.guard_limit = guard;
  call.form = form == "feature" ? kernels::Form::feature : kernels::Form::residual_norm;
  call.gain = batch.rows(or_undefined(gain));
  kernels::MlpState state{rows(weights, "weights"), rows(momentum, "momentum"), rows(refresh_point, "refresh_point")};
  for (size_t l = 0; l < weights.size(); ++l)
    if (!etas.empty() && !state.momentum[l].defined()) state.momentum[l] = at::zeros_like(state.weights[l]);
  const at::Tensor reads = kernels::mlp(call, state);
  auto back = [&](const Layers& x) {
    Tensors list;
    for (const at::Tensor& w : x)
      if (w.defined()) list.push_back(batch.unrolled(w));
    return list;
  };
  return {reads, back(state.weights), back(state.momentum), back(state.refresh_point)};
}

at::Tensor attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, int64_t window, const Optional& prefix_key,
                     const Optional& prefix_value) {
  require_float_cpu(query);
  TORCH_CHECK(query.dim() == 4 && key.dim() == 4, "mneme: query, key and value should be [B,H,T,D], query is of ", query.dim(), " dimensions");
  TORCH_CHECK(window >= 0, "mneme: window is a number of keys, or 0 for all, not ", window);
  return kernels::attention({query, key, value, or_undefined(prefix_key), or_undefined(prefix_value), window});
}

}  // namespace

TORCH_LIBRARY(mneme, m) {
  m.def(
      "linear_memory(Tensor query, Tensor key, Tensor value, Tensor theta, Tensor alpha, Tensor? eta, Tensor weights, "
      "Tensor? momentum=None, Tensor? refresh_point=None, int refresh=1, int position=0) -> (Tensor, Tensor, Tensor, Tensor)",
      linear_memory);
  m.def(
      "mlp_memory(Tensor query, Tensor key, Tensor value, Tensor[] theta, Tensor[] alpha, Tensor[]? eta, Tensor[] weights, "
      "Tensor[]? momentum=None, Tensor[]? refresh_point=None, Tensor[]? initial=None, Tensor? gain=None, str form='feature', "
      "str gradient='exact_last', int refresh=64, int position=0, int sweeps=1, float guard=0) -> (Tensor, Tensor[], Tensor[], Tensor[])",
      mlp_memory);
  m.def("attention(Tensor query, Tensor key, Tensor value, int window=0, Tensor? prefix_key=None, Tensor? prefix_value=None) -> Tensor",
        attention);
}

}  // namespace mneme
