// What every registered block and memory must hold, without naming them: any split ≡ one call, decoding ≡ parallel,
// causality and row independence bit by bit, save and load of the state, constant state size, off ≡ a constant map.
#include "core/provenance.h"
#include "mneme/random.h"
#include "tests/property/model_variants.h"

using namespace mneme;
using namespace mneme::test;

namespace {

at::Tensor run_split(SequenceModel& model, const at::Tensor& x, const std::vector<int64_t>& cuts, State& state) {
  std::vector<at::Tensor> parts;
  int64_t first = 0;
  for (int64_t next : cuts) {
    parts.push_back(run(model, x.narrow(1, first, next - first), state));
    first = next;
  }
  return at::cat(parts, 1);
}

/// Ends of calls, the last one T; a call's length is anything from 1 to about T / 3.
std::vector<int64_t> random_cuts(int64_t T, Random& random) {
  std::vector<int64_t> cuts;
  for (int64_t end = 0; end < T; cuts.push_back(end)) end = std::min(T, end + random.between(1, T / 3 + 1));
  return cuts;
}

void require_same_state(const State& a, const State& b, double tolerance) {
  const auto x = a.flatten(), y = b.flatten();
  REQUIRE(x.size() == y.size());
  for (size_t i = 0; i < x.size(); ++i) {
    INFO(x[i].first);
    REQUIRE(x[i].first == y[i].first);
    REQUIRE(relative_error(x[i].second, y[i].second) <= tolerance);
  }
}

}  // namespace

TEST_CASE("models: any split into calls gives the same logits and the same state", "[models][property]") {
  at::NoGradGuard no_grad;
  Random random(2);
  const std::vector<int64_t> lengths{65, 100, 64, 2, 63, 1};
  size_t number = 0;
  for (const Variant& v : variants()) {
    const int64_t T = lengths[number % lengths.size()], B = number % 2 ? 1 : 3;
    ++number;
    INFO(v.name << ", " << B << " rows of " << T);
    const auto model = make(v, at::kDouble);
    const at::Tensor x = tokens(B, T);
    State one, split, decoded;
    const at::Tensor whole = run(*model, x, one);
    REQUIRE(relative_error(run_split(*model, x, random_cuts(T, random), split), whole) < kExact);
    require_same_state(split, one, kExact);
    std::vector<int64_t> each(T);
    for (int64_t t = 0; t < T; ++t) each[t] = t + 1;
    REQUIRE(relative_error(run_split(*model, x, each, decoded), whole) < kExact);
    require_same_state(decoded, one, kExact);
    const auto single = make(v, at::kFloat);
    State s;
    REQUIRE(relative_error(run_split(*single, x, random_cuts(T, random), s), run(*single, x)) < 10 * kSingle);
  }
}

TEST_CASE("models: gradients do not depend on the split", "[models][property]") {
  for (const Variant& v : variants()) {
    INFO(v.name);
    const auto model = make(v, at::kDouble);
    const at::Tensor x = tokens(2, 30);
    auto gradients = [&](const std::vector<int64_t>& cuts) {
      model->zero_grad();
      State state;
      run_split(*model, x, cuts, state).square().mean().backward();
      std::map<std::string, at::Tensor> result;
      for (auto& p : model->named_parameters())
        if (p.value().grad().defined()) result[p.key()] = p.value().grad().clone();
      return result;
    };
    const auto one = gradients({30}), many = gradients({3, 11, 22, 30});
    REQUIRE(one.size() == many.size());
    for (const auto& [name, gradient] : one) {
      INFO(name);
      REQUIRE(relative_error(many.at(name), gradient) < kExactGradient);
    }
  }
}

TEST_CASE("models: later tokens and other rows leave every bit unchanged", "[models][property]") {
  at::NoGradGuard no_grad;
  for (const Variant& v : variants()) {
    INFO(v.name);
    const auto model = make(v, at::kFloat);
    const at::Tensor x = tokens(3, 100);
    const at::Tensor logits = run(*model, x);
    REQUIRE(logits.isfinite().all().item<bool>());
    at::Tensor later = x.clone(), other = x.clone();
    later.narrow(1, 51, 49).copy_(tokens(3, 49, 2));
    other[2].copy_(tokens(1, 100, 3)[0]);
    REQUIRE(at::equal(run(*model, later).narrow(1, 0, 51), logits.narrow(1, 0, 51)));
    REQUIRE(at::equal(run(*model, other).narrow(0, 0, 2), logits.narrow(0, 0, 2)));
    REQUIRE_FALSE(at::equal(run(*model, later).narrow(1, 51, 49), logits.narrow(1, 51, 49)));
  }
}

TEST_CASE("models: outer gradients agree with finite differences", "[models][gradient]") {
  size_t number = 0;
  for (Variant v : variants()) {
    if (number++ % 4) continue;  // every memory has its own tests of this
    INFO(v.name);
    v.memory.guard = false;  // it bends where it starts to act
    const auto model = make(v, at::kDouble);
    const at::Tensor x = tokens(1, 10);
    auto loss = [&] { return run(*model, x).square().mean(); };
    model->zero_grad();
    loss().backward();
    at::NoGradGuard no_grad;
    for (auto& p : model->named_parameters()) {
      if (!p.value().grad().defined()) continue;
      INFO(p.key());
      at::Tensor flat = p.value().view(-1);
      const int64_t i = p.value().grad().abs().argmax().item<int64_t>();  // the coordinate that matters most
      const double old = flat[i].item<double>(), h = 3e-6;
      auto at_offset = [&](double offset) {
        flat[i] = old + offset;
        const double value = loss().item<double>();
        flat[i] = old;
        return value;
      };
      // Fourth order and a small step: normalising a read near zero bends the loss on a scale of 1e-3.
      const double expected = (8 * (at_offset(h) - at_offset(-h)) - (at_offset(2 * h) - at_offset(-2 * h))) / (12 * h);
      const double found = p.value().grad().view(-1)[i].item<double>();
      REQUIRE(std::abs(found - expected) <= 1e-5 * std::max(std::abs(expected), 1e-3));
    }
  }
}

TEST_CASE("models: a state survives a file, can be picked by row, and does not grow", "[models][property]") {
  at::NoGradGuard no_grad;
  for (const Variant& v : variants()) {
    INFO(v.name);
    const auto model = make(v, at::kDouble);
    const at::Tensor x = tokens(3, 60);
    State state;
    run(*model, x.narrow(1, 0, 30), state);
    State loaded = State::unflatten(state.flatten()), copy = state.clone(), picked = state.rows(at::tensor({2, 0}, at::kLong));
    const at::Tensor rest = run(*model, x.narrow(1, 30, 30), state);
    REQUIRE(at::equal(run(*model, x.narrow(1, 30, 30), loaded), rest));
    REQUIRE(at::equal(run(*model, x.narrow(1, 30, 30), copy), rest));
    const at::Tensor two = run(*model, x.index_select(0, at::tensor({2, 0}, at::kLong)).narrow(1, 30, 30), picked);
    REQUIRE(relative_error(two, rest.index_select(0, at::tensor({2, 0}, at::kLong))) < kExact);
    if (v.model.attention == "full") continue;  // which keeps all keys
    const int64_t before = state.bytes_per_row();
    run(*model, x, state);
    REQUIRE(state.bytes_per_row() == before);
  }
}

TEST_CASE("models: with its memory off a model has the same parameters and carries no memory", "[models][property]") {
  at::NoGradGuard no_grad;
  for (const Variant& v : variants()) {
    if (v.memory.kind == "none") continue;
    INFO(v.name);
    Variant off = v;
    off.memory.off = true;
    REQUIRE(make(off, at::kFloat)->parameter_count() == make(v, at::kFloat)->parameter_count());
    State state;
    run(*make(off, at::kFloat), tokens(2, 30), state);
    for (const auto& [name, tensor] : state.flatten()) REQUIRE(name.find("memory/memory") == std::string::npos);
  }
}

TEST_CASE("models: chunked and reference kernels agree", "[models][property]") {
  at::NoGradGuard no_grad;
  for (Variant v : variants()) {
    if (v.memory.kind == "none") continue;
    INFO(v.name);
    const at::Tensor x = tokens(2, 50), chunked = run(*make(v, at::kDouble), x);
    v.memory.kernel = "reference";
    if (!possible(v)) continue;  // sweeps approximate the exact recurrence, which the reference kernel has
    REQUIRE(relative_error(run(*make(v, at::kDouble), x), chunked) < kExact);
  }
}

TEST_CASE("models: two hundred calls need no more room than twenty", "[models][property][rss]") {
  const at::Tensor x = tokens(1, 9);
  std::string block;
  for (Variant v : variants()) {
    if (v.model.kind == block) continue;  // one of each block
    block = v.model.kind;
    INFO(v.name);
    v.model.attention = "window", v.model.layers = 1;
    const auto model = make(v, at::kFloat);
    State state;
    auto calls = [&](int count) {
      for (int i = 0; i < count; ++i) {
        run(*model, x, state).sum().backward();
        state.detach();
      }
    };
    calls(20);
    const double before = rss_mib();
    calls(200);
    REQUIRE(rss_mib() - before < 2);
  }
}
