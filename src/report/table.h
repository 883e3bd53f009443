// A comparison table out of many runs: rows and columns are config keys, labels of a sweep (arm, task) or the axes of an
// evaluation (length, keys, writes, depth_percent; `setting` is all of them, written 8x2048). A cell is the mean over seeds and its 95 %
// interval (report/statistics.h). Nothing is dropped silently: runs that failed, diverged, still run or have no such value are counted in
// their cell.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "report/statistics.h"
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
  bool costs = true;                 ///< parameters, state, training tokens, speed, memory, time beside each row; trials and rate where a sweep chose it
  std::vector<std::string> probes;   ///< ends of names of /probe, "theta_mean": a column for each place they were measured at, mean over layers
  double target = 0;                 ///< > 0: a column with the steps until the validation metric reached it
  std::string against;               ///< a row, "full_rope" or "arm=full_rope": also differences to it
  bool allow_mixed_versions = false;
  std::string title;
};

/// The runs of a cell that have no value, by reason: "failed", "diverged", "running", "missing", "damaged", "not finite".
using Absent = std::map<std::string, int64_t>;

struct TableCell {
  std::vector<double> values;        // one per run, in the order of seeds
  std::vector<int64_t> seeds;
  std::vector<EvalSums> sums;        // what they are counted from; none where they are costs
  bool averaged = false;             // values are means over several settings or slices, and sums those of the one with the fewest rows
  bool own_rows = false;             // every seed answered rows of its own (eval.per_seed)
  bool at_edge = false;              // of the learning rate: one of the values lies at an edge of those tried
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
  std::vector<TableCell> costs;      // one per Table::cost_columns; none of a reference
  bool reference = false;            // what one of the task's references says: no run, no cost, and no part of comparisons
};

/// Whether two cells differ: over seeds and, where they are shares, over rows.
struct CellDifference {
  Difference seeds;
  std::optional<double> p_rows;      // Fisher's, of shares
  std::optional<double> p;           // the larger of the two; none where there are too few seeds for a claim, where the counts of a share
                                     // are unknown, and where runs of either cell have failed, diverged or are not finite
  std::optional<double> p_holm;      // corrected for the comparisons of the table, at least seeds.least
  Absent failed;                     // runs that failed, diverged or are not finite there, of both cells together
  bool significant() const { return p_holm && *p_holm < 1 - kConfidence && seeds.n >= kSeedsToClaim; }
};

struct DifferenceRow {
  std::vector<std::string> keys;
  std::vector<CellDifference> cells;  // one per Table::columns
};

/// The row with the best mean of a column; the claim is that it is better than every other one.
struct BestRow {
  size_t row = 0;
  double p = 1;                      // the largest over the others; 1 where a comparison has no p, or its pairs of seeds say that it is no better
  double p_holm = 1;                 // corrected for the columns, at least what the fewest seeds of a comparison can reach
  double least = 0;                  // that
  int64_t seeds = 0;                 // of the comparison with the fewest
  bool significant() const { return p_holm < 1 - kConfidence && seeds >= kSeedsToClaim; }
};

struct Table {
  TableOptions options;
  std::vector<TableColumn> columns, cost_columns;
  std::vector<TableRow> rows;
  std::vector<std::optional<BestRow>> best;  // one per column; none where there is nothing to compare
  std::vector<DifferenceRow> differences;    // to the row `against`
  int64_t comparisons = 0;           // of differences, those that Holm's correction counts
  std::string machine;               // where the runs ran: processor, instruction set, threads
  std::vector<std::string> notes;    // footnotes: runs without a value and why, uncommitted changes, mixed versions
  std::string axes;                  // what a setting is: "keys x writes"; "" where tasks differ
  std::vector<std::string> run_ids;  // of every run the table was made from
};

/// UsageError: an unknown key or metric, a metric that the task does not have, nothing left by `where`, two runs of one seed
/// in a cell. StoreError: runs of
/// different code versions without `allow_mixed_versions`. Learning-rate trials (label tuning) count only where asked for.
Table make_table(const std::vector<RunRecord>& runs, const TableOptions& options);

/// `format`: md, tex or csv (csv: one line per cell, for programs; shares, not percent).
std::string table_text(const Table& table, const std::string& format);

/// The runs of the table in one file of at most about 1 MiB, training curves thinned, which `read_runs` reads back; and the table's numbers.
void write_table_h5(const std::string& path, const std::vector<RunRecord>& runs, const Table& table);

}  // namespace mneme
