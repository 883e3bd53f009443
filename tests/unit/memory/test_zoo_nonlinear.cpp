// Memories that are not linear in their state — moneta, yaad, memora, elastic, omega, atlas — through their registry: worked numbers, their
// step against autograd of the loss as written here, what they are equal to in special cases, cuts, masks, reads, outer gradients, streams.
#include "tests/unit/memory/zoo_nonlinear_oracle.h"

using namespace mneme;
using namespace mneme::test;

TEST_CASE("zoo: the worked numbers", "[memory][zoo]") {
  const at::Tensor start = numbers(kStart, {2, 2}), zero = at::zeros({2, 2}, at::kDouble);
  const OwnOptions p34{{"p", "3"}, {"q", "4"}, {"error_limit", "0"}};
  auto with = [](OwnOptions own, const std::string& name, const std::string& text) {
    own.push_back({name, text});
    return own;
  };
  require_numbers(worked({"moneta", with(p34, "link", "printed")}, "steps", start, .1), {.0512929508, -.1129718536, -.7641501333, .2976152629});
  require_numbers(worked({"moneta", with(p34, "link", "norm")}, "steps", start, .1), {.0386076265, -.0468033661, .1343350059, .332529693});
  for (const char* delta : {"0", "1"}) {  // a gate, fixed
    require_numbers(worked({"yaad", {{"form", "coordinate"}, {"delta", delta}}}, "weights", start), {.48336, -.32704, .0532, .3064});
    require_numbers(worked({"yaad", {{"form", "norm"}, {"delta", delta}}}, "weights", start), {.3304103732, -.3518991189, .1161378309, .3021769283});
    require_numbers(worked({"yaad", {{"form", "mixture"}, {"delta", delta}}}, "weights", start), {.6764, -.1328, .0532, .0382});
  }
  require_numbers(worked({"memora", {{"over", "all"}, {"c", "4"}, {"signed", "false"}}}, "log_weights", zero),
                  {1.4303531583, .4563500396, .8383963584, 1.2749004437});
  require_numbers(worked({"memora", {{"over", "row"}, {"c", "1"}, {"signed", "false"}}}, "log_weights", zero - std::log(2.)),
                  {.7761601421, .2238398579, .269562889, .730437111});
  require_numbers(worked({"elastic", {{"gamma", "0.1"}}}, "weights", start), {.49508, -.5, .264648, .587992});
  require_numbers(worked({"omega", {{"window", "2"}}}, "weights", start), {.796568, -.615776, .476696, .83524});
  require_numbers(worked({"omega", {{"window", "1"}}}, "weights", start), {.7752, -.6392, .394592, .740968});
  require_numbers(worked({"atlas", {{"window", "2"}}}, "weights", start), {.7090376579, -.1572704153, .112239563, .6533644094});
}

TEST_CASE("zoo: the worked numbers of polynomial features and of NS5 alone", "[memory][zoo]") {
  at::NoGradGuard no_grad;
  const auto omega = make({"omega", {{"window", "2"}, {"features", "polynomial"}}}, 1, 2, 2);
  State state;
  omega->start(state, 1);
  REQUIRE(state.tensor("weights").sizes() == at::IntArrayRef({1, 1, 6, 2}));  // 1 + 2 + 3
  state.tensor("weights") = state.tensor("weights").clone();
  state.tensor("weights").narrow(2, 1, 2).copy_(numbers(kStart, {1, 1, 2, 2}));
  const MemoryInput in = worked_input(*omega);
  const at::Tensor reads = omega->forward(in, state);
  require_numbers(reads.select(2, 2), {.8511351552, -4.0245250304});
  require_numbers(omega->read(in.query.narrow(2, 0, 1), state), {.8511351552, -4.0245250304});

  // Two tokens of Atlas with c = 2, nothing kept of the momentum: the second step is NS5 of −2 (e_1 v_1ᵀ + e_2 v_2ᵀ) = −2 [3 1; 1 2].
  const auto atlas = make({"atlas", {{"window", "2"}}}, 1, 2, 2);
  State other;
  atlas->start(other, 1);
  MemoryInput two{at::eye(2, at::kDouble).view({1, 1, 2, 2}), at::eye(2, at::kDouble).view({1, 1, 2, 2}), numbers({3, 1, 1, 2}, {1, 1, 2, 2})};
  for (const Gate& g : atlas->gates()) two.gates[g.name] = at::ones({1, 1, 2, g.copies}, at::kDouble);
  two.gates["theta"] = numbers({0, 1}, {1, 1, 2, 1}), two.gates["alpha"].zero_(), two.gates["eta"].zero_();
  atlas->forward(two, other);
  // NS5 divides by ‖·‖_F + 1e-7: of twice the matrix, by half of that again. What is left of the difference is 1e-8.
  const at::Tensor found = atlas->read(two.query, other).reshape({-1});
  REQUIRE((found - numbers({.829653030727, -.142780105165, -.142780105165, .972433135893}, {4})).abs().max().item<double>() < 2e-7);
  two.value = two.value / 2;  // the gradient is −[3 1; 1 2] itself
  State exact;
  atlas->start(exact, 1);
  atlas->forward(two, exact);
  require_numbers(atlas->read(two.query, exact), {.829653030727, -.142780105165, -.142780105165, .972433135893});
}

TEST_CASE("zoo: every step follows autograd of the loss as written", "[memory][zoo]") {
  for (const Kind& k : kinds()) {
    INFO(k.name());
    torch::manual_seed(1);
    const auto memory = make(k, 2, 4, 6);
    at::NoGradGuard no_grad;
    MemoryInput in = random_input(*memory, 2, 2, 20, 4, 6);
    State state;
    memory->start(state, 2);
    Oracle oracle{k, {}, {}, {}, {}};
    for (const auto& [name, x] : state.flatten()) {
      if (name == "log_weights") oracle.W = x.exp();
      else if (name == "steps") oracle.W = x.clone();
      else if (name == "weights") oracle.W = at::zeros({2, 2, oracle.polynomial() ? 21 : 4, 6}, at::kDouble);
    }
    if (k.kind == "yaad" || k.kind == "elastic" || (k.get("features", "none") == "none" && (k.kind == "omega" || k.kind == "atlas")))
      state.tensor("weights") = oracle.W = normal({2, 2, 4, 6}) * .3;
    at::Tensor losses;
    in.losses = &losses;
    const at::Tensor reads = memory->forward(in, state);
    std::vector<at::Tensor> expected, expected_losses;
    for (int64_t t = 0; t < 20; ++t) {
      std::map<std::string, at::Tensor> gates;
      for (const auto& [name, x] : in.gates) gates[name] = x.narrow(2, t, 1);
      if (k.read == "before") expected.push_back(oracle.read(in.query.narrow(2, t, 1)));
      expected_losses.push_back(oracle.step(in.key.narrow(2, t, 1), in.value.narrow(2, t, 1), gates));
      if (k.read == "after") expected.push_back(oracle.read(in.query.narrow(2, t, 1)));
    }
    REQUIRE(relative_error(reads, at::cat(expected, 2)) < 1e-10);
    REQUIRE(relative_error(losses, at::stack(expected_losses, 2)) < 1e-10);
    REQUIRE(relative_error(memory->read(in.query, state), oracle.read(in.query)) < 1e-10);
  }
}

TEST_CASE("zoo: special cases are the delta rule: omega of one token, yaad of a large delta, moneta of squares without a link", "[memory][zoo]") {
  at::NoGradGuard no_grad;
  torch::manual_seed(2);
  const at::Tensor start = normal({2, 2, 4, 6}) * .3;
  const std::vector<std::tuple<Kind, std::string, double>> cases{{{"omega", {{"window", "1"}}}, "weights", 2},
                                                                 {{"moneta", {{"p", "2"}, {"q", "2"}, {"error_limit", "0"}}}, "steps", 2},
                                                                 {{"elastic", {{"gamma", "0"}}}, "weights", 2},
                                                                 {{"yaad", {{"delta", "1e9"}}}, "weights", 1},
                                                                 {{"yaad", {{"delta", "1e9"}, {"form", "coordinate"}}}, "weights", 1},
                                                                 {{"yaad", {{"delta", "1e9"}, {"form", "norm"}}}, "weights", 1}};
  for (const auto& [k, name, factor] : cases) {
    INFO(k.name());
    const auto memory = make(k, 2, 4, 6);
    const MemoryInput in = random_input(*memory, 2, 2, 20, 4, 6);
    State state;
    memory->start(state, 2);
    state.tensor(name) = start;
    const at::Tensor reads = memory->forward(in, state);
    at::Tensor M = start;
    for (int64_t t = 0; t < 20; ++t) {
      auto at = [&](const at::Tensor& x) { return x.narrow(2, t, 1); };
      const at::Tensor error = at(in.key).matmul(M) - at(in.value);
      M = (1 - at(in.gate("alpha"))) * M - factor * at(in.gate("theta")) * at(in.key).transpose(2, 3).matmul(error);
      REQUIRE(relative_error(reads.narrow(2, t, 1), at(in.query).matmul(M)) < kExact);
    }
  }
}

TEST_CASE("zoo: any split of a call is one call, windows too; a call of no token; double and float", "[memory][zoo]") {
  at::NoGradGuard no_grad;
  for (const Kind& k : kinds()) {
    INFO(k.name());
    torch::manual_seed(3);
    const auto memory = make(k, 2, 4, 6);
    const MemoryInput in = random_input(*memory, 2, 2, 13, 4, 6);
    State whole;
    const at::Tensor reads = memory->forward(in, whole);
    REQUIRE(whole.position == 13);
    for (const std::vector<int64_t>& cuts : {std::vector<int64_t>{1, 12}, {5, 8}, {0, 6, 0, 7, 0}, {2, 2, 9}, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}}) {
      State state;
      std::vector<at::Tensor> parts;
      int64_t first = 0;
      for (int64_t n : cuts) {
        parts.push_back(memory->forward(part(in, first, n), state));
        REQUIRE(parts.back().sizes() == at::IntArrayRef({2, 2, n, 6}));
        first += n;
      }
      REQUIRE(relative_error(at::cat(parts, 2), reads) < kExact);
      require_same_state(state, whole, kExact);
    }
    const auto single = make(k, 2, 4, 6, at::kFloat);
    MemoryInput narrow{in.query.to(at::kFloat), in.key.to(at::kFloat), in.value.to(at::kFloat)};
    for (const auto& [name, x] : in.gates) narrow.gates[name] = x.to(at::kFloat);
    State of_single;
    const at::Tensor found = single->forward(narrow, of_single);
    REQUIRE(found.scalar_type() == at::kFloat);
    for (const auto& [name, x] : of_single.flatten())
      if (name != "position") REQUIRE(x.scalar_type() == at::kFloat);
    REQUIRE(relative_error(found, reads) < 1e-3);  // thresholds and NS5 make more of a rounding
  }
}

TEST_CASE("zoo: a token that is no step changes nothing, and a window does not see it", "[memory][zoo]") {
  at::NoGradGuard no_grad;
  for (const Kind& k : kinds()) {
    INFO(k.name());
    torch::manual_seed(4);
    const auto memory = make(k, 2, 4, 6);
    MemoryInput in = random_input(*memory, 2, 2, 12, 4, 6);
    in.step = at::ones({2, 12}, at::kBool);
    in.step[0].narrow(0, 3, 4).fill_(false);
    State state, before, row;
    const at::Tensor reads = memory->forward(in, state);
    // Row 0 is what it is without those tokens.
    auto row_of = [](const at::Tensor& x) { return at::cat({x.narrow(0, 0, 1).narrow(2, 0, 3), x.narrow(0, 0, 1).narrow(2, 7, 5)}, 2); };
    MemoryInput shorter{row_of(in.query), row_of(in.key), row_of(in.value)};
    for (const auto& [name, x] : in.gates) shorter.gates[name] = row_of(x);
    REQUIRE(relative_error(row_of(reads), memory->forward(shorter, row)) < kExact);
    for (const auto& [name, x] : row.flatten())
      if (name != "position") REQUIRE(relative_error(state.tensor(name).narrow(0, 0, 1), x) < kExact);
    // All masked: the state is the same bit by bit.
    before = state.clone();
    in.step.fill_(false);
    const at::Tensor none = memory->forward(in, state);
    for (const auto& [name, x] : before.flatten())
      if (name != "position") REQUIRE(at::equal(state.tensor(name), x));
    REQUIRE(relative_error(none, memory->read(in.query, before)) < kExact);
  }
}

TEST_CASE("zoo: reads before a step are those of the state so far, and a fresh state reads as its start", "[memory][zoo]") {
  at::NoGradGuard no_grad;
  for (Kind k : kinds()) {
    INFO(k.name());
    torch::manual_seed(5);
    k.read = "before";
    const auto before = make(k, 2, 4, 6);
    k.read = "after";
    const auto after = make(k, 2, 4, 6);
    MemoryInput in = random_input(*before, 2, 2, 9, 4, 6);
    State a, b, fresh, started;
    const at::Tensor first = before->forward(in, a);
    MemoryInput ahead = in;  // what the token after reads after this one
    ahead.query = in.query.roll(-1, 2);
    const at::Tensor then = after->forward(ahead, b);
    REQUIRE(relative_error(first.narrow(2, 1, 8), then.narrow(2, 0, 8)) < kExact);
    require_same_state(a, b, kExact);
    before->start(started, 2);
    const at::Tensor read = before->read(in.query, fresh);
    REQUIRE(fresh.empty());
    REQUIRE(relative_error(read, before->read(in.query, started)) < kExact);
    REQUIRE(relative_error(read.narrow(2, 0, 1), first.narrow(2, 0, 1)) < kExact);
  }
}

TEST_CASE("zoo: without forgetting and momentum there are no such gates, and they are as closed", "[memory][zoo]") {
  at::NoGradGuard no_grad;
  for (Kind k : kinds()) {
    INFO(k.name());
    torch::manual_seed(10);
    const auto with = make(k, 2, 4, 6);
    k.forgetting = false, k.momentum = k.kind != "atlas";  // the others have none and would refuse the option
    const auto without = make(k, 2, 4, 6);
    MemoryInput in = random_input(*with, 2, 2, 9, 4, 6);
    in.gates["alpha"].zero_();
    if (in.gates.count("eta")) in.gates["eta"].zero_();
    State a, b;
    const at::Tensor reads = with->forward(in, a);
    for (const char* name : {"alpha", "eta"}) in.gates.erase(name);
    REQUIRE(without->gates().size() == in.gates.size());
    REQUIRE(relative_error(without->forward(in, b), reads) < kExact);
    REQUIRE(!b.has("momentum"));
  }
}

namespace {

// Everything that floats: inputs, gates, the state's tensors, and the parameters where the state is fresh.
struct Differentiated {
  std::shared_ptr<Memory> memory;
  MemoryInput in;
  State state;  // empty: fresh
  std::vector<std::pair<std::string, at::Tensor>> leaves;

  Differentiated(const Kind& k, bool fresh, int64_t T) : memory(make(k, 1, 3, 2)) {
    in = random_input(*memory, 1, 1, T, 3, 2);
    if (!fresh) state = used_state(*memory, 1, 1, 3, 2);
    leaves = {{"query", in.query}, {"key", in.key}, {"value", in.value}};
    for (auto& [name, x] : in.gates) leaves.push_back({"gate " + name, x});
    for (auto& [name, x] : state.flatten())
      if (name != "position") state.tensor(name) = x.clone(at::MemoryFormat::Contiguous), leaves.push_back({"state " + name, state.tensor(name)});
    for (auto& p : memory->named_parameters()) leaves.push_back({"parameter " + p.key(), p.value()});
  }
  at::Tensor loss() {
    State now = state;
    const at::Tensor reads = memory->forward(in, now);
    at::Tensor sum = (reads * at::linspace(-1, 2, reads.numel(), at::kDouble).view_as(reads)).sum();
    for (const auto& [name, x] : now.flatten())
      if (name != "position") sum = sum + (x * at::linspace(-.5, .7, x.numel(), at::kDouble).view(x.sizes())).sum();
    return sum;
  }
  std::vector<at::Tensor> gradients() {
    std::vector<at::Tensor> all;
    for (auto& [name, x] : leaves) all.push_back(x.requires_grad_(true));
    std::vector<at::Tensor> found = torch::autograd::grad({loss()}, all, {}, false, false, true);
    for (size_t i = 0; i < all.size(); ++i)
      if (!found[i].defined()) found[i] = at::zeros_like(all[i]);
    return found;
  }
};

}  // namespace

TEST_CASE("zoo: outer gradients agree with finite differences", "[memory][zoo][gradient]") {
  for (const Kind& k : kinds())
    for (const bool fresh : {true, false}) {
      INFO(k.name() << (fresh ? ", fresh" : ", used"));
      torch::manual_seed(6);
      Differentiated d(k, fresh, fresh ? 4 : 3);
      const std::vector<at::Tensor> found = d.gradients();
      at::NoGradGuard no_grad;
      for (size_t i = 0; i < found.size(); ++i) {
        INFO(d.leaves[i].first);
        at::Tensor flat = d.leaves[i].second.view(-1), expected = at::zeros_like(flat);
        for (int64_t j = 0; j < flat.numel(); ++j) {
          const double old = flat[j].item<double>(), h = 1e-5;
          auto at_offset = [&](double offset) {
            flat[j] = old + offset;
            return d.loss().item<double>();
          };
          expected[j] = (8 * (at_offset(h) - at_offset(-h)) - (at_offset(2 * h) - at_offset(-2 * h))) / (12 * h);
          flat[j] = old;
        }
        INFO(found[i] << " against " << expected);
        REQUIRE(relative_error(found[i].reshape({-1}), expected) < 1e-6);
      }
    }
}

TEST_CASE("zoo: gradients through first steps from a state of zeros are finite, whatever the token", "[memory][zoo][gradient]") {
  for (const Kind& k : kinds())
    for (const double value : {1., 0.})
      for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
        INFO(k.name() << ", values times " << value);
        torch::manual_seed(7);
        const auto memory = make(k, 2, 4, 6, dtype);
        MemoryInput in = random_input(*memory, 1, 2, 2, 4, 6);
        std::vector<at::Tensor> leaves;
        for (at::Tensor* x : {&in.query, &in.key, &in.value}) leaves.push_back(*x = (x == &in.value ? *x * value : *x).to(dtype).set_requires_grad(true));
        for (auto& [name, x] : in.gates) leaves.push_back(x = x.to(dtype).set_requires_grad(true));
        State state;
        memory->start(state, 1);
        for (const auto& [name, x] : state.flatten())
          if (name != "position") leaves.push_back(state.tensor(name) = at::zeros(x.sizes(), dtype).set_requires_grad(true));
        const at::Tensor reads = memory->forward(in, state);
        at::Tensor sum = reads.sum();
        for (const auto& [name, x] : state.flatten())
          if (name != "position") sum = sum + x.sum();
        REQUIRE(sum.isfinite().item<bool>());
        for (const at::Tensor& g : torch::autograd::grad({sum}, leaves, {}, false, false, true))
          if (g.defined()) REQUIRE(g.isfinite().all().item<bool>());
      }
}

// Every stream and every setting of the gates is a row of one call: constant keys, one key with values that alternate, zeros, values of 1e6,
// random; as at the start of training, with nothing forgotten, with all forgotten. Single precision, the defaults of each kind.
TEST_CASE("zoo: long adversarial streams leave every memory finite", "[memory][zoo][slow]") {
  at::NoGradGuard no_grad;
  constexpr int64_t tokens = 5000, call = 500, K = 8;  // for 100 000: tests/property/test_streams.cpp
  constexpr int64_t streams = 5, settings = 3, B = streams * settings;
  for (const Kind& k : std::vector<Kind>{{"moneta"},
                                         {"moneta", {{"link", "printed"}}},
                                         {"yaad"},
                                         {"yaad", {{"form", "norm"}}},
                                         {"memora"},
                                         {"memora", {{"over", "row"}}},
                                         {"elastic"},
                                         {"omega"},
                                         {"omega", {{"features", "polynomial"}}},
                                         {"atlas"}}) {
    INFO(k.name());
    torch::manual_seed(8);
    const auto memory = make(k, 1, K, K, at::kFloat);
    const at::Tensor constant_key = normal({1, 1, 1, K}, at::kFloat), constant_value = normal({1, 1, 1, K}, at::kFloat);
    const at::Tensor sign = at::where(at::arange(call).remainder(2) == 0, 1.f, -1.f).to(at::kFloat).view({1, 1, call, 1});
    State state;
    for (int64_t first = 0; first < tokens; first += call) {
      at::Tensor key = normal({streams, 1, call, K}, at::kFloat), value = normal({streams, 1, call, K}, at::kFloat);
      key.narrow(0, 0, 2).copy_(constant_key.expand({2, 1, call, K})), value.narrow(0, 0, 2).copy_(constant_value.expand({2, 1, call, K}));
      value.narrow(0, 1, 1).mul_(sign);
      key.narrow(0, 2, 1).zero_(), value.narrow(0, 2, 1).zero_();
      value.narrow(0, 3, 1).mul_(1e6);
      MemoryInput in{{}, nn::l2_normalize(key).repeat({settings, 1, 1, 1}), value.repeat({settings, 1, 1, 1})};
      in.query = in.key;
      for (const Gate& g : memory->gates()) {
        const std::map<std::string, std::vector<double>> of{
            {"theta", {.5, 1, 1}}, {"alpha", {4.5e-5, 0, 1}}, {"eta", {.5, .999, 0}}, {"gamma", {.5, 1, 1}}, {"delta", {.5, 1, 0}}};
        at::Tensor& x = in.gates[g.name] = at::empty({B, 1, call, g.copies}, at::kFloat);
        for (int64_t i = 0; i < settings; ++i) x.narrow(0, i * streams, streams).fill_(of.at(g.name)[i] * g.scale);
      }
      const at::Tensor reads = memory->forward(in, state);
      REQUIRE(reads.isfinite().all().item<bool>());
    }
    for (const auto& [name, x] : state.flatten()) REQUIRE(x.isfinite().all().item<bool>());
  }
}
