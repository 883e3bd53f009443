#include "cli/result_text.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "cli/text_table.h"

namespace mneme {
namespace {

std::string whole(double value) { return with_separators(static_cast<int64_t>(value)); }

/// Of questions, in the order of their columns.
std::vector<Metric> answer_metrics() { return {Metric::exact_match, Metric::accuracy, Metric::loss}; }

void add_answers(std::vector<std::string>& row, const EvalSums& sums) {
  row.push_back(with_separators(sums.rows));
  for (const Metric& metric : answer_metrics()) row.push_back(sums.rows == 0 ? "-" : metric.text(metric.value(sums)));
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
    for (const Metric& metric : evaluation.metric.family()) row.push_back(metric.text(metric.value(entry.sums)));
    row.push_back(with_separators(static_cast<int64_t>(entry.tokens_per_s)));
    row.push_back(with_separators(static_cast<int64_t>(entry.state_bytes)));
    row.push_back(fmt::format("{:.0f}", entry.rss_mib));
    rows.push_back(row);
  }
  return fmt::format("{} · {} split · step {} · metric {} · chance {}\n{}", evaluation.task, evaluation.split,
                     evaluation.step, evaluation.metric.name(), evaluation.metric.text(evaluation.chance), text_table(rows));
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
