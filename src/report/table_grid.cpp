#include "report/table_grid.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

#include "base/text.h"
#include "report/table_compare.h"
#include "report/table_costs.h"

namespace mneme {

namespace {

/// Of counts that may differ: "3", "2–3"; "" of none.
std::string range_text(const std::vector<int64_t>& counts) {
  if (counts.empty()) return "";
  const auto [low, high] = std::minmax_element(counts.begin(), counts.end());
  return *low == *high ? std::to_string(*low) : fmt::format("{}–{}", *low, *high);
}

/// n of the cells that have runs.
std::vector<int64_t> seeds_of(const TableRow& row) {
  std::vector<int64_t> counts;
  for (const TableCell& cell : row.cells)
    if (cell.runs() > 0) counts.push_back(static_cast<int64_t>(cell.values.size()));
  return counts;
}

bool all_equal(const std::vector<int64_t>& counts) { return std::adjacent_find(counts.begin(), counts.end(), std::not_equal_to<>()) == counts.end(); }

/// Wilson's interval of a cell's share, where it is wider than the one over seeds, or the only one, and not all one number.
std::optional<Interval> rows_interval(const TableCell& cell, const TableColumn& column) {
  const Counts counts = column.metric ? counts_of(cell, *column.metric) : Counts();
  if (counts.trials <= 0) return std::nullopt;
  const Interval rows = wilson_interval(counts);
  const std::optional<double> seeds = half_width(cell.values);
  if (seeds && rows.high - rows.low <= 2 * *seeds) return std::nullopt;
  if (column.metric->number(rows.low) == column.metric->number(rows.high)) return std::nullopt;
  return rows;
}

GridCell result_cell(const TableCell& cell, const TableColumn& column, bool own_n) {
  GridCell out;
  out.note = absent_text(cell);
  if (cell.values.empty()) {
    out.text = "–";
    return out;
  }
  const Metric& metric = *column.metric;
  out.text = metric.number(mean(cell.values));
  if (const auto seeds = half_width(cell.values)) out.text += " ± " + metric.number(*seeds);
  if (const auto rows = rows_interval(cell, column)) out.text += fmt::format(" [{}, {}]", metric.number(rows->low), metric.number(rows->high));
  if (own_n && out.note.empty()) out.text += fmt::format(" (n={})", cell.values.size());
  if (metric.is_share()) out.share = mean(cell.values);
  return out;
}

GridCell cost_cell(const TableCell& cell, const TableColumn& column) {
  const auto number = [&](double value) {
    if (column.name == kRateColumn) return format_number(value);
    if (std::abs(value) < 1 && value != 0) return fmt::format("{:.2g}", value);
    return std::abs(value) < 100 && value != std::round(value) ? fmt::format("{:.1f}", value) : grouped(static_cast<int64_t>(std::llround(value)));
  };
  GridCell out{"–", absent_text(cell)};
  if (cell.values.empty()) return out;
  const auto [low, high] = std::minmax_element(cell.values.begin(), cell.values.end());
  static const std::set<std::string> kFixed{"parameters", "state", "training tokens", "trials", kRateColumn};
  const bool fixed = kFixed.count(column.name) > 0;
  out.text = fixed && *low != *high ? number(*low) + "–" + number(*high) : number(mean(cell.values));
  return out;
}

std::string p_text(double p) { return p < 1e-4 ? "p < 0.0001" : fmt::format("p {:.2g}", p); }

GridCell difference_cell(const CellDifference& cell, const TableColumn& column, bool own_n) {
  std::vector<std::string> failed;
  for (const auto& [reason, count] : cell.failed) failed.push_back(fmt::format("{} {}", reason, count));
  if (cell.seeds.n == 0) return {"–", join(failed, ", ")};
  GridCell out{column.metric->difference(cell.seeds.mean), join(failed, ", ")};
  if (cell.seeds.half_width) out.text += " ± " + column.metric->number(*cell.seeds.half_width);
  if (cell.p_holm) out.text += ", " + p_text(*cell.p_holm);
  std::vector<std::string> how;
  if (!cell.seeds.paired) how.push_back("Welch");
  if (own_n) how.push_back(fmt::format("n={}", cell.seeds.n));
  if (!how.empty()) out.text += " (" + join(how, ", ") + ")";
  out.bold = cell.significant();
  return out;
}

std::string header(const TableColumn& column, bool with_metric) {
  std::string text = join(column.keys, " ");
  if (with_metric || column.keys.empty()) text += (text.empty() ? "" : " ") + column.name;
  if (!column.unit.empty() && (with_metric || column.keys.empty())) text += ", " + column.unit;
  return text;
}

/// The reason for absence that all cells of a row share, said once beside n; else "".
std::string common_note(const TableRow& row) {
  std::set<std::string> notes;
  for (const TableCell& cell : row.cells)
    if (cell.runs() > 0) notes.insert(absent_text(cell));
  return notes.size() == 1 ? *notes.begin() : "";
}

class GridMaker {
 public:
  explicit GridMaker(const Table& table) : table_(table) {}

  Grid make() {
    std::set<std::string> metrics;
    for (const TableColumn& column : table_.columns) metrics.insert(column.name);
    grid_.headers = table_.options.rows;
    grid_.key_columns = grid_.headers.size();
    grid_.headers.push_back("n");
    for (const TableColumn& column : table_.columns) grid_.headers.push_back(header(column, metrics.size() > 1));
    for (const TableColumn& column : table_.cost_columns) grid_.headers.push_back(header(column, true));
    for (size_t row = 0; row < table_.rows.size(); ++row) add_row(row);
    if (!table_.columns.empty()) add_rows_per_seed();
    for (const DifferenceRow& row : table_.differences) add_difference(row);
    return std::move(grid_);
  }

 private:
  void add_row(size_t index) {
    const TableRow& row = table_.rows[index];
    std::vector<GridCell> cells = keys(row.keys);
    const std::string note = common_note(row);
    const std::vector<int64_t> seeds = seeds_of(row);
    GridCell n{seeds.empty() ? "0" : range_text(seeds), note};
    const bool same_rows = row.reference && std::none_of(row.cells.begin(), row.cells.end(), [](const TableCell& cell) { return cell.own_rows; });
    if (!same_rows && std::any_of(seeds.begin(), seeds.end(), [](int64_t count) { return count > 0 && count < kSeedsToClaim; }))
      n.text += mark(fmt::format("Fewer than {} seeds.", kSeedsToClaim));
    cells.push_back(n);
    for (size_t i = 0; i < row.cells.size(); ++i) {
      cells.push_back(result_cell(row.cells[i], table_.columns[i], !all_equal(seeds) && row.cells[i].runs() > 0));
      if (cells.back().note == note) cells.back().note.clear();
      cells.back().bold = table_.best[i] && table_.best[i]->row == index && table_.best[i]->significant();
    }
    for (size_t i = 0; i < row.costs.size(); ++i) {
      cells.push_back(cost_cell(row.costs[i], table_.cost_columns[i]));
      if (row.costs[i].at_edge) cells.back().text += mark("The best of the rates tried lies at their edge: a better one may lie beyond.");
    }
    grid_.rows.push_back(std::move(cells));
  }

  /// How many rows of the task a seed answered, by column.
  void add_rows_per_seed() {
    std::vector<GridCell> cells = keys(std::vector<std::string>(grid_.key_columns));
    cells[0].text = "rows per seed";
    cells.emplace_back();
    bool shared = false;
    for (size_t i = 0; i < table_.columns.size(); ++i) {
      std::vector<int64_t> counts;
      for (const TableRow& row : table_.rows) {
        const TableCell& cell = row.cells[i];
        if (!cell.values.empty()) counts.push_back(rows_of_seed(cell));
        shared |= cell.values.size() > 1 && !cell.own_rows;
      }
      const bool unknown = std::count(counts.begin(), counts.end(), 0) > 0;
      GridCell out{unknown ? "unknown" : range_text(counts)};
      if (!unknown && std::any_of(counts.begin(), counts.end(), [](int64_t count) { return count < kFewRows; }))
        out.text += mark(fmt::format("Fewer than {} rows.", kFewRows));
      cells.push_back(out);
    }
    if (shared)
      cells[0].text += mark("The same rows for every seed: the interval over seeds leaves out the choice of rows (eval.per_seed = true draws them anew).");
    cells.resize(grid_.headers.size());
    grid_.rows.push_back(std::move(cells));
  }

  void add_difference(const DifferenceRow& row) {
    std::vector<int64_t> pairs;
    for (const CellDifference& cell : row.cells)
      if (cell.seeds.n > 0) pairs.push_back(cell.seeds.n);
    std::vector<GridCell> cells = keys(row.keys);
    cells.push_back({pairs.empty() ? "0" : range_text(pairs)});
    for (size_t i = 0; i < row.cells.size(); ++i) cells.push_back(difference_cell(row.cells[i], table_.columns[i], !all_equal(pairs)));
    grid_.differences.push_back(std::move(cells));
  }

  static std::vector<GridCell> keys(const std::vector<std::string>& texts) {
    std::vector<GridCell> cells;
    for (const std::string& text : texts) cells.push_back({text});
    return cells;
  }

  /// The superscript of a footnote.
  std::string mark(const std::string& footnote) {
    static const char* const kMarks[] = {"¹", "²", "³", "⁴"};
    auto& all = grid_.footnotes;
    auto found = std::find_if(all.begin(), all.end(), [&](const auto& known) { return known.second == footnote; });
    if (found == all.end()) found = all.insert(all.end(), {kMarks[all.size()], footnote});
    return found->first;
  }

  static constexpr int64_t kFewRows = 512;
  const Table& table_;
  Grid grid_;
};

}  // namespace

std::string grouped(int64_t value) {
  std::string text = std::to_string(value);
  for (size_t place = text.size(); place > (value < 0 ? 4u : 3u); text.insert(place, ",")) place -= 3;
  return text;
}

std::string absent_text(const TableCell& cell) {
  std::vector<std::string> parts;
  for (const auto& [reason, count] : cell.absent) parts.push_back(fmt::format("{} {} of {}", reason, count, cell.runs()));
  return join(parts, ", ");
}

Grid make_grid(const Table& table) { return GridMaker(table).make(); }

std::string results_caption(const Table& table) {
  std::set<std::string> metrics;
  for (const TableColumn& column : table.columns) metrics.insert(column.metric->caption());
  bool over_rows = false;
  for (const TableRow& row : table.rows)
    for (size_t i = 0; i < row.cells.size(); ++i) over_rows |= !row.cells[i].values.empty() && rows_interval(row.cells[i], table.columns[i]);
  std::string text = join({metrics.begin(), metrics.end()}, "; ") + " on the " + table.options.split +
                     " split; mean ± half-width of its 95 % interval over n seeds";
  if (over_rows) text += "; [low, high]: that over rows, where it is wider";
  text += ". Columns: " + join(table.options.columns, ", ");
  if (std::count(table.options.columns.begin(), table.options.columns.end(), "setting") && !table.axes.empty())
    text += " (" + table.axes + ")";
  text[0] = static_cast<char>(std::toupper(text[0]));
  text += ". Bold: better than every other row, five seeds or more, p < 0.05 corrected for the columns.";
  const bool references = std::any_of(table.rows.begin(), table.rows.end(), [](const TableRow& row) { return row.reference; });
  return text + (references ? " The last rows, of references, learn nothing in training and take no part in that." : "");
}

std::string difference_caption(const Table& table) {
  return fmt::format("Difference to {}, seed by seed: mean ± half-width of its 95 % interval; p over seeds and rows, corrected for {} comparisons. "
                     "Bold: p < 0.05, five seeds or more.", table.options.against, table.comparisons);
}

std::string machine_caption(const Table& table) {
  if (table.machine.empty()) return "No run is there yet.";
  return "Run on " + table.machine + "; another processor or instruction set can move a cell by points.";
}

std::string caption(const Table& table) {
  std::string text = results_caption(table);
  if (table.options.costs) text += " State: what one sequence carries at the training length.";
  const auto is_rate = [](const TableColumn& column) { return column.name == kRateColumn; };
  if (std::any_of(table.cost_columns.begin(), table.cost_columns.end(), is_rate))
    text += " Trials: runs on a seed of their own, by whose validation rows the learning rate and what else is searched was chosen.";
  if (table.options.target > 0) text += " Target: " + format_number(table.options.target) + " on the validation split.";
  return text + " " + machine_caption(table);
}

}  // namespace mneme
