#include "tests/support/memory_options.h"

#include <algorithm>

#include "config/fields.h"
#include "tests/support/tensors.h"

namespace mneme::test {

std::vector<std::pair<std::string, std::string>> AnyMemory::own_values() const {
  const AnyMemory usual;
  std::vector<std::pair<std::string, std::string>> values;
  auto add = [&](const char* name, auto member) {
    if (this->*member == usual.*member) return;
    if constexpr (std::is_same_v<decltype(member), std::string AnyMemory::*>) values.push_back({name, this->*member});
    else if constexpr (std::is_same_v<decltype(member), bool AnyMemory::*>) values.push_back({name, this->*member ? "true" : "false"});
    else values.push_back({name, std::to_string(this->*member)});
  };
  add("depth", &AnyMemory::depth), add("expansion", &AnyMemory::expansion), add("sweeps", &AnyMemory::sweeps), add("features", &AnyMemory::features);
  add("form", &AnyMemory::form), add("activation", &AnyMemory::activation), add("init", &AnyMemory::init);
  add("fast_gain", &AnyMemory::fast_gain), add("gate_per_matrix", &AnyMemory::gate_per_matrix);
  return values;
}

MemoryOptions AnyMemory::made() const {
  MemoryOptions options = *this;
  const MemoryPlugin& plugin = MemoryRegistry::instance().get(kind);
  if (!plugin.options) return options;
  options.own = plugin.options();
  for (Field& field : fields_of(*options.own, ""))
    for (const auto& [name, text] : own_values())
      if (field.key == name) field.parse(text);
  for (const auto& [name, text] : set_) set_own(options, name, text);
  return options;
}

void AnyMemory::set(const std::vector<std::string>& key, const std::string& text) {
  if (key.size() == 3) {
    MemoryOptions options = *this;
    set_own(options, key[2], text);
    set_.push_back({key[2], text});
    return;
  }
  for (Field& field : fields_of(*this, "memory.")) {
    if (field.key != "memory." + key.at(1)) continue;
    if (const std::string wrong = field.parse(text); !wrong.empty()) throw ConfigError(field.key + " = " + text + ": " + wrong);
    return;
  }
  throw ConfigError("memory." + key.at(1) + ": there is no such option (mneme options memory. lists them)");
}

void AnyMemory::find_problems(Problems& problems) const {
  const MemoryOptions options = made();
  std::vector<std::string> names;
  if (options.own)
    for (const Field& field : fields_of(*options.own, "")) names.push_back(field.key);
  for (const auto& [name, text] : own_values())
    if (name != "init" && std::find(names.begin(), names.end(), name) == names.end())  // init: where it is none, nothing starts at zero
      problems.add("memory." + kind + "." + name, "is no option of it");
  if (options.own) options.own->check("memory." + kind + ".", problems);
  if (const MemoryPlugin& plugin = MemoryRegistry::instance().get(kind); plugin.check) plugin.check(options, problems);
}

bool AnyMemory::possible() const {
  Problems problems;
  find_problems(problems);
  return problems.empty();
}

void set_segment(ModelOptions& model, int64_t segment) {
  if (model.kind != "mac") return;
  set_own(model, "segment", std::to_string(segment));
}

int64_t segment_of(const ModelOptions& model) {
  if (model.own)
    for (const Field& field : fields_of(*model.own, ""))
      if (field.key == "segment") return std::stoll(field.text());
  return 64;
}

MemoryInput part(const MemoryInput& input, int64_t first, int64_t count) {
  auto cut = [&](const at::Tensor& x) { return x.narrow(2, first, count); };
  MemoryInput tokens{cut(input.query), cut(input.key), cut(input.value)};
  for (const auto& [name, x] : input.gates) tokens.gates[name] = cut(x);
  if (input.step.defined()) tokens.step = input.step.narrow(1, first, count);
  return tokens;
}

void require_same_state(const State& a, const State& b, double tolerance) {
  const auto x = a.flatten(), y = b.flatten();
  REQUIRE(x.size() == y.size());
  for (size_t i = 0; i < x.size(); ++i) {
    INFO(x[i].first);
    REQUIRE(x[i].first == y[i].first);
    REQUIRE(relative_error(x[i].second.to(at::kDouble), y[i].second.to(at::kDouble)) <= tolerance);  // flags too
  }
}

}  // namespace mneme::test
