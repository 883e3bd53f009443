// What `mneme new` writes: the files of cmake/templates/, compiled in (cmake/Install.cmake), so that the program needs no files of its own.
#pragma once

#include <string>

namespace mneme {

/// The file of that name; asserts that there is one.
const std::string& template_text(const std::string& file);

}  // namespace mneme
