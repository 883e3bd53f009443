// The recurrence of all linear states: chunked form against the loop over tokens, splits, strong decays, causality, time.
#include "tests/support/tensors.h"

#include <chrono>
#include <cmath>
#include <cstdio>

#include "memory/linear_recurrence.h"
#include "memory/network_kernels.h"
#include "nn/row_norm.h"

using namespace mneme;
using namespace mneme::test;
using memory::LinearRecurrence;

namespace {

enum class Decay { none, head, channel };
enum class Erase { none, along_key, along_own };

struct Case {
  Decay decay = Decay::channel;
  Erase erase = Erase::along_own;
  bool before = false;
  int64_t tile = 64;
};

std::vector<Case> all_cases(int64_t tile) {
  std::vector<Case> cases;
  for (Decay decay : {Decay::none, Decay::head, Decay::channel})
    for (Erase erase : {Erase::none, Erase::along_key, Erase::along_own})
      for (bool before : {false, true}) cases.push_back({decay, erase, before, tile});
  return cases;
}

std::string name(const Case& c) {
  const char *decays[]{"none", "per head", "per channel"}, *erases[]{"nothing", "along k", "along d"};
  return std::string("decay ") + decays[static_cast<int>(c.decay)] + ", erase " + erases[static_cast<int>(c.erase)] +
         (c.before ? ", before" : "") + ", tile " + std::to_string(c.tile);
}

// q, k, u, log decay, e, d, state. Erasing e, d never grows the state (‖e‖ ‖d‖ ≤ 1).
std::vector<at::Tensor> random_inputs(int64_t N, int64_t T, int64_t K, int64_t V, Decay decay, double strength = .3) {
  auto unit = [&] { return nn::l2_normalize(normal({N, T, K})); };
  return {unit(), unit(), normal({N, T, V}), -uniform({N, T, decay == Decay::channel ? K : 1}, 0, 1) * strength,
          unit() * uniform({N, T, 1}, 0, 1), unit(), normal({N, K, V})};
}

// f = linear_recurrence_reference or linear_recurrence_chunked → reads, state
template <class F>
Function kernel(F f, Case c) {
  return [=](const std::vector<at::Tensor>& x) {
    auto heads = [&](int i) { return x[i].unsqueeze(0); };  // of one row
    LinearRecurrence call{heads(0), heads(1), heads(2)};
    if (c.decay != Decay::none) call.log_decay = heads(3);
    if (c.erase != Erase::none) call.erase = heads(4);
    if (c.erase == Erase::along_own) call.along = heads(5);
    call.read_before = c.before, call.tile = c.tile;
    at::Tensor state = heads(6);
    const at::Tensor reads = f(call, state);
    return std::vector<at::Tensor>{reads.squeeze(0), state.squeeze(0)};
  };
}

void require_chunked(const Case& c, const std::vector<at::Tensor>& x) {
  require_same(kernel(memory::linear_recurrence_chunked, c), kernel(memory::linear_recurrence_reference, c), x, kExact, kExactGradient);
}

std::vector<at::Tensor> single(std::vector<at::Tensor> x) {
  for (at::Tensor& t : x) t = t.to(at::kFloat);
  return x;
}

}  // namespace

TEST_CASE("linear recurrence: the token loop is the equation, written with matrices", "[memory][linear_recurrence]") {
  torch::manual_seed(1);
  const int64_t T = 7, K = 4, V = 3;
  const auto x = random_inputs(1, T, K, V, Decay::channel);
  at::Tensor S = x[6][0];
  std::vector<at::Tensor> after, before;
  for (int64_t t = 0; t < T; ++t) {
    auto at_t = [&](int i) { return x[i][0][t]; };
    before.push_back(at::mv(S.t(), at_t(0)));
    S = at::mm(at::diag(at_t(3).exp()) - at::outer(at_t(5), at_t(4)), S) + at::outer(at_t(1), at_t(2));
    after.push_back(at::mv(S.t(), at_t(0)));
  }
  for (bool early : {false, true}) {
    const auto r = kernel(memory::linear_recurrence_reference, {Decay::channel, Erase::along_own, early})(x);
    REQUIRE(relative_error(r[0][0], at::stack(early ? before : after)) < kExact);
    REQUIRE(relative_error(r[1][0], S) < kExact);
  }
}

TEST_CASE("linear recurrence: chunked equals the token loop, states and every gradient", "[memory][linear_recurrence]") {
  torch::manual_seed(2);
  for (int64_t T : {0, 1, 2, 63, 64, 65, 130})
    for (int64_t tile : {1, 4, 16, 64})
      for (const Case& c : all_cases(tile)) {
        INFO("T " << T << " " << name(c));
        require_chunked(c, random_inputs(2, T, 6, 5, c.decay));
      }
}

TEST_CASE("linear recurrence: tiles that are no power of two, one key channel", "[memory][linear_recurrence]") {
  torch::manual_seed(3);
  for (int64_t tile : {3, 10, 100})
    for (const Case& c : all_cases(tile)) {
      INFO(name(c));
      for (int64_t K : {1, 9}) require_chunked(c, random_inputs(2, 77, K, 5, c.decay));
    }
}

TEST_CASE("linear recurrence: an empty call reads nothing and changes nothing", "[memory][linear_recurrence]") {
  for (const Case& c : all_cases(64)) {
    const auto x = random_inputs(2, 0, 6, 5, c.decay);
    const auto r = kernel(memory::linear_recurrence_chunked, c)(x);
    REQUIRE(r[0].sizes() == at::IntArrayRef({2, 0, 5}));
    REQUIRE(at::equal(r[1], x[6]));
  }
}

TEST_CASE("linear recurrence: what rows or heads share may have size 1 there", "[memory][linear_recurrence]") {
  torch::manual_seed(9);
  const int64_t B = 2, H = 3, T = 20;
  const at::Tensor q = normal({B, 1, T, 6}), k = normal({1, H, T, 6}), u = normal({B, H, T, 5}), a = -uniform({1, 1, T, 1}, 0, 1), S = normal({B, H, 6, 5});
  for (const auto f : {memory::linear_recurrence_chunked, memory::linear_recurrence_reference}) {
    at::Tensor shared = S, each = S;
    const at::Tensor reads = f({q, k, u, a}, shared);
    REQUIRE(reads.sizes() == u.sizes());
    REQUIRE(at::equal(reads, f({q.expand({B, H, T, 6}), k.expand({B, H, T, 6}), u, a.expand({B, H, T, 1})}, each)));
    REQUIRE(at::equal(shared, each));
  }
}

TEST_CASE("linear recurrence: decays down to exp(−1e4) and 0 are exact, in every mixture with weak ones", "[memory][linear_recurrence]") {
  torch::manual_seed(4);
  for (double strong : {70., 1e4, HUGE_VAL})
    for (const Case& c : all_cases(64)) {
      if (c.decay == Decay::none) continue;
      INFO("strong " << strong << " " << name(c));
      const auto run = kernel(memory::linear_recurrence_chunked, c), loop = kernel(memory::linear_recurrence_reference, c);
      auto x = random_inputs(2, 100, 6, 5, c.decay, .01);
      const at::Tensor chosen = uniform(x[3].sizes(), 0, 1) < .3;  // strong here and there
      x[3] = x[3].masked_fill(chosen, -strong);
      for (bool everywhere : {false, true}) {
        if (everywhere) x[3].fill_(-strong);
        require_same(run, loop, x, kExact, kExactGradient);
        // fp32: nothing infinite, and as close to fp64 as without strong decays.
        const Derived a = derive(run, single(x)), b = derive(loop, x);
        for (size_t i = 0; i < 2; ++i) REQUIRE(relative_error(a.outputs[i], b.outputs[i]) < kSingle);
        for (size_t i = 0; i < x.size(); ++i) REQUIRE(relative_error(a.gradients[i], b.gradients[i]) < kSingle);
      }
    }
}

TEST_CASE("linear recurrence: any split into calls equals one call", "[memory][linear_recurrence]") {
  torch::manual_seed(5);
  for (const Case& c : all_cases(32)) {
    INFO(name(c));
    const auto x = random_inputs(2, 90, 6, 5, c.decay);
    const auto run = kernel(memory::linear_recurrence_chunked, c);
    auto cut = [&](std::vector<int64_t> cuts) {
      std::vector<at::Tensor> reads, part = x;
      int64_t first = 0;
      for (int64_t next : cuts) {
        for (int i = 0; i < 6; ++i) part[i] = x[i].narrow(1, first, next - first);
        const auto r = run(part);
        reads.push_back(r[0]), part[6] = r[1], first = next;
      }
      return std::vector<at::Tensor>{at::cat(reads, 1), part[6]};
    };
    std::vector<int64_t> each(90);
    for (int i = 0; i < 90; ++i) each[i] = i + 1;
    const auto one = cut({90});
    for (const auto& many : {cut({1, 5, 31, 33, 64, 64, 89, 90}), cut(each)})
      for (int i = 0; i < 2; ++i) REQUIRE(relative_error(many[i], one[i]) < kExact);
  }
}

TEST_CASE("linear recurrence: later tokens and other rows leave bits unchanged; fp32 is close to fp64", "[memory][linear_recurrence]") {
  torch::manual_seed(6);
  for (const Case& c : all_cases(64)) {
    INFO(name(c));
    const auto x = random_inputs(4, 150, 24, 16, c.decay), low = single(x), others = single(random_inputs(4, 150, 24, 16, c.decay, 2));
    const auto run = kernel(memory::linear_recurrence_chunked, c);
    const at::Tensor reads = run(low)[0];
    REQUIRE(relative_error(reads, kernel(memory::linear_recurrence_reference, c)(x)[0]) < kSingle);
    const Derived a = derive(run, low), b = derive(run, x);
    for (size_t i = 0; i < x.size(); ++i) REQUIRE(relative_error(a.gradients[i], b.gradients[i]) < kSingle);
    for (int64_t from : {97, 64, 149}) {
      auto later = low;
      for (int i = 0; i < 6; ++i) later[i] = at::cat({low[i].narrow(1, 0, from), others[i].narrow(1, from, 150 - from)}, 1);
      REQUIRE(at::equal(run(later)[0].narrow(1, 0, from), reads.narrow(1, 0, from)));
    }
    auto other = low;
    for (size_t i = 0; i < other.size(); ++i) {
      other[i] = low[i].clone();
      other[i][2] = others[i][2];
    }
    const at::Tensor changed = run(other)[0];
    for (int row : {0, 1, 3}) REQUIRE(at::equal(changed[row], reads[row]));
  }
}

TEST_CASE("linear recurrence: finite differences", "[memory][linear_recurrence]") {
  torch::manual_seed(7);
  for (Decay decay : {Decay::head, Decay::channel}) {
    const Case c{decay, Erase::along_own, false, 4};
    const auto x = random_inputs(1, 6, 3, 2, decay);
    const auto run = kernel(memory::linear_recurrence_chunked, c);
    const Derived exact = derive(run, x);
    auto value = [&](const std::vector<at::Tensor>& at) {
      double sum = 0;
      const auto r = run(at);
      for (size_t i = 0; i < r.size(); ++i) {
        auto generator = at::make_generator<at::CPUGeneratorImpl>(17 + i);  // the projection of derive()
        sum += (r[i] * at::empty(r[i].sizes(), at::kDouble).normal_(0, 1, generator)).sum().item<double>();
      }
      return sum;
    };
    for (size_t i = 0; i < x.size(); ++i)
      for (int64_t j = 0; j < x[i].numel(); ++j) {
        auto moved = [&](double by) {
          auto y = x;
          y[i] = x[i].clone();
          y[i].view(-1)[j] += by;
          return value(y);
        };
        REQUIRE((moved(1e-5) - moved(-1e-5)) / 2e-5 == Approx(exact.gradients[i].reshape(-1)[j].item<double>()).margin(1e-8).epsilon(1e-7));
      }
  }
}

TEST_CASE("linear recurrence: time against the linear memory's exact gradients", "[.bench]") {
  torch::manual_seed(8);
  const int64_t N = 64, T = 1024, D = 64;
  auto time = [](const char* what, const Function& f, const std::vector<at::Tensor>& x) {
    auto best = [](auto&& g) {
      double least = 1e9;
      for (int i = 0; i < 5; ++i) {
        const auto start = std::chrono::steady_clock::now();
        g();
        least = std::min(least, std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
      }
      return least;
    };
    std::vector<at::Tensor> leaves;
    for (const at::Tensor& t : x) leaves.push_back(leaf(t));
    const double forward = best([&] {
      at::NoGradGuard none;
      f(x);
    });
    const double both = best([&] { torch::autograd::grad({f(leaves)[0].sum()}, leaves, {}, false, false, true); });
    std::printf("%-34s forward %7.1f ms   with backward %7.1f ms\n", what, forward, both);
  };
  const auto titans = [](const std::vector<at::Tensor>& x) {
    memory::NetworkCall call;
    call.net.depth = 1, call.net.form = memory::Form::plain;
    auto by_head = [&](int i) { return x[i].unsqueeze(1); };
    call.query = by_head(0), call.key = by_head(1), call.value = by_head(2), call.theta = by_head(3).unsqueeze(3), call.alpha = by_head(4).unsqueeze(3);
    memory::NetworkWeights w{{by_head(5)}};
    return std::vector<at::Tensor>{memory::network_linear(call, w)};
  };
  const auto x = single(random_inputs(N, T, D, D, Decay::channel));
  time("network_linear", titans, {x[0], x[1], x[2], uniform({N, T}, 0, .5, at::kFloat), uniform({N, T}, 0, .1, at::kFloat), x[6]});
  for (Decay decay : {Decay::none, Decay::head, Decay::channel})
    for (Erase erase : {Erase::none, Erase::along_key, Erase::along_own}) {
      auto y = x;
      if (decay == Decay::head) y[3] = x[3].narrow(2, 0, 1).contiguous();
      const Case c{decay, erase};
      time(name(c).c_str(), kernel(memory::linear_recurrence_chunked, c), y);
    }
}
