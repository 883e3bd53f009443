// SHA-256 (FIPS 180-4), for config hashes and digests of data files.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace mneme {

class Sha256 {
 public:
  Sha256& add(std::string_view bytes);
  /// 64 hex digits. Ends the digest: nothing can be added afterwards.
  std::string hex();

 private:
  void block(const unsigned char* bytes);

  std::array<uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<unsigned char, 64> pending_{};
  uint64_t length_ = 0;  // bytes
};

/// 64 hex digits of `bytes`.
std::string sha256_hex(std::string_view bytes);

}  // namespace mneme
