#include "report/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/provenance.h"
#include "base/text.h"
#include "mneme/errors.h"
#include "report/figures.h"
#include "report/observation.h"
#include "report/report_style.h"
#include "report/table_grid.h"
#include "report/text_escape.h"

namespace mneme {

namespace {

std::string element(const std::string& name, const std::string& text, const std::string& attributes = "") {
  return "<" + name + (attributes.empty() ? "" : " " + attributes) + ">" + text + "</" + name + ">";
}

std::string cell_html(const GridCell& cell, bool key) {
  std::string text = escaped(cell.text);
  if (const size_t at = text.find(" ± "); at != std::string::npos)
    text = text.substr(0, at) + element("span", text.substr(at), "class=interval");
  if (cell.bold) text = element("b", text);
  if (!cell.note.empty()) text += element("span", escaped(cell.note), "class=absent");
  // A bar as long as the share: the table can be read at a glance, and numbers stay numbers.
  const std::string bar = cell.share >= 0 ? fmt::format("class=share style=\"--s:{:.1f}%\"", 100 * cell.share) : "";
  return key ? element("th", text, "scope=row") : element("td", text, bar);
}

std::string grid_html(const Grid& grid, const std::vector<std::vector<GridCell>>& rows, const std::vector<size_t>& columns) {
  std::string head, body;
  for (const size_t i : columns) head += element("th", escaped(grid.headers[i]), i < grid.key_columns ? "class=key" : "");
  for (const std::vector<GridCell>& row : rows) {
    std::string line;
    for (const size_t i : columns) line += cell_html(row[i], i < grid.key_columns);
    body += element("tr", line) + "\n";
  }
  return element("div", element("table", element("thead", element("tr", head)) + element("tbody", body)), "class=wide");
}

std::vector<size_t> range(size_t from, size_t to) {
  std::vector<size_t> all;
  for (size_t i = from; i < to; ++i) all.push_back(i);
  return all;
}

class Page {
 public:
  Page(const std::vector<RunRecord>& runs, const ReportOptions& options) : options_(options) {
    for (const RunRecord& run : runs)
      if (run.label("tuning").empty()) runs_.push_back(run);
    if (runs_.empty()) throw UsageError("there is no run to report about (learning-rate trials do not count)");
    for (const RunRecord& run : runs_) {
      const std::string task = run_key(run, "task");
      if (!std::count(tasks_.begin(), tasks_.end(), task)) tasks_.push_back(task);
    }
    arms_ = arms_of(runs_, options_.rows);
    if (arms_.empty()) {  // runs without the label stand for themselves
      options_.rows = "run_id";
      arms_ = arms_of(runs_, options_.rows);
    }
  }

  std::string html() {
    std::string body = element("h1", escaped(options_.title)) + "\n";
    if (!options_.introduction.empty()) body += element("p", escaped(options_.introduction)) + "\n";
    body += summary() + unfinished();
    for (const std::string& task : tasks_) body += task_section(task);
    body += provenance();
    return "<!doctype html>\n<html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">" +
           element("title", escaped(options_.title)) + element("style", kReportStyle) + "\n" + element("main", body) + "</html>\n";
  }

 private:
  std::string summary() const {
    std::set<int64_t> seeds;
    int64_t tokens = 0;
    double seconds = 0;
    for (const RunRecord& run : runs_) {
      seeds.insert(run.info.seed);
      tokens += run.cost.training_tokens;
      seconds += run.cost.wall_seconds;
    }
    std::string text = fmt::format("{} runs: {} {} × {} {}, {} {}. ", runs_.size(), arms_.size(), arms_.size() == 1 ? "arm" : "arms",
                                   tasks_.size(), tasks_.size() == 1 ? "task" : "tasks", seeds.size(), seeds.size() == 1 ? "seed" : "seeds");
    text += fmt::format("Trained on {} tokens in {:.0f} minutes of run time.", grouped(tokens), seconds / 60);
    return element("p", escaped(text), "class=lead") + "\n";
  }

  /// What went wrong stands before the numbers.
  std::string unfinished() const {
    std::string items;
    for (const RunRecord& run : runs_)
      if (run.status != "done" || !run.error.empty())
        items += element("li", element("code", escaped(run.info.run_id)) + " " + element("b", escaped(run.status)) +
                                   (run.error.empty() ? "" : ": " + escaped(run.error)));
    for (const std::string& why : options_.left_out) items += element("li", element("b", "left out") + ": " + escaped(why));
    return items.empty() ? "" : element("div", element("p", "Runs without a result, or without some:") + element("ul", items), "class=warning") + "\n";
  }

  std::string task_section(const std::string& task) {
    TableOptions options;
    options.rows = {options_.rows};
    options.where = {{"task", task}};
    options.allow_mixed_versions = options_.allow_mixed_versions;
    options.against = options_.against;
    const Table table = make_table(runs_, options);
    const Grid grid = make_grid(table);
    const size_t results = grid.headers.size() - table.cost_columns.size();
    std::string text = element("h2", escaped(task)) + "\n" + grid_html(grid, grid.rows, range(0, results));
    std::string below = results_caption(table) + chance_text(task) + " " + machine_caption(table);
    for (const auto& [mark, footnote] : grid.footnotes) below += " " + mark + " " + footnote;
    text += element("p", escaped(below), "class=caption") + "\n";
    if (!grid.differences.empty())
      text += grid_html(grid, grid.differences, range(0, results)) + element("p", escaped(difference_caption(table)), "class=caption") + "\n";
    std::vector<Figure> all = setting_figures(runs_, task, options_.rows);
    for (const auto& more : {slice_figures, position_figures, training_figures})
      for (Figure& figure : more(runs_, task, options_.rows)) all.push_back(std::move(figure));
    text += figures(all);
    std::vector<size_t> costs = range(0, grid.key_columns);
    for (const size_t i : range(results, grid.headers.size())) costs.push_back(i);
    std::vector<std::vector<GridCell>> arms = grid.rows;
    if (arms.size() > table.rows.size()) arms.pop_back();  // rows per seed: no cost
    while (!arms.empty() && table.rows[arms.size() - 1].reference) arms.pop_back();  // nor of references, which are the last rows
    text += element("h3", "What it cost") + grid_html(grid, arms, costs);
    text += element("p", "Mean over seeds; a range where runs differ. State: what one sequence carries at the training length. "
                         "Tokens/s and peak memory are of training.", "class=caption");
    for (const std::string& note : table.notes) notes_.insert(note);
    return element("section", text) + "\n";
  }

  static std::string with_space(const std::string& unit) { return unit.empty() ? "" : " " + unit; }

  std::string chance_text(const std::string& task) const {
    for (const RunRecord& run : runs_)
      if (run_key(run, "task") == task)
        for (const Evaluation& evaluation : run.evaluations)
          return evaluation.metric.is_share()
                     ? fmt::format(" Chance: {} %.", format_number(std::round(1e6 * evaluation.chance) / 1e4))
                     : fmt::format(" Knowing nothing: {:.3f}{}.", evaluation.chance, with_space(evaluation.metric.shown_unit()));
    return "";
  }

  static std::string figures(const std::vector<Figure>& all) {
    std::string text;
    for (const Figure& figure : all) text += element("figure", figure.svg);
    return all.empty() ? "" : element("div", text, "class=figures") + "\n";
  }

  std::string provenance() const {
    std::map<std::string, int64_t> facts;
    for (const RunRecord& run : runs_) {
      const RunInfo& info = run.info;
      ++facts[fmt::format("Mneme {}{}, LibTorch {}, {}; {} threads on {} ({})", info.code_version, info.code_dirty ? " with uncommitted changes" : "",
                          info.libtorch_version, info.blas, info.threads, info.device,
                          info.cpu_model + (info.engine.empty() ? "" : ", kernels for " + info.engine))];
    }
    std::string items, details;
    for (const auto& [fact, count] : facts) items += element("li", escaped(fmt::format("{} ({} runs)", fact, count)));
    for (const std::string& note : notes_) items += element("li", escaped(note));
    for (const RunRecord& run : runs_) {
      const std::string head = element("code", escaped(run.info.run_id)) + escaped(fmt::format(" {}, {} to {}", run.status, run.created_utc, run.finished_utc));
      details += element("details", element("summary", head) + element("pre", escaped("$ " + run.info.command_line + "\n\n" + run.info.config_ini))) + "\n";
    }
    return element("section", element("h2", "Where the numbers come from") + element("ul", items) +
                                  element("p", "Every number is in the run.h5 of its run; each run with its command and whole config:") + details +
                                  element("p", "Page made " + utc_now() + " by Mneme " + escaped(code_version()) + ".", "class=caption"));
  }

  ReportOptions options_;
  std::vector<RunRecord> runs_;
  std::vector<std::string> tasks_, arms_;
  std::set<std::string> notes_;
};

}  // namespace

std::string report_html(const std::vector<RunRecord>& runs, const ReportOptions& options) { return Page(runs, options).html(); }

}  // namespace mneme
