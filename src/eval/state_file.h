// States as files: safetensors, so that Python opens them too (docs/file-formats.md, section "State").
#pragma once

#include <map>
#include <string>

#include "mneme/model.h"
#include "eval/checkpoint.h"

namespace mneme {

/// The whole state of one or more rows. StoreError: disk full, not writable.
void save_state(const std::string& path, const State& state, const std::map<std::string, std::string>& metadata = {});
/// CheckpointError: missing, damaged.
State load_state(const std::string& path);

/// Only what the memories hold, and where one waits inside a group (memory.group) what its gates know of that group; no attention
/// windows and convolution tails: a sequence that starts from it knows what was read before, and continues no text. Of a model whose
/// memories write.
State memories_of(const State& state);

/// The memories of a state, with the checkpoint that made them. DataError: the model has none, or never writes. DivergedError: they are not
/// finite; nothing is written.
void save_memories(const std::string& path, const State& state, const LoadedModel& loaded);

/// Memories to start rows from; those of one row serve for all.
class StoredMemories {
 public:
  /// For `rows` rows. CheckpointError: of another checkpoint, another number of rows, other names or shapes than this model's
  /// memories have, numbers that are not finite.
  StoredMemories(const std::string& path, const LoadedModel& loaded, int64_t rows);
  /// A state to start rows first … first + count − 1 from.
  State rows(int64_t first, int64_t count) const;

 private:
  State state_;
  int64_t rows_;
  at::Device device_;
};

}  // namespace mneme
