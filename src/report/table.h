// A comparison table out of many runs: rows and columns are config keys, labels of a sweep (arm, task) or the axes of an
// evaluation (length, keys, writes, depth_percent; `setting` is all of them, written 8x2048). A cell is the mean and the
// standard deviation over seeds. Nothing is dropped silently: runs that failed, diverged, still run or have no such value
// are counted in their cell.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "results/run_record.h"

namespace mneme {

struct TableOptions {
  std::vector<std::string> rows{"arm"};
  std::vector<std::string> columns{"setting"};
  /// Names of metrics; "metric" is the one the task is judged by.
  std::vector<std::string> metrics{"metric"};
  /// Key = value; several values of one key, separated by `|`, are alternatives.
  std::vector<std::pair<std::string, std::string>> where;
  std::string split = "test";
  bool costs = true;                 ///< parameters, state, training tokens, speed, memory, time beside each row
  double target = 0;                 ///< > 0: a column with the steps until the validation metric reached it
  std::string paired_with;           ///< a row's key: differences to it, run by run of the same seed
  bool allow_mixed_versions = false;
  std::string title;
};

/// The runs of a cell that have no value, by reason: "failed", "diverged", "running", "missing".
using Absent = std::map<std::string, int64_t>;

struct TableCell {
  std::vector<double> values;        // one per run, in the order of seeds
  std::vector<int64_t> seeds;
  Absent absent;
  int64_t runs() const;              // with and without a value
};

struct TableColumn {
  std::vector<std::string> keys;     // one per TableOptions::columns
  std::string name, unit;            // the metric's, or the cost's
  std::optional<Metric> metric = {};  // none: a cost
};

struct TableRow {
  std::vector<std::string> keys;     // one per TableOptions::rows
  std::vector<TableCell> cells;      // one per Table::columns
  std::vector<TableCell> costs;      // one per Table::cost_columns
};

struct Table {
  TableOptions options;
  std::vector<TableColumn> columns, cost_columns;
  std::vector<TableRow> rows;
  std::vector<TableRow> differences; // to the row `paired_with`; no costs
  std::vector<std::string> notes;    // footnotes: runs without a value and why, uncommitted changes, mixed versions
  std::string axes;                  // what a setting is: "keys x writes"; "" where tasks differ
  std::vector<std::string> run_ids;  // of every run the table was made from
};

/// UsageError: an unknown key or metric, nothing left by `where`, two runs of one seed in a cell. StoreError: runs of
/// different code versions without `allow_mixed_versions`. Learning-rate trials (label tuning) count only where asked for.
Table make_table(const std::vector<RunRecord>& runs, const TableOptions& options);

/// `format`: md, tex or csv (csv: one line per cell, for programs; shares, not percent).
std::string table_text(const Table& table, const std::string& format);

/// The runs of the table in one file of at most about 1 MiB, training curves thinned; `read_runs` reads it back.
void write_table_h5(const std::string& path, const std::vector<RunRecord>& runs, const TableOptions& options);

double mean(const std::vector<double>& values);
/// Sample standard deviation (n − 1); 0 for one value.
double standard_deviation(const std::vector<double>& values);

}  // namespace mneme
