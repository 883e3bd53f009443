#include "tasks/support/row_file.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "io/hdf5.h"
#include "mneme/errors.h"

namespace mneme {
namespace {

constexpr std::string_view kHdf5Signature = "\x89HDF\r\n\x1a\n";

std::ifstream open(const std::string& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) throw DataError(path + ": no such file");
  std::ifstream stream(path, std::ios::binary);
  if (std::filesystem::is_directory(path, ignored) || !stream)
    throw DataError(path + ": cannot be read; give one readable file");
  return stream;
}

bool is_hdf5(const std::string& path) {
  std::string start(kHdf5Signature.size(), '\0');
  open(path).read(start.data(), static_cast<std::streamsize>(start.size()));
  return start == kHdf5Signature;
}

std::vector<int64_t> read_matrix(const h5::Dataset& data) {
  if (data.kind() != h5::Kind::integer)
    throw DataError(fmt::format("{} has elements of type {}; int64 is needed", data.where(), data.type_name()));
  if (data.shape().size() != 2)
    throw DataError(fmt::format("{} has shape [{}]; two dimensions [rows, length] are needed", data.where(),
                                fmt::join(data.shape(), ", ")));
  return data.read<int64_t>();
}

RowFile read_hdf5(const std::string& path) {
  const h5::File file = h5::File::open(path, {"tokens", "targets"});
  for (const char* name : {"tokens", "targets"})
    if (!file.has(name))
      throw DataError(
          fmt::format("{}: no dataset '{}'; tokens and targets are needed, int64 of shape [rows, length]", path, name));
  const h5::Dataset tokens = file.dataset("tokens"), targets = file.dataset("targets");
  RowFile rows{0, 0, read_matrix(tokens), read_matrix(targets)};
  if (tokens.shape() != targets.shape())
    throw DataError(fmt::format("{}: tokens has shape [{}] but targets [{}]; they must be equal", path,
                                fmt::join(tokens.shape(), ", "), fmt::join(targets.shape(), ", ")));
  rows.rows = tokens.shape()[0];
  rows.length = tokens.shape()[1];
  return rows;
}

// Appends the numbers of `name` in one JSON object; returns how many.
int64_t append_numbers(const nlohmann::json& object, const char* name, std::vector<int64_t>& to) {
  const auto list = object.find(name);
  if (list == object.end() || !list->is_array())
    throw DataError(fmt::format("no list '{}'; a line is {{\"tokens\": [1, 2, 3], \"targets\": [-1, -1, 4]}}", name));
  for (size_t i = 0; i < list->size(); ++i) {
    const nlohmann::json& number = (*list)[i];
    const bool fits = number.is_number_integer() &&
                      !(number.is_number_unsigned() && number.get<uint64_t>() > std::numeric_limits<int64_t>::max());
    if (!fits) throw DataError(fmt::format("{}[{}] = {} is not a 64-bit integer", name, i, number.dump()));
    to.push_back(number.get<int64_t>());
  }
  return static_cast<int64_t>(list->size());
}

void append_row(const std::string& line, RowFile& rows) {
  constexpr size_t kDeepest = 16;
  const nlohmann::json object = json_depth(line) > kDeepest ? nlohmann::json() : nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object())
    throw DataError("not a JSON object; a line is {\"tokens\": [1, 2, 3], \"targets\": [-1, -1, 4]}");
  const int64_t tokens = append_numbers(object, "tokens", rows.tokens);
  const int64_t targets = append_numbers(object, "targets", rows.targets);
  if (tokens != targets)
    throw DataError(fmt::format("{} tokens but {} targets; they must be equally many", tokens, targets));
  if (rows.rows > 0 && tokens != rows.length)
    throw DataError(
        fmt::format("{} tokens, but the rows before have {}; all rows must be equally long (pad them, with "
                    "target -1)",
                    tokens, rows.length));
  rows.length = tokens;
  ++rows.rows;
}

RowFile read_json_lines(const std::string& path) {
  std::ifstream stream = open(path);
  RowFile rows;
  std::string line;
  for (int64_t number = 1; std::getline(stream, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    try {
      append_row(line, rows);
    } catch (const DataError& error) {
      throw DataError(fmt::format("{}:{}: {}", path, number, error.what()));
    }
  }
  return rows;
}

void require_range(const std::vector<int64_t>& values, const char* name, int64_t first, int64_t last, int64_t length,
                   const std::string& path) {
  for (size_t i = 0; i < values.size(); ++i)
    if (values[i] < first || values[i] > last)
      throw DataError(fmt::format("{}: {}[row {}, column {}] = {}; {}", path, name, static_cast<int64_t>(i) / length,
                                  static_cast<int64_t>(i) % length, values[i],
                                  values[i] < first ? fmt::format("at least {} is needed", first)
                                                    : fmt::format("at most vocab-1 = {} is allowed", last)));
}

// Runs `check`, adding the key to what it throws.
template <class Check>
auto naming(const std::string& key, Check check) {
  try {
    return check();
  } catch (const DataError& error) {
    throw DataError(fmt::format("{}: {}", key, error.what()));
  }
}

}  // namespace

RowFile read_row_file(const std::string& key, const std::string& path) {
  return naming(key, [&] {
    RowFile rows = is_hdf5(path) ? read_hdf5(path) : read_json_lines(path);
    if (rows.tokens.empty()) throw DataError(path + ": no rows in it, or rows of no tokens");
    constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
    require_range(rows.tokens, "tokens", 0, kMost, rows.length, path);
    require_range(rows.targets, "targets", -1, kMost, rows.length, path);
    if (*std::max_element(rows.targets.begin(), rows.targets.end()) < 0)
      throw DataError(path + ": every target is -1 (not scored); at least one must be a token");
    return rows;
  });
}

void require_below(const RowFile& file, int64_t vocab, const std::string& key, const std::string& path) {
  naming(key, [&] {
    require_range(file.tokens, "tokens", 0, vocab - 1, file.length, path);
    require_range(file.targets, "targets", -1, vocab - 1, file.length, path);
  });
}

}  // namespace mneme
