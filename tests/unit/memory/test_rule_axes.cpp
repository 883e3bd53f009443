// Rules on four axes (src/memory/rule/): every network's and loss's gradient against autograd; splits at every point of network × loss ×
// retention × optimizer, and of a quarter of them, spread over all, the rule written out again, one token at a time or in groups, with a
// window and masked tokens; outer gradients; identities with the linear memory; what cannot be chosen.
#include "tests/support/memory_options.h"
#include "tests/support/tensors.h"

#include <algorithm>

#include "base/text.h"
#include "config/fields.h"
#include "config/resolve.h"
#include "memory/rule/loss.h"
#include "memory/rule/network.h"
#include "memory/rule/optimizer.h"
#include "memory/rule/retention.h"
#include "memory/rule_memory.h"
#include "mneme/memory.h"
#include "mneme/model.h"
#include "nn/row_norm.h"

using namespace mneme;
using namespace mneme::test;
using Catch::Contains;

namespace {

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

std::shared_ptr<Memory> make_point(const Point& p, int64_t width = kWidth) {
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

MemoryInput point_input(const Memory& memory, int64_t T, int64_t width = kWidth) {
  const std::map<std::string, std::pair<double, double>> range{
      {"theta", {.02, .1}}, {"alpha", {0, .3}}, {"eta", {.1, .6}}, {"gamma", {.1, 1}}, {"delta", {.5, 2}}};
  MemoryInput in{nn::l2_normalize(normal({kRows, kHeads, T, width})), nn::l2_normalize(normal({kRows, kHeads, T, width})), normal({kRows, kHeads, T, width})};
  for (const Gate& g : memory.gates()) in.gates[g.name] = uniform({kRows, kHeads, T, g.copies}, range.at(g.name).first, range.at(g.name).second);
  return in;
}

/// Every point there is, the window, group and reads in turn.
std::vector<Point> points() {
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

at::Tensor output_of(const std::string& network, const std::vector<at::Tensor>& w, const at::Tensor& x) {
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
at::Tensor loss_of(const std::string& loss, const at::Tensor& y, const at::Tensor& v, const at::Tensor& delta) {
  const at::Tensor e = y - v, size = e.abs();
  if (loss == "l2") return e.square().sum({2, 3});
  if (loss == "l2_mean") return e.square().mean(3).squeeze(2);
  if (loss == "dot") return -(y * v).sum({2, 3});
  if (loss == "lp") return at::where(size <= 1, size.pow(3), 3 * size - 2).sum({2, 3});
  REQUIRE(loss == "huber");
  const at::Tensor near = e.square().sum(3, true).sqrt() <= delta;
  return at::where(near, e.square().sum(3, true) / 2, delta * size.sum(3, true) - delta.square() / 2).sum({2, 3});
}

at::Tensor weights_of(const std::string& retention, const at::Tensor& x) {
  if (retention == "link") return x.sign() * x.abs().pow(3) / x.pow(4).sum({2, 3}, true).pow(.5);
  if (retention == "softmax") return x.exp() - 1;
  if (retention == "sigmoid") return 2 / (1 + (-x).exp()) - 1;
  return x;
}

at::Tensor kept_of(const std::string& retention, const at::Tensor& x, const at::Tensor& alpha, const at::Tensor& step, const at::Tensor& start) {
  const at::Tensor z = (1 - alpha) * x - step;
  if (retention == "initial") return z + alpha * start;
  if (retention == "elastic") return z.sign() * (z.abs() - .001).clamp_min(0);
  if (retention == "softmax") return z - z.flatten(2).logsumexp(2).view({z.size(0), z.size(1), 1, 1}) + std::log(double(z.size(2) * z.size(3)));
  return z;
}

at::Tensor muon_of(const at::Tensor& S) {
  at::Tensor X = S / (S.square().sum({2, 3}, true).sqrt() + 1e-7);
  for (int i = 0; i < 5; ++i) {
    const at::Tensor A = X.matmul(X.transpose(2, 3));
    X = 3.4445 * X - 4.7750 * A.matmul(X) + 2.0315 * A.matmul(A).matmul(X);
  }
  return X;
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
      if (p.optimizer == "muon") step = gate("theta", last, l) * muon_of(step);
      state[l] = kept_of(p.retention, state[l], gate("alpha", last, l), step, start[l]);
    }
  }
};

MemoryInput row_of(const MemoryInput& in, int64_t b) {
  MemoryInput row{in.query.narrow(0, b, 1), in.key.narrow(0, b, 1), in.value.narrow(0, b, 1)};
  for (const auto& [name, x] : in.gates) row.gates[name] = x.narrow(0, b, 1);
  if (in.step.defined()) row.step = in.step.narrow(0, b, 1);
  return row;
}

const std::map<std::string, std::vector<std::string>>& matrix_names() {
  static const std::map<std::string, std::vector<std::string>> names{{"linear", {""}},
                                                                     {"mlp", {"_in", "_out"}},
                                                                     {"swiglu", {"_gate", "_up", "_down"}},
                                                                     {"gated_residual", {"_gate", "_in", "_out"}},
                                                                     {"low_rank", {"_left", "_right"}}};
  return names;
}

/// Of parts that are written out here; new ones are held to everything else.
bool written_out(const Point& p) {
  auto any = [](const std::string& name, std::initializer_list<const char*> list) { return std::find(list.begin(), list.end(), name) != list.end(); };
  return matrix_names().count(p.network) && any(p.loss, {"l2", "l2_mean", "dot", "lp", "huber"}) &&
         any(p.retention, {"l2", "initial", "elastic", "link", "softmax", "sigmoid"}) && any(p.optimizer, {"sgd", "momentum", "muon"});
}

std::string state_of(const std::string& retention) {
  return retention == "link" ? "steps" : retention == "softmax" ? "log_weights" : retention == "sigmoid" ? "logits" : "weights";
}

void require_follows_oracle(const Point& p, Memory& memory, const MemoryInput& in) {
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

/// M without its closed form.
class Opaque : public rule::Network {
 public:
  explicit Opaque(std::shared_ptr<rule::Network> inner) : inner_(std::move(inner)) {}
  std::vector<Matrix> matrices() const override { return inner_->matrices(); }
  at::Tensor apply(const rule::Matrices& weights, const at::Tensor& rows) const override { return inner_->apply(weights, rows); }

 private:
  std::shared_ptr<rule::Network> inner_;
};

template <class Part>
std::shared_ptr<Part> make_part(const std::string& name, const std::string& option = "", const std::string& text = "") {
  register_memories();
  const auto& plugin = Registry<rule::Plugin<Part>>::instance().get(name);
  const std::shared_ptr<Options> own = plugin.options ? plugin.options() : nullptr;
  if (own)
    for (Field& field : fields_of(*own, ""))
      if (field.key == option) REQUIRE(field.parse(text).empty());
  const MemoryOptions memory;
  return plugin.make({memory, own, kHeads, kWidth, kWidth, at::make_generator<at::CPUGeneratorImpl>(3),
                      [](const std::string&, const at::Tensor& x) { return x.to(at::kDouble); }});
}

}  // namespace

TEST_CASE("rule: every network's closed form is the gradient, and so are its derivatives", "[memory][rule]") {
  register_memories();
  std::vector<std::pair<std::string, std::pair<std::string, std::string>>> all{{"linear", {"features", "polynomial"}}, {"mlp", {"expansion", "2"}}};
  for (const std::string& name : rule::NetworkRegistry::instance().names()) all.push_back({name, {}});
  for (const auto& [name, option] : all) {
    INFO(name << " " << option.first);
    torch::manual_seed(1);
    const auto network = make_part<rule::Network>(name, option.first, option.second);
    const Opaque opaque(network);
    std::vector<at::Tensor> values{nn::l2_normalize(normal({kRows, kHeads, 5, kWidth})), normal({kRows, kHeads, 5, kWidth})};
    for (const auto& matrix : network->matrices())
      values.push_back(normal(matrix.initial.unsqueeze(0).expand({kRows, -1, -1, -1}).sizes()) * .5);
    values.push_back(uniform({kRows, kHeads, 5, int64_t(network->matrices().size())}, .1, 1));
    auto by = [&](const rule::Network& net) {
      return [&net](const std::vector<at::Tensor>& x) {
        const rule::Matrices weights(x.begin() + 2, x.end() - 1);
        return net.gradient(weights, x[0], net.apply(weights, x[0]) * x[1], x.back());  // errors depend on the weights, as a loss's do
      };
    };
    require_same(by(*network), by(opaque), values, kExact, kExactGradient);

    // The autograd form itself, against differences of Σ s e·M(k), and where nothing is recorded.
    at::NoGradGuard no_grad;
    rule::Matrices weights(values.begin() + 2, values.end() - 1);
    const rule::Matrices found = opaque.gradient(weights, values[0], values[1], values.back());
    for (size_t l = 0; l < weights.size(); ++l) {
      const at::Tensor direction = normal(weights[l].sizes()), at_start = weights[l];
      auto sum = [&](double h) {
        weights[l] = at_start + h * direction;
        return (network->apply(weights, values[0]) * values[1] * values.back().narrow(3, int64_t(l), 1)).sum().item<double>();
      };
      const double expected = (8 * (sum(1e-4) - sum(-1e-4)) - (sum(2e-4) - sum(-2e-4))) / 12e-4;
      weights[l] = at_start;
      REQUIRE((found[l] * direction).sum().item<double>() == Approx(expected).epsilon(1e-8).margin(1e-8));
    }
  }
}

TEST_CASE("rule: every loss's slope is its gradient", "[memory][rule]") {
  register_memories();
  std::vector<std::pair<std::string, std::pair<std::string, std::string>>> all{
      {"huber", {"form", "coordinate"}}, {"huber", {"form", "norm"}}, {"huber", {"delta", "0.7"}}, {"lp", {"p", "1.5"}}, {"lp", {"error_limit", "0"}}};
  for (const std::string& name : rule::LossRegistry::instance().names()) all.push_back({name, {}});
  for (const auto& [name, option] : all) {
    INFO(name << " " << option.first << " " << option.second);
    torch::manual_seed(2);
    const auto loss = make_part<rule::Loss>(name, option.first, option.second);
    const at::Tensor outputs = leaf(normal({kRows, kHeads, 9, kWidth})), values = normal(outputs.sizes());
    rule::Tensors gates;
    for (const Gate& gate : loss->gates()) gates[gate.name] = uniform({kRows, kHeads, 9, gate.copies}, .5, 3);
    const rule::Loss::Value found = loss->of(outputs, values, gates);
    REQUIRE(found.loss.sizes() == at::IntArrayRef({kRows, kHeads, 9}));
    REQUIRE(relative_error(found.slope, torch::autograd::grad({found.loss.sum()}, {outputs})[0]) < kExact);
  }
}

TEST_CASE("rule: any split of a call is one call at every point, and points follow the rule as written, in groups and windows too", "[memory][rule]") {
  at::NoGradGuard no_grad;
  int64_t number = 0;
  for (const Point& p : points()) {
    INFO(p.name());
    torch::manual_seed(3);
    const auto memory = make_point(p);
    MemoryInput in = point_input(*memory, 8);
    if (p.group > 1) {  // one token of a group, a whole group of a row
      in.step = at::ones({kRows, 8}, at::kBool);
      in.step[0].narrow(0, 1, 1).fill_(false), in.step[1].narrow(0, 3, 3).fill_(false);
    }
    if (number++ * 7 % 11 < 3 && written_out(p)) require_follows_oracle(p, *memory, in);  // the loop by autograd takes its time
    State whole, state;
    const at::Tensor reads = memory->forward(in, whole);
    std::vector<at::Tensor> parts;
    int64_t first = 0;
    for (const int64_t n : {1, 1, 0, 3, 3}) parts.push_back(memory->forward(part(in, first, n), state)), first += n;
    REQUIRE(relative_error(at::cat(parts, 2), reads) < kExact);
    require_same_state(state, whole, kExact);
    // Frozen weights read as the state does, and nothing of what waits belongs to them.
    State held = memory->readable(state);
    REQUIRE(relative_error(memory->read(in.query, held), memory->read(in.query, state)) == 0);
    REQUIRE(!held.has("pending_key"));
  }
}

TEST_CASE("rule: a token that is no step leaves everything, and a group of none too", "[memory][rule]") {
  at::NoGradGuard no_grad;
  for (const int64_t group : {1, 2})
    for (const std::string optimizer : {"sgd", "momentum", "muon"}) {
      const Point p{"mlp", "huber", "softmax", optimizer, 3, group};
      INFO(p.name());
      torch::manual_seed(4);
      const auto memory = make_point(p);
      State state;
      memory->forward(point_input(*memory, 6), state);
      const State before = state.clone();
      MemoryInput none = point_input(*memory, 4);
      none.step = at::zeros({kRows, 4}, at::kBool);
      memory->forward(none, state);
      for (const auto& [name, x] : before.flatten())
        if (name != "position" && name.rfind("pending_", 0) != 0) REQUIRE(at::equal(state.tensor(name), x));
    }
}

TEST_CASE("rule: outer gradients agree with finite differences", "[memory][rule][gradient]") {
  const std::vector<Point> sample{{"mlp", "huber", "initial", "momentum", 1, 1},
                                  {"swiglu", "l2", "l2", "sgd", 3, 2},
                                  {"gated_residual", "lp", "sigmoid", "momentum", 1, 2},
                                  {"low_rank", "l2_mean", "softmax", "sgd", 2, 3},
                                  {"linear", "dot", "link", "momentum", 1, 2},
                                  {"linear", "huber", "l2", "muon", 2, 2, "before", {{"linear.features", "polynomial"}}}};
  for (const Point& p : sample) {
    INFO(p.name());
    torch::manual_seed(5);
    const auto memory = make_point(p, 3);
    MemoryInput in = point_input(*memory, 5, 3);
    in.step = at::ones({kRows, 5}, at::kBool);
    in.step[0][1].fill_(false);
    std::vector<std::pair<std::string, at::Tensor>> leaves{{"query", in.query}, {"key", in.key}, {"value", in.value}};
    for (auto& [name, x] : in.gates) leaves.push_back({"gate " + name, x});
    for (auto& x : memory->named_parameters()) leaves.push_back({"parameter " + x.key(), x.value()});
    auto loss = [&] {  // two calls: what waits between them carries gradients too
      State state;
      const at::Tensor reads = at::cat({memory->forward(part(in, 0, 3), state), memory->forward(part(in, 3, 2), state)}, 2);
      return (reads * at::linspace(-1, 2, reads.numel(), at::kDouble).view_as(reads)).sum();
    };
    std::vector<at::Tensor> all;
    for (auto& [name, x] : leaves) all.push_back(x.requires_grad_(true));
    const std::vector<at::Tensor> found = torch::autograd::grad({loss()}, all, {}, false, false, true);
    at::NoGradGuard no_grad;
    for (size_t i = 0; i < all.size(); ++i) {
      INFO(leaves[i].first);
      at::Tensor x = all[i];
      const at::Tensor old = x.clone(), direction = normal(x.sizes());
      auto at_offset = [&](double h) {
        x.copy_(old + h * direction);
        return loss().item<double>();
      };
      const double expected = (8 * (at_offset(1e-5) - at_offset(-1e-5)) - (at_offset(2e-5) - at_offset(-2e-5))) / 12e-5;
      x.copy_(old);
      const double derivative = found[i].defined() ? (found[i] * direction).sum().item<double>() : 0;
      REQUIRE(derivative == Approx(expected).epsilon(1e-5).margin(1e-6));
    }
  }
}

TEST_CASE("rule: a matrix, squares and momentum are the linear memory, in groups and with forgetting to its start", "[memory][rule]") {
  at::NoGradGuard no_grad;
  for (const int64_t group : {1, 3})
    for (const std::string retention : {"l2", "initial"})
      for (const bool damping : {true, false}) {
        Point p{"linear", "l2", retention, "momentum", 1, group};
        p.damping = damping;
        INFO(p.name());
        torch::manual_seed(6);
        const auto memory = make_point(p);
        MemoryOptions options;
        options.kind = "linear", options.group = group, options.momentum_damping = damping;
        options.retention_target = retention == "initial" ? "init" : "zero", options.own = MemoryRegistry::instance().get("linear").options();
        const auto linear = MemoryRegistry::instance().get("linear").make({options, kHeads, kWidth, kWidth, {}});
        linear->to(at::kDouble);
        linear->named_parameters()["weights_0"].copy_(memory->named_parameters()["start"]);
        const MemoryInput in = point_input(*memory, 11);
        State a, b;
        REQUIRE(relative_error(memory->forward(in, a), linear->forward(in, b)) < kExact);
        REQUIRE(relative_error(a.tensor("weights"), b.tensor("weights_0")) < kExact);
        REQUIRE(relative_error(a.tensor("momentum"), -b.tensor("momentum_0")) < kExact);
      }
}

TEST_CASE("rule: a network without a closed form is differentiated, outer gradients too", "[memory][rule][gradient]") {
  register_memories();
  if (!rule::NetworkRegistry::instance().find("test_opaque"))
    rule::NetworkRegistry::instance().add({.name = "test_opaque", .summary = "mlp, its closed form hidden", .make = [](const rule::Context& c) {
                                             return std::make_shared<Opaque>(rule::NetworkRegistry::instance().get("mlp").make(
                                                 {c.memory, nullptr, c.heads, c.key_width, c.value_width, c.generator, c.parameter}));
                                           }});
  const Point plain{"mlp", "l2", "l2", "momentum", 1, 2};
  Point hidden = plain;
  hidden.network = "test_opaque";
  std::vector<std::vector<at::Tensor>> gradients;
  for (const Point& p : {plain, hidden}) {
    torch::manual_seed(7);
    const auto memory = make_point(p);
    MemoryInput in = point_input(*memory, 6);
    in.key.requires_grad_(true), in.value.requires_grad_(true);
    std::vector<at::Tensor> inputs = memory->parameters();
    inputs.push_back(in.key), inputs.push_back(in.value);
    State state, quiet;
    const at::Tensor reads = memory->forward(in, state);
    gradients.push_back(torch::autograd::grad({reads.square().sum()}, inputs));
    gradients.back().push_back(reads.detach());
    at::NoGradGuard no_grad;
    REQUIRE(relative_error(memory->forward(in, quiet), reads.detach()) == 0);
  }
  for (size_t i = 0; i < gradients[0].size(); ++i) REQUIRE(relative_error(gradients[1][i], gradients[0][i]) < kExactGradient);

  // A memory of its own at a point with that part: the same numbers under another name.
  at::NoGradGuard no_grad;
  const MemoryPlugin named = memory::rule_plugin("named", "a point", {.network = "test_opaque", .optimizer = "momentum"});
  MemoryOptions options;
  options.kind = "named", options.group = 2;
  torch::manual_seed(7);
  const auto of_point = make_point(hidden), memory = named.make({options, kHeads, kWidth, kWidth, at::make_generator<at::CPUGeneratorImpl>(3)});
  memory->to(at::kDouble);
  for (auto& x : memory->named_parameters()) x.value().copy_(of_point->named_parameters()[x.key()]);
  const MemoryInput in = point_input(*of_point, 6);
  State a, b;
  REQUIRE(relative_error(memory->forward(in, a), of_point->forward(in, b)) == 0);
}

TEST_CASE("rule: what cannot be chosen is said, with what can", "[memory][rule]") {
  make_plugins_known();
  auto problem = [](const std::string& lines) {
    Settings settings = Settings::from_text("[model]\nkind = lmm\n" + lines, "x.ini");
    std::vector<std::string> problems = try_resolve(settings, DataFiles::may_be_missing).problems;
    std::erase_if(problems, [](const std::string& line) { return line.find("task.kind") != std::string::npos; });  // this program knows none
    return problems.size() == 1 ? problems[0] : std::to_string(problems.size()) + " problems: " + join(problems, " / ");
  };
  const std::string miras = "[memory]\nkind = miras\n[memory.miras]\n";
  CHECK_THAT(problem(miras + "loss = lq"), Contains("memory.miras.loss") && Contains("allowed:") && Contains("huber"));
  CHECK_THAT(problem(miras + "network = mpl"), Contains("memory.miras.network") && Contains("mlp"));
  CHECK_THAT(problem(miras + "lp.p = 2"), Contains("memory.miras.lp.p") && Contains("set memory.miras.loss = lp or leave it out"));
  CHECK_THAT(problem(miras + "loss = lp\nlp.p = 9"), Contains("memory.miras.lp.p") && Contains("allowed: 1 … 8"));
  CHECK(problem(miras + "loss = lp\nlp.p = 2\nretention = link\nlink.q = 3\nwindow = 4") == "0 problems: ");
  CHECK(problem("[memory]\nkind = miras\ngroup = 8") == "0 problems: ");
  CHECK(problem("[memory]\nkind = moneta\ngroup = 8\n[memory.moneta]\np = 2\nq = 3") == "0 problems: ");
  CHECK_THAT(problem("[memory]\nkind = miras\nmomentum = false\n[memory.miras]\noptimizer = momentum"), Contains("choose optimizer = sgd"));
  CHECK_THAT(problem("[memory]\nkind = miras\nforgetting = false\n[memory.miras]\nretention = initial"), Contains("choose retention = l2"));
  CHECK_THAT(problem("[memory]\nkind = miras\nexpand_v = 2\n[memory.miras]\nnetwork = swiglu"), Contains("memory.expand_v") && Contains("allowed: 1"));
  CHECK(problem("[memory]\nkind = miras\nmomentum_damping = false\n[memory.miras]\noptimizer = momentum") == "0 problems: ");
  CHECK_THAT(problem("[memory]\nkind = momentum_deltanet\ngroup = 8"), Contains("memory.group"));
  CHECK_THAT(problem("[memory]\nkind = yaad\n[memory.yaad]\nnetwork = mlp"), Contains("memory.yaad.network"));
}
