#include "eval/state_file.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <set>

#include "config/config.h"
#include "mneme/errors.h"
#include "eval/measure.h"
#include "eval/safetensors.h"
#include "io/seal.h"

namespace mneme {

namespace {

constexpr const char* kMemory = "memory";

/// Paths of nodes called "memory" that have no further one below: a Memory's own state.
std::set<std::string> memory_nodes(const NamedTensors& tensors) {
  std::set<std::string> all, innermost;
  for (const auto& [path, tensor] : tensors)
    for (size_t end = path.find('/'); end != std::string::npos; end = path.find('/', end + 1)) {
      const std::string node = path.substr(0, end);
      if (node.substr(node.rfind('/') + 1) == kMemory) all.insert(node);
    }
  for (const std::string& node : all) {
    const auto below = all.upper_bound(node + "/");
    if (below == all.end() || !below->starts_with(node + "/")) innermost.insert(node);
  }
  return innermost;
}

/// Whether a path is what the gates beside the memory at `node` know of its running group: their clock and sums (memory/group.h).
/// Without it a memory that waits inside a group would finish it with α and η of other tokens, even of later ones.
bool of_running_group(const std::string& path, const std::string& node) {
  const std::string gates = node.substr(0, node.rfind('/') + 1) + "gates/";
  if (!path.starts_with(gates)) return false;
  const std::string name = path.substr(gates.size());
  return name == "position" || name == "clock" || name.starts_with("group_");
}

/// Whether a path is the exact cache beside the memory at `node` (memory.cache): part of what it holds.
bool of_cache(const std::string& path, const std::string& node) { return path.starts_with(node.substr(0, node.rfind('/') + 1) + "cache/"); }

bool is_position(const std::string& path, const at::Tensor& tensor) { return tensor.dim() == 0 && path.ends_with("position"); }

/// A state's own account of rows of different age: clocks, and how much of a tensor each row has.
bool is_bookkeeping(const std::string& path) { return path.ends_with("/clock") || path.ends_with("#"); }

struct Expected {
  std::vector<int64_t> shape;  ///< rows first; −1: any size
  bool always;                 ///< false: only where tokens were left out (ForwardContext::write)
};

/// What this model's memories hold after one token and after two, by path; a size that differs is free.
std::map<std::string, Expected> expected_tensors(SequenceModel& model) {
  std::map<std::string, Expected> all;
  at::NoGradGuard no_grad;
  const at::Tensor token = at::zeros({1, 1}, at::TensorOptions().dtype(at::kLong).device(model.parameters().front().device()));
  for (const bool left_out : {false, true}) {
    State state;
    for (int read = 0; read < 2; ++read) {
      ForwardContext context;
      if (left_out) context.write = at::zeros({1, 1}, token.options().dtype(at::kBool));
      model.hidden(token, state, context);
      for (const auto& [path, tensor] : memories_of(state).flatten()) {
        if (is_position(path, tensor)) continue;
        auto [entry, is_new] = all.emplace(path, Expected{tensor.sizes().vec(), !left_out});
        std::vector<int64_t>& shape = entry->second.shape;
        for (size_t d = 0; !is_new && d < shape.size(); ++d)
          if (shape[d] != tensor.size(static_cast<int64_t>(d))) shape[d] = -1;
      }
    }
  }
  return all;
}

bool fits(const at::Tensor& tensor, const std::vector<int64_t>& shape) {
  if (tensor.dim() != static_cast<int64_t>(shape.size())) return false;
  for (size_t d = 1; d < shape.size(); ++d)
    if (shape[d] >= 0 && tensor.size(static_cast<int64_t>(d)) != shape[d]) return false;
  return true;
}

/// Rows in the file, once all its tensors are what this model's memories hold.
int64_t checked_rows(const std::string& path, const TensorFile& file, SequenceModel& model) {
  const auto expected = expected_tensors(model);
  std::string problems;
  std::set<int64_t> rows;
  for (const auto& [name, tensor] : file.tensors) {
    if (is_position(name, tensor)) continue;
    if (is_bookkeeping(name) && tensor.dim() > 0) {
      if (name.ends_with("#") && !file.find(name.substr(0, name.size() - 1))) problems += fmt::format("\n  {}: what it is of is missing there", name);
      rows.insert(tensor.size(0));
      continue;
    }
    const auto here = expected.find(name);
    if (here == expected.end())
      problems += fmt::format("\n  {}: unknown here", name);
    else if (!fits(tensor, here->second.shape))
      problems += fmt::format("\n  {} is [{}] there and [{}] here (rows first)", name, fmt::join(tensor.sizes(), ", "),
                              fmt::join(here->second.shape, ", "));
    else
      rows.insert(tensor.size(0));
  }
  for (const auto& [name, tensor] : expected)
    if (tensor.always && !file.find(name)) problems += fmt::format("\n  {}: missing there", name);
  if (!problems.empty()) throw CheckpointError(path + " does not hold the memories of this model:" + problems);
  if (rows.size() != 1) throw CheckpointError(path + " is damaged: its tensors have different numbers of rows");
  return *rows.begin();
}

void require_writes(const Config& config) {
  if (config.memory.off || config.memory.frozen)
    throw DataError(std::string("this model's memories hold nothing: memory.") + (config.memory.off ? "off" : "frozen") + " = true");
}

}  // namespace

void save_state(const std::string& path, const State& state, const std::map<std::string, std::string>& metadata) {
  write_safetensors(path, state.flatten(), metadata);
}

State load_state(const std::string& path) { return State::unflatten(read_safetensors(path).tensors); }

State memories_of(const State& state) {
  const NamedTensors all = state.flatten();
  NamedTensors kept;
  for (const std::string& node : memory_nodes(all)) {
    NamedTensors own, group;
    bool holds = false, grouped = false;
    for (const auto& [path, tensor] : all)
      if (path.starts_with(node + "/") || of_cache(path, node)) {
        own.emplace_back(path, tensor);
        holds = holds || !is_position(path, tensor);
      } else if (of_running_group(path, node)) {
        group.emplace_back(path, tensor);
        grouped = grouped || !is_position(path, tensor);
      }
    if (!holds) continue;
    kept.insert(kept.end(), own.begin(), own.end());
    if (grouped) kept.insert(kept.end(), group.begin(), group.end());
  }
  return State::unflatten(kept);
}

void save_memories(const std::string& path, const State& state, const LoadedModel& loaded) {
  require_writes(loaded.config);
  const State memories = memories_of(state);
  if (memories.empty()) throw DataError("this model has no memory: model.kind = " + loaded.config.model.kind);
  if (const std::string bad = not_finite_part(memories); !bad.empty())
    throw DivergedError(fmt::format("{} is not written: the memories are not finite ({}), and what goes on from them would answer nothing", path, bad));
  save_state(path, memories, {{"config_hash", config_hash(loaded.config)}, {"step", std::to_string(loaded.step)}, {kSealKey, unfilled_seal()}});
}

StoredMemories::StoredMemories(const std::string& path, const LoadedModel& loaded, int64_t rows)
    : device_(loaded.model->parameters().front().device()) {
  require_writes(loaded.config);
  const TensorFile file = read_safetensors(path);
  rows_ = checked_rows(path, file, *loaded.model);
  const std::string hash = config_hash(loaded.config), step = std::to_string(loaded.step);
  auto of = [&](const char* key) { return file.metadata.count(key) ? file.metadata.at(key) : std::string("unknown"); };
  if (of("config_hash") != hash || of("step") != step)
    throw CheckpointError(fmt::format("{} was saved by another model (config {}, step {}; this one: config {}, step {}): what other "
                                      "weights remember means nothing to these",
                                      path, of("config_hash"), of("step"), hash, step));
  if (rows_ != 1 && rows_ != rows)
    throw CheckpointError(fmt::format("{} holds the memories of {} rows, but {} are read: give as many rows, or one", path, rows_, rows));
  const at::ScalarType real = loaded.model->parameters().front().scalar_type();
  NamedTensors tensors;
  for (const auto& [name, tensor] : file.tensors) {
    const at::ScalarType type = tensor.is_floating_point() ? real : tensor.scalar_type();
    tensors.emplace_back(name, is_position(name, tensor) || is_bookkeeping(name) ? tensor : tensor.to(device_, type));
  }
  state_ = State::unflatten(tensors);
  if (const std::string bad = not_finite_part(state_); !bad.empty())
    throw CheckpointError(fmt::format("{} holds memories that are not finite ({}): a model that goes on from them answers nothing", path, bad));
}

State StoredMemories::rows(int64_t first, int64_t count) const {
  const auto integers = at::TensorOptions().dtype(at::kLong).device(device_);
  return state_.rows(rows_ == 1 ? at::zeros({count}, integers) : at::arange(first, first + count, integers));
}

}  // namespace mneme
