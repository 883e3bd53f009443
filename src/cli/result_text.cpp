#include "cli/result_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/text.h"
#include "cli/text_table.h"

namespace mneme {
namespace {

std::string whole(double value) { return with_separators(static_cast<int64_t>(value)); }

/// Of questions, in the order of their columns.
std::vector<Metric> answer_metrics() { return {Metric::exact_match, Metric::accuracy, Metric::loss}; }

void add_answers(std::vector<std::string>& row, const EvalSums& sums) {
  row.push_back(with_separators(sums.rows));
  for (const Metric& metric : answer_metrics()) row.push_back(metric.text(sums));
}

/// The rows of each setting by the axes whose values have names, a table each.
std::string by_name(const Evaluation& evaluation) {
  std::string text;
  for (const auto& [axis, names] : evaluation.row_names) {
    const auto place = std::find(evaluation.row_axes.begin(), evaluation.row_axes.end(), axis) - evaluation.row_axes.begin();
    std::vector<std::vector<std::string>> rows{{join(evaluation.axes, " x "), axis, "rows"}};
    for (const Metric& metric : answer_metrics()) rows.front().push_back(metric.words());
    for (const EvalSetting& entry : evaluation.settings)
      for (size_t name = 0; name < names.size(); ++name) {
        EvalSums sums;
        for (const auto& [values, part] : entry.slices)
          if (values.at(static_cast<size_t>(place)) == static_cast<int64_t>(name)) sums += part;
        rows.push_back({setting_text(entry.setting), names[name]});
        add_answers(rows.back(), sums);
      }
    text += "\n" + text_table(rows);
  }
  return text;
}

}  // namespace

std::string evaluation_text(const Evaluation& evaluation) {
  std::vector<std::string> heading = evaluation.axes;
  // Where the setting does not say how long a row is, that is a column of its own.
  const bool length_column = std::count(heading.begin(), heading.end(), "length") == 0;
  if (length_column) heading.push_back("tokens");
  heading.push_back("rows");
  for (const Metric& metric : evaluation.metric.family()) heading.push_back(metric.words());
  heading.insert(heading.end(), {"tokens/s", "state bytes", "MiB"});
  std::vector<std::vector<std::string>> rows{heading};
  for (const EvalSetting& entry : evaluation.settings) {
    std::vector<std::string> row;
    for (int64_t number : entry.setting) row.push_back(std::to_string(number));
    if (length_column) row.push_back(std::to_string(entry.length));
    row.push_back(std::to_string(entry.sums.rows));
    for (const Metric& metric : evaluation.metric.family()) row.push_back(metric.text(entry.sums));
    row.push_back(with_separators(static_cast<int64_t>(entry.tokens_per_s)));
    row.push_back(with_separators(static_cast<int64_t>(entry.state_bytes)));
    row.push_back(fmt::format("{:.0f}", entry.rss_mib));
    rows.push_back(row);
  }
  return fmt::format("{} · {} split · step {} · metric {} · chance {}\n{}", evaluation.task, evaluation.split,
                     evaluation.step, evaluation.metric.name(), evaluation.metric.text(evaluation.chance), text_table(rows)) +
         by_name(evaluation);
}

std::string written_text(const Probe& probe) {
  std::map<std::string, std::vector<double>> by_kind;
  std::vector<std::vector<std::string>> rows{{"theta_mean"}};
  for (const auto& [name, entry] : probe.entries()) {
    const size_t layer = name.rfind("/layer");  // a text may be called layer too
    if (layer == std::string::npos || !name.ends_with("/theta_mean")) continue;
    by_kind[name.substr(0, layer)].push_back(entry.value());
    const std::string place = name.substr(layer + 1, name.find('/', layer + 1) - layer - 1);
    if (std::count(rows.front().begin(), rows.front().end(), place) == 0) rows.front().push_back(place);
  }
  for (const auto& [kind, values] : by_kind) {
    rows.push_back({kind});
    for (const double value : values) rows.back().push_back(fmt::format("{:.4f}", value));
  }
  return by_kind.empty() ? "" : "\n" + text_table(rows);
}

std::string stream_text(const StreamRecord& record) {
  std::vector<std::vector<std::string>> along{{"tokens", "tokens/s", "per processor s", "MiB", "state bytes"}};
  std::vector<std::vector<std::string>> by{{join(record.axes, " x ")}};
  for (auto* table : {&along, &by}) {
    table->front().push_back("questions");
    for (const Metric& metric : answer_metrics()) table->front().push_back(metric.words());
  }
  const auto add = [&](const std::string& name, const StreamBin& bin) {
    along.push_back({name, whole(bin.tokens_per_s()), whole(bin.tokens_per_processor_s()), fmt::format("{:.1f}", bin.rss_mib),
                     with_separators(bin.state_bytes)});
    add_answers(along.back(), bin.questions);
  };
  for (const StreamBin& bin : doubling_bins(record)) add("to " + with_separators(bin.end), bin);
  const StreamBin all = whole_stream(record);
  add("all", all);
  for (const auto& [values, sums] : all.slices) {
    by.push_back({setting_text(values)});
    add_answers(by.back(), sums);
  }
  return fmt::format("{} · step {} · metric {} · chance {}\n{}\n{}", record.task, record.step, record.metric.name(),
                     record.metric.text(record.chance), text_table(along), text_table(by));
}

}  // namespace mneme
