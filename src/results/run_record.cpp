#include "results/run_record.h"

#include <cmath>

#include "base/text.h"
#include "results/run_fields.h"

namespace mneme {

double Evaluation::mean(const Metric& of) const {
  double sum = 0;
  for (const EvalSetting& entry : settings) sum += of.value(entry.sums);
  return sum / static_cast<double>(settings.size());
}

std::string Evaluation::text() const {
  EvalSums all;
  for (const EvalSetting& entry : settings) all += entry.sums;
  const bool counted = std::isfinite(value());
  return std::string(metric.name()) + " " + (counted ? metric.text(value()) : metric.text(all));
}

std::string Evaluation::not_finite() const {
  std::vector<std::string> parts;
  for (const EvalSetting& entry : settings) {
    if (entry.sums.not_finite == 0 && std::isfinite(entry.sums.loss)) continue;
    std::vector<std::string> more;
    if (entry.sums.not_finite > 0) more.push_back(std::to_string(entry.sums.not_finite) + " of " + std::to_string(entry.sums.rows) + " rows");
    if (!entry.where_not_finite.empty()) more.push_back(entry.where_not_finite);
    parts.push_back(setting_text(entry.setting) + (more.empty() ? "" : " (" + join(more, "; ") + ")"));
  }
  return parts.empty() ? "" : "on the " + split + " split, answers are not finite at " + join(parts, ", ");
}

Metric RunRecord::training_metric() const { return metric_named(info.training_loss, info.run_id); }

std::string RunRecord::value(const std::string& key) const {
  for (const auto& [name, text] : info.values)
    if (name == key) return text;
  return "";
}

std::string RunRecord::label(const std::string& name) const {
  for (const std::string& part : split(value("run.labels"), ','))
    if (const size_t colon = part.find(':'); colon != std::string::npos && trim(part.substr(0, colon)) == name)
      return trim(part.substr(colon + 1));
  return "";
}

const Evaluation* RunRecord::last_evaluation(const std::string& task, const std::string& split_name) const {
  const Evaluation* last = nullptr;
  for (const Evaluation& evaluation : evaluations)
    if (evaluation.task == task && evaluation.split == split_name && (!last || evaluation.step >= last->step)) last = &evaluation;
  return last;
}

}  // namespace mneme
