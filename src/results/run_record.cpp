#include "results/run_record.h"

#include "base/text.h"
#include "results/run_fields.h"

namespace mneme {

double Evaluation::mean(const Metric& of) const {
  double sum = 0;
  for (const EvalSetting& entry : settings) sum += of.value(entry.sums);
  return sum / static_cast<double>(settings.size());
}

std::string Evaluation::text() const { return std::string(metric.name()) + " " + metric.text(value()); }

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
