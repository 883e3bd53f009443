#include "io/sha256.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <stdexcept>
#include <tuple>
#include <vector>

#include "base/files.h"
#include "mneme/errors.h"

namespace mneme {
namespace {

namespace fs = std::filesystem;

void check(int ok) {
  if (ok != 1) throw std::runtime_error("SHA-256: OpenSSL's libcrypto refuses it");
}

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
  for (const std::string& path : files_below(folder.string())) files.push_back({fs::path(path).lexically_relative(folder).generic_string(), path});
  std::sort(files.begin(), files.end());
  Sha256 digest;
  for (const auto& [name, path] : files) digest.add(name).add("\n").add(file_digest(path)).add("\n");
  return digest.hex();
}

}  // namespace

Sha256::Sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) { check(context_ ? EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) : 0); }

Sha256& Sha256::add(std::string_view bytes) {
  check(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()));
  return *this;
}

std::string Sha256::hex() {
  std::array<unsigned char, 32> digest;
  check(EVP_DigestFinal_ex(context_.get(), digest.data(), nullptr));
  std::string text;
  for (unsigned char byte : digest) text += fmt::format("{:02x}", byte);
  return text;
}

std::string sha256_hex(std::string_view bytes) { return Sha256().add(bytes).hex(); }

std::string path_digest(const std::string& path) {
  try {
    return fs::is_directory(path) ? folder_digest(path) : file_digest(path);
  } catch (const fs::filesystem_error& error) {
    throw DataError("cannot read " + path + ": " + error.code().message() + "; check the path and its permissions");
  }
}

}  // namespace mneme
