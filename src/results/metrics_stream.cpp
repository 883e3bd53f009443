#include "results/metrics_stream.h"

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

namespace mneme {

namespace {

using Json = nlohmann::ordered_json;  // a number that is not finite becomes null

}  // namespace

std::string metrics_line(const TrainRow& row) {
  return Json{{"type", "train"},
              {"step", row.step},
              {"tokens", row.tokens},
              {"loss", row.loss},
              {"lr", row.lr},
              {"grad_norm", row.grad_norm},
              {"tokens_per_s", row.tokens_per_s},
              {"rss_mib", row.rss_mib}}
      .dump();
}

std::vector<std::string> metrics_lines(const Evaluation& evaluation) {
  std::vector<std::string> lines;
  for (const EvalSetting& entry : evaluation.settings) {
    Json json{{"type", "eval"}, {"step", evaluation.step}, {"task", evaluation.task}, {"split", evaluation.split}};
    for (size_t axis = 0; axis < evaluation.axes.size(); ++axis)
      json["setting"][evaluation.axes[axis]] = entry.setting.at(axis);
    json["tokens_per_row"] = entry.length;
    json["rows"] = entry.sums.rows;
    json["scored"] = entry.sums.scored;
    if (entry.sums.not_finite > 0) json["not_finite"] = entry.sums.not_finite;
    json["metric"] = evaluation.metric.name();
    for (const Metric& metric : evaluation.metric.family()) json[metric.name()] = metric.value(entry.sums);
    json["seconds"] = entry.seconds;
    json["tokens_per_s"] = entry.tokens_per_s;
    json["rss_mib"] = entry.rss_mib;
    json["state_bytes"] = entry.state_bytes;
    lines.push_back(json.dump());
  }
  return lines;
}

std::string probe_line(const std::string& name, int64_t step, double value, const std::string& unit) {
  return Json{{"type", "probe"}, {"step", step}, {"name", name}, {"value", value}, {"unit", unit}}.dump();
}

std::string metrics_text(const RunRecord& run) {
  // The order in which they came: of a step its row, each evaluation and then what was measured beside it.
  enum Kind { row_of_step, validation, beside_validation, test, beside_test };
  std::multimap<std::pair<int64_t, Kind>, std::string> lines;
  std::set<std::string> row_axes;
  for (const TrainRow& row : run.train) lines.emplace(std::pair(row.step, row_of_step), metrics_line(row));
  for (const Evaluation& evaluation : run.evaluations) {
    row_axes.insert(evaluation.row_axes.begin(), evaluation.row_axes.end());
    for (std::string& line : metrics_lines(evaluation))
      lines.emplace(std::pair(evaluation.step, evaluation.split == "validation" ? validation : test), std::move(line));
  }
  for (const ProbeSeries& probe : run.probes) {
    const bool of_named_rows = row_axes.count(probe.name.substr(0, probe.name.find('/'))) > 0;  // "text/licences/…"
    for (size_t i = 0; i < probe.steps.size(); ++i)
      lines.emplace(std::pair(probe.steps[i], of_named_rows ? beside_test : beside_validation),
                    probe_line(probe.name, probe.steps[i], probe.values[i], probe.unit));
  }
  std::string text;
  for (const auto& [place, line] : lines) text += line + "\n";
  return text;
}

}  // namespace mneme
