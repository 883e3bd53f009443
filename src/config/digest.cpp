#include "config/digest.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <tuple>
#include <vector>

#include "io/sha256.h"
#include "mneme/errors.h"

namespace mneme {
namespace {

namespace fs = std::filesystem;

std::string content_digest(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw DataError("cannot read " + path.string() + ": check that it exists and may be read");
  Sha256 digest;
  std::string buffer(1 << 20, '\0');
  while (stream.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) || stream.gcount() > 0)
    digest.add(std::string_view(buffer).substr(0, static_cast<size_t>(stream.gcount())));
  return digest.hex();
}

std::string file_digest(const fs::path& path) {
  using Version = std::tuple<std::string, uintmax_t, fs::file_time_type>;
  static std::map<Version, std::string> digests;
  static std::mutex mutex;
  const Version version{fs::absolute(path).string(), fs::file_size(path), fs::last_write_time(path)};
  const std::lock_guard lock(mutex);
  std::string& digest = digests[version];
  if (digest.empty()) digest = content_digest(path);
  return digest;
}

std::string folder_digest(const fs::path& folder) {
  std::vector<std::pair<std::string, fs::path>> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file())
      files.push_back({entry.path().lexically_relative(folder).generic_string(), entry.path()});
  std::sort(files.begin(), files.end());
  Sha256 digest;
  for (const auto& [name, path] : files) digest.add(name).add("\n").add(file_digest(path)).add("\n");
  return digest.hex();
}

}  // namespace

std::string path_digest(const std::string& path) {
  try {
    return fs::is_directory(path) ? folder_digest(path) : file_digest(path);
  } catch (const fs::filesystem_error& error) {
    throw DataError("cannot read " + path + ": " + error.code().message() + "; check the path and its permissions");
  }
}

}  // namespace mneme
