#include "report/axis.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/text.h"

namespace mneme {

namespace {

double transformed(double value, Scale scale) {
  if (scale == Scale::log2) return std::log2(value);
  if (scale == Scale::log10) return std::log10(value);
  return value;
}

bool is_power_of_two(double value) { return value >= 1 && std::log2(value) == std::floor(std::log2(value)); }

/// 1, 2 or 5 times a power of ten, so that `wanted` steps cover the span.
double round_step(double span, int wanted) {
  const double rough = span / std::max(1, wanted), base = std::pow(10, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (rough <= factor * base * 1.0001) return factor * base;
  return 10 * base;
}

}  // namespace

std::string short_number(double value) {
  constexpr double kKilo = 1024, kMega = 1024 * 1024;
  if (is_power_of_two(value) && value >= 16 * kKilo)
    return value >= kMega ? fmt::format("{:.0f}M", value / kMega) : fmt::format("{:.0f}k", value / kKilo);
  if (value >= 1e6) return format_number(std::round(value / 1e5) / 10) + "M";
  if (value >= 1e4) return format_number(std::round(value / 1e2) / 10) + "k";
  return format_number(std::round(value * 1e6) / 1e6);
}

Axis::Axis(double low, double high, Scale scale) : low_(low), high_(high), scale_(scale) {
  if (high_ - low_ > 1e-9 * std::max(std::abs(low_), std::abs(high_))) return;  // nearer to each other they are one point but for rounding
  low_ = high_ = low_ + (high_ - low_) / 2;
  const double margin = low_ == 0 ? 1 : std::abs(low_) * 0.5;  // one point only: it stands in the middle
  low_ = scale == Scale::linear ? low_ - margin : low_ / 2;
  high_ = scale == Scale::linear ? high_ + margin : high_ * 2;
}

double Axis::place(double value) const {
  const double from = transformed(low_, scale_);
  return (transformed(value, scale_) - from) / (transformed(high_, scale_) - from);
}

std::vector<Tick> Axis::ticks(int wanted) const {
  std::vector<Tick> ticks;
  if (scale_ == Scale::log2) {
    const int first = static_cast<int>(std::ceil(std::log2(low_) - 1e-9)), last = static_cast<int>(std::floor(std::log2(high_) + 1e-9));
    const int stride = std::max(1, (last - first + wanted) / wanted);
    for (int power = first; power <= last; power += stride) ticks.push_back({std::exp2(power), short_number(std::exp2(power))});
    return ticks;
  }
  if (scale_ == Scale::log10) {
    const double decades = std::log10(high_ / low_);
    for (int power = static_cast<int>(std::floor(std::log10(low_))); power <= static_cast<int>(std::ceil(std::log10(high_))); ++power)
      for (const double factor : {1.0, 2.0, 5.0}) {
        const double value = factor * std::pow(10, power);
        if ((factor == 1 || decades < 2.5) && value >= low_ * 0.999 && value <= high_ * 1.001) ticks.push_back({value, short_number(value)});
      }
    return ticks;
  }
  const double step = round_step(high_ - low_, wanted);
  for (double value = std::ceil(low_ / step - 1e-9) * step; value <= high_ + step * 1e-9; value += step)
    ticks.push_back({std::abs(value) < step * 1e-6 ? 0 : value, ""});
  for (Tick& tick : ticks) tick.text = short_number(tick.value);
  return ticks;
}

}  // namespace mneme
