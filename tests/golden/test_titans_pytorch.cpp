// The titans_pytorch block against numbers of the package itself, and against a token loop of its conventions for settings the
// package's numbers do not cover.
#include "tests/golden/golden.h"
#include "tests/support/memory_options.h"

#include "mneme/model.h"

using namespace mneme;
using namespace mneme::test;

namespace {

struct PackageSetting {
  int64_t dim = 8, heads = 1, head_width = 8, expansion = 2, group = 4, refresh = 8;
  double max_lr = 0.1;
  bool momentum = true, qk_rmsnorm = false;
};

std::shared_ptr<Block> make_block(const PackageSetting& s) {
  register_blocks();
  register_memories();
  ModelOptions model;
  model.kind = "titans_pytorch", model.width = s.dim;
  set_own(model, "expansion", std::to_string(s.expansion));
  AnyMemory memory;
  memory.heads = s.heads, memory.head_width = s.head_width, memory.group = s.group, memory.refresh = s.refresh;
  memory.theta_max = s.max_lr, memory.momentum = s.momentum, memory.qk_norm = s.qk_rmsnorm ? "rms" : "none";
  auto block = BlockRegistry::instance().get("titans_pytorch").make({model, memory.made(), 0, at::make_generator<at::CPUGeneratorImpl>(3)});
  block->to(at::kDouble);
  return block;
}

// Parameter names: ours → the package's.
const std::map<std::string, std::string> kNames{{"store_norm", "store_norm.weight"},
                                                {"retrieve_norm", "retrieve_norm.weight"},
                                                {"to_queries", "to_queries.weight"},
                                                {"to_keys", "to_keys.weight"},
                                                {"to_values", "to_values.weight"},
                                                {"to_adaptive_step_weight", "to_adaptive_step.0.weight"},
                                                {"to_adaptive_step_bias", "to_adaptive_step.0.bias"},
                                                {"to_momentum_weight", "to_momentum.0.weight"},
                                                {"to_momentum_bias", "to_momentum.0.bias"},
                                                {"to_decay_factor_weight", "to_decay_factor.0.weight"},
                                                {"to_decay_factor_bias", "to_decay_factor.0.bias"},
                                                {"q_norm", "q_norm.gamma"},
                                                {"k_norm", "k_norm.gamma"},
                                                {"retrieve_gate", "retrieve_gate.0.weight"},
                                                {"combine_heads", "combine_heads.weight"},
                                                {"memory.gain", "memory_model_parameters.0"},
                                                {"memory.weights_0", "memory_model_parameters.1"},
                                                {"memory.weights_1", "memory_model_parameters.2"}};

struct Outcome {
  at::Tensor y, losses, x_gradient;
  State state;
};

Outcome run(Block& block, const at::Tensor& x_in) {
  Outcome o;
  const at::Tensor x = leaf(x_in);
  std::map<std::string, at::Tensor> surprise;
  ForwardContext context;
  context.surprise = &surprise;
  o.y = block.forward(x, o.state, context);
  o.y.square().sum().backward();
  o.losses = surprise.at("layer0");
  o.x_gradient = x.grad();
  return o;
}

// The conventions as the package's users would write them down: one token after the other, gradients by autograd.
struct TokenLoop {
  const PackageSetting& s;
  std::map<std::string, at::Tensor> p;  // our names
  // What the memory is left with, row by row and head by head: losses [T], weights and momenta of W1, W2, gamma.
  mutable std::vector<at::Tensor> losses = {};
  mutable std::array<std::vector<at::Tensor>, 3> weights = {}, momenta = {};

  at::Tensor rms(const at::Tensor& x, const at::Tensor& gain) const { return x / (x.square().mean(-1, true) + 2.220446049250313e-16).sqrt() * gain; }
  at::Tensor M(const at::Tensor& z, const std::vector<at::Tensor>& w) const {  // z [1,D]; w: W1, W2, gamma
    const at::Tensor h = at::layer_norm(at::mm(at::gelu(at::mm(z, w[0])), w[1]), {z.size(1)});
    return h * (1 + w[2]) + z;
  }

  at::Tensor operator()(const at::Tensor& x) const {
    std::vector<at::Tensor> rows;
    for (int64_t b = 0; b < x.size(0); ++b) {
      const at::Tensor xs = rms(x[b], p.at("store_norm")), xr = rms(x[b], p.at("retrieve_norm"));
      std::vector<at::Tensor> heads;
      for (int64_t h = 0; h < s.heads; ++h) heads.push_back(head(h, xs, xr));
      const at::Tensor y = at::cat(heads, 1);
      rows.push_back(p.count("combine_heads") ? at::mm(y, p.at("combine_heads").t()) : y);
    }
    return at::stack(rows);
  }

  at::Tensor head(int64_t h, const at::Tensor& xs, const at::Tensor& xr) const {
    const int64_t T = xs.size(0), D = s.head_width;
    auto projected = [&](const at::Tensor& from, const char* name, const char* gain) {
      at::Tensor y = at::mm(from, p.at(name).narrow(0, h * D, D).t());
      if (s.qk_rmsnorm && gain) y = y / y.norm(2, {1}, true) * std::sqrt(double(D)) * (1 + p.at(gain)[h]);
      return y;
    };
    const at::Tensor q = projected(xr, "to_queries", "q_norm"), k = projected(xs, "to_keys", "k_norm"), v = projected(xs, "to_values", nullptr);
    auto gate = [&](const at::Tensor& from, const std::string& name) {
      return (from.matmul(p.at(name + "_weight")[h]) + p.at(name + "_bias")[h]).sigmoid();
    };
    const at::Tensor theta = gate(xs, "to_adaptive_step") * s.max_lr;
    std::vector<at::Tensor> W{p.at("memory.weights_0")[h], p.at("memory.weights_1")[h], p.at("memory.gain")[h]}, R, S, sum, reads, surprise;
    for (const at::Tensor& w : W) S.push_back(at::zeros_like(w));
    for (int64_t t = 0; t < T; ++t) {
      if (t % s.refresh == 0) R = W;
      if (t % s.group == 0) sum = {at::zeros_like(W[0]), at::zeros_like(W[1]), at::zeros_like(W[2])};
      std::vector<at::Tensor> point;
      for (const at::Tensor& w : R) point.push_back(w.requires_grad() ? w.view_as(w) : w.detach().requires_grad_(true));
      const at::Tensor loss = (M(k.narrow(0, t, 1), point) - v[t]).square().mean();
      surprise.push_back(loss.detach());
      const auto u = torch::autograd::grad({loss}, point, {}, true, true);
      for (size_t l = 0; l < W.size(); ++l) sum[l] = sum[l] + theta[t] * u[l];
      if ((t + 1) % s.group == 0) {
        const at::Tensor mean = xs.narrow(0, t + 1 - s.group, s.group).mean(0);
        const at::Tensor alpha = gate(mean, "to_decay_factor");
        for (size_t l = 0; l < W.size(); ++l) {
          S[l] = s.momentum ? gate(mean, "to_momentum") * S[l] - sum[l] : -sum[l];
          W[l] = (1 - alpha) * W[l] + S[l];
        }
      }
      reads.push_back(M(q.narrow(0, t, 1), W));
    }
    losses.push_back(at::stack(surprise));
    for (size_t l = 0; l < W.size(); ++l) weights[l].push_back(W[l].detach()), momenta[l].push_back(S[l].detach());
    const at::Tensor y = at::cat(reads, 0);
    return s.heads > 1 ? y * xr.matmul(p.at("retrieve_gate")[h]).sigmoid().unsqueeze(1) : y;
  }
};

}  // namespace

TEST_CASE("titans_pytorch: the package's numbers: outputs, losses, states, every gradient", "[models][golden]") {
  for (const auto& fixture : golden("titans_pytorch_neural_memory.json")) {
    const auto& c = fixture.at("config");
    INFO(c.dump());
    PackageSetting s;
    s.dim = c.at("dim"), s.heads = c.value("heads", 1), s.head_width = c.value("dim_head", s.dim), s.expansion = c.at("expansion");
    s.group = c.at("chunk_size"), s.max_lr = c.at("max_lr"), s.momentum = c.value("momentum", true), s.qk_rmsnorm = c.value("qk_rmsnorm", false);
    const at::Tensor x = golden_tensor(fixture.at("x"));
    s.refresh = c.at("batch_size").is_null() ? x.size(1) : c.at("batch_size").get<int64_t>();
    const auto block = make_block(s);
    {
      at::NoGradGuard no_grad;
      for (auto& p : block->named_parameters()) {
        INFO(p.key());
        p.value().copy_(golden_tensor(fixture.at("params").at(kNames.at(p.key()))).view(p.value().sizes()));
      }
    }
    const Outcome o = run(*block, x);
    REQUIRE(relative_error(o.y, golden_tensor(fixture.at("y"))) <= kExact);
    REQUIRE(relative_error(o.losses, golden_tensor(fixture.at("per_token_loss"))) <= kExact);
    State state = o.state;
    const std::vector<std::pair<std::string, std::string>> fast{{"0", "model.weights.0"}, {"1", "model.weights.1"}, {"2", "norm.gamma"}};
    for (const auto& [ours, theirs] : fast) {
      INFO(theirs);
      const at::Tensor W = state.child("memory").tensor("weights_" + ours), expected = golden_tensor(fixture.at("final_weights").at(theirs));
      REQUIRE(relative_error(W.reshape(expected.sizes()), expected) <= kExact);
      if (!s.momentum) continue;
      const at::Tensor S = state.child("memory").tensor("momentum_" + ours), moved = golden_tensor(fixture.at("final_momentum").at(theirs));
      REQUIRE(relative_error(S.reshape(moved.sizes()), moved) <= kExact);
    }
    REQUIRE(relative_error(o.x_gradient, golden_tensor(fixture.at("grad_x"))) <= kExactGradient);
    size_t compared = 0;
    for (auto& p : block->named_parameters()) {
      INFO(p.key());
      const at::Tensor expected = golden_tensor(fixture.at("grad_params").at(kNames.at(p.key())));
      REQUIRE(relative_error(p.value().grad(), expected.view(p.value().sizes())) <= kExactGradient);
      ++compared;
    }
    REQUIRE(compared == fixture.at("grad_params").size());
  }
}

TEST_CASE("titans_pytorch: any group, refresh, heads, momentum, as a token loop with autograd gives it", "[models][golden]") {
  const std::vector<PackageSetting> settings{{6, 1, 6, 2, 1, 1},  {6, 1, 6, 3, 1, 7},  {6, 2, 3, 2, 3, 6, .3, false, true}, {6, 3, 2, 1, 5, 5, .2},
                                      {6, 2, 4, 2, 2, 16, .1, true, true}, {6, 1, 6, 4, 4, 4, .5, false}};
  for (const PackageSetting& s : settings) {
    INFO("group " << s.group << " refresh " << s.refresh << " heads " << s.heads);
    const auto block = make_block(s);
    TokenLoop loop{s, {}};
    {
      at::NoGradGuard no_grad;
      auto generator = at::make_generator<at::CPUGeneratorImpl>(11);
      for (auto& p : block->named_parameters()) p.value().add_(at::empty_like(p.value()).normal_(0, 0.3, generator));
    }
    for (auto& p : block->named_parameters()) loop.p[p.key()] = leaf(p.value());
    torch::manual_seed(12);
    const at::Tensor x = normal({2, 17, s.dim}), x_loop = leaf(x);
    const Outcome o = run(*block, x);
    const at::Tensor expected = loop(x_loop);
    REQUIRE(relative_error(o.y, expected) <= kExact);
    REQUIRE(relative_error(o.losses.reshape({2 * s.heads, 17}), at::stack(loop.losses)) <= kExact);
    State state = o.state;
    auto require_left = [&](const std::string& name, const std::vector<at::Tensor>& theirs) {
      INFO(name);
      const at::Tensor ours = state.child("memory").tensor(name);
      REQUIRE(relative_error(ours.flatten(0, 1), at::stack(theirs)) <= kExact);
    };
    for (size_t l = 0; l < 3; ++l) {
      require_left("weights_" + std::to_string(l), loop.weights[l]);
      if (s.momentum) require_left("momentum_" + std::to_string(l), loop.momenta[l]);
    }
    expected.square().sum().backward();
    REQUIRE(relative_error(o.x_gradient, x_loop.grad()) <= kExactGradient);
    for (auto& p : block->named_parameters()) {
      INFO(p.key());
      REQUIRE(relative_error(p.value().grad(), loop.p.at(p.key()).grad()) <= kExactGradient);
    }
  }
}
