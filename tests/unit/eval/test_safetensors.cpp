#include <cstring>

#include "mneme/errors.h"
#include "tests/support/test.h"
#include "tests/support/train_fixture.h"
#include "eval/safetensors.h"

using namespace mneme;
using namespace mneme::test;
using Catch::Contains;

namespace {

NamedTensors samples() {
  return {{"weights", at::arange(12, at::kFloat).reshape({3, 4}).t()},  // not dense: written as its values read
          {"doubles", at::tensor({1.5, -2.5}, at::kDouble)},
          {"steps", at::full({}, 41, at::kLong)},
          {"bytes", at::tensor({1, 2, 255}, at::kByte)},
          {"empty", at::empty({0, 3})}};
}

/// A file with this header and so many bytes of data.
std::string raw_file(const std::string& header, size_t data_bytes) {
  const uint64_t size = header.size();
  return std::string(reinterpret_cast<const char*>(&size), 8) + header + std::string(data_bytes, '\0');
}

}  // namespace

TEST_CASE("tensors and metadata come back as they were written", "[train]") {
  TemporaryFolder folder;
  const std::string path = folder.path() + "/x.safetensors";
  const std::string hash = write_safetensors(path, samples(), {{"format", "pt"}, {"note", "\"quoted\" ümlaut"}});
  const TensorFile file = read_safetensors(path);
  CHECK(file.sha256 == hash);
  CHECK(file.metadata.at("note") == "\"quoted\" ümlaut");
  REQUIRE(file.tensors.size() == samples().size());
  for (const auto& [name, tensor] : samples()) {
    REQUIRE(file.find(name));
    CHECK(file.find(name)->scalar_type() == tensor.scalar_type());
    CHECK(file.find(name)->equal(tensor));
  }
}

TEST_CASE("the Python library reads our files, and we read its", "[train][python]") {
  TemporaryFolder folder;
  const std::string ours = folder.path() + "/ours.safetensors", theirs = folder.path() + "/theirs.safetensors";
  write_safetensors(ours, samples(), {{"format", "pt"}});
  const std::string seen = python(
      "import sys, numpy; from safetensors.numpy import load_file, save_file; x = load_file(sys.argv[1]); "
      "print(x[\"weights\"].tolist(), x[\"steps\"].item(), x[\"bytes\"].dtype, x[\"empty\"].shape); "
      "save_file({k: numpy.asarray(v + 1) for k, v in x.items()}, sys.argv[2])",
      {ours, theirs});
  CHECK(seen == "[[0.0, 4.0, 8.0], [1.0, 5.0, 9.0], [2.0, 6.0, 10.0], [3.0, 7.0, 11.0]] 41 uint8 (0, 3)\n");
  const TensorFile file = read_safetensors(theirs);
  for (const auto& [name, tensor] : samples()) CHECK(file.find(name)->equal(tensor + 1));
}

TEST_CASE("a file cut anywhere is damaged", "[train]") {
  TemporaryFolder folder;
  const std::string path = folder.path() + "/x.safetensors";
  write_safetensors(path, samples());
  const std::string whole = bytes_of(path);
  for (size_t size = 0; size < whole.size(); size += 7) {
    overwrite(path, whole.substr(0, size));
    REQUIRE_THAT(message_of<CheckpointError>([&] { read_safetensors(path); }), Contains("is damaged"));
  }
  overwrite(path, whole + "x");
  CHECK_THAT(message_of<CheckpointError>([&] { read_safetensors(path); }), Contains("is damaged"));
}

TEST_CASE("a header that lies about its data is refused", "[train]") {
  TemporaryFolder folder;
  const std::string path = folder.path() + "/x.safetensors";
  const auto reason = [&](const std::string& header, size_t bytes) {
    overwrite(path, raw_file(header, bytes));
    return message_of<CheckpointError>([&] { read_safetensors(path); });
  };
  CHECK_THAT(reason(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}})", 8), Contains("do not fit its shape"));
  CHECK_THAT(reason(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", 12),
             Contains("does not begin where"));
  CHECK_THAT(reason(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 12), Contains("12 bytes of data"));
  CHECK_THAT(reason(R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}})", 8),
             Contains("larger than the file"));
  CHECK_THAT(reason(R"({"a":{"dtype":"BF16","shape":[4],"data_offsets":[0,8]}})", 8), Contains("type BF16"));
  CHECK_THAT(reason(R"({"a":{"shape":[4],"data_offsets":[0,8]}})", 8), Contains("header cannot be read"));
  CHECK_THAT(reason("{not json", 8), Contains("header cannot be read"));
}

TEST_CASE("assigning names every difference and copies nothing", "[train]") {
  const at::Tensor a = at::zeros({2, 3}), b = at::zeros({4});
  const auto message = message_of<CheckpointError>(
      [&] { assign_tensors({{"a", a}, {"b", b}}, {{"a", at::ones({3, 2})}, {"c", at::ones({1})}}, "x.safetensors"); });
  CHECK_THAT(message, Contains("missing there: b") && Contains("unknown here: c") &&
                          Contains("a is float32 [3, 2] there and float32 [2, 3] here"));
  CHECK_THROWS_AS(
      assign_tensors({{"a", a}, {"b", b}}, {{"a", at::ones({2, 3})}, {"b", at::ones({4}, at::kDouble)}}, "x"),
      CheckpointError);
  CHECK(a.sum().item<double>() == 0);
}
