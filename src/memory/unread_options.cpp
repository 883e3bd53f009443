#include "memory/unread_options.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <vector>

#include "base/text.h"
#include "config/fields.h"

namespace mneme::memory {
namespace {

// Of the layer around any memory (layer.h, gates.h).
const std::set<std::string>& read_by_the_layer() {
  static const std::set<std::string> names{"kind", "heads", "head_width", "expand_v", "qk_norm", "keys_per_token", "gate_per_head", "gate_scale",
                                           "fixed_gates", "step_cap", "cache", "off", "frozen"};
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

// `options` with one of them as a text says; with an own option of the kind, and all other own options as they are.
MemoryOptions with(MemoryOptions options, const std::string& name, const std::string& text) {
  for (Field& field : fields_of(options, ""))
    if (field.key == name) field.parse(text);
  return options;
}
MemoryOptions with_own(const MemoryPlugin& plugin, MemoryOptions options, const std::string& name, const std::string& text) {
  const std::shared_ptr<Options> before = options.own;
  options.own = plugin.options();
  std::vector<Field> from, to = fields_of(*options.own, "");
  if (before) from = fields_of(*before, "");
  for (size_t i = 0; i < to.size(); ++i) {
    if (before) to[i].parse(from[i].text());
    if (to[i].key == name) to[i].parse(text);
  }
  return options;
}

// What the memory declares tells an option from another value of it.
bool is_read(const MemoryPlugin& plugin, const MemoryOptions& options, const std::string& name, const std::string& other) {
  const Declared as_given = declared(plugin, options);
  const auto any = [&](bool Gate::*what) { return std::any_of(as_given.gates.begin(), as_given.gates.end(), [&](const Gate& gate) { return gate.*what; }); };
  if (name == "write_penalty" && any(&Gate::writes)) return true;
  if ((name == "group" || name == "gate_pooling") && any(&Gate::pooled)) return true;
  return !same(as_given, declared(plugin, with(options, name, other)));
}

// The one other choice, or default of what was set, with which the option would be read: "memory.forgetting = true"; "": there is none.
std::string would_read(const MemoryPlugin& plugin, const MemoryOptions& options, const std::string& name, const std::string& other) {
  MemoryOptions given = options, usual;
  usual.kind = given.kind;
  if (plugin.options) {
    usual.own = plugin.options();
    if (!given.own) given.own = plugin.options();
  }
  auto reads = [&](const MemoryOptions& changed) {
    Problems problems;
    if (changed.own) changed.own->check("", problems);
    if (!problems.empty()) return false;
    try {
      return is_read(plugin, changed, name, other);
    } catch (const std::exception&) {  // a plug-in may refuse what nobody asked for: then it is no advice
      return false;
    }
  };
  if (name == "gate_pooling" && given.group == 1 && reads(with(given, "group", "2"))) return "memory.group > 1";
  auto search = [&](std::vector<Field> fields, std::vector<Field> defaults, const std::string& prefix, const auto& changed) -> std::string {
    for (size_t i = 0; i < fields.size(); ++i) {
      const Field& field = fields[i];
      if (field.key == name || (prefix == "memory." && read_by_the_layer().count(field.key))) continue;
      std::vector<std::string> others{defaults[i].text()};
      if (field.type == "choice" || field.type == "truth value") others = split(field.range, '|');
      for (const std::string& text : others)
        if (text != field.text() && reads(changed(field.key, text))) return prefix + field.key + " = " + text;
    }
    return "";
  };
  const std::string found = search(fields_of(given, ""), fields_of(usual, ""), "memory.", [&](const auto& key, const auto& text) { return with(given, key, text); });
  if (!found.empty() || !given.own) return found;
  return search(fields_of(*given.own, ""), fields_of(*usual.own, ""), "memory." + given.kind + ".",
                [&](const auto& key, const auto& text) { return with_own(plugin, given, key, text); });
}

}  // namespace

void check_unread_options(const MemoryOptions& options, const std::set<std::string>& read, Problems& problems, const std::map<std::string, std::string>& readers) {
  const MemoryPlugin* plugin = MemoryRegistry::instance().find(options.kind);
  if (!plugin || problems.stored) return;
  MemoryOptions given = options, usual;
  const std::vector<Field> of_given = fields_of(given, ""), of_usual = fields_of(usual, "");
  for (size_t i = 0; i < of_given.size(); ++i) {
    const std::string &name = of_given[i].key, text = of_given[i].text(), by_default = of_usual[i].text();
    if (text == by_default || read_by_the_layer().count(name) || read.count(name) || is_read(*plugin, given, name, by_default)) continue;
    const auto known = readers.find(name);
    const std::string reader = known != readers.end() ? known->second : would_read(*plugin, given, name, by_default);
    problems.add("memory." + name, "memory.kind = " + options.kind + " does not read it" +
                                       (reader.empty() ? "; leave it out" : " here, but with " + reader + "; set that, or leave it out"));
  }
}

}  // namespace mneme::memory
