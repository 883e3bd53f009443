// What every kernel of a memory must hold, whatever its rule: any split ≡ one call, causality and row independence bit by bit, fp32
// close to fp64; at sizes around tile borders and vector widths. Scratch of the fused kernels is full of NaN.
#include "tests/unit/memory/network_cases.h"

#include "mneme/random.h"
#include "tests/support/poisoned.h"

using namespace mneme;
using namespace mneme::test;
using memory::Form;
using memory::Gradient;
using memory::NetworkCall;
using memory::NetworkWeights;

namespace {

struct Sizes {
  int64_t rows, heads, tokens, width;
};

using Run = at::Tensor (*)(const NetworkCall&, NetworkWeights&);

at::Tensor fused(const NetworkCall& call, NetworkWeights& w) {
  NetworkCall own = call;
  own.losses = false;
  const int64_t enough = std::max(call.key.size(2), call.refresh);  // sweeps and the guard: what is no whole interval runs in tiles
  REQUIRE(memory::why_not_fused(own, {enough, call.key.scalar_type()}).empty());  // the kernel itself, not what stands in for it
  return memory::network_fused(own, w);
}

at::Tensor linear(const NetworkCall& call, NetworkWeights& w) {
  NetworkCall own = call;
  own.losses = false;
  REQUIRE(memory::why_not_linear(own, {call.key.size(2), call.key.scalar_type()}).empty());
  return memory::network_linear(own, w);
}

struct Kernel {
  NetworkCase c;
  Run run;
  at::ScalarType dtype = at::kDouble;
  double tolerance() const { return dtype == at::kDouble ? kExact : kSingle; }
};

/// A kernel's case; steps small enough that a recurrence in fp32 stays where it would be in fp64.
NetworkCase of(const std::string& name, Form form, int64_t depth, Gradient gradient, int64_t refresh) {
  NetworkCase c;
  c.name = name, c.net.form = form, c.net.depth = depth, c.gradient = gradient, c.refresh = refresh, c.theta = .02;
  return c;
}

std::vector<Kernel> fused_kernels() {
  NetworkCase exact = of("fused linear, exact", Form::plain, 1, Gradient::exact_last, 1 << 20), stale = of("fused linear, refresh", Form::plain, 1, Gradient::refresh, 24);
  exact.to_initial = stale.to_initial = false;
  NetworkCase gain = of("fused residual+norm, fast gain", Form::residual_norm, 2, Gradient::refresh, 24);
  gain.fast_gain = true;
  std::vector<Kernel> all{{exact, fused}, {stale, fused}, {gain, fused},
                          {of("fused residual+norm, slow gain", Form::residual_norm, 2, Gradient::refresh, 64), fused},
                          {of("fused feature, refresh", Form::feature, 2, Gradient::refresh, 24), fused},
                          {of("fused feature, exact last", Form::feature, 2, Gradient::exact_last, 64), fused},
                          {of("fused sweep", Form::feature, 2, Gradient::sweeps, 24), fused},
                          {of("fused sweeps, three", Form::feature, 2, Gradient::sweeps, 64), fused}};
  all.back().c.sweeps = 3;
  for (Form form : {Form::feature, Form::residual_norm}) {
    NetworkCase guarded = of("fused guard", form, 2, Gradient::refresh, 24);
    guarded.guard = true, guarded.theta = .2;  // the guard keeps both within bounds
    all.push_back({guarded, fused});
  }
  for (Kernel& k : all) k.dtype = at::kFloat;
  return all;
}

/// Where the tiles and the loop have one form for all: a case of each gradient.
std::vector<NetworkCase> by_gradient() {
  NetworkCase guarded = of("refresh, guarded, groups", Form::feature, 2, Gradient::refresh, 24);
  guarded.guard = true, guarded.group = 4;
  return {of("refresh", Form::feature, 2, Gradient::refresh, 24), of("refresh, norm", Form::residual_norm, 2, Gradient::refresh, 64),
          of("exact last", Form::feature, 2, Gradient::exact_last, 64), of("exact last, three matrices", Form::plain, 3, Gradient::exact_last, 24),
          guarded};
}

/// All kernels in all their dtypes.
std::vector<Kernel> kernels() {
  std::vector<Kernel> all = fused_kernels();
  auto add = [&](const std::string& name, NetworkCase c, Run run) {
    c.name = name + ", " + c.name;
    all.push_back({c, run, at::kDouble}), all.push_back({c, run, at::kFloat});
  };
  for (const NetworkCase& c : by_gradient()) add("loop", c, memory::network_reference), add("tiles", c, memory::network_chunked);
  for (int64_t n : {1, 2}) {
    NetworkCase c = of("sweeps " + std::to_string(n), Form::feature, 1 + n, Gradient::sweeps, 24);
    c.sweeps = n;
    add("tiles", c, memory::network_chunked);
  }
  NetworkCase matrix = of("exact", Form::plain, 1, Gradient::exact_last, 1 << 20), grouped = matrix;
  matrix.to_initial = grouped.to_initial = false;
  grouped.group = 5, grouped.masked = true;
  add("linear tiles", matrix, linear), add("linear tiles, masked groups", grouped, linear);
  return all;
}

/// Each T and each D with each kernel, in other company from kernel to kernel.
std::vector<Sizes> sizes_for(size_t kernel) {
  const std::vector<int64_t> tokens{1, 2, 63, 64, 65, 100}, widths{8, 24, 60, 64};
  const std::vector<std::pair<int64_t, int64_t>> heads{{1, 1}, {3, 5}, {1, 5}, {3, 1}};
  std::vector<Sizes> all;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto [B, H] = heads[(i + kernel / 2) % heads.size()];
    all.push_back({B, H, tokens[i], widths[(i + kernel) % widths.size()]});
  }
  return all;
}

using Tensors = std::vector<at::Tensor>;

Tensors inputs(const Kernel& k, const Sizes& s) {
  Tensors x = network_inputs(k.c, s.rows * s.heads, s.tokens, s.width, s.width + s.width / 2);
  if (k.c.net.depth == 1)  // one matrix [D,D]
    for (int which = 3; which < 7; ++which) x[3 + which] = x[3 + which].narrow(1, 0, s.width).contiguous();
  for (at::Tensor& t : x) t = t.to(at::kFloat).to(k.dtype);
  return x;
}

struct Result {
  at::Tensor reads;  // as rows
  NetworkWeights state;
};

Result run(const Kernel& k, const Sizes& s, const Tensors& x, const std::vector<int64_t>& cuts) {
  NetworkCase c = k.c;
  c.heads = s.heads;
  Result r{{}, network_state(x, c)};
  Tensors reads;
  int64_t first = 0;
  for (int64_t next : cuts) {
    reads.push_back(k.run(network_call(x, c, first, next - first), r.state).flatten(0, 1));
    first = next;
  }
  r.reads = at::cat(reads, 1);
  return r;
}

/// Ends of calls, the last one T: at groups' ends, of up to `longest` groups.
std::vector<int64_t> random_cuts(const Kernel& k, const Sizes& s, int64_t longest, Random& random) {
  std::vector<int64_t> cuts;
  for (int64_t end = 0; end < s.tokens; cuts.push_back(end)) end = std::min(s.tokens, end + k.c.group * random.between(1, longest));
  return cuts;
}

/// The kernels at their sizes, then every option of the tiles at one size.
template <class F>
void for_each(const F& test) {
  const Poisoned poisoned;
  at::NoGradGuard no_grad;
  size_t number = 0;
  for (Kernel k : kernels()) {
    for (const Sizes& s : sizes_for(number)) {
      k.c.position = s.tokens % 2 ? 2 * k.c.group : 0;  // within an interval too
      INFO(k.c.name << ", " << (k.dtype == at::kDouble ? "fp64" : "fp32") << ", B " << s.rows << " H " << s.heads << " T " << s.tokens << " D "
                    << s.width);
      torch::manual_seed(20 + int(number));
      test(k, s, inputs(k, s));
    }
    ++number;
  }
  auto options = network_cases();
  for (const NetworkCase& c : sweep_cases()) options.push_back(c);
  for (const NetworkCase& c : options) {
    INFO(c.name);
    torch::manual_seed(7);
    const Kernel k{c, memory::network_chunked};
    const Sizes s{3, 1, 40, 6};
    test(k, s, inputs(k, s));
  }
}

}  // namespace

TEST_CASE("kernels: any split into calls gives the same reads and state", "[memory][kernels]") {
  Random random(4);
  for_each([&](const Kernel& k, const Sizes& s, const Tensors& x) {
    const Result whole = run(k, s, x, {s.tokens});
    REQUIRE(whole.reads.isfinite().all().item<bool>());
    for (int64_t longest : {int64_t(1), std::max<int64_t>(1, s.tokens / k.c.group / 3)}) {
      const Result split = run(k, s, x, random_cuts(k, s, longest, random));
      REQUIRE(relative_error(split.reads, whole.reads) < k.tolerance());
      const Tensors a = network_state_list(split.state), b = network_state_list(whole.state);
      REQUIRE(a.size() == b.size());
      for (size_t i = 0; i < a.size(); ++i) {
        INFO("state " << i);
        REQUIRE(relative_error(a[i], b[i]) < k.tolerance());
      }
    }
  });
}

TEST_CASE("kernels: later tokens leave every bit of earlier reads unchanged", "[memory][kernels]") {
  for_each([&](const Kernel& k, const Sizes& s, const Tensors& x) {
    const at::Tensor reads = run(k, s, x, {s.tokens}).reads;
    for (int64_t seen : {int64_t(1), s.tokens / 2, s.tokens - 1}) {
      if (seen < 1 || seen >= s.tokens) continue;
      INFO("from token " << seen);
      Tensors later = x;
      for (size_t i = 0; i < x.size(); ++i)
        if (i < 3 || x[i].dim() == 2) {  // q k v, gates
          later[i] = x[i].clone();
          later[i].narrow(1, seen, s.tokens - seen).uniform_(0, .3);
        }
      const at::Tensor changed = run(k, s, later, {s.tokens}).reads;
      REQUIRE(at::equal(changed.narrow(1, 0, seen), reads.narrow(1, 0, seen)));
      REQUIRE_FALSE(at::equal(changed.narrow(1, seen, 1), reads.narrow(1, seen, 1)));
    }
  });
}

TEST_CASE("kernels: other rows leave every bit unchanged, of reads and state", "[memory][kernels]") {
  for_each([&](const Kernel& k, const Sizes& s, const Tensors& x) {
    const int64_t N = s.rows * s.heads;
    if (N == 1) return;
    const Result all = run(k, s, x, {s.tokens});
    for (int64_t other : {int64_t(0), N - 1}) {
      Tensors changed = x;
      for (at::Tensor& t : changed) t = t.clone(), t[other].uniform_(0, .3);
      const Result r = run(k, s, changed, {s.tokens});
      const int64_t first = other ? 0 : 1;
      auto rest = [&](const at::Tensor& t) { return t.narrow(0, first, N - 1); };
      REQUIRE(at::equal(rest(r.reads), rest(all.reads)));
      REQUIRE_FALSE(at::equal(r.reads[other], all.reads[other]));
      const Tensors a = network_state_list(r.state), b = network_state_list(all.state);
      for (size_t i = 0; i < a.size(); ++i) REQUIRE(at::equal(rest(a[i].flatten(0, 1)), rest(b[i].flatten(0, 1))));
    }
  });
}

TEST_CASE("kernels: fp32 is close to the token loop in fp64", "[memory][kernels]") {
  for_each([&](const Kernel& k, const Sizes& s, const Tensors& x) {
    if (k.dtype != at::kFloat) return;
    Kernel truth = k;
    truth.dtype = at::kDouble, truth.run = k.c.gradient == Gradient::sweeps ? memory::network_chunked : memory::network_reference;
    if (k.c.gradient == Gradient::exact_last && k.c.net.depth == 1) truth.c.refresh = k.c.group;  // the loop's name for exact
    Tensors wide = x;
    for (at::Tensor& t : wide) t = t.to(at::kDouble);
    const Result a = run(k, s, x, {s.tokens}), b = run(truth, s, wide, {s.tokens});
    REQUIRE(relative_error(a.reads, b.reads) < kSingle);
    for (size_t l = 0; l < a.state.weights.size(); ++l) {
      REQUIRE(relative_error(a.state.weights[l], b.state.weights[l]) < kSingle);
      REQUIRE(relative_error(a.state.momentum[l], b.state.momentum[l]) < kSingle);
    }
  });
}
