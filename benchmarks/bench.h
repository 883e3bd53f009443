// What the benchmarks share: timing, this machine's peak, and a result that is printed and stored.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <variant>
#include <vector>

namespace mneme {

struct BenchPeak {
  double blas_gflops = 0;     ///< LibTorch's BLAS
  double libxsmm_gflops = 0;  ///< 0 where it was not compiled in
  double own_gflops = 0;      ///< the fused kernels' own product, for comparison
  /// Best library figure: 100 % of the tables.
  double gflops() const { return blas_gflops > libxsmm_gflops ? blas_gflops : libxsmm_gflops; }
};

/// fp32 products of 64 × 64 × 64 on operands that stay in L1/L2, one per thread at a time, best of many runs.
BenchPeak measure_peak();

struct BenchTime {
  double median_s = 0, best_s = 0;
  double processor_s = 0;  ///< of all threads, median
  /// Processor time per thread and second: below .9 other programs had the cores.
  double busy(int64_t threads) const { return processor_s / (median_s * double(threads)); }
  double peak_mib = 0;        ///< most resident memory during the first run, above what was held before
  std::vector<double> runs_s;  ///< in their order
};

/// Runs f once to warm up, then at least three times, up to `seconds` or `repeats`.
BenchTime measure(int64_t repeats, double seconds, const std::function<void()>& f);
/// The same for several, which take turns: run i of one and run i of another saw the same minutes of the machine. `seconds` per function, in one sum.
std::vector<BenchTime> measure_in_turns(int64_t repeats, double seconds, const std::vector<std::function<void()>>& functions);
/// Median over the turns of a's time over b's: how many times as fast b is.
double speed_ratio(const BenchTime& a, const BenchTime& b);

/// Rows of named cells: a table on stdout, JSON, HDF5.
class BenchTable {
 public:
  using Cell = std::variant<std::string, int64_t, double>;
  explicit BenchTable(std::vector<std::string> columns) : columns_(std::move(columns)) {}
  void add(std::vector<Cell> row) { rows_.push_back(std::move(row)); }
  /// The columns' names, then the rows, as a person reads them.
  std::vector<std::vector<std::string>> lines() const;
  const std::vector<std::string>& columns() const { return columns_; }
  const std::vector<std::vector<Cell>>& rows() const { return rows_; }

 private:
  std::vector<std::string> columns_;
  std::vector<std::vector<Cell>> rows_;
};

/// Name and value of what a timing depends on: processor, threads, libraries, compiler, code version.
std::vector<std::pair<std::string, std::string>> machine_header();

struct BenchOptions {
  std::vector<std::string> shapes;  ///< of the benchmark; empty = its own
  int64_t repeats = 15;
  double seconds = 3;                ///< per line, at most
  std::vector<std::string> kernels;  ///< reference, chunked, fused; empty = all
  std::function<void(const std::string&)> progress;
};

struct BenchResult {
  std::vector<std::pair<std::string, std::string>> notes;  ///< printed below the header
  BenchTable table;
};

BenchResult bench_memory(const BenchOptions& options);
BenchResult bench_model(const BenchOptions& options);
BenchResult bench_stability(const BenchOptions& options);
BenchResult bench_gradients(const BenchOptions& options);

}  // namespace mneme
