#include "cli/program.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/text.h"
#include "config/config.h"
#include "cli/text_table.h"
#include "config/fields.h"
#include "eval/make.h"
#include "kernels/dispatch.h"
#include "memory/gates.h"
#include "mneme/errors.h"

namespace mneme {
namespace {

using Rows = std::vector<std::vector<std::string>>;

std::string sizes_text(at::IntArrayRef sizes) { return sizes.empty() ? "1" : fmt::format("{}", fmt::join(sizes.vec(), " x ")); }

std::string tokens_text(int64_t n) { return with_separators(n) + (n == 1 ? " token" : " tokens"); }

/// "rule …": a heading and what it says.
void print_section(const std::string& heading, const std::string& note, const Rows& rows) {
  fmt::print("\n{}{}\n{}", heading, note.empty() ? "" : " (" + note + ")", rows.empty() ? "" : text_table(rows));
}

struct Found {
  std::string path;  // "layers_0.block.memory.memory"
  const Memory* memory;
};

std::vector<Found> memories_of(const SequenceModel& model) {
  std::vector<Found> all;
  for (const auto& module : model.named_modules("", false))
    if (const auto* memory = dynamic_cast<const Memory*>(module.value().get())) all.push_back({module.key(), memory});
  return all;
}

Rows state_rows(Memory& memory, int64_t& bytes) {
  at::NoGradGuard no_grad;
  State state;
  memory.start(state, 1);
  bytes = state.bytes_per_row();
  Rows rows{{"  name", "shape", "bytes"}};
  for (const auto& [name, x] : state.flatten())
    if (x.dim() > 0) rows.push_back({"  " + name, sizes_text(x.sizes().slice(1)), with_separators(4 * x.numel())});
  return rows;
}

Rows shown_gates(const std::vector<Gate>& gates, const MemoryOptions& options) {
  Rows rows{{"  name", "per", "numbers", "activation", "bias", "scale", "made of", "what"}};
  for (const Gate& g : gates) {
    const bool head = g.per == Gate::Per::head;
    const char* per = head ? "head" : g.per == Gate::Per::key_channel ? "key channel" : "value channel";
    const char* activation = g.activation == Gate::Activation::sigmoid      ? "sigmoid"
                             : g.activation == Gate::Activation::log_decay ? "log_decay"
                             : g.activation == Gate::Activation::tanh      ? "tanh"
                                                                           : "identity";
    std::string made = g.previous ? "x_t, x_t-1" : "x_t";
    if (g.rank > 0) made += fmt::format(", rank {}", g.rank);
    if (g.pooled && options.group > 1) made += ", pooled by group";
    if (is_fixed(options, g)) made = "its bias alone";
    rows.push_back({"  " + g.name, per, head ? std::to_string(g.copies) : "1", activation, format_number(g.bias), format_number(g.scale), made, g.help});
  }
  return rows;
}

/// Of the memory, then of the module around it, which has it as a child.
Rows parameter_rows(const SequenceModel& model, const std::string& path) {
  const std::string around = path.substr(0, path.rfind('.') + 1);
  Rows of_memory, of_layer;
  for (const auto& p : model.named_parameters()) {
    if (p.key().rfind(around, 0) != 0) continue;
    const bool own = p.key().rfind(path + ".", 0) == 0;
    (own ? of_memory : of_layer)
        .push_back({"  " + p.key().substr(around.size()), sizes_text(p.value().sizes()), with_separators(p.value().numel()), model.decays(p.key()) ? "yes" : "no"});
  }
  Rows rows{{"  name", "shape", "numbers", "weight decay"}};
  for (Rows* part : {&of_memory, &of_layer}) rows.insert(rows.end(), part->begin(), part->end());
  return rows;
}

struct Call {
  std::string name;
  CallShape shape;
};

/// A block may cut a row into segments of its own (model.mac.segment): the memory's calls are those.
int64_t at_most_a_segment(const Config& config, int64_t tokens) {
  if (config.model.own)
    for (const Field& field : fields_of(*config.model.own, ""))
      if (field.key == "segment") return std::min<int64_t>(tokens, std::stoll(field.text()));
  return tokens;
}

/// The longest rows of training and test; where the task's data is not here, what the config says.
std::pair<int64_t, int64_t> row_tokens(const Config& config) {
  auto longest = [](const Task& task, const std::vector<Setting>& settings) {
    int64_t most = 1;
    for (const Setting& setting : settings) most = std::max(most, task.length(setting));
    return most;
  };
  try {
    const auto task = make_task(config);
    return {longest(*task, task->train_settings()), longest(*task, task->test_settings())};
  } catch (const DataError&) {
    const auto& lengths = config.eval.lengths;
    return {config.task.length, lengths.empty() ? config.task.length : *std::max_element(lengths.begin(), lengths.end())};
  }
}

std::vector<Call> calls_of(const Config& config) {
  const auto [trained, tested] = row_tokens(config);
  const int64_t segment = config.train.segment, pairs = config.memory.keys_per_token;
  CallShape of{.dtype = config.runtime.dtype == "float64" ? at::kDouble : at::kFloat, .cpu = config.runtime.device == "cpu",
               .measured = config.memory.cache > 0};  // a cache asks for every token's loss
  auto call = [&](const std::string& name, int64_t tokens) {
    CallShape shape = of;
    shape.tokens = at_most_a_segment(config, tokens) * pairs;
    return Call{fmt::format("{}, {}", name, tokens_text(shape.tokens)), shape};
  };
  std::vector<Call> calls{call("training", segment > 0 ? std::min(segment, trained) : trained), call("evaluation", std::min(config.eval.segment, tested)),
                          call("decoding", 1)};
  Call masked = calls[0], measured = calls[0];
  masked.name = "training, tokens that are no steps (padding, questions)", masked.shape.masked = true;
  measured.name = "measured: surprise, validation's probe", measured.shape.measured = true;
  calls.push_back(masked), calls.push_back(measured);
  return calls;
}

Rows kernel_rows(const Memory& memory, const std::vector<Call>& calls) {
  Rows rows{{"  call", "kernel", "passed over"}};
  for (const Call& call : calls) {
    std::string chosen = "none", passed;
    for (const KernelFit& kernel : memory.describe(call.shape).kernels) {
      if (kernel.why_not.empty()) {
        chosen = kernel.name;
        break;
      }
      passed += (passed.empty() ? "" : "; ") + kernel.name + ": " + kernel.why_not;
    }
    rows.push_back({"  " + call.name, chosen, passed.empty() ? "-" : passed});
  }
  return rows;
}

std::string engine_text() {
  std::vector<std::string> names;
  for (const kernels::Engine* e : kernels::engines()) names.push_back(e->name);
  return fmt::format("instruction set {} of {}; MNEME_ISA chooses", kernels::engine().name, join(names, ", "));
}

/// All of one memory but its place, so that layers that are alike are printed once.
void print_memory(const Config& config, const SequenceModel& model, const Found& found, const std::vector<Call>& calls) {
  const MemoryDescription what = found.memory->describe(calls[0].shape);
  fmt::print("{}\n", what.rule.empty() ? "rule     it says nothing of itself (Memory::describe)" : "rule     " + what.rule);
  int64_t bytes = 0;
  const Rows state = state_rows(const_cast<Memory&>(*found.memory), bytes);
  print_section("state of one sequence, of the memory alone", with_separators(bytes) + " bytes as float32", state);
  const std::vector<Gate> gates = found.memory->gates();
  print_section("gates", gates.empty() ? "none" : "", gates.empty() ? Rows{} : shown_gates(gates, config.memory));
  print_section("parameters of the memory and of the layer around it", "", parameter_rows(model, found.path));
  if (what.kernels.empty())
    print_section("kernels", "one, which nobody chooses", {});
  else
    print_section("kernels", "memory.kernel = " + config.memory.kernel + "; " + engine_text(), kernel_rows(*found.memory, calls));
}

}  // namespace

int show_memory(const CommandLine& line) {
  if (line.names().size() != 2)
    throw UsageError("mneme show memory: of which config? One is wanted, e.g. mneme show memory configs/smoke/mqar_mag.ini memory.kind=gla");
  for (const char* option : {"rows", "first", "split", "full"})
    if (line.has(option)) throw UsageError(fmt::format("--{} is for rows of a task; leave it out of `mneme show memory`", option));
  const Config config = resolve(read_settings(line.names()[1], line.overrides()), DataFiles::may_be_missing);
  const auto model = make_model(config, {2, std::max<int64_t>(config.task.length, 2)});
  const std::vector<Found> memories = memories_of(*model);
  if (memories.empty())
    throw UsageError(fmt::format("model.kind = {} has no memory in any of its layers; choose a block that has one (mneme list models)", config.model.kind));
  const MemoryPlugin* plugin = MemoryRegistry::instance().find(config.memory.kind);
  fmt::print("memory {}: {}\nmodel  {}, memories at {}\n", config.memory.kind, plugin ? plugin->summary : "", config.model.kind, [&] {
    std::vector<std::string> paths;
    for (const Found& found : memories) paths.push_back(found.path);
    return join(paths, ", ");
  }());
  if (config.memory.off) fmt::print("off      nothing is written: reads come from the initial weights\n");
  if (config.memory.frozen) fmt::print("frozen   nothing is written in evaluation: reads come from the initial weights\n");
  print_memory(config, *model, memories.front(), calls_of(config));
  return 0;
}

}  // namespace mneme
