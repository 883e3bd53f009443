// Digests of input files, so that a config's hash follows the data and not where it lies.
#pragma once

#include <string>

namespace mneme {

/// SHA-256, hex, of a file's content, or of the sorted relative names and contents of all files below a folder. Kept in
/// this process as long as size and modification time stay. Throws DataError when something cannot be read.
std::string path_digest(const std::string& path);

}  // namespace mneme
