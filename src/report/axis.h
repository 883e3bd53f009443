// One axis of a plot: a range, its ticks, and the place of a value.
#pragma once

#include <string>
#include <vector>

namespace mneme {

struct Tick {
  double value;
  std::string text;
};

enum class Scale { linear, log2, log10 };

class Axis {
 public:
  Axis(double low, double high, Scale scale);
  /// 0 at the low end, 1 at the high end.
  double place(double value) const;
  /// About `wanted` ticks at round values.
  std::vector<Tick> ticks(int wanted) const;
  double low() const { return low_; }
  double high() const { return high_; }

 private:
  double low_, high_;
  Scale scale_;
};

/// 512, 8192, 16k, 1M: binary multiples for large powers of two, decimal ones else.
std::string short_number(double value);

}  // namespace mneme
