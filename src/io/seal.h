// A digest of a file inside that file, so that it travels with it through renames, copies and archives: wherever the text
// `unfilled_seal()` stands (an attribute of HDF5, a string of JSON), its zeros are replaced by the SHA-256 of the file with the zeros.
// Files of before there were seals have none and are read as they are.
#pragma once

#include <string>
#include <string_view>

namespace mneme {

/// What a format puts somewhere in its file for `sealed` to fill in: a sentence that says what it is, and 64 zeros.
std::string unfilled_seal();

/// The bytes with their first seal filled in; as they are where there is none.
std::string sealed(std::string bytes);

/// Where the 64 digits stand; npos = there is no seal. For files that are written piece by piece.
size_t seal_digits(std::string_view bytes);

enum class Seal { none, whole, broken };

/// broken: a bit of the file is not what was written. none: also where the words of the seal themselves were damaged; formats know it by
/// the field that stands there still.
Seal seal_of(std::string_view bytes);

/// DataError where the seal is broken.
void require_unbroken(const std::string& path, std::string_view bytes);

}  // namespace mneme
