// What a run records about itself: provenance, costs, generator states.
#pragma once

#include <ATen/core/Generator.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "mneme/model.h"
#include "results/run_store.h"
#include "eval/checkpoint.h"

namespace mneme {

RunInfo run_info(const Config& config, const std::string& command_line, int64_t threads);

/// Parameters, state bytes at the training length (from the validation), tokens, median speed, peak memory, seconds.
RunCost run_cost(const SequenceModel& model, const RunStore& store, const TrainerState& state);

/// The dropout stream to and from a checkpoint; nothing where there is no dropout.
void save_generator(const std::optional<at::Generator>& dropout, std::map<std::string, std::vector<uint8_t>>& states);
void restore_generator(std::optional<at::Generator>& dropout,
                       const std::map<std::string, std::vector<uint8_t>>& states);

}  // namespace mneme
