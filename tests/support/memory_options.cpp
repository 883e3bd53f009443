#include "tests/support/memory_options.h"

#include <algorithm>

#include "config/fields.h"

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
  return options;
}

bool AnyMemory::possible() const {
  const MemoryOptions options = made();
  std::vector<std::string> names;
  if (options.own)
    for (const Field& field : fields_of(*options.own, "")) names.push_back(field.key);
  for (const auto& [name, text] : own_values())
    if (name != "init" && std::find(names.begin(), names.end(), name) == names.end()) return false;  // init: where it is none, nothing starts at zero
  Problems problems;
  if (options.own) options.own->check("", problems);
  if (const MemoryPlugin& plugin = MemoryRegistry::instance().get(kind); plugin.check) plugin.check(options, problems);
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

}  // namespace mneme::test
