// The memories with a linear state: their equations, what they are equal to, and what every memory must hold.
#include "tests/unit/memory/zoo_linear_cases.h"

using namespace mneme;
using namespace mneme::test;

// RWKV-7 has no worked example: the equation, written with matrices.
TEST_CASE("zoo: RWKV-7 is its equation", "[memory][zoo]") {
  torch::manual_seed(1);
  const auto memory = memory_of("rwkv7", kH, kK, kV);
  const at::Tensor removal = normal({kH, 1, kK}), mix = uniform({kH, 1, kK}, 0, 1);
  set(*memory, "removal", removal * 1e4), set(*memory, "mix", mix);
  const MemoryInput in = random_input(*memory, 6);
  State state;
  const at::Tensor reads = memory->forward(in, state);
  for (int64_t b = 0; b < kB; ++b)
    for (int64_t h = 0; h < kH; ++h) {
      at::Tensor S = at::zeros({kK, kV}, at::kDouble);
      for (int64_t t = 0; t < 6; ++t) {
        auto row = [&](const at::Tensor& x) { return x[b][h][t]; };
        at::Tensor removed = row(in.key) * removal[h][0];
        removed = removed / removed.norm();
        const at::Tensor step = row(in.gate("step"));
        S = at::mm(at::diag(row(in.gate("decay")).exp()) - at::outer(step * removed, removed), S) +
            at::outer(row(in.key) * (1 - mix[h][0] + mix[h][0] * step), row(in.value));
        REQUIRE(relative_error(reads[b][h][t], at::mv(S.t(), row(in.query))) < 1e-10);
      }
    }
}

// In fp64, where the fixture is not: reads, final states and every gradient, that of Λ too.
TEST_CASE("zoo: MesaNet is its equation", "[memory][zoo]") {
  torch::manual_seed(8);
  for (const Form& form : kForms)
    for (const bool before : {false, true}) {
      INFO(form.kernel << " " << form.tile << " before " << before);
      const auto memory = memory_of("mesa", kH, kK, kV, {form.kernel, form.tile, before ? "before" : "after"});
      set(*memory, "ridge", normal({kH, kK}));
      const at::Tensor ridge = memory->named_parameters()["ridge"];
      const MemoryInput like = random_input(*memory, 9);
      at::Tensor of_memory, of_loop;
      auto ours = [&](const std::vector<at::Tensor>& x) {
        State state;
        const at::Tensor reads = memory->forward(unflat(x, like), state);
        of_memory = torch::autograd::grad({reads.square().sum()}, {ridge}, {}, true)[0];
        return std::vector<at::Tensor>{reads, state.tensor("weights"), state.tensor("keys")};
      };
      auto loop = [&](const std::vector<at::Tensor>& x) {
        const MemoryInput in = unflat(x, like);
        at::Tensor G = at::zeros({kB, kH, kK, kV}, at::kDouble), H = at::zeros({kB, kH, kK, kK}, at::kDouble);
        std::vector<at::Tensor> reads;
        for (int64_t t = 0; t < 9; ++t) {
          auto column = [&](const at::Tensor& y) { return y.select(2, t).unsqueeze(3); };
          auto read = [&] {
            const at::Tensor inverse = at::inverse(H + at::diag_embed(.25 + at::softplus(ridge)));
            reads.push_back(at::matmul(G.transpose(2, 3), at::matmul(inverse, column(in.query))).squeeze(3));
          };
          if (before) read();
          const at::Tensor a = column(in.gate("decay")).exp(), k = column(in.key), b = column(in.gate("beta"));
          G = a * G + at::matmul(b * k, column(in.value).transpose(2, 3)), H = a * H + at::matmul(b * k, k.transpose(2, 3));
          if (!before) read();
        }
        const at::Tensor all = at::stack(reads, 2);
        of_loop = torch::autograd::grad({all.square().sum()}, {ridge}, {}, true)[0];
        return std::vector<at::Tensor>{all, G, H};
      };
      require_same(ours, loop, flat(like), kExact, kExactGradient);
      REQUIRE(relative_error(of_memory, of_loop) <= kExactGradient);
    }
}

TEST_CASE("zoo: rules become each other", "[memory][zoo]") {
  torch::manual_seed(2);
  constexpr int64_t T = 20;
  auto reads = [](Memory& memory, const MemoryInput& like, const Named& gates) {
    MemoryInput in{like.query, like.key, like.value, gates};
    State state;
    const at::Tensor y = memory.forward(in, state);
    return std::pair{y, state.tensor("weights")};
  };
  auto same = [&](const auto& x, const auto& y) {
    REQUIRE(relative_error(x.first, y.first) < kExact);
    REQUIRE(relative_error(x.second, y.second) < kExact);
  };
  auto channels = [](const at::Tensor& x, int64_t n) { return x.expand({kB, kH, T, n}); };
  const auto gdn = memory_of("gated_deltanet", kH, kK, kV), kda = memory_of("kda", kH, kK, kV), gdn2 = memory_of("gdn2", kH, kK, kV),
             gla = memory_of("gla", kH, kK, kV), comba = memory_of("comba", kH, kK, kV), eda = memory_of("eda", kH, kK, kV),
             mesa = memory_of("mesa", kH, kK, kV);
  const MemoryInput in = random_input(*gdn, T);
  const at::Tensor beta = in.gate("beta"), decay = in.gate("decay"), one = at::ones_like(beta), none = at::zeros_like(beta);
  const auto expected = reads(*gdn, in, {{"beta", beta}, {"decay", decay}});

  same(reads(*kda, in, {{"beta", beta}, {"decay", channels(decay, kK)}}), expected);
  const MemoryInput by_channel = random_input(*kda, T);
  const at::Tensor decays = by_channel.gate("decay");
  same(reads(*gdn2, in, {{"erase", channels(beta, kK)}, {"write", channels(beta, kV)}, {"decay", decays}}),
       reads(*kda, in, {{"beta", beta}, {"decay", decays}}));
  same(reads(*gdn2, in, {{"erase", channels(none, kK)}, {"write", channels(one, kV)}, {"decay", decays}}),
       reads(*gla, in, {{"theta", one}, {"decay", decays}}));
  set(*comba, "ask", 50), set(*comba, "correction", 0);
  same(reads(*comba, in, {{"beta", beta}, {"decay", decay}}), expected);
  same(reads(*eda, in, {{"beta", beta}, {"erase", none}, {"address", in.query}, {"decay", decay}}), expected);

  set(*mesa, "ridge", 1e8);  // Λ → ∞: Λ y is linear attention
  const auto ridge = reads(*mesa, in, {{"beta", beta}, {"decay", decay}});
  REQUIRE(relative_error(ridge.first * 1e8, reads(*gla, in, {{"theta", beta}, {"decay", channels(decay, kK)}}).first) < 1e-6);
}

TEST_CASE("zoo: Momentum DeltaNet with b = 1, h = 2 θ is the linear memory with exact gradients", "[memory][zoo]") {
  torch::manual_seed(3);
  constexpr int64_t T = 30;
  for (const bool decayed : {false, true})
    for (const std::string read : {"after", "before"}) {
      INFO("decayed " << decayed << " read " << read);
      MemoryOptions options;
      options.gradient = "exact", options.gradient_at = decayed ? "decayed" : "previous", options.momentum_damping = false;
      const auto linear = memory_of("linear", kH, kK, kV, {"chunked", 8, read}, {}, options);
      const auto momentum = memory_of("momentum_deltanet", kH, kK, kV, {"reference", 64, read}, {{"decayed", decayed ? "true" : "false"}});
      const MemoryInput like = random_input(*momentum, T);
      auto gate = [](double low, double high) { return uniform({kB, kH, T, 1}, low, high); };
      const std::vector<at::Tensor> values{like.query, like.key, like.value, gate(.01, .4), gate(0, .3), gate(0, .9)};
      const at::Tensor step = some_steps(T);
      auto run = [&](const std::shared_ptr<Memory>& memory, bool ours) {
        return [=](const std::vector<at::Tensor>& x) {
          MemoryInput in{x[0], x[1], x[2]};
          if (ours) in.gates = {{"theta", 2 * x[3]}, {"decay", (1 - x[4]).log()}, {"momentum", x[5]}, {"release", at::ones_like(x[3])}};
          else in.gates = {{"theta", x[3]}, {"alpha", x[4]}, {"eta", x[5]}};
          in.step = step;
          State state;
          return std::vector<at::Tensor>{memory->forward(in, state)};
        };
      };
      require_same(run(momentum, true), run(linear, false), values, kExact, kExactGradient);
    }
}

TEST_CASE("zoo: chunked equals the token loop, with padding and every gradient", "[memory][zoo]") {
  torch::manual_seed(4);
  for (const std::string& kind : kKinds)
    for (const std::string read : {"after", "before"})
      for (const bool padded : {false, true}) {
        INFO(kind << " read " << read << " padded " << padded);
        const auto loop = memory_of(kind, kH, kK, kV, {"reference", 64, read});
        MemoryInput in = random_input(*loop, 21);
        if (padded) in.step = some_steps(21);
        const State start = used(*loop);
        for (const int64_t tile : {4, 64})
          require_same(function(memory_of(kind, kH, kK, kV, {"chunked", tile, read}), in, start), function(loop, in, start), flat(in),
                       kExact, kExactGradient);
      }
}

TEST_CASE("zoo: any split into calls equals one call", "[memory][zoo]") {
  torch::manual_seed(5);
  constexpr int64_t T = 19;
  for (const std::string& kind : kKinds)
    for (const std::string read : {"after", "before"})
      for (const bool padded : {false, true}) {
        INFO(kind << " read " << read << " padded " << padded);
        const auto memory = memory_of(kind, kH, kK, kV, {"chunked", 8, read});
        MemoryInput in = random_input(*memory, T);
        if (padded) in.step = some_steps(T);
        State whole;
        const at::Tensor expected = memory->forward(in, whole);
        for (const std::vector<int64_t>& cuts : {std::vector<int64_t>{1, 1, 7, 8, 19}, {18, 19}}) {
          State state;
          std::vector<at::Tensor> reads;
          int64_t first = 0;
          for (const int64_t next : cuts) reads.push_back(memory->forward(part(in, first, next - first), state)), first = next;
          REQUIRE(relative_error(at::cat(reads, 2), expected) <= kExact);
          require_states(state, whole);
          REQUIRE(state.position == T);
        }
      }
}

TEST_CASE("zoo: padding leaves every state as it was, and what remains is a call without it", "[memory][zoo]") {
  torch::manual_seed(6);
  for (const std::string& kind : kKinds) {
    INFO(kind);
    const auto memory = memory_of(kind, kH, kK, kV, {"chunked", 8});
    const State start = used(*memory);
    MemoryInput in = random_input(*memory, 12);
    in.step = at::zeros({kB, 12}, at::kBool);
    State state = start;
    memory->forward(in, state);
    require_states(state, start, 0);

    const at::Tensor kept = at::tensor({0, 3, 4, 8, 11}, at::kLong);
    in.step.index_fill_(1, kept, true);
    MemoryInput dense = in;
    dense.step = at::Tensor();
    for (at::Tensor* x : {&dense.query, &dense.key, &dense.value}) *x = x->index_select(2, kept);
    for (auto& [name, x] : dense.gates) x = x.index_select(2, kept);
    State padded = start, without = start;
    const at::Tensor reads = memory->forward(in, padded).index_select(2, kept);
    REQUIRE(relative_error(reads, memory->forward(dense, without)) <= kExact);
    require_states(padded, without);
  }
}

TEST_CASE("zoo: gradients are finite, at the start and for every parameter; what is read later is what was read", "[memory][zoo]") {
  torch::manual_seed(7);
  for (const std::string& kind : kKinds) {
    INFO(kind);
    const auto memory = memory_of(kind, kH, kK, kV);
    MemoryInput in = random_input(*memory, 9);
    in.step = at::ones({kB, 9}, at::kBool);
    in.step.narrow(1, 0, 3).fill_(false);
    std::vector<at::Tensor> leaves;
    for (const at::Tensor& x : flat(in)) leaves.push_back(leaf(x));
    MemoryInput live = unflat(leaves, in);
    at::Tensor losses;
    live.losses = &losses;
    for (const at::Tensor& p : memory->parameters()) leaves.push_back(p);
    State state;
    const at::Tensor y = memory->forward(live, state);
    REQUIRE(y.sizes() == in.value.sizes());
    if (kind != "momentum_deltanet") REQUIRE_FALSE(losses.requires_grad());  // a second pass over the tokens: its graph would be a second one
    for (const at::Tensor& g : torch::autograd::grad({y.square().sum()}, leaves)) {
      REQUIRE(at::isfinite(g).all().item<bool>());
      REQUIRE(g.abs().max().item<double>() > 0);
    }
    if (kind == "comba") set(*memory, "correction", 0);  // no key there
    State again, fresh, readable;
    const at::Tensor reads = memory->forward(in, again);
    readable = memory->readable(again);
    REQUIRE_FALSE(readable.has("momentum"));  // which no read takes
    REQUIRE(relative_error(memory->read(in.query, readable).select(2, 8), reads.select(2, 8)) <= kExact);
    REQUIRE(memory->read(in.query, fresh).abs().max().item<double>() == 0);
    REQUIRE(memory->forward(part(in, 0, 0), again).size(2) == 0);
  }
}

TEST_CASE("zoo: at the start a step writes moderately and next to nothing is forgotten", "[memory][zoo]") {
  for (const std::string& kind : kKinds)
    for (const Gate& gate : memory_of(kind, kH, kK, kV)->gates()) {
      INFO(kind << " " << gate.name);
      const bool decays = gate.name.find("decay") != std::string::npos;
      const bool softplus = gate.activation == Gate::Activation::log_decay;
      const double logarithm = softplus ? std::log1p(std::exp(gate.bias)) : gate.scale / (1 + std::exp(-gate.bias));
      if (decays) REQUIRE(std::abs(logarithm) < 1e-4);
      if (gate.writes) REQUIRE(gate.activation == Gate::Activation::sigmoid);
    }
}

TEST_CASE("zoo: Gated DeltaNet with negative eigenvalues has steps up to 2", "[memory][zoo]") {
  for (const bool negative : {false, true})
    REQUIRE(memory_of("gated_deltanet", 1, 2, 2, {}, {{"negative_eigenvalues", negative ? "true" : "false"}})->gates()[0].scale ==
            (negative ? 2 : 1));
}
