// The fused memories and attention as PyTorch operators, gradients included: torch.ops.load_library("libmneme_ops.so"), then
// torch.ops.mneme.linear_memory, .mlp_memory and .attention. Needs LibTorch alone. ops/README.md shows them in use.
//
// Shapes: query, key [B,H,T,E], value [B,H,T,D], gates [B,H,T] (or [N,T,·] and [N,T]). Weights [B,H,in,out] or, the same for
// every row of the batch, [H,in,out]; states come back as [B,H,in,out] (or [N,in,out]), None where there is none.
#include <ATen/ATen.h>
#include <torch/library.h>

#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "kernels/attention.h"
#include "kernels/network.h"

namespace mneme {
namespace {

using Optional = std::optional<at::Tensor>;
using Tensors = std::vector<at::Tensor>;
using OptionalTensors = std::optional<Tensors>;

at::Tensor or_undefined(const Optional& x) { return x.has_value() ? *x : at::Tensor(); }

/// Tensors of the caller as [B,H,…], and states back.
struct Batch {
  at::Tensor key;
  bool heads;  // inputs are [B,H,T,·]
  int64_t B, H, T;

  explicit Batch(const at::Tensor& given) : key(given), heads(key.dim() == 4), B(key.size(0)), H(heads ? key.size(1) : 1), T(key.size(-2)) {
    TORCH_CHECK(key.dim() == 3 || key.dim() == 4, "mneme: key should be [B,H,T,D] or [N,T,D], is of ", key.dim(), " dimensions");
  }

  /// Axis by axis: as many numbers in another order are another tensor.
  static void require(const at::Tensor& x, at::IntArrayRef sizes, const char* name) {
    TORCH_CHECK(x.sizes() == sizes, "mneme: ", name, " has sizes ", x.sizes(), ", should have ", sizes);
  }

  at::Tensor rows(const at::Tensor& x, const char* name) const {
    const bool fits = x.dim() == key.dim() && x.sizes().slice(0, key.dim() - 1) == key.sizes().slice(0, key.dim() - 1);
    TORCH_CHECK(fits, "mneme: ", name, " has sizes ", x.sizes(), ", should have those of key but for the last, ", key.sizes());
    return heads ? x : x.unsqueeze(1);
  }
  at::Tensor gates(const Tensors& list, const char* name) const {
    const std::vector<int64_t> sizes = heads ? std::vector<int64_t>{B, H, T} : std::vector<int64_t>{B, T};
    Tensors of_layers;
    for (const at::Tensor& gate : list) {
      require(gate, heads ? at::IntArrayRef({B, H, T}) : at::IntArrayRef({B, T}), name);
      of_layers.push_back(gate.reshape({B, H, T}));
    }
    return list.empty() ? at::Tensor() : at::stack(of_layers, 3);
  }
  Tensors weights(const Tensors& list, const char* name) const {
    Tensors all;
    for (const at::Tensor& w : list) {
      TORCH_CHECK(w.dim() >= 2, "mneme: ", name, " should be [", heads ? "B,H,in,out] or [H,in,out" : "N,in,out", "], has sizes ", w.sizes());
      const int64_t in = w.size(-2), out = w.size(-1);
      const bool shared = heads && w.dim() == 3;
      require(w, shared ? at::IntArrayRef({H, in, out}) : heads ? at::IntArrayRef({B, H, in, out}) : at::IntArrayRef({B, in, out}), name);
      all.push_back(shared ? w.expand({B, H, in, out}) : w.reshape({B, H, in, out}));
    }
    return all;
  }
  Tensors back(Tensors list) const {
    if (!heads)
      for (at::Tensor& x : list) x = x.squeeze(1);
    return list;
  }
};

Tensors list_of(const Optional& x) { return x.has_value() ? Tensors{*x} : Tensors{}; }

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
  kernels::NetworkCall call{batch.rows(query, "query"), batch.rows(key, "key"), batch.rows(value, "value"), batch.gates({theta}, "theta"), batch.gates({alpha}, "alpha"),
                            batch.gates(list_of(eta), "eta")};
  call.form = kernels::Form::linear, call.exact_last = refresh == 1, call.refresh = refresh, call.position = position;
  kernels::NetworkState state{batch.weights({weights}, "weights"), batch.weights(list_of(momentum), "momentum"),
                              batch.weights(list_of(refresh_point), "refresh_point")};
  if (call.eta.defined() && state.momentum.empty()) state.momentum = {at::zeros_like(state.weights[0])};
  const at::Tensor reads = kernels::network(call, state);
  auto back = [&](const Tensors& list) { return list.empty() ? at::Tensor() : batch.back(list)[0]; };
  return {reads.view_as(value), back(state.weights), back(state.momentum), back(state.refresh_point)};
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
  auto list = [](const OptionalTensors& x) { return x ? *x : Tensors{}; };
  kernels::NetworkCall call{batch.rows(query, "query"), batch.rows(key, "key"), batch.rows(value, "value"), batch.gates(theta, "theta"), batch.gates(alpha, "alpha"),
                            batch.gates(list(eta), "eta"), batch.weights(list(initial), "initial")};
  call.exact_last = gradient != "refresh", call.refresh = refresh, call.position = position;
  call.sweeps = gradient == "sweeps" ? sweeps : 0, call.guard_limit = guard;
  call.form = form == "feature" ? kernels::Form::feature : kernels::Form::residual_norm;
  if (gain) call.gain = batch.weights({*gain}, "gain")[0];
  kernels::NetworkState state{batch.weights(weights, "weights"), batch.weights(list(momentum), "momentum"),
                              batch.weights(list(refresh_point), "refresh_point")};
  if (call.eta.defined() && state.momentum.empty())
    for (const at::Tensor& w : state.weights) state.momentum.push_back(at::zeros_like(w));
  const at::Tensor reads = kernels::network(call, state);
  return {reads.view_as(query), batch.back(state.weights), batch.back(state.momentum), batch.back(state.refresh_point)};
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
