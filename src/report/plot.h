// A line plot as SVG, written by ourselves so that a page needs nothing from elsewhere. Lines are labelled at their ends,
// a band shows the 95 % interval, and colours follow the reader's light or dark scheme.
#pragma once

#include <string>
#include <vector>

namespace mneme {

struct PlotSeries {
  std::string name;
  std::vector<double> x, y;
  std::vector<double> low, high;  // the band; empty = none
  size_t colour = 0;            // place in the palette: the same arm has the same colour in every figure
};

struct PlotOptions {
  std::string title, x_label, y_label;
  bool log2_x = false;
  bool log_y = false;
  bool percent = false;         // y is a share, shown from 0 to 100 %
  bool from_zero = false;       // y begins at 0: a line that is flat looks flat
  double chance = -1;           // a thin line; < 0 = none
  double width = 560, height = 300;
};

constexpr size_t kPaletteSize = 8;

/// "" where no series has a point.
std::string line_plot(const std::vector<PlotSeries>& series, const PlotOptions& options);

}  // namespace mneme
