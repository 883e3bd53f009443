#include "report/table_compare.h"

#include <algorithm>
#include <limits>

#include "base/text.h"
#include "mneme/errors.h"

namespace mneme {

namespace {

/// Adjusts those that have a p; returns how many.
int64_t correct(std::vector<CellDifference*> all) {
  std::erase_if(all, [](const CellDifference* difference) { return !difference->p; });
  std::vector<double> p;
  for (const CellDifference* difference : all) p.push_back(*difference->p);
  const std::vector<double> adjusted = holm(p);
  for (size_t i = 0; i < all.size(); ++i) all[i]->p_holm = std::max(adjusted[i], all[i]->seeds.least);
  return static_cast<int64_t>(all.size());
}

/// Runs that failed, diverged or are not finite: what is left of a cell may be its lucky seeds.
Absent failures(const TableCell& cell) {
  Absent failed;
  for (const char* reason : {"failed", "diverged", "not finite"})
    if (cell.absent.count(reason)) failed[reason] = cell.absent.at(reason);
  return failed;
}

/// The cell of these seeds alone.
TableCell of_seeds(const TableCell& cell, const std::vector<int64_t>& seeds) {
  TableCell part = cell;
  part.values.clear();
  part.seeds.clear();
  part.sums.clear();
  for (size_t i = 0; i < cell.seeds.size(); ++i) {
    if (!std::count(seeds.begin(), seeds.end(), cell.seeds[i])) continue;
    part.values.push_back(cell.values[i]);
    part.seeds.push_back(cell.seeds[i]);
    part.sums.push_back(cell.sums[i]);
  }
  return part;
}

std::optional<BestRow> best_of(const Table& table, size_t column) {
  const Metric& metric = *table.columns[column].metric;
  std::vector<size_t> rows, others;  // with a value; without one, since all their runs failed
  for (size_t row = 0; row < table.rows.size(); ++row) {
    const TableCell& cell = table.rows[row].cells[column];
    if (table.rows[row].reference) continue;
    if (!cell.values.empty())
      rows.push_back(row);
    else if (!failures(cell).empty())
      others.push_back(row);
  }
  if (rows.size() < 2) return std::nullopt;
  const auto cell = [&](size_t row) -> const TableCell& { return table.rows[row].cells[column]; };
  BestRow best{rows[0]};
  for (const size_t row : rows)
    if (metric.better(mean(cell(row).values), mean(cell(best.row).values))) best.row = row;
  best.p = others.empty() ? 0 : 1;
  best.seeds = std::numeric_limits<int64_t>::max();
  for (const size_t row : rows) {
    if (row == best.row) continue;
    const CellDifference lead = compare(cell(best.row), cell(row), metric);
    best.p = std::max(best.p, metric.better(lead.seeds.mean, 0) ? lead.p.value_or(1) : 1);
    best.least = std::max(best.least, lead.seeds.least);
    best.seeds = std::min(best.seeds, lead.seeds.n);
  }
  return best;
}

void find_best(Table& table) {
  std::vector<double> p;
  for (size_t column = 0; column < table.columns.size(); ++column) {
    table.best.push_back(best_of(table, column));
    if (table.best.back()) p.push_back(table.best.back()->p);
  }
  const std::vector<double> adjusted = holm(p);
  size_t next = 0;
  for (std::optional<BestRow>& best : table.best)
    if (best) best->p_holm = std::max(adjusted[next++], best->least);
}

/// "exact,16": a value of every key of the rows; "memory.refresh=16,…": values of the keys named.
bool is_meant(const TableRow& row, const Table& table) {
  const std::vector<std::string>& names = table.options.rows;
  const std::vector<std::string> parts = split(table.options.against, ',');
  if (row.keys == parts) return true;
  return std::all_of(parts.begin(), parts.end(), [&](const std::string& part) {
    const size_t equals = part.find('=');
    if (equals == std::string::npos) return false;
    const auto name = std::find(names.begin(), names.end(), trim(part.substr(0, equals)));
    return name != names.end() && row.keys[static_cast<size_t>(name - names.begin())] == trim(part.substr(equals + 1));
  });
}

const TableRow& row_against(const Table& table) {
  const TableRow* found = nullptr;
  size_t count = 0;
  std::vector<std::string> rows;
  for (const TableRow& row : table.rows) {
    if (row.reference) continue;
    rows.push_back(join(row.keys, ","));
    if (!is_meant(row, table)) continue;
    found = &row;
    ++count;
  }
  if (count == 1) return *found;
  throw UsageError("--against " + table.options.against + ": there " + (count == 0 ? "is no such row" : "are several such rows") +
                   did_you_mean(table.options.against, rows) + " (rows, by " + join(table.options.rows, ",") + ": " + join(rows, "; ") + ")");
}

}  // namespace

Counts counts_of(const TableCell& cell, const Metric& metric) {
  Counts sum;
  if (cell.averaged) return sum;
  for (const EvalSums& sums : cell.sums) {
    const ShareCounts share = metric.share(sums);
    if (share.trials == 0) return {};
    sum.right += static_cast<double>(share.right);
    sum.trials += static_cast<double>(share.trials);
  }
  const double seeds = static_cast<double>(cell.sums.size());
  if (!cell.own_rows && seeds > 0) sum = {sum.right / seeds, sum.trials / seeds};
  return sum;
}

int64_t rows_of_seed(const TableCell& cell) {
  int64_t fewest = cell.sums.empty() ? 0 : cell.sums[0].rows;
  for (const EvalSums& sums : cell.sums) fewest = std::min(fewest, sums.rows);
  return fewest;
}

CellDifference compare(const TableCell& ours, const TableCell& theirs, const Metric& metric) {
  std::vector<double> pairs;
  std::vector<int64_t> common;
  for (size_t i = 0; i < ours.seeds.size(); ++i)
    for (size_t j = 0; j < theirs.seeds.size(); ++j)
      if (ours.seeds[i] == theirs.seeds[j]) {
        pairs.push_back(ours.values[i] - theirs.values[j]);
        common.push_back(ours.seeds[i]);
      }
  CellDifference result;
  const bool welch = pairs.size() < 2 && std::min(ours.values.size(), theirs.values.size()) > pairs.size();
  result.seeds = welch ? welch_difference(ours.values, theirs.values) : paired_difference(pairs);
  const Counts a = counts_of(welch ? ours : of_seeds(ours, common), metric), b = counts_of(welch ? theirs : of_seeds(theirs, common), metric);
  if (a.trials > 0 && b.trials > 0) result.p_rows = fisher_p(a, b);
  result.failed = failures(ours);
  for (const auto& [reason, count] : failures(theirs)) result.failed[reason] += count;
  if (result.failed.empty() && result.seeds.p && (result.p_rows || !metric.is_share()))
    result.p = std::max(*result.seeds.p, result.p_rows.value_or(0));
  return result;
}

void compare_rows(Table& table) {
  find_best(table);
  if (table.options.against.empty()) return;
  const TableRow& base = row_against(table);
  for (const TableRow& row : table.rows) {
    if (&row == &base || row.reference) continue;
    DifferenceRow difference{row.keys, {}};
    for (size_t i = 0; i < row.cells.size(); ++i) difference.cells.push_back(compare(row.cells[i], base.cells[i], *table.columns[i].metric));
    table.differences.push_back(std::move(difference));
  }
  std::vector<CellDifference*> all;
  for (DifferenceRow& row : table.differences)
    for (CellDifference& cell : row.cells) all.push_back(&cell);
  table.comparisons = correct(all);
}

}  // namespace mneme
