// States of every registered block and memory: they survive a file, can be picked by row, keep their size, and need no more room
// from call to call.
#include <set>

#include "base/provenance.h"
#include "tests/property/model_runs.h"
#include "tests/support/memory_options.h"
#include "tests/support/temporary_folder.h"
#include "eval/state_file.h"

using namespace mneme;
using namespace mneme::test;

namespace {

/// What the state's tensors keep alive, whatever part of it they show.
int64_t held_bytes(const State& state) {
  int64_t bytes = 0;
  for (const auto& [name, x] : state.flatten())
    if (x.dim() > 0) bytes += int64_t(x.storage().nbytes());
  return bytes;
}

}  // namespace

TEST_CASE("models: a state survives a file and can be picked by row", "[models][property][conformance]") {
  INFO("every tensor of a state has the rows first and says all there is to say: nothing is kept outside it");
  at::NoGradGuard no_grad;
  const TemporaryFolder folder;
  for (const Variant& v : variants()) {
    INFO(v.name);
    const auto model = make(v, at::kDouble);
    const at::Tensor x = tokens(3, 60), order = at::tensor({2, 0}, at::kLong);
    State state;
    run(*model, x.narrow(1, 0, 29), state);
    save_state(folder.path() + "/state.safetensors", state);
    State loaded = load_state(folder.path() + "/state.safetensors"), copy = state.clone(), picked = state.rows(order);
    const at::Tensor rest = run(*model, x.narrow(1, 29, 31), state);
    REQUIRE(at::equal(run(*model, x.narrow(1, 29, 31), loaded), rest));
    REQUIRE(at::equal(run(*model, x.narrow(1, 29, 31), copy), rest));
    const at::Tensor two = run(*model, x.index_select(0, order).narrow(1, 29, 31), picked);
    REQUIRE(relative_error(two, rest.index_select(0, order)) < kExact);
  }
}

// The tokens of an unfinished group wait in the state, so its size may depend on the place in the group, on nothing else.
TEST_CASE("models: without full attention a state's bytes do not grow with the tokens read", "[models][property][conformance]") {
  INFO("a state has one size from its first call on: a view of a larger tensor keeps all of that (clone it)");
  at::NoGradGuard no_grad;
  int64_t checked = 0;
  for (const Variant& v : variants()) {
    if (keeps_every_token(v.model)) continue;
    INFO(v.name);
    ++checked;
    const auto model = make(v, at::kFloat);
    const AnyMemory& o = v.memory;
    State state;
    std::vector<int64_t> bytes, held;
    auto measure = [&] { bytes.push_back(state.bytes_per_row()), held.push_back(held_bytes(state)); };
    auto around = [&](int64_t steps) {  // `steps` more tokens, then one by one through a group
      run(*model, tokens(2, steps), state);
      measure();
      for (int64_t i = 1; i < o.group; ++i) {
        run(*model, tokens(2, 1), state);
        measure();
      }
    };
    const int64_t g = o.group;
    around(56);
    around(64 * g + 1);
    for (int64_t i = 0; i < g; ++i) {
      INFO(i << " tokens into a group");
      REQUIRE(bytes[g + i] == bytes[i]);
      REQUIRE(held[g + i] == held[i]);
      const int64_t width = o.head_width ? o.head_width : v.model.width / o.heads;
      const int64_t waiting = i * o.heads * o.keys_per_token * (2 * width + o.depth + 1);  // key, value, steps
      if (!subjects().chosen) REQUIRE(bytes[i] <= bytes[0] + 4 * v.model.layers * waiting);
    }
  }
  REQUIRE((checked > 40 || subjects().chosen));
}

TEST_CASE("models: two hundred calls of training need no more room than twenty", "[models][property][rss][conformance]") {
  INFO("State::detach() lets go of the graph of earlier calls: look for tensors that are kept outside the state");
  std::set<std::string> done;
  for (Variant v : variants()) {  // of each block each memory, and of those with states of their own groups and sweeps
    const AnyMemory& o = v.memory;
    if ((o.group > 1 || o.gradient == "sweeps") && BlockRegistry::instance().get(v.model.kind).attends) continue;
    const std::string what = v.model.kind + " " + (o.group > 1 ? "groups" : o.gradient == "sweeps" ? "sweeps" : o.kind);
    if (!done.insert(what).second || (v.name.find("/further") != std::string::npos)) continue;
    INFO(v.name);
    v.model.attention = "window";
    v.model.ffn = "none";
    if (o.group > 1 || o.gradient == "sweeps" || o.kind == "linear") v.model.layers = 1;
    const auto model = make(v, at::kFloat);
    const at::Tensor x = tokens(1, 19);  // whole intervals and more, no multiple of a group, an interval, a segment
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
