// Cases of a memory network for the tests: a call and its state as a function of a flat list of tensors, so that outputs, states and
// every outer gradient of two implementations can be compared by number. Its tensors are rows [N,…], N = B · H; calls and states have heads.
#pragma once

#include "tests/support/tensors.h"

#include <string>

#include "memory/network_kernels.h"
#include "nn/row_norm.h"

namespace mneme::test {

struct NetworkCase {
  std::string name;
  memory::Network net;
  memory::Gradient gradient = memory::Gradient::refresh;
  int64_t refresh = 16, group = 1, position = 0, tile = 64, sweeps = 1;
  bool momentum = true, to_initial = true, fast_gain = false, masked = false, before = false, decayed = false, guard = false;
  int64_t heads = 1;
  double clip = 0, theta = .4;  ///< theta: largest step of the last matrix; an eighth of it below

  int64_t fast() const { return net.depth + fast_gain; }
  bool slow_gain() const { return net.form == memory::Form::residual_norm && !fast_gain; }
  at::Tensor by_head(const at::Tensor& rows) const { return rows.unflatten(0, at::IntArrayRef({rows.size(0) / heads, heads})); }
  int64_t points() const { return gradient == memory::Gradient::refresh ? fast() : net.depth - 1; }
};

/// q k v, then per fast weight θ α η W S R initial, then the slow gain.
inline std::vector<at::Tensor> network_inputs(const NetworkCase& c, int64_t N, int64_t T, int64_t D, int64_t E) {
  std::vector<at::Tensor> x{nn::l2_normalize(normal({N, T, D})), nn::l2_normalize(normal({N, T, D})), normal({N, T, D})};
  for (int64_t l = 0; l < c.fast(); ++l) {
    const bool gain = l == c.net.depth;
    const int64_t in = gain ? 1 : l == 0 ? D : E, out = gain || l + 1 == c.net.depth ? D : E;
    const double scale = gain ? .3 : 1 / std::sqrt(double(in));
    x.push_back(uniform({N, T}, 0, l + 1 < c.net.depth ? c.theta / 8 : c.theta));
    x.push_back(uniform({N, T}, 0, .3));
    x.push_back(uniform({N, T}, 0, .9));
    x.push_back(normal({N, in, out}) * scale);
    x.push_back(normal({N, in, out}) * .1 * scale);
    x.push_back(normal({N, in, out}) * scale);
    x.push_back(normal({N, in, out}) * scale);
  }
  x.push_back(normal({N, 1, D}) * .2);
  return x;
}

inline at::Tensor network_input(const std::vector<at::Tensor>& x, int64_t l, int which) { return x[3 + 7 * l + which]; }

inline memory::NetworkCall network_call(const std::vector<at::Tensor>& x, const NetworkCase& c, int64_t first = 0, int64_t steps = -1) {
  const int64_t T = steps < 0 ? x[0].size(1) : steps;
  auto part = [&](const at::Tensor& t) { return c.by_head(t.narrow(1, first, T)); };
  auto gates = [&](int which) {
    std::vector<at::Tensor> of_weights;
    for (int64_t l = 0; l < c.fast(); ++l) of_weights.push_back(part(network_input(x, l, which)));
    return at::stack(of_weights, 3);
  };
  memory::NetworkCall call;
  call.net = c.net;
  call.query = part(x[0]), call.key = part(x[1]), call.value = part(x[2]);
  call.theta = gates(0), call.alpha = gates(1);
  if (c.momentum) call.eta = gates(2);
  for (int64_t l = 0; c.to_initial && l < c.fast(); ++l) call.initial.push_back(c.by_head(network_input(x, l, 6)));
  if (c.slow_gain()) call.gain = c.by_head(x.back());
  if (c.masked) {  // every third token, and a whole stretch
    at::Tensor step = at::ones({x[0].size(0) / c.heads, x[0].size(1)}, at::kBool);
    step.slice(1, 0, c10::nullopt, 3).fill_(false);
    if (step.size(1) > 20) step.narrow(1, 10, 8).fill_(false);
    call.step = step.narrow(1, first, T);
  }
  call.gradient = c.gradient, call.sweeps = c.sweeps, call.refresh = c.refresh, call.group = c.group, call.position = c.position + first;
  call.tile = c.tile, call.read_before = c.before, call.decayed = c.decayed, call.clip = c.clip, call.guard = c.guard;
  call.losses = true;
  return call;
}

inline memory::NetworkWeights network_state(const std::vector<at::Tensor>& x, const NetworkCase& c) {
  memory::NetworkWeights w;
  for (int64_t l = 0; l < c.fast(); ++l) {
    auto weight = [&](int which) { return c.by_head(network_input(x, l, which)); };
    w.weights.push_back(weight(3));
    if (c.momentum) w.momentum.push_back(weight(4));
    if (l < c.points()) w.refresh_point.push_back(weight(5));
    if (c.guard && l < c.net.depth) {
      const at::Tensor& W = w.weights[l];
      w.load.push_back(at::zeros({W.size(0), W.size(1), W.size(2), W.size(2)}, W.options()));
    }
  }
  for (int64_t n = 0; c.gradient == memory::Gradient::sweeps && n < c.sweeps; ++n) {  // each sweep has its own view of the interval
    auto seen = [&](std::vector<at::Tensor> list) {
      for (at::Tensor& w_l : list) w_l = w_l * (1 + .03 * double(n + 1));
      return list;
    };
    w.sweep_weights.push_back(seen(w.weights)), w.sweep_momentum.push_back(seen(w.momentum));
  }
  return w;
}

/// All of a state that is differentiable, in a fixed order.
inline std::vector<at::Tensor> network_state_list(const memory::NetworkWeights& w) {
  std::vector<at::Tensor> all;
  auto add = [&](const std::vector<at::Tensor>& list) {
    for (const at::Tensor& x : list)
      if (x.defined()) all.push_back(x);
  };
  add(w.weights), add(w.momentum), add(w.refresh_point), add(w.load);
  for (const auto& sweep : w.sweep_weights) add(sweep);
  for (const auto& sweep : w.sweep_momentum) add(sweep);
  return all;
}

/// reads and inner losses as rows, then all of the state.
template <class F>
Function network_function(F f, NetworkCase c) {
  return [=](const std::vector<at::Tensor>& x) {
    memory::NetworkWeights w = network_state(x, c);
    std::vector<at::Tensor> r{f(network_call(x, c), w).flatten(0, 1)};
    r.push_back(w.losses.flatten(0, 1));
    for (const at::Tensor& t : network_state_list(w)) r.push_back(t);
    return r;
  };
}

inline std::vector<NetworkCase> network_cases() {
  using memory::Form;
  using memory::Gradient;
  using memory::InnerLoss;
  std::vector<NetworkCase> all;
  auto add = [&](const std::string& name, Form form, int64_t depth, Gradient gradient, auto&&... change) {
    NetworkCase c;
    c.name = name, c.net.form = form, c.net.depth = depth, c.gradient = gradient;
    (change(c), ...);
    all.push_back(c);
  };
  for (int64_t depth : {1, 2, 3, 4})
    for (Form form : {Form::plain, Form::feature, Form::residual_norm}) {
      const std::string name = "depth " + std::to_string(depth) + " form " + std::to_string(int(form));
      add(name + " refresh", form, depth, Gradient::refresh);
      if (form != Form::residual_norm) add(name + " exact_last", form, depth, Gradient::exact_last);
    }
  const auto refresh = Gradient::refresh, exact = Gradient::exact_last;
  add("fast gain", Form::residual_norm, 2, refresh, [](auto& c) { c.fast_gain = true, c.to_initial = false; });
  add("fast gain, groups", Form::residual_norm, 2, refresh, [](auto& c) { c.fast_gain = true, c.group = 4, c.tile = 10; });
  add("sigmoid gelu", Form::plain, 2, refresh, [](auto& c) { c.net.activation = memory::Activation::gelu_sigmoid; });
  add("mean loss", Form::residual_norm, 2, refresh, [](auto& c) { c.net.loss = InnerLoss::l2_mean; });
  add("mean loss, exact last", Form::feature, 2, exact, [](auto& c) { c.net.loss = InnerLoss::l2_mean; });
  add("dot loss", Form::plain, 2, refresh, [](auto& c) { c.net.loss = InnerLoss::dot; });
  add("dot loss, exact last", Form::feature, 2, exact, [](auto& c) { c.net.loss = InnerLoss::dot; });
  add("huber", Form::feature, 2, refresh, [](auto& c) { c.net.loss = InnerLoss::huber, c.net.huber_delta = 1.5; });
  add("no momentum", Form::feature, 3, refresh, [](auto& c) { c.momentum = false; });
  add("towards zero", Form::feature, 2, exact, [](auto& c) { c.to_initial = false, c.momentum = false; });
  add("late position, small tile", Form::feature, 2, exact, [](auto& c) { c.position = 5, c.tile = 7; });
  add("groups", Form::feature, 2, refresh, [](auto& c) { c.group = 4; });
  add("groups, exact last", Form::feature, 2, exact, [](auto& c) { c.group = 4, c.tile = 8; });
  add("groups, exact matrix", Form::plain, 1, exact, [](auto& c) { c.group = 5, c.refresh = 1000; });
  add("masked", Form::feature, 2, refresh, [](auto& c) { c.masked = true; });
  add("masked, exact last", Form::feature, 3, exact, [](auto& c) { c.masked = true, c.tile = 9; });
  add("masked groups", Form::plain, 2, exact, [](auto& c) { c.masked = true, c.group = 4; });
  add("reads before", Form::feature, 2, exact, [](auto& c) { c.before = true; });
  add("reads before, groups", Form::residual_norm, 2, refresh, [](auto& c) { c.before = true, c.group = 2; });
  add("decayed", Form::feature, 2, exact, [](auto& c) { c.decayed = true; });
  add("decayed, groups, towards zero", Form::plain, 1, exact, [](auto& c) { c.decayed = true, c.group = 4, c.to_initial = false; });
  add("clip", Form::plain, 2, refresh, [](auto& c) { c.clip = 1.5; });
  add("clip, fast gain", Form::residual_norm, 2, refresh, [](auto& c) { c.clip = .5, c.fast_gain = true; });
  add("guard", Form::plain, 1, refresh, [](auto& c) { c.guard = true; });
  add("guard, clip, masked", Form::feature, 2, refresh, [](auto& c) { c.guard = true, c.clip = 2, c.masked = true; });
  add("guard, no momentum", Form::plain, 2, refresh, [](auto& c) { c.guard = true, c.momentum = false; });
  add("guard, mean loss", Form::feature, 2, refresh, [](auto& c) { c.guard = true, c.net.loss = InnerLoss::l2_mean; });
  add("guard, groups", Form::feature, 2, refresh, [](auto& c) { c.guard = true, c.group = 4, c.tile = 8; });
  add("guard, groups, one matrix", Form::plain, 1, refresh, [](auto& c) { c.guard = true, c.group = 2, c.to_initial = false; });
  add("guard, masked groups, clip, fast gain", Form::residual_norm, 2, refresh, [](auto& c) {
    c.guard = true, c.group = 4, c.masked = true, c.clip = 20, c.fast_gain = true;
  });
  add("guard and clip are of refresh", Form::feature, 2, exact, [](auto& c) { c.guard = true, c.clip = .1; });
  add("refresh 1", Form::feature, 2, refresh, [](auto& c) { c.refresh = 1; });
  return all;
}

/// Of sweeps, which the loop over tokens does not have.
inline std::vector<NetworkCase> sweep_cases() {
  using memory::Form;
  std::vector<NetworkCase> all;
  auto add = [&](const std::string& name, int64_t sweeps, int64_t depth, auto&&... change) {
    NetworkCase c;
    c.name = name + ", sweeps " + std::to_string(sweeps) + ", depth " + std::to_string(depth);
    c.gradient = memory::Gradient::sweeps, c.sweeps = sweeps, c.net.depth = depth;
    (change(c), ...);
    all.push_back(c);
  };
  for (int64_t sweeps : {1, 2, 3})
    for (int64_t depth : {1, 2, 3, 4}) {
      add("feature", sweeps, depth);
      add("plain", sweeps, depth, [](auto& c) { c.net.form = Form::plain; });
    }
  add("late position, small tile", 2, 2, [](auto& c) { c.position = 2, c.tile = 3; });
  add("no momentum, towards zero", 2, 2, [](auto& c) { c.momentum = false, c.to_initial = false; });
  add("groups", 2, 2, [](auto& c) { c.group = 4, c.tile = 4; });
  add("masked", 1, 3, [](auto& c) { c.masked = true; });
  add("masked groups", 2, 2, [](auto& c) { c.masked = true, c.group = 4; });
  add("decayed, reads before", 2, 2, [](auto& c) { c.decayed = true, c.before = true; });
  add("mean loss", 1, 2, [](auto& c) { c.net.loss = memory::InnerLoss::l2_mean; });
  add("dot loss", 1, 2, [](auto& c) { c.net.loss = memory::InnerLoss::dot; });
  return all;
}

}  // namespace mneme::test
