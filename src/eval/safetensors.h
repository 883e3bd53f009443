// The safetensors file format (github.com/huggingface/safetensors), so that weights open in Python and elsewhere:
// 8 bytes little-endian header length · JSON header {name: {dtype, shape, data_offsets}} · the tensors' bytes.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace mneme {

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

struct TensorFile {
  std::map<std::string, std::string> metadata;
  NamedTensors tensors;  ///< sorted by name, on the CPU
  std::string sha256;    ///< of the whole file

  /// Null where there is none of that name.
  const at::Tensor* find(const std::string& name) const;
};

inline constexpr const char* kSealKey = "sha256";

/// Writes a temporary file, fsyncs and renames it; tensors are streamed, not copied. float32, float64, int64, uint8, bool.
/// Returns the file's SHA-256; of a file whose metadata has kSealKey (its value an unfilled_seal()) the seal. StoreError: disk full, not
/// writable.
std::string write_safetensors(const std::string& path, const NamedTensors& tensors,
                              const std::map<std::string, std::string>& metadata = {});

/// CheckpointError: missing, truncated, not as its seal says, a header that does not fit its data, an element type we do not have.
TensorFile read_safetensors(const std::string& path);

/// "float32", as messages name it.
std::string dtype_name(at::ScalarType type);

/// Copies `from` over the tensors of `into` in place (gradients are not touched), once names, shapes and element types
/// all agree; else CheckpointError listing the differences (at most ten of each kind), and nothing was copied.
void assign_tensors(const NamedTensors& into, const NamedTensors& from, const std::string& source);

}  // namespace mneme
