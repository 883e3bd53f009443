// Where the checkpoints of a run lie (docs/file-formats.md, section "Checkpoint"). What is in them: eval/checkpoint.h.
#pragma once

#include <string>

namespace mneme {

inline constexpr const char* kModelFile = "model.safetensors";

/// What a pointer file of a checkpoint folder (`latest`, `best`) says; "" where there is none.
std::string pointed_to(const std::string& folder, const char* pointer);

/// The step folder that `latest` of a checkpoint folder names; "" where there is none. CheckpointError: no such folder.
std::string latest_checkpoint(const std::string& folder);

/// The step folder that `path` (a run folder, its checkpoint folder or a step folder) means; CheckpointError where there is none.
std::string find_checkpoint(const std::string& path);

/// The weights that `path` means: a .safetensors file itself, or that of the checkpoint. CheckpointError where there are none.
std::string weights_file(const std::string& path);

}  // namespace mneme
