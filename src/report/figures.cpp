#include "report/figures.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "report/observation.h"
#include "report/report.h"
#include "report/statistics.h"
#include "report/table_compare.h"

namespace mneme {

namespace {

/// x → one value per run.
using Points = std::map<double, std::vector<double>>;

/// x → counts of each run.
using CountedPoints = std::map<double, std::map<const RunRecord*, EvalSums>>;

PlotSeries series_of(const std::string& name, const Points& points, size_t colour) {
  PlotSeries series{name, {}, {}, {}, {}, colour};
  bool band = false;
  for (const auto& [x, values] : points) {
    const std::optional<double> half = half_width(values);
    series.x.push_back(x);
    series.y.push_back(mean(values));
    series.low.push_back(series.y.back() - half.value_or(0));
    series.high.push_back(series.y.back() + half.value_or(0));
    band |= half.has_value();
  }
  if (!band) {
    series.low.clear();
    series.high.clear();
  }
  return series;
}

/// The rows of all runs together: the band is Wilson's, where the metric is a share.
PlotSeries pooled_series(const std::string& name, const CountedPoints& points, const Metric& metric, size_t colour) {
  PlotSeries series{name, {}, {}, {}, {}, colour};
  for (const auto& [x, by_run] : points) {
    TableCell cell;
    EvalSums sum;
    for (const auto& [run, sums] : by_run) {
      cell.sums.push_back(sums);
      cell.own_rows = has_own_rows(*run);
      sum += sums;
    }
    series.x.push_back(x);
    series.y.push_back(metric.value(sum));
    if (!metric.is_share()) continue;
    const Interval interval = wilson_interval(counts_of(cell, metric));
    series.low.push_back(interval.low);
    series.high.push_back(interval.high);
  }
  return series;
}

std::vector<PlotSeries> all_series(const std::vector<std::string>& arms, std::map<std::string, Points>& by_arm) {
  std::vector<PlotSeries> series;
  for (size_t i = 0; i < arms.size(); ++i)
    if (!by_arm[arms[i]].empty()) series.push_back(series_of(arms[i], by_arm[arms[i]], i));
  return series;
}

std::string spaced(std::string name) {
  std::replace(name.begin(), name.end(), '_', ' ');
  return name;
}

/// A plot whose y is the metric.
PlotOptions of_metric(const Metric& metric) {
  PlotOptions options;
  options.percent = metric.is_share();
  const std::string unit = metric.shown_unit();
  options.y_label = metric.words() + (unit.empty() ? "" : ", " + unit);
  return options;
}

bool counts(const RunRecord& run) { return run.status == "done" && run.label("tuning").empty(); }

/// The axis with the most different values: the one a line runs along.
size_t longest_axis(const std::vector<Observation>& all) {
  std::vector<std::set<int64_t>> values(all.front().evaluation->axes.size());
  for (const Observation& observation : all)
    for (size_t i = 0; i < values.size(); ++i) values[i].insert(observation.setting->setting.at(i));
  size_t best = 0;
  for (size_t i = 1; i < values.size(); ++i)
    if (values[i].size() >= values[best].size()) best = i;
  return best;
}

/// "keys 8" of setting {8, 2048} when lines run along the second axis.
std::string panel_of(const Observation& observation, size_t along) {
  std::string text;
  for (size_t i = 0; i < observation.evaluation->axes.size(); ++i)
    if (i != along) text += (text.empty() ? "" : ", ") + observation.evaluation->axes[i] + " " + std::to_string(observation.setting->setting[i]);
  return text;
}

std::string file_name(std::string text) {
  for (char& c : text)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '-';
  text.erase(std::unique(text.begin(), text.end(), [](char a, char b) { return a == '-' && b == '-'; }), text.end());
  return text;
}

}  // namespace

std::vector<std::string> arms_of(const std::vector<RunRecord>& runs, const std::string& rows) {
  std::vector<std::vector<std::string>> arms;
  for (const RunRecord& run : runs) {
    const std::vector<std::string> arm{run_key(run, rows)};
    if (run.label("tuning").empty() && !arm[0].empty() && !std::count(arms.begin(), arms.end(), arm)) arms.push_back(arm);
  }
  sort_keys(arms);
  std::vector<std::string> names;
  for (const std::vector<std::string>& arm : arms) names.push_back(arm[0]);
  return names;
}

std::vector<Figure> setting_figures(const std::vector<RunRecord>& runs, const std::string& task, const std::string& rows) {
  std::vector<Observation> all;
  for (const RunRecord& run : runs)
    for (const Observation& observation : counts(run) ? observations(run, "test") : std::vector<Observation>())
      if (run_key(run, "task") == task) all.push_back(observation);  // with the references
  if (all.empty() || all.front().evaluation->axes.empty()) return {};
  const Evaluation& evaluation = *all.front().evaluation;
  const size_t along = longest_axis(all);
  std::map<std::string, std::map<std::string, Points>> panels;
  std::map<std::string, std::set<int64_t>> widths;
  std::vector<std::string> references;  // "reference: ridge", no arm's name; none whose runs were asked different rows
  std::map<std::tuple<std::string, std::string, int64_t, int64_t>, EvalSums> scored;  // reference, panel, x, rows: whichever run it was scored beside
  std::set<std::string> differing;
  for (const Observation& observation : all) {
    const std::string panel = panel_of(observation, along);
    const int64_t x = observation.setting->setting.at(along);
    const std::string reference = observation.reference.empty() ? "" : "reference: " + observation.reference;
    const double value = evaluation.metric.value(observation.sums);
    widths[panel].insert(x);
    if (!reference.empty()) {
      const auto [known, fresh] = scored.insert({{reference, panel, x, rows_of_reference(observation)}, observation.sums});
      if (!same_numbers(known->second, observation.sums)) differing.insert(reference);
      if (!fresh) continue;
      if (!std::count(references.begin(), references.end(), reference)) references.push_back(reference);
    }
    panels[panel][reference.empty() ? run_key(*observation.run, rows) : reference][static_cast<double>(x)].push_back(value);
  }
  std::vector<std::string> arms = arms_of(runs, rows);
  std::copy_if(references.begin(), references.end(), std::back_inserter(arms), [&](const std::string& name) { return !differing.count(name); });
  std::vector<Figure> figures;
  for (auto& [panel, by_arm] : panels) {
    if (widths[panel].size() < 2) continue;
    PlotOptions options = of_metric(evaluation.metric);
    options.title = task + (panel.empty() ? "" : ", " + panel);
    options.x_label = evaluation.axes[along] == "length" ? "tokens in the row" : spaced(evaluation.axes[along]);
    options.log2_x = *widths[panel].begin() > 0;
    if (options.percent) options.chance = evaluation.chance;
    figures.push_back({file_name(task + (panel.empty() ? "" : "-" + panel)), line_plot(all_series(arms, by_arm), options)});
  }
  return figures;
}

std::vector<Figure> slice_figures(const std::vector<RunRecord>& runs, const std::string& task, const std::string& rows) {
  std::vector<std::string> axes;  // whose values are numbers
  for (const RunRecord& run : runs)
    for (const Evaluation& evaluation : counts(run) && run_key(run, "task") == task ? run.evaluations : std::vector<Evaluation>())
      for (const std::string& axis : evaluation.row_axes)
        if (evaluation.row_names.count(axis) == 0 && std::count(axes.begin(), axes.end(), axis) == 0) axes.push_back(axis);
  std::vector<Figure> figures;
  for (const std::string& axis : axes) {
    std::vector<Observation> all;
    int64_t longest = 0;
    for (const RunRecord& run : runs)
      for (const Observation& observation : counts(run) ? observations(run, "test", {axis}) : std::vector<Observation>())
        if (run_key(run, "task") == task) {
          all.push_back(observation);
          longest = std::max(longest, observation.setting->length);
        }
    std::erase_if(all, [&](const Observation& observation) { return observation.setting->length < longest; });
    if (all.empty()) continue;
    const Evaluation& evaluation = *all.front().evaluation;
    std::map<std::string, CountedPoints> sums;  // over all seeds: one seed has a few rows of a value only
    for (const Observation& observation : all)
      sums[run_key(*observation.run, rows)][static_cast<double>(observation.slice.at(axis))][observation.run] += observation.sums;
    const std::vector<std::string> arms = arms_of(runs, rows);
    std::vector<PlotSeries> series;
    size_t points = 0;
    for (size_t i = 0; i < arms.size(); ++i) {
      if (sums[arms[i]].empty()) continue;
      series.push_back(pooled_series(arms[i], sums[arms[i]], evaluation.metric, i));
      points = std::max(points, sums[arms[i]].size());
    }
    if (points < 2) continue;
    PlotOptions options = of_metric(evaluation.metric);
    options.title = task + " " + setting_text(all.front().setting->setting) + ", by " + spaced(axis);
    options.x_label = spaced(axis) + ", rows of all seeds";
    if (options.percent) options.chance = evaluation.chance;
    figures.push_back({file_name(task + "-" + axis), line_plot(series, options)});
  }
  return figures;
}

std::vector<Figure> position_figures(const std::vector<RunRecord>& runs, const std::string& task, const std::string& rows) {
  std::map<std::string, std::map<std::string, Points>> by_setting;
  std::optional<Metric> loss;
  for (const RunRecord& run : runs) {
    if (!counts(run) || run_key(run, "task") != task) continue;
    for (const Observation& observation : observations(run, "test")) {
      if (!observation.reference.empty()) continue;
      loss = observation.evaluation->metric.training_loss();
      const std::vector<int64_t>& edges = observation.evaluation->position_edges;
      const std::vector<EvalSums>& bins = observation.setting->positions;
      for (size_t i = 0; i < bins.size() && i + 1 < edges.size(); ++i)
        if (bins[i].scored > 0)
          by_setting[setting_text(observation.setting->setting)][run_key(run, rows)]
                    [static_cast<double>(edges[i + 1])].push_back(loss->value(bins[i]));
    }
  }
  std::vector<Figure> figures;
  for (auto& [setting, by_arm] : by_setting) {
    PlotOptions options = of_metric(*loss);
    options.title = task + " " + setting + ", " + loss->words() + " by position";
    options.x_label = "position in the row, end of bin, tokens";
    options.log2_x = true;
    figures.push_back({file_name(task + "-" + setting + "-position"), line_plot(all_series(arms_of(runs, rows), by_arm), options)});
  }
  return figures;
}

std::vector<Figure> training_figures(const std::vector<RunRecord>& runs, const std::string& task, const std::string& rows) {
  std::map<std::string, Points> by_arm;
  Metric loss = Metric::loss;
  for (const RunRecord& run : runs) {
    if (!run.label("tuning").empty() || run_key(run, "task") != task) continue;  // a failed run's curve shows where it broke
    loss = run.training_metric();
    for (const TrainRow& row : run.train)
      if (std::isfinite(row.loss)) by_arm[run_key(run, rows)][static_cast<double>(row.step)].push_back(row.loss);
  }
  PlotOptions options = of_metric(loss);
  options.title = task + ", training " + loss.words();
  options.x_label = "step";
  std::string svg = line_plot(all_series(arms_of(runs, rows), by_arm), options);
  if (svg.empty()) return {};
  return {{file_name(task + "-training"), std::move(svg)}};
}

std::vector<std::pair<std::string, std::string>> task_figures(const std::vector<RunRecord>& runs, const std::string& task,
                                                              const std::string& rows) {
  std::vector<std::pair<std::string, std::string>> files;
  for (const auto& make : {setting_figures, slice_figures, position_figures, training_figures})
    for (const Figure& figure : make(runs, task, rows)) files.emplace_back(figure.name, figure.svg);
  return files;
}

}  // namespace mneme
