// SHA-256 (OpenSSL's), for config hashes, which follow the content of data files and not where they lie.
#pragma once

#include <memory>
#include <string>
#include <string_view>

struct evp_md_ctx_st;

namespace mneme {

class Sha256 {
 public:
  Sha256();
  Sha256& add(std::string_view bytes);
  /// 64 hex digits. Ends the digest: nothing can be added afterwards.
  std::string hex();

 private:
  std::unique_ptr<evp_md_ctx_st, void (*)(evp_md_ctx_st*)> context_;
};

/// 64 hex digits of `bytes`.
std::string sha256_hex(std::string_view bytes);

/// SHA-256, hex, of a file's content, or of the sorted relative names and contents of the files below a folder
/// (files_below). Kept in
/// this process as long as size and modification time stay. Throws DataError when something cannot be read.
std::string path_digest(const std::string& path);

}  // namespace mneme
