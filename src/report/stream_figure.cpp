#include "report/stream_figure.h"

#include <fmt/format.h>

#include "report/plot.h"

namespace mneme {

namespace {

constexpr double kHeight = 230;

template <class Value>
PlotSeries over_position(const std::string& name, size_t colour, const StreamRecord& record, Value value) {
  PlotSeries series{name, {}, {}, {}, {}, colour};
  for (const StreamBin& bin : doubling_bins(record)) {
    series.x.push_back(static_cast<double>(bin.end));
    series.y.push_back(value(bin));
  }
  return series;
}

/// Nothing where questions differ by more than one number.
PlotSeries over_distance(const std::string& name, size_t colour, const StreamRecord& record, const Metric& metric) {
  PlotSeries series{name, {}, {}, {}, {}, colour};
  if (record.axes.size() > 1) return series;
  const StreamBin all = whole_stream(record);
  for (const auto& [values, sums] : all.slices) {
    series.x.push_back(static_cast<double>(values.front()));
    series.y.push_back(metric.value(sums));
  }
  return series;
}

PlotOptions panel(const std::string& title, const std::string& x, const std::string& y) {
  PlotOptions options;
  options.title = title;
  options.x_label = x;
  options.y_label = y;
  options.log2_x = true;
  options.from_zero = true;
  options.height = kHeight;
  return options;
}

/// One below the other.
std::string stacked(const std::vector<std::string>& panels, double width) {
  std::string text;
  double top = 0;
  for (std::string svg : panels) {
    if (svg.empty()) continue;
    text += svg.insert(4, fmt::format(" y=\"{:.0f}\"", top));  // after "<svg"
    top += kHeight;
  }
  if (text.empty()) return "";
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" width=\"{0:.0f}\" height=\"{1:.0f}\">\n{2}</svg>\n", width,
      top, text);
}

}  // namespace

std::string stream_figure(const StreamRecord& record) {
  const std::string position = "position in the stream, tokens", &axis = record.axes.front();
  PlotOptions along = panel(record.task + ": answers along the stream", position, record.metric.shown_unit());
  along.percent = record.metric.is_share();
  along.chance = record.chance;
  PlotOptions by = along;
  by.title = record.task + ": answers by " + axis;
  by.x_label = axis == "distance" ? "tokens from needle to question" : axis;
  // All scored positions of a question right, and the share of right ones; or one line of another metric.
  std::vector<Metric> metrics{record.metric};
  if (record.metric == Metric::exact_match) metrics.push_back(Metric::accuracy);
  std::vector<PlotSeries> answers, distances;
  for (const Metric& metric : metrics) {
    const std::string name = metric == Metric::exact_match ? "exact" : metric.name();
    const auto value = [&](const StreamBin& bin) { return metric.value(bin.questions); };
    answers.push_back(over_position(name, answers.size(), record, value));
    distances.push_back(over_distance(name, distances.size(), record, metric));
  }
  const std::vector<PlotSeries> speed{
      over_position("clock", 0, record, [](const StreamBin& bin) { return bin.tokens_per_s(); }),
      over_position("processor", 1, record, [](const StreamBin& bin) { return bin.tokens_per_processor_s(); })};
  const std::vector<PlotSeries> memory{over_position("process", 0, record, [](const StreamBin& bin) { return bin.rss_mib; })};
  return stacked({line_plot(answers, along), line_plot(distances, by), line_plot(speed, panel("Speed", position, "tokens/s")),
                  line_plot(memory, panel("Resident memory", position, "MiB"))},
                 along.width);
}

}  // namespace mneme
