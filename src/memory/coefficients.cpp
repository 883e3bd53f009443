#include "memory/coefficients.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "kernels/dispatch.h"
#include "nn/fused.h"

namespace mneme::memory {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

struct CoefficientsFunction : torch::autograd::Function<CoefficientsFunction> {
  static tensor_list forward(AutogradContext* ctx, const at::Tensor& theta_in, const at::Tensor& alpha_in, const at::Tensor& eta_in,
                             const std::optional<at::Tensor>& step_in) {
    const at::Tensor theta = theta_in.contiguous(), alpha = alpha_in.contiguous(), eta = eta_in.contiguous(),
                     step = step_in ? step_in->contiguous() : at::Tensor();
    const int64_t tiles = theta.size(0), n = theta.size(1);
    at::Tensor K = at::empty({tiles, n, n}, theta.options()), d = at::empty_like(theta), m = at::empty_like(theta),
               p = at::empty({tiles}, theta.options()), L = at::empty_like(theta), Kb = at::empty_like(K), db = at::empty_like(d), mb = at::empty_like(m);
    nn::dispatch_real(theta, [&](auto zero) {
      using T = decltype(zero);
      const T* moved = step.defined() ? step.const_data_ptr<T>() : nullptr;
      const kernels::CoefficientTile<T> first{theta.const_data_ptr<T>(), alpha.const_data_ptr<T>(), eta.const_data_ptr<T>(), moved,
                          K.mutable_data_ptr<T>(),   d.mutable_data_ptr<T>(),   m.mutable_data_ptr<T>(), p.mutable_data_ptr<T>(),
                          L.mutable_data_ptr<T>(),   Kb.mutable_data_ptr<T>(),  db.mutable_data_ptr<T>(), mb.mutable_data_ptr<T>()};
      at::parallel_for(0, tiles, nn::grain(n * n), [&](int64_t a, int64_t b) {
        std::vector<T> scratch(2 * n * n);
        for (int64_t i = a; i < b; ++i)
          kernels::loops<T>().coefficients(kernels::CoefficientTile<T>{first.theta + i * n, first.alpha + i * n, first.eta + i * n, moved ? moved + i * n : nullptr, first.K + i * n * n, first.d + i * n,
                                 first.m + i * n, first.p + i, first.L + i * n, first.Kb + i * n * n, first.db + i * n, first.mb + i * n},
                         scratch.data(), scratch.data() + n * n, n);
      });
    });
    ctx->save_for_backward({theta, alpha, eta, d, m, step});
    return {K, d, m, p, L, Kb, db, mb};
  }

  static tensor_list backward(AutogradContext* ctx, tensor_list g) {
    const auto saved = ctx->get_saved_variables();
    const at::Tensor &theta = saved[0], &alpha = saved[1], &eta = saved[2], &d = saved[3], &m = saved[4], &step = saved[5];
    const int64_t tiles = theta.size(0), n = theta.size(1);
    auto dense = [&](const at::Tensor& t, at::IntArrayRef sizes) {
      return t.defined() ? t.contiguous() : at::zeros(sizes, theta.options());
    };
    const at::Tensor gK = dense(g[0], {tiles, n, n}), gd = dense(g[1], {tiles, n}), gm = dense(g[2], {tiles, n}),
                     gp = dense(g[3], {tiles}), gL = dense(g[4], {tiles, n}), gKb = dense(g[5], {tiles, n, n}), gdb = dense(g[6], {tiles, n}),
                     gmb = dense(g[7], {tiles, n});
    at::Tensor gtheta = at::empty_like(theta), galpha = at::empty_like(theta), geta = at::empty_like(theta);
    nn::dispatch_real(theta, [&](auto zero) {
      using T = decltype(zero);
      auto in = [](const at::Tensor& t) { return t.const_data_ptr<T>(); };
      const T* moved = step.defined() ? in(step) : nullptr;
      const kernels::CoefficientTileGradient<T> f{in(theta), in(alpha), in(eta), moved, in(d),  in(m),  in(gK), in(gd), in(gm), in(gp),
                              in(gL),    in(gKb), in(gdb), in(gmb), gtheta.mutable_data_ptr<T>(), galpha.mutable_data_ptr<T>(), geta.mutable_data_ptr<T>()};
      at::parallel_for(0, tiles, nn::grain(n * n), [&](int64_t a, int64_t b) {
        std::vector<T> scratch(2 * n * n + 3 * n);
        T *P = scratch.data(), *Q = P + n * n, *bP = Q + n * n, *bQ = bP + n, *ps = bQ + n;
        for (int64_t i = a; i < b; ++i) {
          const int64_t o = i * n;
          kernels::loops<T>().coefficients_gradient(kernels::CoefficientTileGradient<T>{f.theta + o, f.alpha + o, f.eta + o, moved ? moved + o : nullptr, f.d + o, f.m + o, f.gK + o * n, f.gd + o, f.gm + o,
                                          f.gp + i, f.gL + o, f.gKb + o * n, f.gdb + o, f.gmb + o, f.gtheta + o, f.galpha + o, f.geta + o},
                          P, Q, bP, bQ, ps, n);
        }
      });
    });
    return {gtheta, galpha, geta, {}};
  }
};

// Gates under which a token that is no step decays nothing and writes nothing.
struct Gates {
  at::Tensor theta, alpha, eta;
};
Gates no_step(const at::Tensor& theta, const at::Tensor& alpha, const at::Tensor& eta, const at::Tensor& step) {
  if (!step.defined()) return {theta, alpha, eta};
  return {theta * step, alpha * step, eta * step + (1 - step)};
}

Coefficients per_token(const at::Tensor& theta, const at::Tensor& alpha, const at::Tensor& eta, const at::Tensor& step) {
  if (!nn::fusable(theta)) return coefficients_reference(theta, alpha, eta, step);
  const Gates g = no_step(theta, alpha, eta, step);
  const tensor_list r = CoefficientsFunction::apply(g.theta, g.alpha, g.eta, step.defined() ? std::optional(step) : std::nullopt);
  return {{r[0], r[1], r[2]}, {r[5], r[6], r[7]}, r[3], r[4]};
}

// Tables of whole groups, spread over their tokens.
Coefficients per_group(const at::Tensor& theta, const at::Tensor& alpha, const at::Tensor& eta, const at::Tensor& step, int64_t group) {
  const int64_t N = theta.size(0), n = theta.size(1), groups = n / group;
  const at::Tensor writes = step.defined() ? theta * step : theta;
  const auto integers = theta.options().dtype(at::kLong);
  const at::Tensor token = at::arange(n, integers), column = token.div(group, "floor").clamp_max(std::max<int64_t>(groups - 1, 0));
  const at::Tensor complete = (token < groups * group).to(theta.scalar_type());
  if (groups == 0) {
    const at::Tensor none = at::zeros({N, n, n}, theta.options()), one = at::ones({N, n}, theta.options()), zero = at::zeros({N, n}, theta.options());
    return {{none, one, zero}, {none, one, zero}, at::ones({N}, theta.options()), zero};
  }
  auto last = [&](const at::Tensor& x) { return x.narrow(1, 0, groups * group).view({N, groups, group}).select(2, group - 1); };
  at::Tensor group_step;
  if (step.defined()) group_step = std::get<0>(step.narrow(1, 0, groups * group).view({N, groups, group}).max(2));
  const Coefficients c = per_token(at::ones({N, groups}, theta.options()), last(alpha.contiguous()), last(eta.contiguous()), group_step);
  auto rows = [&](const at::Tensor& done) {  // after `done` groups; row 0 is the state before the tile
    auto from = [&](const at::Tensor& x, double first) { return at::constant_pad_nd(x, {1, 0}, first).index_select(1, done); };
    const at::Tensor K = at::constant_pad_nd(c.now.K, {0, 0, 1, 0}).index_select(1, done).index_select(2, column);
    return Rows{K * (writes * complete).unsqueeze(1), from(c.now.d, 1), from(c.now.m, 0)};
  };
  return {rows((token + 1).div(group, "floor")), rows(token.div(group, "floor")), c.p, c.L.index_select(1, column) * writes * complete};
}

}  // namespace

Coefficients coefficients(const at::Tensor& theta, const at::Tensor& alpha, const at::Tensor& eta, const at::Tensor& step, int64_t group) {
  return group == 1 ? per_token(theta, alpha, eta, step) : per_group(theta, alpha, eta, step, group);
}

Coefficients coefficients_reference(const at::Tensor& theta_in, const at::Tensor& alpha_in, const at::Tensor& eta_in, const at::Tensor& step) {
  const auto [theta, alpha, eta] = no_step(theta_in, alpha_in, eta_in, step);
  const int64_t n = theta.size(1);
  const at::Tensor one = at::eye(n, theta.options());
  at::Tensor P = at::zeros_like(theta), Q = at::zeros_like(theta);
  at::Tensor p = at::ones({theta.size(0)}, theta.options()), d = at::ones_like(p), m = at::zeros_like(p);
  std::vector<at::Tensor> Ks, ds, ms;
  for (int64_t t = 0; t < n; ++t) {
    const at::Tensor e = eta.select(1, t), keep = 1 - alpha.select(1, t), move = step.defined() ? step.select(1, t) : at::ones_like(e);
    P = e.unsqueeze(1) * P + one[t];
    Q = keep.unsqueeze(1) * Q + move.unsqueeze(1) * P;
    p = e * p;
    d = keep * d;
    m = keep * m + move * p;
    Ks.push_back(-Q * theta);
    ds.push_back(d);
    ms.push_back(m);
  }
  const Rows now{at::stack(Ks, 1), at::stack(ds, 1), at::stack(ms, 1)};
  auto down = [n](const at::Tensor& x, double first) { return at::constant_pad_nd(x.narrow(1, 0, n - 1), {1, 0}, first); };
  return {now, {at::constant_pad_nd(now.K.narrow(1, 0, n - 1), {0, 0, 1, 0}), down(now.d, 1), down(now.m, 0)}, p, -P * theta};
}

}  // namespace mneme::memory
