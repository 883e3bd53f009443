#include "config/settings_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sstream>

#include "base/files.h"
#include "base/text.h"
#include "mneme/errors.h"

namespace mneme {
namespace {

namespace fs = std::filesystem;

constexpr size_t kLongestChain = 64, kMostFiles = 1000, kLargestConfig = size_t{4} << 20, kMostKeys = 5000;

bool is_blank(char c) { return c == ' ' || c == '\t'; }

// Cuts at the first '#' or ';' that begins the line, at '#' after white space, at ';' after it where a value in quotes or a section ends; not
// inside quotes.
std::string without_comment(const std::string& line) {
  const size_t first = line.find_first_not_of(" \t"), equals = line.find('=');
  if (first == std::string::npos || line[first] == '#' || line[first] == ';') return "";
  bool start = false, closed = line[first] == '[';
  for (size_t i = first; i < line.size(); ++i) {
    const char c = line[i];
    if (i > 0 && is_blank(line[i - 1]) && (c == '#' || (c == ';' && closed))) return line.substr(0, i);
    if (is_blank(c)) continue;
    const size_t end = start && c == '"' ? end_of_quotes(line, i) : std::string::npos;
    if (end != std::string::npos) i = end;
    start = end == std::string::npos && (i == equals || (i > equals && (c == ',' || c == '|')));
    closed = end != std::string::npos || line[first] == '[';
  }
  return line;
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder.empty() ? "." : folder, ignored))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

// "; name a file in it, e.g. sweeps/short.ini"
std::string file_in(const fs::path& folder) {
  for (const std::string& name : names_in(folder))
    if (fs::path(name).extension() == ".ini") return "; name a file in it, e.g. " + (folder / name).string();
  return "; name a config file (*.ini)";
}

bool is_text(const std::string& content) {
  return std::none_of(content.begin(), content.end(), [](unsigned char c) { return c < ' ' && (c < '\t' || c > '\r'); });
}

// A line as a message shows it: not all of one that is endless.
std::string shown(const std::string& line) {
  size_t end = 80;
  if (line.size() <= end) return line;
  while (end > 0 && (static_cast<unsigned char>(line[end]) & 0xC0) == 0x80) --end;  // not inside a letter
  return line.substr(0, end) + "…";
}

bool is_key(const std::string& text) {
  return !text.empty() && text.front() != '.' && text.back() != '.' && text.find("..") == std::string::npos &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '_' || c == '.' || c == '-' || c == '+';
         });
}

}  // namespace

void SettingsReader::problem(const std::string& origin, const std::string& message) {
  problems_.push_back(origin.empty() ? message : origin + ": " + message);
}

void SettingsReader::throw_problems() const {
  constexpr size_t kShown = 20;  // the rest of a file that is no config says nothing new
  if (problems_.empty()) return;
  std::vector<std::string> lines = problems_;
  if (lines.size() > kShown) {
    lines.resize(kShown);
    lines.push_back("and " + std::to_string(problems_.size() - kShown) + " more problems like these");
  }
  throw ConfigError(join(lines, "\n"));
}

Settings SettingsReader::file(const fs::path& path, const std::string& asked_by) {
  std::error_code code;
  const fs::path identity = fs::weakly_canonical(path, code);
  if (code) {
    problem(asked_by, "cannot read config " + path.string() + ": " + code.message() + "; name an INI file, as configs/ has them");
    return {};
  }
  if (std::find(open_.begin(), open_.end(), identity) != open_.end()) {
    std::string chain;
    for (auto it = std::find(open_.begin(), open_.end(), identity); it != open_.end(); ++it)
      chain += it->filename().string() + " → ";
    problem(asked_by, "extends goes in a circle: " + chain + identity.filename().string() + "; take one of them out");
    return {};
  }
  if (!done_.insert(identity).second) return {};
  if (fs::is_directory(path, code)) {
    problem(asked_by, "cannot read config " + path.string() + ": it is a folder" + file_in(path));
    return {};
  }
  if (open_.size() >= kLongestChain || done_.size() > kMostFiles) {
    const std::string most = open_.size() >= kLongestChain ? fmt::format("{} files in a chain", kLongestChain) : fmt::format("{} files", kMostFiles);
    problem(asked_by, "extends goes on for more than " + most + "; put what these files say into fewer");
    return {};
  }
  if (!fs::exists(path, code)) {
    problem(asked_by, "cannot read config " + path.string() + ": " + std::strerror(ENOENT) +
                          did_you_mean(path.filename().string(), names_in(path.parent_path())) +
                          "; name an INI file, as configs/ has them");
    return {};
  }
  std::string content;
  try {
    content = read_file(path.string(), kLargestConfig);
  } catch (const DataError& error) {
    problem(asked_by, std::string(error.what()) + ": a config is an INI file, as configs/ has them");
    return {};
  }
  if (const std::string encoding = foreign_encoding(content); !encoding.empty() || !is_text(content)) {
    problem(asked_by, "cannot read config " + path.string() + ": it is " +
                          (encoding.empty() ? "not a text file; name an INI file, as configs/ has them" : "text in " + encoding + "; save it in UTF-8"));
    return {};
  }
  if (const size_t place = not_utf8(content); place != std::string::npos) {
    const std::string before = with_plain_lines(content.substr(0, place));
    problem(asked_by, path.string() + ":" + std::to_string(1 + std::count(before.begin(), before.end(), '\n')) +
                          ": is not in UTF-8 (Latin-1?), and results could not hold it; save the file in UTF-8 (iconv -f LATIN1 -t UTF-8)");
    return {};
  }
  open_.push_back(identity);
  Settings settings = text(content, path.string(), path.parent_path());
  open_.pop_back();
  return settings;
}

Settings SettingsReader::text(const std::string& text, const std::string& origin, const fs::path& folder) {
  Settings own, inherited;
  std::istringstream lines(with_plain_lines(text));
  std::string line;
  Line at{"", "", folder};
  for (int number = 1; std::getline(lines, line); ++number) {
    at.origin = origin + ":" + std::to_string(number);
    if (own.all().size() > kMostKeys) {
      problem(at.origin, fmt::format("more than {} keys in one file; no config has so many", kMostKeys));
      break;
    }
    line = trim(without_comment(line));
    if (line.empty()) continue;
    if (line.front() == '[')
      section_line(line, at, own);
    else
      key_line(line, at, own, inherited);
  }
  inherited.merge(own);
  return inherited;
}

void SettingsReader::section_line(const std::string& line, Line& at, Settings& own) {
  const std::string name = trim(line.substr(1, line.size() - (line.back() == ']' ? 2 : 1)));
  if (line.back() != ']' || !is_key(name)) return problem(at.origin, "'" + shown(line) + "' is not a section; write [name]");
  at.section = name;
  own.add_section(name);
}

void SettingsReader::key_line(const std::string& line, const Line& at, Settings& own, Settings& inherited) {
  const size_t equals = line.find('=');
  const std::string name = trim(line.substr(0, equals));
  if (equals == std::string::npos || !is_key(name)) return problem(at.origin, "'" + shown(line) + "' is not 'key = value'; write one, or begin the line with # for a comment");
  const std::string value = value_of(line.substr(equals + 1), at.origin);
  if (name == "extends") return extend(value, at, inherited);
  const std::string key = at.section.empty() ? name : at.section + "." + name;
  if (key.find('.') == std::string::npos)
    return problem(at.origin, key + " stands before the first section; write it below [section], or as section." + key);
  if (const SettingValue* first = own.find(key))
    return problem(at.origin, key + " is given twice, first at " + first->origin + "; keep one");
  own.set(key, value, at.origin);
}

// At the top, a file's keys become the start of this one; in a section of a sweep's axis (axis.arm.mag) they become
// keys of that axis value, so that an arm can be made of the same fragments as a config.
void SettingsReader::extend(const std::string& names, const Line& at, Settings& inherited) {
  const bool axis_value = at.section.rfind("axis.", 0) == 0;
  if (!at.section.empty() && !axis_value)
    return problem(at.origin, "extends belongs before the first section, not into [" + at.section + "]");
  SettingsReader fresh;  // an axis value is put together on its own, whatever the sweep itself extends
  fresh.open_ = open_;
  SettingsReader& reader = axis_value ? fresh : *this;
  for (const std::string& part : split_values(names, ',')) {
    const std::string name = unquoted(part);
    if (name.empty()) {
      problem(at.origin, "extends has an empty name between its commas");
      continue;
    }
    const Settings extended = reader.file((at.folder / name).lexically_normal(), at.origin);
    if (!axis_value) inherited.merge(extended);
    for (const auto& [key, value] : extended.all())
      if (axis_value) inherited.set(at.section + "." + key, value.text, value.origin);
  }
  if (axis_value) problems_.insert(problems_.end(), fresh.problems_.begin(), fresh.problems_.end());
}

std::string SettingsReader::value_of(const std::string& raw, const std::string& origin) {
  try {
    return checked_value(raw);
  } catch (const ConfigError& error) {
    problem(origin, error.what());
    return "";
  }
}

std::string checked_value(const std::string& raw) {
  const std::string text = trim(raw);
  if (text.empty() || text.front() != '"') return text;
  const size_t end = end_of_quotes(text, 0), next = end == std::string::npos ? end : text.find_first_not_of(" \t", end + 1);
  if (end != std::string::npos && (next == std::string::npos || text[next] == ',' || text[next] == '|')) return text;
  throw ConfigError("'" + text + "' begins with a quote that the end of the value does not close");
}

}  // namespace mneme
