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

std::string bytes_at(std::ifstream& stream, std::streamoff place, size_t count) {
  std::string bytes(count, '\0');
  stream.clear();
  stream.seekg(place);
  stream.read(bytes.data(), static_cast<std::streamsize>(count));
  bytes.resize(static_cast<size_t>(stream.gcount()));
  return bytes;
}

/// HDF5 begins at the start of a file or, after a user block, at byte 512, 1024, 2048, …
bool is_hdf5(const std::string& path) {
  std::ifstream stream = open(path);
  if (bytes_at(stream, 0, kHdf5Signature.size()) == kHdf5Signature) return true;
  for (std::streamoff place = 512;; place *= 2) {
    const std::string bytes = bytes_at(stream, place, kHdf5Signature.size());
    if (bytes == kHdf5Signature) return true;
    if (bytes.size() < kHdf5Signature.size()) return false;
  }
}

/// What a file is that holds no rows as they are read here, and what to do about it; "" = nothing that is known.
std::string other_kind(const std::string& path) {
  std::ifstream stream = open(path);
  const std::string start = bytes_at(stream, 0, 64), tar = bytes_at(stream, 257, 5);
  constexpr const char* kToHdf5 = "write them with h5py: file['tokens'] and file['targets'], int64 of shape [rows, length]";
  const auto begins = [&](std::string_view with) { return std::string_view(start).starts_with(with); };
  if (begins("\x93NUMPY")) return fmt::format("a NumPy array (.npy); {}", kToHdf5);
  if (begins("\x1f\x8b")) return "packed by gzip; unpack it (gunzip)";
  if (begins("BZh")) return "packed by bzip2; unpack it (bunzip2)";
  if (begins("\xfd" "7zXZ")) return "packed by xz; unpack it (unxz)";
  if (begins("\x28\xb5\x2f\xfd")) return "packed by zstd; unpack it (unzstd)";
  if (begins("PK\x03\x04")) return fmt::format("a ZIP archive, as .npz and files of torch.save are; {}", kToHdf5);
  if (begins("PAR1")) return fmt::format("a Parquet file; {}", kToHdf5);
  if (begins("ARROW1")) return fmt::format("an Arrow file; {}", kToHdf5);
  if (begins("SQLite format 3")) return fmt::format("an SQLite database; {}", kToHdf5);
  if (begins("\x80\x02") || begins("\x80\x03") || begins("\x80\x04") || begins("\x80\x05")) return fmt::format("a Python pickle; {}", kToHdf5);
  if (tar == "ustar") return "a tar archive; unpack it and name a file of it";
  if (begins("\xff\xfe") || begins("\xfe\xff")) return "text in UTF-16; write it in UTF-8";
  const size_t first = start.find_first_not_of(" \t\r\n", begins("\xef\xbb\xbf") ? 3 : 0);
  if (first != std::string::npos && start[first] == '[')
    return "a JSON array; JSON lines are needed, one object a line without brackets or commas around them (jq -c '.[]')";
  if (start.find('\0') != std::string::npos) return "neither HDF5 nor text";
  return "";
}

std::vector<int64_t> read_matrix(const h5::Dataset& data) {
  if (data.kind() != h5::Kind::integer)
    throw DataError(fmt::format("{} has elements of type {}; int64 is needed", data.where(), data.type_name()));
  if (data.shape().size() != 2)
    throw DataError(fmt::format("{} has shape [{}]; two dimensions [rows, length] are needed", data.where(),
                                fmt::join(data.shape(), ", ")));
  return data.read<int64_t>();
}

/// What a writer that has no sign made of −1 or, as other tools mark what is not scored, of −100: a class that is there for no other reason.
void refuse_unsigned_marks(const h5::Dataset& data, const std::vector<int64_t>& values, bool targets) {
  if (!data.type_name().starts_with("uint")) return;
  const int64_t bits = std::stoll(data.type_name().substr(4));
  for (const int64_t mark : {1, 100}) {
    if (bits == 8 && (mark == 100 || !targets)) continue;  // 156 and 255 are bytes like others
    const int64_t made = bits >= 63 ? std::numeric_limits<int64_t>::max() - (mark - 1) : (int64_t{1} << bits) - mark;
    if (const auto found = std::find(values.begin(), values.end(), made); found != values.end())
      throw DataError(fmt::format("{} has elements of type {}, which has no -{}{}, and element {} is {}, what -{} becomes there; write it as int64{}",
                                  data.where(), data.type_name(), mark, targets ? " (not scored)" : "", found - values.begin(),
                                  bits >= 63 ? fmt::format("2^64 - {}", mark) : std::to_string(made), mark,
                                  targets ? ", -1 where nothing is scored" : ""));
  }
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
  refuse_unsigned_marks(targets, rows.targets, true);
  refuse_unsigned_marks(tokens, rows.tokens, false);
  rows.rows = tokens.shape()[0];
  rows.length = tokens.shape()[1];
  return rows;
}

// Appends the numbers of `name` in one JSON object; returns how many.
int64_t append_numbers(const nlohmann::json& object, const char* name, std::vector<int64_t>& to) {
  const auto list = object.find(name);
  if (object.contains("input_ids") && (list == object.end() || !list->is_array()))
    throw DataError(fmt::format("no list '{}', but 'input_ids', as rows for Hugging Face have: call them tokens, and labels targets; targets[t] is what "
                                "follows tokens[t], so labels move one place to the front, and -100 becomes -1", name));
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
  if (!object.is_object() && line.find_first_not_of(" \t") == line.find('{'))
    throw DataError("the line is not one whole JSON object; write every row on one line: {\"tokens\": [1, 2, 3], \"targets\": [-1, -1, 4]}");
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
  if (const std::string other = other_kind(path); !other.empty()) throw DataError(fmt::format("{}: it is {}", path, other));
  std::ifstream stream = open(path);
  RowFile rows;
  std::string line;
  for (int64_t number = 1; std::getline(stream, line); ++number) {
    if (number == 1 && line.starts_with("\xef\xbb\xbf")) line.erase(0, 3);
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
                                  values[i] == -100 && first == -1 ? "PyTorch's mark of what is not scored; here it is -1"
                                  : values[i] < first              ? fmt::format("at least {} is needed", first)
                                  : last == kMostTokens - 1        ? fmt::format("at most {} is allowed", last)
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
    require_range(rows.tokens, "tokens", 0, kMostTokens - 1, rows.length, path);
    require_range(rows.targets, "targets", -1, kMostTokens - 1, rows.length, path);
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
