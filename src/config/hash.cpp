#include <algorithm>
#include <cctype>

#include "config/digest.h"
#include "config/sections.h"
#include "core/sha256.h"
#include "core/text.h"

namespace mneme {
namespace {

constexpr size_t kHashDigits = 16, kIdDigits = 8, kMaxSlug = 96;

// A run from fresh weights keeps the identity it had before there was this option.
bool counts(const Field& field) { return field.hashed && !(field.key == "train.init_sha256" && field.text().empty()); }

std::string hashed_text(const Field& field) {
  if (field.files == nullptr) return field.text();
  std::vector<std::string> digests;
  for (const std::string& path : *field.files) digests.push_back(path_digest(path));
  return join(digests, ",");
}

// Letters, digits, '_', '.' and single dashes: safe in file names and readable.
std::string slug(const std::string& name) {
  std::string text;
  for (const unsigned char c : name) {
    if (std::isalnum(c) != 0 || c == '_' || c == '.')
      text += static_cast<char>(c);
    else if (!text.empty() && text.back() != '-')
      text += '-';
  }
  const size_t first = std::min(text.find_first_not_of("-."), text.size());  // neither hidden nor '..' nor an option
  text = text.substr(first, kMaxSlug);
  return text.substr(0, text.find_last_not_of("-.") + 1);
}

}  // namespace

std::string config_hash(const Config& config, const std::vector<std::string>& without) {
  std::vector<std::string> lines;
  for (const Section& section : sections_of(config))
    for (const Field& field : fields_of(section))
      if (counts(field) && std::find(without.begin(), without.end(), field.key) == without.end())
        lines.push_back(field.key + "=" + hashed_text(field) + "\n");
  std::sort(lines.begin(), lines.end());  // the order of description does not matter
  return sha256_hex(join(lines, "")).substr(0, kHashDigits);
}

std::string run_id(const Config& config) {
  std::string name = slug(config.run.name);
  if (name.empty()) name = slug(config.model.kind + "-" + config.task.kind);
  return name + "-" + config_hash(config).substr(0, kIdDigits);
}

}  // namespace mneme
