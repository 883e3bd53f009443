#include "eval/safetensors.h"

#include <ATen/ops/empty.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/assert.h"
#include "base/files.h"
#include "base/text.h"
#include "io/seal.h"
#include "io/sha256.h"
#include "mneme/errors.h"

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian; so must the machine be");

namespace mneme {

namespace {

using Json = nlohmann::json;

constexpr uint64_t kLargestHeader = 16 << 20;  // of 100,000 tensors; each value takes memory many times its text
constexpr size_t kDeepestHeader = 4;

struct TypeName {
  at::ScalarType type;
  const char* safetensors;
  const char* readable;
};

constexpr TypeName kTypes[] = {{at::kFloat, "F32", "float32"},
                               {at::kDouble, "F64", "float64"},
                               {at::kLong, "I64", "int64"},
                               {at::kByte, "U8", "uint8"},
                               {at::kBool, "BOOL", "bool"}};

const char* safetensors_name(at::ScalarType type) {
  for (const TypeName& known : kTypes)
    if (known.type == type) return known.safetensors;
  throw Error(std::string("tensors of type ") + c10::toString(type) +
              " cannot be stored: float32, float64, int64, uint8, bool can");
}

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using FilePointer = std::unique_ptr<std::FILE, CloseFile>;

/// Writes and hashes; the first failure is a StoreError, and the unfinished file is removed.
class Writer {
 public:
  explicit Writer(std::string path) : path_(std::move(path)), file_(std::fopen(path_.c_str(), "wb")) {
    if (!file_) fail();
  }
  void add(const void* bytes, size_t count) {
    hash_.add({static_cast<const char*>(bytes), count});
    if (std::fwrite(bytes, 1, count, file_.get()) != count) fail();
  }
  /// Their SHA-256, which also becomes the seal's digits, if there are some at `digits`.
  std::string finish(size_t digits) {
    std::string hash = hash_.hex();
    if (digits != std::string::npos && (std::fseek(file_.get(), static_cast<long>(digits), SEEK_SET) != 0 ||
                                        std::fwrite(hash.data(), 1, hash.size(), file_.get()) != hash.size()))
      fail();
    if (std::fflush(file_.get()) != 0 || std::fclose(file_.release()) != 0) fail();
    return hash;
  }

 private:
  [[noreturn]] void fail() {
    const std::string reason = std::strerror(errno);
    file_.reset();
    std::remove(path_.c_str());
    throw StoreError("cannot write " + path_ + ": " + reason + "; free some space or choose another folder");
  }
  std::string path_;
  FilePointer file_;
  Sha256 hash_;
};

std::string header_text(const NamedTensors& tensors, const std::map<std::string, std::string>& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    const uint64_t end = offset + tensor.nbytes();
    header[name] = {{"dtype", safetensors_name(tensor.scalar_type())},
                    {"shape", tensor.sizes().vec()},
                    {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // the data begins at a multiple of 8
  return text;
}

[[noreturn]] void damaged(const std::string& path, const std::string& what) {
  throw CheckpointError(path + " is damaged: " + what + "; take an earlier checkpoint or a copy of this file");
}

struct Entry {
  std::string name;
  at::ScalarType type;
  std::vector<int64_t> shape;
  uint64_t begin, end;
};

at::ScalarType type_of(const std::string& path, const std::string& name, const std::string& text) {
  for (const TypeName& known : kTypes)
    if (text == known.safetensors) return known.type;
  throw CheckpointError(
      fmt::format("{}: tensor '{}' has elements of type {}; read are F32, F64, I64, U8, BOOL: convert it", path, name, text));
}

Entry parse_entry(const std::string& path, const std::string& name, const Json& json, uint64_t data_bytes) {
  Entry entry{name, type_of(path, name, json.at("dtype").get<std::string>()),
              json.at("shape").get<std::vector<int64_t>>(), json.at("data_offsets").at(0).get<uint64_t>(),
              json.at("data_offsets").at(1).get<uint64_t>()};
  uint64_t bytes = c10::elementSize(entry.type);
  for (int64_t size : entry.shape) {
    if (size < 0 || (size > 0 && bytes > data_bytes / static_cast<uint64_t>(size)))
      damaged(path, "tensor '" + name + "' is larger than the file");
    bytes *= static_cast<uint64_t>(size);
  }
  if (entry.begin > entry.end || entry.end > data_bytes || entry.end - entry.begin != bytes)
    damaged(path, fmt::format("the bytes of tensor '{}' ({}-{} of {}) do not fit its shape", name, entry.begin,
                              entry.end, data_bytes));
  return entry;
}

/// Tensors must follow each other without gaps and fill the file.
void check_layout(const std::string& path, std::vector<Entry>& entries, uint64_t data_bytes) {
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.begin < b.begin || (a.begin == b.begin && a.end < b.end); });
  uint64_t offset = 0;
  for (const Entry& entry : entries) {
    if (entry.begin != offset) damaged(path, "tensor '" + entry.name + "' does not begin where the one before it ends");
    offset = entry.end;
  }
  if (offset != data_bytes)
    damaged(path, fmt::format("it holds {} bytes of data where its header describes {}", data_bytes, offset));
}

at::Tensor tensor_of(const Entry& entry, const char* data) {
  at::Tensor tensor = at::empty(entry.shape, at::TensorOptions().dtype(entry.type));
  if (entry.end > entry.begin) std::memcpy(tensor.data_ptr(), data + entry.begin, entry.end - entry.begin);
  return tensor;
}

std::string shape_text(const at::Tensor& tensor) { return fmt::format("[{}]", fmt::join(tensor.sizes(), ", ")); }

std::string first_ten(const std::vector<std::string>& names) {
  constexpr size_t kShown = 10;
  const size_t shown = std::min(kShown, names.size());
  std::string text = fmt::format("{}", fmt::join(names.begin(), names.begin() + static_cast<ptrdiff_t>(shown), ", "));
  return names.size() > shown ? text + fmt::format(" and {} more", names.size() - shown) : text;
}

}  // namespace

std::string dtype_name(at::ScalarType type) {
  for (const TypeName& known : kTypes)
    if (known.type == type) return known.readable;
  return c10::toString(type);
}

const at::Tensor* TensorFile::find(const std::string& name) const {
  for (const auto& [own, tensor] : tensors)
    if (own == name) return &tensor;
  return nullptr;
}

std::string write_safetensors(const std::string& path, const NamedTensors& tensors,
                              const std::map<std::string, std::string>& metadata) {
  NamedTensors dense;
  for (const auto& [name, tensor] : tensors) dense.emplace_back(name, tensor.detach().cpu().contiguous());
  const std::string header = header_text(dense, metadata);
  const uint64_t header_bytes = header.size();
  const std::string temporary = temporary_name(write_target(path));
  Writer writer(temporary);
  writer.add(&header_bytes, sizeof header_bytes);
  writer.add(header.data(), header.size());
  for (const auto& [name, tensor] : dense)
    if (tensor.nbytes() > 0) writer.add(tensor.const_data_ptr(), tensor.nbytes());
  const size_t digits = seal_digits(header);
  std::string sha256 = writer.finish(digits == std::string::npos ? digits : sizeof header_bytes + digits);
  move_into_place(temporary, path);
  return sha256;
}

TensorFile read_safetensors(const std::string& path) {
  std::string bytes;
  try {
    bytes = read_file(path);
  } catch (const DataError& error) {
    throw CheckpointError(error.what());
  }
  const Seal seal = seal_of(bytes);
  if (seal == Seal::broken) damaged(path, "its SHA-256 is not the one in it");
  uint64_t header_bytes = 0;
  if (bytes.size() < sizeof header_bytes) damaged(path, "it is shorter than a header");
  std::memcpy(&header_bytes, bytes.data(), sizeof header_bytes);
  if (header_bytes > kLargestHeader || header_bytes > bytes.size() - sizeof header_bytes)
    damaged(path, "its header is longer than the file, or than 16 MiB");
  const char* header_begin = bytes.data() + sizeof header_bytes;
  const uint64_t data_bytes = bytes.size() - sizeof header_bytes - header_bytes;

  if (json_depth({header_begin, header_bytes}) > kDeepestHeader)
    damaged(path, "the lists of its header lie too deep in each other");
  TensorFile file;
  file.sha256 = sha256_hex(bytes);
  std::vector<Entry> entries;
  try {
    const Json header = Json::parse(header_begin, header_begin + header_bytes);
    for (const auto& [name, json] : header.items()) {
      if (name == "__metadata__") file.metadata = json.get<std::map<std::string, std::string>>();
      else entries.push_back(parse_entry(path, name, json, data_bytes));
    }
  } catch (const Json::exception& error) {
    damaged(path, std::string("its header cannot be read (") + error.what() + ")");
  }
  if (seal == Seal::none && file.metadata.count(kSealKey)) damaged(path, "its SHA-256 is");
  check_layout(path, entries, data_bytes);
  for (const Entry& entry : entries)
    file.tensors.emplace_back(entry.name, tensor_of(entry, header_begin + header_bytes));
  std::sort(file.tensors.begin(), file.tensors.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  return file;
}

void assign_tensors(const NamedTensors& into, const NamedTensors& from, const std::string& source) {
  std::map<std::string, at::Tensor> given(from.begin(), from.end());
  std::vector<std::string> missing, differing;
  for (const auto& [name, target] : into) {
    const auto found = given.find(name);
    if (found == given.end()) {
      missing.push_back(name);
    } else if (found->second.sizes() != target.sizes() || found->second.scalar_type() != target.scalar_type()) {
      differing.push_back(fmt::format("{} is {} {} there and {} {} here", name, dtype_name(found->second.scalar_type()),
                                      shape_text(found->second), dtype_name(target.scalar_type()), shape_text(target)));
    }
  }
  std::map<std::string, at::Tensor> unused = given;
  for (const auto& [name, target] : into) unused.erase(name);
  std::vector<std::string> unknown;
  for (const auto& [name, tensor] : unused) unknown.push_back(name);

  std::string problems;
  if (!missing.empty()) problems += "\n  missing there: " + first_ten(missing);
  if (!unknown.empty()) problems += "\n  unknown here: " + first_ten(unknown);
  if (!differing.empty()) problems += "\n  different: " + first_ten(differing);
  if (!problems.empty())
    throw CheckpointError(
        source + " was made for another model (compare its config.ini, sections model and memory):" + problems);
  for (const auto& [name, target] : into) target.detach().copy_(given.at(name));
}

}  // namespace mneme
