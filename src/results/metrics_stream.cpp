#include "results/metrics_stream.h"

#include <map>
#include <nlohmann/json.hpp>

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
  std::multimap<int64_t, std::string> by_step;  // equal steps keep this order: train, eval, probe
  for (const TrainRow& row : run.train) by_step.emplace(row.step, metrics_line(row));
  for (const Evaluation& evaluation : run.evaluations)
    for (std::string& line : metrics_lines(evaluation)) by_step.emplace(evaluation.step, std::move(line));
  for (const ProbeSeries& probe : run.probes)
    for (size_t i = 0; i < probe.steps.size(); ++i)
      by_step.emplace(probe.steps[i], probe_line(probe.name, probe.steps[i], probe.values[i], probe.unit));
  std::string text;
  for (const auto& [step, line] : by_step) text += line + "\n";
  return text;
}

}  // namespace mneme
