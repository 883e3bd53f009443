#include "io/seal.h"

#include "io/sha256.h"
#include "mneme/errors.h"

namespace mneme {

namespace {

constexpr std::string_view kWords = "SHA-256 of this file with zeros here: ";
constexpr size_t kDigits = 64;

std::string digest_of(std::string_view bytes, size_t digits) {
  return Sha256().add(bytes.substr(0, digits)).add(std::string(kDigits, '0')).add(bytes.substr(digits + kDigits)).hex();
}

}  // namespace

size_t seal_digits(std::string_view bytes) {
  const size_t words = bytes.find(kWords);
  return words == std::string_view::npos ? words : words + kWords.size();
}

std::string unfilled_seal() { return std::string(kWords) + std::string(kDigits, '0'); }

std::string sealed(std::string bytes) {
  if (const size_t digits = seal_digits(bytes); digits != std::string::npos && digits + kDigits <= bytes.size())
    bytes.replace(digits, kDigits, digest_of(bytes, digits));
  return bytes;
}

Seal seal_of(std::string_view bytes) {
  const size_t digits = seal_digits(bytes);
  if (digits == std::string_view::npos) return Seal::none;
  const bool whole = digits + kDigits <= bytes.size() && bytes.substr(digits, kDigits) == digest_of(bytes, digits);
  return whole ? Seal::whole : Seal::broken;
}

void require_unbroken(const std::string& path, std::string_view bytes) {
  if (seal_of(bytes) == Seal::broken)
    throw DataError(path + ": is not as it was written (its SHA-256 is not the one in it): it was damaged or edited");
}

}  // namespace mneme
