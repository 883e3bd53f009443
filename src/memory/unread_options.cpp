#include "memory/unread_options.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <vector>

#include "config/fields.h"

namespace mneme::memory {
namespace {

// Of the layer around any memory (layer.h, gates.h).
const std::set<std::string>& read_by_the_layer() {
  static const std::set<std::string> names{"kind", "heads", "head_width", "expand_v", "qk_norm", "keys_per_token", "gate_per_head", "gate_scale",
                                           "step_cap", "cache", "off", "frozen"};
  return names;
}

struct Declared {
  std::vector<Gate> gates;
  std::vector<std::pair<std::string, at::Tensor>> tensors;  // parameters, and a fresh state
};

// A small memory of the kind: what it declares does not depend on its size.
Declared declared(const MemoryPlugin& plugin, const MemoryOptions& options) {
  constexpr int64_t kWidth = 8;
  at::NoGradGuard no_grad;
  const int64_t values = std::max<int64_t>(std::llround(options.expand_v * double(kWidth)), 1);
  const auto memory = plugin.make({options, 1, kWidth, values, at::make_generator<at::CPUGeneratorImpl>(1)});
  Declared all{memory->gates(), {}};
  for (const auto& p : memory->named_parameters()) all.tensors.emplace_back(p.key(), p.value());
  State state;
  memory->start(state, 1);
  for (auto& named : state.flatten()) all.tensors.push_back(std::move(named));
  return all;
}

bool same(const Declared& a, const Declared& b) {
  auto numbers = [](const Gate& g) {
    return std::tie(g.name, g.per, g.copies, g.activation, g.bias, g.scale, g.rank, g.previous, g.pooled, g.writes);
  };
  auto same_gate = [&](const Gate& x, const Gate& y) { return numbers(x) == numbers(y); };
  auto same_tensor = [](const auto& x, const auto& y) { return x.first == y.first && x.second.sizes() == y.second.sizes() && at::equal(x.second, y.second); };
  return std::equal(a.gates.begin(), a.gates.end(), b.gates.begin(), b.gates.end(), same_gate) &&
         std::equal(a.tensors.begin(), a.tensors.end(), b.tensors.begin(), b.tensors.end(), same_tensor);
}

// `options` with one of them as a text says.
MemoryOptions with(MemoryOptions options, const std::string& name, const std::string& text) {
  for (Field& field : fields_of(options, ""))
    if (field.key == name) field.parse(text);
  return options;
}

}  // namespace

void check_unread_options(const MemoryOptions& options, const std::set<std::string>& read, Problems& problems) {
  const MemoryPlugin* plugin = MemoryRegistry::instance().find(options.kind);
  if (!plugin) return;
  MemoryOptions given = options, usual;
  usual.kind = options.kind, usual.own = plugin->options ? plugin->options() : nullptr;
  const std::vector<Field> of_given = fields_of(given, ""), of_usual = fields_of(usual, "");
  for (size_t i = 0; i < of_given.size(); ++i) {
    const std::string &name = of_given[i].key, text = of_given[i].text(), by_default = of_usual[i].text();
    if (text == by_default || read_by_the_layer().count(name) || read.count(name)) continue;
    const Declared as_given = declared(*plugin, given);
    const auto writes = [](const Gate& gate) { return gate.writes; };
    const auto pooled = [](const Gate& gate) { return gate.pooled; };
    if (name == "write_penalty" && std::any_of(as_given.gates.begin(), as_given.gates.end(), writes)) continue;
    if ((name == "group" || name == "gate_pooling") && std::any_of(as_given.gates.begin(), as_given.gates.end(), pooled)) continue;
    if (!same(as_given, declared(*plugin, with(given, name, by_default)))) continue;
    if (!same(declared(*plugin, usual), declared(*plugin, with(usual, name, text)))) continue;
    problems.add("memory." + name, "memory.kind = " + options.kind + " does not read it; leave it out");
  }
}

}  // namespace mneme::memory
