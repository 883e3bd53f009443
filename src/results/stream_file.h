// The HDF5 file of what `mneme stream` found (docs/file-formats.md, section "stream.h5").
#pragma once

#include <optional>
#include <string>

#include "results/stream_record.h"

namespace mneme {

/// The bytes of a stream.h5.
std::string stream_file_bytes(const StreamRecord& record);
/// What they say; nothing where the file is another HDF5 file. DataError, StoreError: not HDF5, damaged, of a newer program.
std::optional<StreamRecord> read_stream_file(const std::string& path);

}  // namespace mneme
