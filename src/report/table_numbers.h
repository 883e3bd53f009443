// Every number of a table, for programs: a record per result and per difference, of which CSV and HDF5 are two forms.
#pragma once

#include <limits>

#include "io/hdf5.h"
#include "report/table.h"

namespace mneme {

constexpr double kNoNumber = std::numeric_limits<double>::quiet_NaN();

/// What is known of one cell.
struct CellNumbers {
  size_t row = 0;             // place in Table::rows
  size_t column = 0;          // place in Table::columns
  int64_t n = 0;              // seeds; of a difference, pairs
  double mean = kNoNumber;
  double sd = kNoNumber;
  double half_width = kNoNumber;
  int64_t rows = 0;           // that a seed answered; 0 = unknown
  double low = kNoNumber;     // Wilson's interval of the share over rows
  double high = kNoNumber;
  double p = kNoNumber;       // of a result: that it is the best of its column
  double p_rows = kNoNumber;  // Fisher's
  double p_holm = kNoNumber;
};

std::vector<CellNumbers> result_numbers(const Table& table);
std::vector<CellNumbers> difference_numbers(const Table& table);
CellNumbers cost_numbers(const TableCell& cell);

/// Adds the group /table (docs/file-formats.md).
void write_numbers(h5::Group& file, const Table& table);

}  // namespace mneme
