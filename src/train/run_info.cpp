#include "train/run_info.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstring>

#include "base/provenance.h"
#include "kernels/dispatch.h"
#include "mneme/errors.h"
#include "eval/runtime.h"

namespace mneme {

namespace {

constexpr const char* kDropout = "dropout";

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

}  // namespace

RunInfo run_info(const Config& config, const std::string& command_line, int64_t threads) {
  RunInfo info;
  info.run_id = run_id(config);
  info.config_ini = canonical_ini(config);
  info.config_hash = config_hash(config);
  info.code_version = code_version();
  info.code_dirty = code_dirty();
  info.command_line = command_line;
  info.libtorch_version = libtorch_version();
  info.blas = blas_description();
  info.device = config.runtime.device;
  info.cpu_model = cpu_model();
  info.engine = kernels::engine().name;
  info.seed = config.run.seed;
  info.threads = threads;
  info.values = flat_values(config);
  return info;
}

RunCost run_cost(const SequenceModel& model, const RunStore& store, const TrainerState& state) {
  RunCost cost;
  cost.parameters = model.parameter_count();
  cost.training_tokens = state.tokens;
  cost.wall_seconds = state.wall_seconds;
  cost.peak_mib = std::max(peak_rss_mib(), store.cost().peak_mib);
  std::vector<double> speeds;
  for (const TrainRow& row : store.train_rows()) speeds.push_back(row.tokens_per_s);
  cost.tokens_per_s = median(std::move(speeds));
  for (const Evaluation& evaluation : store.evaluations())
    for (const EvalSetting& setting : evaluation.settings)
      if (evaluation.split == to_string(Split::validation))
        cost.state_bytes = std::max(cost.state_bytes, static_cast<int64_t>(setting.state_bytes));
  return cost;
}

void save_generator(const std::optional<at::Generator>& dropout, std::map<std::string, std::vector<uint8_t>>& states) {
  if (!dropout) return;
  const at::Tensor state = dropout->get_state();
  const uint8_t* bytes = state.const_data_ptr<uint8_t>();
  states[kDropout].assign(bytes, bytes + state.numel());
}

void restore_generator(std::optional<at::Generator>& dropout,
                       const std::map<std::string, std::vector<uint8_t>>& states) {
  if (!dropout) return;
  const auto found = states.find(kDropout);
  if (found == states.end())
    throw CheckpointError("the checkpoint has no state of the dropout generator; delete it to train again");
  at::Tensor state = at::empty({static_cast<int64_t>(found->second.size())}, at::kByte);
  std::memcpy(state.mutable_data_ptr<uint8_t>(), found->second.data(), found->second.size());
  dropout->set_state(state);
}

}  // namespace mneme
