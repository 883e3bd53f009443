// trainer.json of a checkpoint (docs/file-formats.md, section "Checkpoint"): text in, state out.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "eval/checkpoint.h"
#include "mneme/errors.h"

namespace mneme {

/// Of a step folder, as its seal says it was written. CheckpointError: missing, damaged, of another schema.
nlohmann::json read_trainer_json(const std::string& folder);

/// Sealed, into a folder that is not in use yet.
void write_trainer_json(const std::string& folder, nlohmann::json trainer);

/// What a run goes on with, to JSON and back. CheckpointError where something is missing or of another type.
nlohmann::json trainer_json(const TrainerState& state);
TrainerState trainer_state(const nlohmann::json& trainer, const std::string& folder);

/// Turns what JSON says of a missing or mistyped field into a message about the file.
template <class F>
auto reading_trainer(const std::string& folder, F&& read) {
  try {
    return read();
  } catch (const nlohmann::json::exception& error) {
    throw CheckpointError(folder + "/trainer.json is damaged (" + error.what() + "); take an earlier checkpoint");
  }
}

}  // namespace mneme
