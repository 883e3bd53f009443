// What `mneme bench --output NAME` leaves: NAME.h5, the numbers, and NAME.md, the table as a person reads it.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "benchmarks/bench.h"

namespace mneme {

struct BenchFile {
  std::string benchmark;                                    ///< memory, model, stability, gradients
  std::vector<std::pair<std::string, std::string>> header;  ///< processor, code, …: what the figures depend on
  BenchTable table;
};

std::string bench_text(const BenchFile& file);
std::string bench_markdown(const BenchFile& file);
std::string bench_json(const BenchFile& file);
/// The bytes of NAME.h5 (docs/file-formats.md, section "Benchmarks").
std::string bench_h5(const std::string& path, const BenchFile& file);

/// Nothing where the file is something else; DataError where it is damaged.
std::optional<BenchFile> read_bench_file(const std::string& path);

}  // namespace mneme
