// Settings: the text form of a config, key → value with its origin, before types and ranges are known.
//
// Sources, later ones win: files named by `extends = a.ini, b.ini` (relative to the file; in order; a file that several
// of them extend counts once, where it comes first; a cycle is an error), the file itself, `key=value` overrides.
// INI: section = struct; `#` at the start of a line or after white space begins a comment, `;` at the start of a line or after a value in quotes:
// elsewhere it belongs to the value. What stands in double quotes is taken as it is (base/text.h), a whole value or a part of a list: commas
// and `|` in it part nothing. Lines end in LF, CR LF or CR; text is UTF-8.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace mneme {

struct SettingValue {
  std::string text;    // as it was written, with its quotes: `unquoted` says what it means
  std::string origin;  // "configs/base.ini:12" or "command line"
};

class Settings {
 public:
  /// Reads a file with everything it extends. Throws ConfigError listing every missing file, cycle, malformed line and
  /// key given twice in one file.
  static Settings from_file(const std::string& path);
  static Settings from_text(const std::string& text, const std::string& origin, const std::string& folder = ".");

  /// "key=value"; throws UsageError when there is no '=' or no dot in the key.
  void override_with(const std::string& assignment, const std::string& origin = "command line");
  void set(const std::string& key, const std::string& value, const std::string& origin);
  void merge(const Settings& later);
  void erase(const std::string& key);

  const SettingValue* find(const std::string& key) const;
  /// Keys in order of first appearance ("section.key").
  const std::vector<std::pair<std::string, SettingValue>>& all() const& { return values_; }
  std::vector<std::pair<std::string, SettingValue>> all() && { return std::move(values_); }  // of a temporary
  /// All keys that start with prefix, with the prefix cut off.
  Settings section(const std::string& prefix) const;
  /// Names of all sections in order of first appearance, also of those without a key.
  const std::vector<std::string>& section_names() const { return section_names_; }
  void add_section(const std::string& name);
  /// The config of a run or checkpoint (fill_in_former_defaults, config.h): what it sets for nothing is no mistake of anybody's now.
  bool stored = false;

 private:
  std::vector<std::pair<std::string, SettingValue>> values_;
  std::vector<std::string> section_names_;
};

/// Of a config file or a run folder (then its config.ini, as its seal says it was written), with `section.key=value` over it.
Settings read_settings(const std::string& path, const std::vector<std::string>& overrides);

}  // namespace mneme
