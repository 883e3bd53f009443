// What test_zoo_nonlinear.cpp compares the memories with that are not linear in their state: inputs and numbers of the worked examples (three
// tokens of width 2), and the rules again, their inner gradients by autograd.
#pragma once

#include "tests/support/memory_options.h"
#include "tests/support/tensors.h"
#include "tests/unit/memory/newton_schulz.h"

#include "mneme/memory.h"
#include "mneme/model.h"
#include "mneme/random.h"
#include "nn/row_norm.h"

namespace mneme::test {

using OwnOptions = std::vector<std::pair<std::string, std::string>>;
struct Kind {
  std::string kind;
  OwnOptions own = {};
  std::string read = "after";
  bool forgetting = true, momentum = true;
  std::string name() const {
    std::string all = kind + " read " + read;
    for (const auto& [key, text] : own) all += " " + key + "=" + text;
    return all;
  }
  std::string get(const std::string& key, const std::string& otherwise) const {
    for (const auto& [name_of, text] : own)
      if (name_of == key) return text;
    return otherwise;
  }
};

// Every kind and every form of its rule.
inline std::vector<Kind> kinds() {
  return {{"moneta"},
          {"moneta", {{"link", "printed"}, {"error_limit", "0"}}},
          {"moneta", {{"p", "1.5"}, {"q", "3"}}},
          {"yaad"},
          {"yaad", {{"form", "coordinate"}}},
          {"yaad", {{"form", "norm"}}},
          {"yaad", {{"form", "norm"}, {"delta", "0.7"}}, "before"},
          {"memora"},
          {"memora", {{"over", "row"}, {"c", "3"}, {"signed", "false"}}, "before"},
          {"elastic", {{"gamma", "0.01"}}},
          {"omega"},
          {"omega", {{"window", "1"}}},
          {"omega", {{"window", "3"}, {"features", "polynomial"}}, "before"},
          {"atlas"},
          {"atlas", {{"window", "2"}, {"features", "polynomial"}}}};
}

inline std::shared_ptr<Memory> make(const Kind& k, int64_t H, int64_t K, int64_t V, at::ScalarType dtype = at::kDouble) {
  register_memories();
  const MemoryPlugin& plugin = MemoryRegistry::instance().get(k.kind);
  MemoryOptions options;
  options.kind = k.kind, options.read = k.read, options.forgetting = k.forgetting, options.momentum = k.momentum;
  if (plugin.options) options.own = plugin.options();
  for (const auto& [name, text] : k.own) set_own(options, name, text);
  Problems problems;
  if (options.own) options.own->check("", problems);
  plugin.check(options, problems);
  REQUIRE(problems.empty());
  options.clip = 1;  // means nothing here
  plugin.check(options, problems);
  REQUIRE(problems.list().size() == 1);
  options.clip = 0;
  auto memory = plugin.make({options, H, K, V, at::make_generator<at::CPUGeneratorImpl>(3)});
  memory->to(dtype);
  return memory;
}

inline MemoryInput random_input(const Memory& memory, int64_t B, int64_t H, int64_t T, int64_t K, int64_t V) {
  MemoryInput in{nn::l2_normalize(normal({B, H, T, K})), nn::l2_normalize(normal({B, H, T, K})), normal({B, H, T, V})};
  for (const Gate& g : memory.gates()) {
    const std::map<std::string, std::pair<double, double>> range{
        {"theta", {.02, .2}}, {"alpha", {0, .3}}, {"eta", {.1, .8}}, {"gamma", {.1, 1}}, {"delta", {.5, 3}}};
    in.gates[g.name] = uniform({B, H, T, g.copies}, range.at(g.name).first, range.at(g.name).second);
  }
  return in;
}

// A state that is not the start: a memory after some tokens.
inline State used_state(Memory& memory, int64_t B, int64_t H, int64_t K, int64_t V) {
  at::NoGradGuard no_grad;
  State state;
  memory.forward(random_input(memory, B, H, 5, K, V), state);
  return state;
}

// ---- worked numbers ----------------------------------------------------------------------------------------------------------------

inline at::Tensor numbers(std::vector<double> x, at::IntArrayRef sizes) { return at::tensor(x, at::kDouble).view(sizes); }

const std::vector<double> kStart{.1, .3, -.2, .05};  // [K,V] of M_0 = [.1 −.2; .3 .05]

inline MemoryInput worked_input(const Memory& memory, double step_scale = 1, const std::vector<double>& gamma = {.5, 1}) {
  MemoryInput in{numbers({.8, .6, .8, .6, .8, .6}, {1, 1, 3, 2}), numbers({1, 0, .6, .8, 0, 1}, {1, 1, 3, 2}),
                 numbers({1, -1, .5, 2, -1, .25}, {1, 1, 3, 2})};
  const at::Tensor theta = numbers({.5, .4, .3}, {1, 1, 3, 1}) * step_scale, alpha = 1 - numbers({.9, .8, .95}, {1, 1, 3, 1});
  const std::map<std::string, at::Tensor> all{{"theta", theta}, {"alpha", alpha}, {"eta", numbers({.7, .6, .5}, {1, 1, 3, 1})},
                                              {"gamma", at::tensor(gamma, at::kDouble).view({1, 1, 1, -1}).expand({1, 1, 3, -1})},
                                              {"delta", at::ones({1, 1, 3, 1}, at::kDouble)}};
  for (const Gate& g : memory.gates()) in.gates[g.name] = all.at(g.name);
  return in;
}

// M [V,K] after the three tokens, from what `start` makes of the fresh state.
inline at::Tensor worked(const Kind& k, const std::string& name, const at::Tensor& start, double step_scale = 1) {
  at::NoGradGuard no_grad;
  const auto memory = make(k, 1, 2, 2);
  State state;
  memory->start(state, 1);
  state.tensor(name) = start.view({1, 1, 2, 2});
  memory->forward(worked_input(*memory, step_scale), state);
  return memory->read(at::eye(2, at::kDouble).view({1, 1, 2, 2}), state)[0][0].transpose(0, 1);
}

inline void require_numbers(const at::Tensor& found, std::vector<double> expected) {
  const at::Tensor x = numbers(expected, {int64_t(expected.size())});
  INFO(found.reshape({-1}) << " against " << x);
  REQUIRE((found.reshape({-1}) - x).abs().max().item<double>() < 1e-9);
}

// ---- the rules again, their inner gradients by autograd ------------------------------------------------------------------------------

inline at::Tensor gradient_of(const std::function<at::Tensor(const at::Tensor&)>& loss, const at::Tensor& W) {
  at::AutoGradMode grad(true);
  const at::Tensor x = leaf(W);
  return torch::autograd::grad({loss(x).sum()}, {x})[0];
}

inline at::Tensor huber(const at::Tensor& size, const at::Tensor& delta) {
  return at::where(size <= delta, size.square() / 2, delta * (size - delta / 2));
}

// φ(x) with all K² products. [B,H,n,K] → [B,H,n,1 + K + K²]
inline at::Tensor all_products(const at::Tensor& x) {
  return at::cat({at::ones_like(x.narrow(3, 0, 1)), x, (x.unsqueeze(4) * x.unsqueeze(3)).flatten(3) * std::sqrt(.5)}, 3);
}

struct Oracle {
  Kind k;
  at::Tensor W;  // the state: A of moneta, W of the others (memora: not its logarithm)
  at::Tensor S;
  std::vector<at::Tensor> keys, values;

  double number(const std::string& key, const std::string& otherwise) const { return std::stod(k.get(key, otherwise)); }

  at::Tensor link(const at::Tensor& A) const {
    const double q = number("q", "4");
    const at::Tensor norm = A.abs().pow(q).sum({2, 3}, true).pow((q - 2) / q);
    return k.get("link", "norm") == "printed" ? A / norm : A.sign() * A.abs().pow(q - 1) / norm;
  }
  double uniform() const {
    if (k.get("signed", "true") == "false") return 0;
    const double n = double(k.get("over", "all") == "all" ? W.size(2) * W.size(3) : W.size(2)), c = number("c", "0");
    return (c > 0 ? c : n) / n;
  }
  bool polynomial() const { return k.get("features", "none") == "polynomial"; }
  at::Tensor features(const at::Tensor& x) const { return polynomial() ? all_products(x) : x; }
  at::Tensor map() const { return k.kind == "moneta" ? link(W) : k.kind == "memora" ? W - uniform() : W; }
  at::Tensor read(const at::Tensor& q) const { return features(q).matmul(map()); }

  // One token, key [B,H,1,K]; its loss [B,H].
  at::Tensor step(const at::Tensor& key, const at::Tensor& value, std::map<std::string, at::Tensor> gates) {
    const at::Tensor a = 1 - gates.at("alpha"), h = gates.at("theta");
    auto error = [&](const at::Tensor& M) { return key.matmul(M) - value; };
    auto squares = [&](const at::Tensor& M) { return error(M).square().sum({2, 3}); };
    if (k.kind == "moneta") {
      const double p = number("p", "3"), limit = number("error_limit", "1");
      auto loss = [&](const at::Tensor& M) {
        const at::Tensor e = error(M).abs();
        if (limit == 0) return e.pow(p).sum({2, 3});
        return at::where(e <= limit, e.pow(p), std::pow(limit, p) + p * std::pow(limit, p - 1) * (e - limit)).sum({2, 3});
      };
      const at::Tensor M = map(), l = loss(M);
      W = a * W - h * gradient_of(loss, M);
      return l;
    }
    if (k.kind == "yaad") {
      const std::string form = k.get("form", "mixture");
      const at::Tensor delta = number("delta", "0") > 0 ? at::full({1, 1, 1, 1}, number("delta", "0"), at::kDouble) : gates.at("delta");
      auto loss = [&](const at::Tensor& M) {
        const at::Tensor e = error(M), n = e.square().sum(3, true).sqrt();
        if (form == "coordinate") return huber(e.abs(), delta).sum({2, 3});
        if (form == "norm") return huber(n, delta).sum({2, 3});
        return at::where(n <= delta, e.square().sum(3, true) / 2, delta * e.abs().sum(3, true) - delta.square() / 2).sum({2, 3});
      };
      const at::Tensor l = loss(W);
      W = a * W - h * gradient_of(loss, W);
      return l;
    }
    if (k.kind == "memora") {
      const bool all = k.get("over", "all") == "all";
      const double n = double(all ? W.size(2) * W.size(3) : W.size(2)), c = number("c", "0") > 0 ? number("c", "0") : n;
      const at::Tensor l = squares(map()), z = a * W.log() - h * gradient_of(squares, map());
      W = c * (all ? z.flatten(2).softmax(2).view_as(z) : z.softmax(2));
      return l;
    }
    if (k.kind == "elastic") {
      const at::Tensor l = squares(W), z = a * W - h * gradient_of(squares, W);
      W = z.sign() * (z.abs() - number("gamma", "0.001")).clamp_min(0);
      return l;
    }
    const int64_t c = int64_t(number("window", "4"));
    keys.push_back(features(key)), values.push_back(value);
    auto loss = [&](const at::Tensor& M) {
      at::Tensor sum = at::zeros({M.size(0), M.size(1)}, M.options());
      const int64_t t = int64_t(keys.size()) - 1;
      for (int64_t i = std::max<int64_t>(0, t - c + 1); i <= t; ++i) {
        const at::Tensor l = (keys[i].matmul(M) - values[i]).square().sum({2, 3});
        sum = sum + (c == 1 ? l : l * gates.at("gamma").select(3, c - 1 - (t - i)).squeeze(2));
      }
      return sum;
    };
    const at::Tensor l = (keys.back().matmul(W) - value).square().sum({2, 3}), G = gradient_of(loss, W);
    if (k.kind == "omega") W = a * W - h * G;
    else S = S.defined() ? gates.at("eta") * S + G : G, W = a * W - h * newton_schulz(S);
    return l;
  }
};

}  // namespace mneme::test
