// The rules of src/memory/rule/ again, written out one token at a time (RowOracle and what it is made of), and the points of network ×
// loss × retention × optimizer at which test_rule_axes.cpp asks for them.
#pragma once

#include "tests/support/memory_options.h"
#include "tests/support/tensors.h"
#include "tests/unit/memory/newton_schulz.h"

#include <algorithm>

#include "base/text.h"
#include "config/fields.h"
#include "config/config.h"
#include "memory/rule/loss.h"
#include "memory/rule/network.h"
#include "memory/rule/optimizer.h"
#include "memory/rule/retention.h"
#include "memory/rule_memory.h"
#include "mneme/memory.h"
#include "mneme/model.h"
#include "nn/row_norm.h"

namespace mneme::test {

constexpr int64_t kRows = 2, kHeads = 2, kWidth = 4;

struct Point {
  std::string network = "linear", loss = "l2", retention = "l2", optimizer = "sgd";
  int64_t window = 1, group = 1;
  std::string read = "after";
  std::vector<std::pair<std::string, std::string>> own = {};
  bool damping = true;
  std::string name() const {
    return network + " × " + loss + " × " + retention + " × " + optimizer + ", window " + std::to_string(window) + ", group " + std::to_string(group);
  }
};

inline std::shared_ptr<Memory> make_point(const Point& p, int64_t width = kWidth) {
  register_memories();
  MemoryOptions options;
  options.kind = "miras", options.group = p.group, options.read = p.read, options.momentum_damping = p.damping;
  for (const auto& [name, text] : std::vector<std::pair<std::string, std::string>>{
           {"network", p.network}, {"loss", p.loss}, {"retention", p.retention}, {"optimizer", p.optimizer}, {"window", std::to_string(p.window)}})
    set_own(options, name, text);
  for (const auto& [name, text] : p.own) set_own(options, name, text);
  const MemoryPlugin& plugin = MemoryRegistry::instance().get("miras");
  Problems problems;
  options.own->check("", problems);
  plugin.check(options, problems);
  for (const auto& problem : problems.list()) FAIL(p.name() << ": " << problem.key << " " << problem.message);
  auto memory = plugin.make({options, kHeads, width, width, at::make_generator<at::CPUGeneratorImpl>(3)});
  memory->to(at::kDouble);
  at::NoGradGuard no_grad;  // starts at zero would leave half of a network idle
  for (auto& x : memory->parameters()) x.add_(normal(x.sizes()) * .2);
  return memory;
}

inline MemoryInput point_input(const Memory& memory, int64_t T, int64_t width = kWidth) {
  const std::map<std::string, std::pair<double, double>> range{
      {"theta", {.02, .1}}, {"alpha", {0, .3}}, {"eta", {.1, .6}}, {"gamma", {.1, 1}}, {"delta", {.5, 2}}};
  MemoryInput in{nn::l2_normalize(normal({kRows, kHeads, T, width})), nn::l2_normalize(normal({kRows, kHeads, T, width})), normal({kRows, kHeads, T, width})};
  for (const Gate& g : memory.gates()) in.gates[g.name] = uniform({kRows, kHeads, T, g.copies}, range.at(g.name).first, range.at(g.name).second);
  return in;
}

/// Every point there is, the window, group and reads in turn.
inline std::vector<Point> points() {
  register_memories();
  std::vector<Point> all;
  int64_t turn = 0;
  for (const std::string& network : rule::NetworkRegistry::instance().names())
    for (const std::string& loss : rule::LossRegistry::instance().names())
      for (const std::string& retention : rule::RetentionRegistry::instance().names())
        for (const std::string& optimizer : rule::OptimizerRegistry::instance().names()) {
          Point p{network, loss, retention, optimizer};
          if (network.rfind("test_", 0) == 0) continue;  // of a case below
          p.window = turn % 3 == 1 ? 3 : 1, p.group = turn % 2 ? 3 : 1, p.read = turn % 5 == 4 ? "before" : "after";
          all.push_back(p);
          ++turn;
        }
  return all;
}

// ---- the rules again, written out --------------------------------------------------------------------------------------------------

inline at::Tensor output_of(const std::string& network, const std::vector<at::Tensor>& w, const at::Tensor& x) {
  auto gelu = [](const at::Tensor& a) { return a * .5 * (1 + (a / std::sqrt(2.)).erf()); };
  auto sigma = [](const at::Tensor& a) { return 1 / (1 + (-a).exp()); };
  if (network == "linear") return x.matmul(w[0]);
  if (network == "mlp") return x + gelu(x.matmul(w[0])).matmul(w[1]);
  if (network == "swiglu") return x + (x.matmul(w[0]) * sigma(x.matmul(w[0])) * x.matmul(w[1])).matmul(w[2]);
  if (network == "low_rank") return x.matmul(w[0].matmul(w[1]));
  REQUIRE(network == "gated_residual");
  const at::Tensor g = sigma(x.matmul(w[0]));
  return g * x + (1 - g) * gelu(x.matmul(w[1])).matmul(w[2]);
}

// [B,H] of one token's output and value [B,H,1,V]; δ [B,H,1,1].
inline at::Tensor loss_of(const std::string& loss, const at::Tensor& y, const at::Tensor& v, const at::Tensor& delta) {
  const at::Tensor e = y - v, size = e.abs();
  if (loss == "l2") return e.square().sum({2, 3});
  if (loss == "l2_mean") return e.square().mean(3).squeeze(2);
  if (loss == "dot") return -(y * v).sum({2, 3});
  if (loss == "lp") return at::where(size <= 1, size.pow(3), 3 * size - 2).sum({2, 3});
  REQUIRE(loss == "huber");
  const at::Tensor near = e.square().sum(3, true).sqrt() <= delta;
  return at::where(near, e.square().sum(3, true) / 2, delta * size.sum(3, true) - delta.square() / 2).sum({2, 3});
}

inline at::Tensor weights_of(const std::string& retention, const at::Tensor& x) {
  if (retention == "link") return x.sign() * x.abs().pow(3) / x.pow(4).sum({2, 3}, true).pow(.5);
  if (retention == "softmax") return x.exp() - 1;
  if (retention == "sigmoid") return 2 / (1 + (-x).exp()) - 1;
  return x;
}

inline at::Tensor kept_of(const std::string& retention, const at::Tensor& x, const at::Tensor& alpha, const at::Tensor& step, const at::Tensor& start) {
  const at::Tensor z = (1 - alpha) * x - step;
  if (retention == "initial") return z + alpha * start;
  if (retention == "elastic") return z.sign() * (z.abs() - .001).clamp_min(0);
  if (retention == "softmax") return z - z.flatten(2).logsumexp(2).view({z.size(0), z.size(1), 1, 1}) + std::log(double(z.size(2) * z.size(3)));
  return z;
}

/// One row (B = 1), which alone decides what a group and a window are: steps are those tokens that are some.
struct RowOracle {
  Point p;
  std::vector<at::Tensor> state, momentum, start;
  struct Seen {
    at::Tensor key, value, delta;
  };
  std::vector<Seen> window;  // steps so far

  std::vector<at::Tensor> weights() const {
    std::vector<at::Tensor> w;
    for (const at::Tensor& x : state) w.push_back(weights_of(p.retention, x));
    return w;
  }
  at::Tensor read(const at::Tensor& q) const { return output_of(p.network, weights(), q); }
  at::Tensor loss_at(const std::vector<at::Tensor>& w, const Seen& seen) const {
    return loss_of(p.loss, output_of(p.network, w, seen.key), seen.value, seen.delta);
  }

  /// Tokens first … first + n − 1 of the row's input as one step.
  void step(const MemoryInput& in, int64_t first, int64_t n) {
    auto gate = [&](const char* name, int64_t t, size_t l) {
      const at::Tensor x = in.gate(name).narrow(2, t, 1);
      return x.size(3) == 1 ? x : x.narrow(3, int64_t(l), 1);
    };
    const int64_t last = first + n - 1;
    std::vector<at::Tensor> sum;
    for (const at::Tensor& x : state) sum.push_back(at::zeros_like(x));
    bool any = false;
    for (int64_t t = first; t <= last; ++t) {
      if (in.step.defined() && !in.step[0][t].item<bool>()) continue;
      any = true;
      window.push_back({in.key.narrow(2, t, 1), in.value.narrow(2, t, 1), p.loss == "huber" ? gate("delta", t, 0) : at::Tensor()});
      std::vector<at::Tensor> w;
      for (const at::Tensor& x : weights()) w.push_back(leaf(x));
      at::AutoGradMode grad(true);
      at::Tensor total;
      for (int64_t back = 0; back < p.window && back < int64_t(window.size()); ++back) {
        at::Tensor l = loss_at(w, window[window.size() - 1 - size_t(back)]);
        if (p.window > 1) l = l * in.gate("gamma").select(2, t).select(2, p.window - 1 - back);
        total = total.defined() ? total + l : l;
      }
      const std::vector<at::Tensor> g = torch::autograd::grad({total.sum()}, w);
      for (size_t l = 0; l < w.size(); ++l) {
        at::Tensor theta = p.optimizer == "muon" ? at::ones({1, 1, 1, 1}, at::kDouble) : gate("theta", t, l);
        if (p.optimizer == "momentum" && p.damping) theta = theta * (1 - gate("eta", last, l));
        sum[l] = sum[l] + theta * g[l];
      }
    }
    if (!any) return;
    for (size_t l = 0; l < state.size(); ++l) {
      at::Tensor step = sum[l];
      if (p.optimizer != "sgd") step = momentum[l] = gate("eta", last, l) * momentum[l] + step;
      if (p.optimizer == "muon") step = gate("theta", last, l) * newton_schulz(step);
      state[l] = kept_of(p.retention, state[l], gate("alpha", last, l), step, start[l]);
    }
  }
};

inline MemoryInput row_of(const MemoryInput& in, int64_t b) {
  MemoryInput row{in.query.narrow(0, b, 1), in.key.narrow(0, b, 1), in.value.narrow(0, b, 1)};
  for (const auto& [name, x] : in.gates) row.gates[name] = x.narrow(0, b, 1);
  if (in.step.defined()) row.step = in.step.narrow(0, b, 1);
  return row;
}

inline const std::map<std::string, std::vector<std::string>>& matrix_names() {
  static const std::map<std::string, std::vector<std::string>> names{{"linear", {""}},
                                                                     {"mlp", {"_in", "_out"}},
                                                                     {"swiglu", {"_gate", "_up", "_down"}},
                                                                     {"gated_residual", {"_gate", "_in", "_out"}},
                                                                     {"low_rank", {"_left", "_right"}}};
  return names;
}

/// Of parts that are written out here; new ones are held to everything else.
inline bool written_out(const Point& p) {
  auto any = [](const std::string& name, std::initializer_list<const char*> list) { return std::find(list.begin(), list.end(), name) != list.end(); };
  return matrix_names().count(p.network) && any(p.loss, {"l2", "l2_mean", "dot", "lp", "huber"}) &&
         any(p.retention, {"l2", "initial", "elastic", "link", "softmax", "sigmoid"}) && any(p.optimizer, {"sgd", "momentum", "muon"});
}

inline std::string state_of(const std::string& retention) {
  return retention == "link" ? "steps" : retention == "softmax" ? "log_weights" : retention == "sigmoid" ? "logits" : "weights";
}

inline void require_follows_oracle(const Point& p, Memory& memory, const MemoryInput& in) {
  State start, state;
  memory.start(start, kRows);
  at::Tensor losses;
  MemoryInput measured = in;
  measured.losses = &losses;
  const at::Tensor reads = memory.forward(measured, state);
  const int64_t T = in.key.size(2), g = p.group;
  for (int64_t b = 0; b < kRows; ++b) {
    const MemoryInput row = row_of(in, b);
    RowOracle oracle{p, {}, {}, {}, {}};
    for (const std::string& name : matrix_names().at(p.network)) {
      oracle.start.push_back(start.tensor(state_of(p.retention) + name).narrow(0, b, 1).clone());
      oracle.momentum.push_back(at::zeros_like(oracle.start.back()));
    }
    oracle.state = oracle.start;
    std::vector<at::Tensor> expected, expected_losses;
    for (int64_t t = 0; t < T; ++t) {
      if (p.read == "before") expected.push_back(oracle.read(row.query.narrow(2, t, 1)));
      expected_losses.push_back(oracle.loss_at(oracle.weights(), {row.key.narrow(2, t, 1), row.value.narrow(2, t, 1),
                                                                  p.loss == "huber" ? row.gate("delta").narrow(2, t, 1) : at::Tensor()}));
      if ((t + 1) % g == 0) oracle.step(row, t + 1 - g, g);
      if (p.read == "after") expected.push_back(oracle.read(row.query.narrow(2, t, 1)));
    }
    REQUIRE(relative_error(reads.narrow(0, b, 1), at::cat(expected, 2)) < 1e-9);
    REQUIRE(relative_error(losses.narrow(0, b, 1), at::stack(expected_losses, 2)) < 1e-9);
    size_t l = 0;
    for (const std::string& name : matrix_names().at(p.network))
      REQUIRE(relative_error(state.tensor(state_of(p.retention) + name).narrow(0, b, 1), oracle.state[l++]) < 1e-9);
  }
}

}  // namespace mneme::test
