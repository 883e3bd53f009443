#include "report/table_numbers.h"

#include <algorithm>
#include <type_traits>

#include "base/text.h"
#include "report/table_compare.h"

namespace mneme {

namespace {

template <class Member>
void add_column(std::vector<h5::Column>& columns, const char* name, const std::vector<CellNumbers>& cells, Member member) {
  using Value = std::decay_t<decltype(cells[0].*member)>;
  std::vector<std::conditional_t<std::is_same_v<Value, double>, double, int64_t>> values;
  for (const CellNumbers& cell : cells) values.push_back(static_cast<typename decltype(values)::value_type>(cell.*member));
  columns.push_back({name, std::move(values)});
}

void write_cells(h5::Group& group, const char* name, const std::vector<CellNumbers>& cells, const std::string& description) {
  if (cells.empty()) return;
  const bool results = std::string(name) == "results";
  std::vector<h5::Column> columns;
  add_column(columns, "row", cells, &CellNumbers::row);
  add_column(columns, "column", cells, &CellNumbers::column);
  add_column(columns, "n", cells, &CellNumbers::n);
  add_column(columns, "mean", cells, &CellNumbers::mean);
  if (results) add_column(columns, "sd", cells, &CellNumbers::sd);
  add_column(columns, "half_width", cells, &CellNumbers::half_width);
  if (results) {
    add_column(columns, "rows", cells, &CellNumbers::rows);
    add_column(columns, "low", cells, &CellNumbers::low);
    add_column(columns, "high", cells, &CellNumbers::high);
  }
  add_column(columns, "p", cells, &CellNumbers::p);
  if (!results) add_column(columns, "p_rows", cells, &CellNumbers::p_rows);
  add_column(columns, "p_holm", cells, &CellNumbers::p_holm);
  h5::Dataset table = group.write_table(name, columns, h5::Storage::compressed);
  table.set("description", description);
  table.set("units", "mean, sd, half_width, low, high: the metric's, others: 1");
}

}  // namespace

CellNumbers cost_numbers(const TableCell& cell) {
  CellNumbers numbers;
  numbers.n = static_cast<int64_t>(cell.values.size());
  if (numbers.n > 0) numbers.mean = mean(cell.values);
  if (numbers.n > 1) numbers.sd = standard_deviation(cell.values);
  return numbers;
}

std::vector<CellNumbers> result_numbers(const Table& table) {
  std::vector<CellNumbers> all;
  for (size_t row = 0; row < table.rows.size(); ++row)
    for (size_t column = 0; column < table.columns.size(); ++column) {
      const TableCell& cell = table.rows[row].cells[column];
      if (cell.runs() == 0) continue;
      CellNumbers numbers = cost_numbers(cell);
      numbers.row = row;
      numbers.column = column;
      numbers.half_width = half_width(cell.values).value_or(kNoNumber);
      numbers.rows = rows_of_seed(cell);
      if (const Counts counts = counts_of(cell, *table.columns[column].metric); counts.trials > 0) {
        const Interval interval = wilson_interval(counts);
        numbers.low = interval.low;
        numbers.high = interval.high;
      }
      if (const std::optional<BestRow>& best = table.best[column]; best && best->row == row) {
        numbers.p = best->p;
        numbers.p_holm = best->p_holm;
      }
      all.push_back(numbers);
    }
  return all;
}

std::vector<CellNumbers> difference_numbers(const Table& table) {
  std::vector<CellNumbers> all;
  for (const DifferenceRow& row : table.differences) {
    const auto place = std::find_if(table.rows.begin(), table.rows.end(), [&](const TableRow& each) { return each.keys == row.keys; });
    for (size_t column = 0; column < row.cells.size(); ++column) {
      const CellDifference& cell = row.cells[column];
      if (cell.seeds.n == 0) continue;
      CellNumbers& numbers = all.emplace_back();
      numbers.row = static_cast<size_t>(place - table.rows.begin());
      numbers.column = column;
      numbers.n = cell.seeds.n;
      numbers.mean = cell.seeds.mean;
      numbers.half_width = cell.seeds.half_width.value_or(kNoNumber);
      numbers.p = cell.p.value_or(kNoNumber);
      numbers.p_rows = cell.p_rows.value_or(kNoNumber);
      numbers.p_holm = cell.p_holm.value_or(kNoNumber);
    }
  }
  return all;
}

void write_numbers(h5::Group& file, const Table& table) {
  h5::Group group = file.make_group("table");
  std::vector<std::string> rows, columns, metrics, units;
  for (const TableRow& row : table.rows) rows.push_back(join(row.keys, ","));
  for (const TableColumn& column : table.columns) {
    columns.push_back(join(column.keys, ","));
    metrics.push_back(column.name);
    units.push_back(column.metric->unit());
  }
  group.set("row_keys", join(table.options.rows, ","));
  group.set("column_keys", join(table.options.columns, ","));
  group.set("split", table.options.split);
  group.set("against", table.options.against);
  group.set("confidence", kConfidence);
  group.set("machine", table.machine);
  group.write_text("rows", rows);
  group.write_text("columns", columns);
  group.write_text("metrics", metrics);
  group.write_text("units", units);
  write_cells(group, "results", result_numbers(table),
              "one row per cell; row, column: places in rows and columns; half_width: of Student's interval over n seeds; low, high: Wilson's "
              "interval over rows; p: of the best row of a column, that it is not better than each other one; p_holm: corrected for the columns");
  write_cells(group, "differences", difference_numbers(table),
              "one row per cell, minus the row `against`; n: pairs of the same seed; p: the larger one of the t test over seeds and Fisher's over "
              "rows (p_rows); p_holm: corrected for all of them");
}

}  // namespace mneme
