// A user's rows: HDF5 with `tokens` and `targets`, integers of shape [N, T], or JSON lines, each
// {"tokens": [...], "targets": [...]} with T numbers. Tokens ≥ 0; target −1 = not scored. Described in
// docs/file-formats.md.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mneme {

/// Different tokens at most: a model has a row of weights for each.
constexpr int64_t kMostTokens = 1 << 24;

struct RowFile {
  int64_t rows = 0;
  int64_t length = 0;                    // T
  std::vector<int64_t> tokens, targets;  // [rows, length]
};

/// Reads all of it into memory. Throws DataError naming `key`, file and place: missing or damaged file, wrong shape or
/// type, a number out of range (row, column, value), nothing scored, no rows; a file of another kind (NumPy, gzip, a JSON array), which the
/// message names.
RowFile read_row_file(const std::string& key, const std::string& path);

/// Throws DataError where a token or target is not below `vocab`.
void require_below(const RowFile& file, int64_t vocab, const std::string& key, const std::string& path);

}  // namespace mneme
