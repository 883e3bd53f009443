// Rules on four axes (src/memory/rule/): every network's and loss's gradient against autograd; splits at every point of network × loss ×
// retention × optimizer, and of a quarter of them, spread over all, the rule written out again, one token at a time or in groups, with a
// window and masked tokens; outer gradients; identities with the linear memory; what cannot be chosen.
#include "tests/unit/memory/rule_oracle.h"

using namespace mneme;
using namespace mneme::test;
using Catch::Contains;

namespace {

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
    // Frozen weights read as the state does, and hold nothing that reads could do without.
    State held = memory->readable(state);
    REQUIRE(relative_error(memory->read(in.query, held), memory->read(in.query, state)) == 0);
    for (const auto& [name, x] : held.flatten()) {
      if (x.dim() == 0) continue;  // the position
      INFO(name);
      State less = held;
      less.tensor(name) = at::Tensor();
      if (!less.empty()) REQUIRE_THROWS(memory->read(in.query, less));
    }
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
