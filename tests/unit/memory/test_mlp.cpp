// Memory networks: the token loop against autograd of the inner loss, the chunked form against the loop (outputs, states, every
// outer gradient), splits, sweeps, guard.
#include "tests/unit/memory/network_cases.h"

#include "memory/kernels/guard.h"

using namespace mneme;
using namespace mneme::test;
using memory::Activation;
using memory::Form;
using memory::Gradient;
using memory::InnerLoss;
using memory::MlpCall;
using memory::MlpWeights;
using memory::Network;

namespace {

// An oracle that shares no formula: M and its loss in plain operations, every derivative by autograd, one row and token at a time.
struct Oracle {
  const MlpCall& call;

  at::Tensor activate(const at::Tensor& pre) const {
    const at::Tensor s = call.net.activation == Activation::gelu ? at::gelu(pre) : pre * (1.702 * pre).sigmoid();
    return call.net.form == Form::feature ? s / (s.square().sum() + 1e-6).sqrt() : s;
  }
  at::Tensor output(const at::Tensor& z, const at::Tensor& chain, const at::Tensor& gain) const {
    if (call.net.form == Form::plain) return chain;
    if (call.net.form == Form::feature) return z + chain;
    const at::Tensor normed = at::layer_norm(chain, {chain.size(-1)});
    return z + (gain.defined() ? normed * (1 + gain) : normed);
  }
  at::Tensor loss(const at::Tensor& M, const at::Tensor& v) const {
    const at::Tensor square = (M - v).square().sum();
    const double delta = call.net.huber_delta;
    switch (call.net.loss) {
      case InnerLoss::l2: return square;
      case InnerLoss::l2_mean: return (M - v).square().mean();
      case InnerLoss::dot: return -(M * v).sum();
      default: return square.item<double>() <= delta * delta ? square : 2 * delta * square.sqrt() - delta * delta;
    }
  }
  static at::Tensor derivative(const at::Tensor& y, const at::Tensor& x) { return torch::autograd::grad({y}, {x}, {}, true, true)[0]; }

  // u of every fast weight for one row's token, at the given weights. Below the last matrix the error is sent back step by step,
  // since rows of `feature` are shortened to length 1 on their way.
  std::vector<at::Tensor> surprise(const at::Tensor& k, const at::Tensor& v, const std::vector<at::Tensor>& W, const at::Tensor& gain) const {
    at::AutoGradMode on(true);
    const int64_t L = call.net.depth;
    auto linked = [](const at::Tensor& x) { return x.requires_grad() ? x : x.detach().requires_grad_(true); };
    std::vector<at::Tensor> z{k}, pre;
    for (int64_t l = 0; l + 1 < L; ++l) {
      pre.push_back(linked(at::mm(z[l], W[l])));
      z.push_back(activate(pre[l]));
    }
    const at::Tensor chain = linked(at::mm(z[L - 1], W[L - 1])), g = gain.defined() ? linked(gain) : gain;
    const at::Tensor l = loss(output(k, chain, g), v);
    std::vector<at::Tensor> delta(L);
    delta[L - 1] = derivative(l, chain);
    for (int64_t i = L - 2; i >= 0; --i) {
      const at::Tensor back = at::mm(delta[i + 1], W[i + 1].t());
      const at::Tensor here = pre[i].view_as(pre[i]);  // `back` depends on pre too: only the way through here counts
      at::Tensor d = derivative((activate(here) * back).sum(), here);
      if (call.net.form == Form::feature && d.norm().item<double>() > 1) d = d / d.norm();
      delta[i] = d;
    }
    std::vector<at::Tensor> u;
    for (int64_t i = 0; i < L; ++i) u.push_back(at::mm(z[i].t(), delta[i]));
    if (call.fast_gain()) u.push_back(derivative(l, g));
    return u;
  }

  // The recurrence for one row, without clip, guard, groups or masks: those are compared by rewriting the gates (tests below).
  std::vector<at::Tensor> run(int64_t n, const MlpWeights& start) const {
    std::vector<at::Tensor> W, S, R, reads;
    for (const at::Tensor& w : start.weights) W.push_back(w[n]);
    for (const at::Tensor& w : start.refresh_point) R.push_back(w[n]);
    for (size_t l = 0; l < W.size(); ++l) S.push_back(start.momentum.empty() ? at::zeros_like(W[l]) : start.momentum[l][n]);
    const int64_t L = call.net.depth;
    auto gain_of = [&](const std::vector<at::Tensor>& w) { return call.fast_gain() ? w[L] : call.gain.defined() ? call.gain[n] : at::Tensor(); };
    for (int64_t t = 0; t < call.key.size(1); ++t) {
      if ((call.position + t) % call.refresh == 0) R = W;
      std::vector<at::Tensor> point = R;
      point.resize(W.size());
      const at::Tensor keep = 1 - call.alpha[L - 1][n][t];
      const at::Tensor own = call.initial.empty() ? keep * W[L - 1] : keep * W[L - 1] + (1 - keep) * call.initial[L - 1][n];
      if (call.gradient != Gradient::refresh) point[L - 1] = call.decayed ? own : W[L - 1];
      const auto u = surprise(call.key[n][t].unsqueeze(0), call.value[n][t].unsqueeze(0), point, gain_of(point));
      const std::vector<at::Tensor> before = W;
      for (size_t l = 0; l < W.size(); ++l) {
        S[l] = (call.eta.empty() ? at::zeros({}, S[l].options()) : call.eta[l][n][t]) * S[l] - call.theta[l][n][t] * u[l];
        const at::Tensor a = call.alpha[l][n][t];
        W[l] = (1 - a) * W[l] + S[l];
        if (!call.initial.empty()) W[l] = W[l] + a * call.initial[l][n];
      }
      const std::vector<at::Tensor>& seen = call.read_before ? before : W;
      at::Tensor z = call.query[n][t].unsqueeze(0);
      const at::Tensor q = z;
      for (int64_t l = 0; l < L; ++l) {
        z = at::mm(z, seen[l]);
        if (l + 1 < L) z = activate(z);
      }
      reads.push_back(output(q, z, gain_of(seen)));
    }
    std::vector<at::Tensor> r{at::cat(reads, 0)};
    r.insert(r.end(), W.begin(), W.end());
    if (!start.momentum.empty()) r.insert(r.end(), S.begin(), S.end());
    return r;
  }
};

at::Tensor autograd_loop(const MlpCall& call, MlpWeights& state) {
  std::vector<std::vector<at::Tensor>> rows;
  for (int64_t n = 0; n < call.key.size(0); ++n) rows.push_back(Oracle{call}.run(n, state));
  auto gathered = [&](size_t i) {
    std::vector<at::Tensor> parts;
    for (const auto& row : rows) parts.push_back(row[i]);
    return at::stack(parts);
  };
  for (size_t l = 0; l < state.weights.size(); ++l) {
    state.weights[l] = gathered(1 + l);
    if (!state.momentum.empty()) state.momentum[l] = gathered(1 + state.weights.size() + l);
  }
  return gathered(0);
}

bool plain_recurrence(const NetworkCase& c) { return c.group == 1 && !c.masked && !c.guard && c.clip == 0; }

// Outputs of f that both have: reads, weights, momentum.
Function without_points(Function f, const NetworkCase& c) {
  return [=](const std::vector<at::Tensor>& x) {
    auto r = f(x);
    r.resize(1 + c.fast() * (c.momentum ? 2 : 1));
    return r;
  };
}

}  // namespace

TEST_CASE("memory networks: the token loop follows autograd of the inner loss, outer gradients too", "[memory][mlp]") {
  for (const NetworkCase& c : network_cases()) {
    if (!plain_recurrence(c)) continue;
    INFO(c.name);
    torch::manual_seed(1);
    NetworkCase shorter = c;
    shorter.refresh = std::min<int64_t>(c.refresh, 4);
    const auto x = network_inputs(shorter, 2, 9, 5, 7);
    require_same(without_points(network_function(memory::mlp_reference, shorter), c), without_points(network_function(autograd_loop, shorter), c), x,
                 kExact, kExactGradient);
  }
}

TEST_CASE("memory networks: chunked equals the token loop, states and every gradient", "[memory][mlp]") {
  for (const NetworkCase& c : network_cases())
    for (int64_t T : {1, 2, 27}) {
      INFO(c.name << ", T " << T);
      torch::manual_seed(2);
      require_same(network_function(memory::mlp_chunked, c), network_function(memory::mlp_reference, c), network_inputs(c, 2, T, 6, 8), kExact,
                   kExactGradient);
    }
}

TEST_CASE("memory networks: chunked equals the token loop at tile borders", "[memory][mlp]") {
  for (int64_t T : {63, 64, 65, 100})
    for (Gradient gradient : {Gradient::refresh, Gradient::exact_last}) {
      INFO("T " << T);
      torch::manual_seed(3);
      NetworkCase c;
      c.gradient = gradient, c.refresh = 64;
      require_same(network_function(memory::mlp_chunked, c), network_function(memory::mlp_reference, c), network_inputs(c, 2, T, 8, 12), kExact,
                   kExactGradient);
    }
}

TEST_CASE("memory networks: a group is one step: gradients summed, gates of its last token", "[memory][mlp]") {
  // Oracle by identities: with θ of all but one token of a group at 0 and no other gates in between, a group of g tokens is a step
  // of that token alone.
  torch::manual_seed(4);
  NetworkCase grouped, single;
  grouped.group = 4, grouped.refresh = single.refresh = 16;
  auto x = network_inputs(grouped, 2, 16, 6, 8);
  std::vector<at::Tensor> picked = x;
  for (int i = 0; i < 3; ++i) picked[i] = x[i].slice(1, 3, c10::nullopt, 4).contiguous();
  for (int64_t l = 0; l < 2; ++l)
    for (int which = 0; which < 3; ++which) {
      at::Tensor& gate = x[3 + 7 * l + which];
      if (which == 0) gate = gate * at::tensor({0., 0., 0., 1.}, at::kDouble).repeat({4});
      picked[3 + 7 * l + which] = gate.slice(1, 3, c10::nullopt, 4).contiguous();
    }
  single.refresh = 4;
  const auto a = network_function(memory::mlp_chunked, grouped)(x), b = network_function(memory::mlp_reference, single)(picked);
  REQUIRE(relative_error(a[0].slice(1, 3, c10::nullopt, 4), b[0]) < kExact);
  for (size_t i = 1; i < a.size(); ++i) REQUIRE(relative_error(a[i], b[i]) < kExact);
}

TEST_CASE("memory networks: a masked token is no step: leaving it out gives the same reads and state", "[memory][mlp]") {
  torch::manual_seed(5);
  NetworkCase c;
  c.gradient = Gradient::exact_last, c.net.depth = 1, c.net.form = Form::plain, c.refresh = 1000, c.masked = true;
  const auto x = network_inputs(c, 2, 40, 6, 6);
  const at::Tensor kept = network_call(x, c).step[0].nonzero().squeeze(1);
  std::vector<at::Tensor> rest = x;
  for (at::Tensor& t : rest)
    if (t.size(1) == 40) t = t.index_select(1, kept);
  NetworkCase all = c;
  all.masked = false;
  const auto a = network_function(memory::mlp_chunked, c)(x), b = network_function(memory::mlp_reference, all)(rest);
  REQUIRE(relative_error(a[0].index_select(1, kept), b[0]) < kExact);
  REQUIRE(relative_error(a[1], b[1]) < kExact);
  REQUIRE(relative_error(a[2], b[2]) < kExact);
}

TEST_CASE("memory networks: exact-last and sweeps at refresh 1 are the exact recurrence; sweeps converge to it", "[memory][mlp]") {
  for (int64_t depth : {2, 3}) {
    torch::manual_seed(6);
    NetworkCase exact;
    exact.net.depth = depth, exact.refresh = 1;
    const auto x = network_inputs(exact, 2, 32, 8, 8);
    const at::Tensor truth = network_function(memory::mlp_reference, exact)(x)[0];
    NetworkCase one = exact;
    one.gradient = Gradient::exact_last;
    REQUIRE(relative_error(network_function(memory::mlp_chunked, one)(x)[0], truth) < kExact);
    double last = 1e9;
    for (int64_t n : {0, 1, 3, 6}) {
      NetworkCase c = exact;
      c.refresh = 32, c.gradient = n ? Gradient::sweeps : Gradient::exact_last, c.sweeps = n;
      const double error = relative_error(network_function(memory::mlp_chunked, c)(x)[0], truth);
      INFO("depth " << depth << " sweeps " << n << " error " << error);
      REQUIRE(error < last);
      last = error;
    }
    REQUIRE(last < 1e-4);
  }
}

TEST_CASE("memory networks: any split into calls equals one call; causal and row-independent bit by bit", "[memory][mlp]") {
  auto cases = network_cases();
  for (int64_t n : {1, 2}) {
    NetworkCase c;
    c.name = "sweeps " + std::to_string(n), c.gradient = Gradient::sweeps, c.sweeps = n, c.net.depth = 1 + n;
    cases.push_back(c);
  }
  for (NetworkCase c : cases) {
    INFO(c.name);
    torch::manual_seed(7);
    c.position = 0;
    const int64_t g = c.group, T = 40;
    const auto x = network_inputs(c, 3, T, 6, 8);
    MlpWeights one = network_state(x, c), many = one;
    const at::Tensor whole = memory::mlp_chunked(network_call(x, c), one);
    std::vector<at::Tensor> reads;
    int64_t first = 0;
    for (int64_t next : {g, 2 * g, T / 2 / g * g, T}) {
      reads.push_back(memory::mlp_chunked(network_call(x, c, first, next - first), many));
      first = next;
    }
    REQUIRE(relative_error(at::cat(reads, 1), whole) < kExact);
    for (size_t l = 0; l < one.weights.size(); ++l) REQUIRE(relative_error(many.weights[l], one.weights[l]) < kExact);
    auto later = x, other = x;
    for (size_t i = 0; i < x.size(); ++i) {
      if (x[i].size(1) != T) continue;
      later[i] = x[i].clone(), other[i] = x[i].clone();
      later[i].narrow(1, 21, T - 21).uniform_(0, .3);
      other[i][2].uniform_(0, .3);
    }
    REQUIRE(at::equal(network_function(memory::mlp_chunked, c)(later)[0].narrow(1, 0, 20), whole.narrow(1, 0, 20)));
    REQUIRE(at::equal(network_function(memory::mlp_chunked, c)(other)[0].narrow(0, 0, 2), whole.narrow(0, 0, 2)));
  }
}

TEST_CASE("guard: repeated keys stay bounded, distinct keys are untouched", "[memory][guard]") {
  torch::manual_seed(8);
  NetworkCase c;
  c.net.depth = 1, c.net.form = Form::plain, c.refresh = 64, c.momentum = false, c.to_initial = false;
  auto x = network_inputs(c, 1, 640, 64, 64);
  x[1] = x[1].narrow(1, 0, 1).expand_as(x[1]).contiguous();  // one key, written 640 times
  x[2] = x[2].narrow(1, 0, 1).expand_as(x[2]).contiguous();
  x[0] = x[1], x[3] = at::full_like(x[3], .5), x[4] = at::zeros_like(x[4]);
  auto error = [&] {
    const at::Tensor y = network_function(memory::mlp_chunked, c)(x)[0];
    return (y - x[2]).narrow(1, 630, 10).abs().max().item<double>();
  };
  REQUIRE_FALSE(error() < 1e6);  // 64 stale steps of .5 step 32 times too far
  c.guard = true;
  REQUIRE(error() < 1e-2);  // ten intervals, each at least halves it
  const at::Tensor distinct = at::eye(64, at::kDouble).unsqueeze(0);
  const memory::Guarded g = memory::guard(distinct, at::full({1, 64}, memory::kGuardLimit * .99, at::kDouble), {}, at::zeros({1, 64, 64}, at::kDouble), 1);
  REQUIRE(at::equal(g.factor, at::ones_like(g.factor)));
}
