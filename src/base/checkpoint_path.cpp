#include "base/checkpoint_path.h"

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "base/files.h"
#include "base/text.h"
#include "mneme/errors.h"

namespace mneme {

namespace fs = std::filesystem;

std::string pointed_to(const std::string& folder, const char* pointer) {
  const std::string file = folder + "/" + pointer;
  if (fs::is_symlink(file))
    throw CheckpointError(file + " is a link, which we never make: delete it, and write the name of a step folder beside it there");
  if (!fs::exists(file)) return "";
  constexpr size_t kLongest = 4096;
  const std::string name = trim(read_file(file, kLongest));
  if (name.empty())
    throw CheckpointError(file + " is empty, so it is damaged: write the name of a step folder beside it there, or delete it (without `latest`, training begins anew)");
  const bool plain = std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '_'; });
  if (!plain)
    throw CheckpointError(file + " is damaged: it holds no name of a step folder beside it; write one there (step-100)");
  return name;
}

std::string latest_checkpoint(const std::string& folder) {
  const std::string name = pointed_to(folder, "latest"), checkpoint = folder + "/" + name;
  std::error_code none;
  if (name.empty() || fs::is_directory(checkpoint, none)) return name.empty() ? "" : checkpoint;
  throw CheckpointError(folder + "/latest names '" + name +
                        "', and there is no such folder beside it: put that back, or write the name of one there");
}

std::string find_checkpoint(const std::string& path) {
  if (fs::exists(path + "/trainer.json")) return path;
  for (const std::string& folder : {path + "/checkpoint", path})
    if (const std::string checkpoint = latest_checkpoint(folder); !checkpoint.empty()) return checkpoint;
  throw CheckpointError("there is no checkpoint at " + path +
                        ": give a run folder, its checkpoint folder or a step folder in it (it holds trainer.json)");
}

std::string weights_file(const std::string& path) {
  const bool file = path.ends_with(".safetensors");
  const std::string weights = file ? path : find_checkpoint(path) + "/" + kModelFile;
  if (fs::is_regular_file(weights)) return weights;
  throw CheckpointError("there are no weights at " + weights + ": give a run folder, a checkpoint or a .safetensors file");
}

}  // namespace mneme
