#include "report/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "report/axis.h"
#include "report/text_escape.h"

namespace mneme {

namespace {

// Okabe and Ito's palette (told apart by colour-blind readers), darkened on white and lightened on black for contrast.
constexpr const char* kLight[kPaletteSize] = {"#0068a8", "#c75000", "#00805e", "#a8527f", "#8a6d00", "#5b5b5b", "#2b8cbe", "#7b3fb5"};
constexpr const char* kDark[kPaletteSize] = {"#58b0ea", "#ff9050", "#2fc79b", "#e29cc3", "#e0bd3a", "#b9b9b9", "#8fd0f5", "#b992ea"};
constexpr double kTop = 50, kBottom = 44, kLeft = 52, kLabelHeight = 14, kCharacterWidth = 6.6;

std::string style() {
  std::string text =
      "<style>.mp{font:12px system-ui,sans-serif;fill:#222}.mp .g{stroke:#e3e3e3}.mp .a{stroke:#888}.mp .t{fill:#666}"
      ".mp .h{font-weight:600}.mp .l{fill:none;stroke-width:1.8;stroke-linejoin:round}.mp .b{opacity:.15;stroke:none}"
      ".mp .c{stroke:#888;stroke-dasharray:3 3}.mp .k{stroke-width:.8;opacity:.6}";
  for (size_t i = 0; i < kPaletteSize; ++i) text += fmt::format(".mp .s{0}{{stroke:{1}}}.mp .f{0}{{fill:{1}}}", i, kLight[i]);
  text += "@media(prefers-color-scheme:dark){.mp{fill:#ddd}.mp .g{stroke:#3a3a3a}.mp .t{fill:#aaa}";
  for (size_t i = 0; i < kPaletteSize; ++i) text += fmt::format(".mp .s{0}{{stroke:{1}}}.mp .f{0}{{fill:{1}}}", i, kDark[i]);
  return text + "}</style>";
}

struct Range {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  void add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  bool empty() const { return low > high; }
};

class Plot {
 public:
  Plot(const std::vector<PlotSeries>& series, const PlotOptions& options, Axis x, Axis y)
      : series_(series), options_(options), x_(x), y_(y) {
    size_t longest = 0;
    for (const PlotSeries& entry : series) longest = std::max(longest, entry.name.size());
    right_ = options.width - 22 - kCharacterWidth * static_cast<double>(longest);
    bottom_ = options.height - kBottom;
  }

  std::string svg() const {
    std::string text = fmt::format(
        "<svg class=\"mp\" xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" viewBox=\"0 0 {0:.0f} {1:.0f}\" width=\"{0:.0f}\" "
        "height=\"{1:.0f}\">", options_.width, options_.height);
    text += style() + fmt::format("<title>{}</title>", escaped(options_.title));
    text += fmt::format("<text class=\"h\" x=\"{}\" y=\"16\">{}</text>", 4, escaped(options_.title));
    return text + axes() + chance() + bands() + lines() + labels() + "</svg>\n";
  }

 private:
  double px(double value) const { return kLeft + x_.place(value) * (right_ - kLeft); }
  double py(double value) const {
    return bottom_ - std::clamp(y_.place(value), -0.02, 1.02) * (bottom_ - kTop);
  }

  std::string axes() const {
    std::string text;
    for (const Tick& tick : y_.ticks(5)) {
      const double y = py(tick.value);
      const std::string label = options_.percent ? short_number(100 * tick.value) : tick.text;
      text += fmt::format("<line class=\"g\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>", kLeft, right_, y, y);
      text += fmt::format("<text class=\"t\" text-anchor=\"end\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>", kLeft - 7, y + 4, label);
    }
    for (const Tick& tick : x_.ticks(8)) {
      text += fmt::format("<line class=\"a\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:.1f}\" y2=\"{2:.1f}\"/>", px(tick.value), bottom_, bottom_ + 4);
      text += fmt::format("<text class=\"t\" text-anchor=\"middle\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>", px(tick.value), bottom_ + 17, tick.text);
    }
    text += fmt::format("<line class=\"a\" x1=\"{0:.1f}\" x2=\"{1:.1f}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\"/>", kLeft, right_, bottom_);
    text += fmt::format("<text class=\"t\" text-anchor=\"middle\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>", (kLeft + right_) / 2, bottom_ + 35, escaped(options_.x_label));
    return text + fmt::format("<text class=\"t\" x=\"4\" y=\"{:.1f}\">{}</text>", kTop - 16, escaped(options_.y_label));
  }

  std::string chance() const {
    const double place = y_.place(options_.chance);
    if (!(options_.chance > 0 && place >= 0.01 && place <= 1)) return "";  // on the axis it would only clutter
    const double y = py(options_.chance);
    return fmt::format("<line class=\"c\" x1=\"{0:.1f}\" x2=\"{1:.1f}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\"/><text class=\"t\" x=\"{3:.1f}\" y=\"{4:.1f}\">chance</text>",
                       kLeft, right_, y, kLeft + 4, y - 4);
  }

  std::string bands() const {
    std::string text;
    for (const PlotSeries& series : series_) {
      if (series.low.size() != series.x.size() || series.x.size() < 2) continue;
      std::string points;
      for (size_t i = 0; i < series.x.size(); ++i) points += fmt::format("{:.1f},{:.1f} ", px(series.x[i]), py(above(series, i)));
      for (size_t i = series.x.size(); i-- > 0;) points += fmt::format("{:.1f},{:.1f} ", px(series.x[i]), py(below(series, i)));
      text += fmt::format("<polygon class=\"b f{}\" points=\"{}\"/>", series.colour % kPaletteSize, points);
    }
    return text;
  }

  double above(const PlotSeries& series, size_t i) const { return std::min(series.high[i], y_.high()); }
  double below(const PlotSeries& series, size_t i) const { return std::max(series.low[i], y_.low()); }

  std::string lines() const {
    std::string text;
    for (const PlotSeries& series : series_) {
      std::string points;
      for (size_t i = 0; i < series.x.size(); ++i) points += fmt::format("{:.1f},{:.1f} ", px(series.x[i]), py(series.y[i]));
      text += fmt::format("<polyline class=\"l s{}\" points=\"{}\"/>", series.colour % kPaletteSize, points);
      if (series.x.size() > 16) continue;  // dots only where each is a measurement a reader looks up
      for (size_t i = 0; i < series.x.size(); ++i)
        text += fmt::format("<circle class=\"f{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2.6\"/>", series.colour % kPaletteSize, px(series.x[i]), py(series.y[i]));
    }
    return text;
  }

  /// Names at the lines' ends, moved apart so that none covers another.
  std::string labels() const {
    std::vector<std::pair<double, const PlotSeries*>> places;
    for (const PlotSeries& series : series_)
      if (!series.y.empty()) places.emplace_back(py(series.y.back()), &series);
    std::stable_sort(places.begin(), places.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    std::vector<double> y;
    for (const auto& [wanted, series] : places) y.push_back(y.empty() ? wanted : std::max(wanted, y.back() + kLabelHeight));
    for (size_t i = y.size(); i-- > 0;) y[i] = std::min(y[i], i + 1 == y.size() ? bottom_ : y[i + 1] - kLabelHeight);
    std::string text;
    for (size_t i = 0; i < y.size(); ++i) {
      const PlotSeries& series = *places[i].second;
      const size_t colour = series.colour % kPaletteSize;
      text += fmt::format("<line class=\"k s{}\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>", colour, px(series.x.back()) + 3,
                          places[i].first, right_ + 10, y[i]);
      text += fmt::format("<text class=\"f{}\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>", colour, right_ + 13, y[i] + 4, escaped(series.name));
    }
    return text;
  }

  const std::vector<PlotSeries>& series_;
  const PlotOptions& options_;
  Axis x_, y_;
  double right_ = 0, bottom_ = 0;
};

/// Without values that have no place: not finite, or not positive on a logarithmic axis.
std::vector<PlotSeries> drawable(const std::vector<PlotSeries>& all, const PlotOptions& options) {
  std::vector<PlotSeries> series;
  for (const PlotSeries& entry : all) {
    PlotSeries kept{entry.name, {}, {}, {}, {}, entry.colour};
    for (size_t i = 0; i < entry.x.size(); ++i) {
      const bool off_x = !std::isfinite(entry.x[i]) || (options.log2_x && entry.x[i] <= 0);
      if (off_x || !std::isfinite(entry.y[i]) || (options.log_y && entry.y[i] <= 0)) continue;
      kept.x.push_back(entry.x[i]);
      kept.y.push_back(entry.y[i]);
      if (entry.low.empty()) continue;
      kept.low.push_back(std::isfinite(entry.low[i]) ? entry.low[i] : entry.y[i]);
      kept.high.push_back(std::isfinite(entry.high[i]) ? entry.high[i] : entry.y[i]);
    }
    if (!kept.x.empty()) series.push_back(std::move(kept));
  }
  return series;
}

}  // namespace

std::string line_plot(const std::vector<PlotSeries>& all, const PlotOptions& options) {
  const std::vector<PlotSeries> series = drawable(all, options);
  Range x, y;
  for (const PlotSeries& entry : series) {
    for (const double value : entry.x) x.add(value);
    for (const double value : entry.y) y.add(value);
  }
  if (x.empty()) return "";
  if (options.percent) y = {0, 1};
  if (options.from_zero) y.add(0);
  return Plot(series, options, Axis(x.low, x.high, options.log2_x ? Scale::log2 : Scale::linear),
              Axis(y.low, y.high, options.log_y ? Scale::log10 : Scale::linear))
      .svg();
}

}  // namespace mneme
