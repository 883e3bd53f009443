// Compound tables: one row per record, one named member per column.
#include <cstring>

#include "io/hdf5_id.h"

namespace mneme::h5 {

namespace {

constexpr size_t kCell = 8;  // int64_t and double alike
static_assert(sizeof(int64_t) == kCell && sizeof(double) == kCell);

size_t size_of(const Column& column) {
  return std::visit([](const auto& values) { return values.size(); }, column.values);
}

bool is_integer(const Column& column) { return std::holds_alternative<std::vector<int64_t>>(column.values); }

Handle type_of(const std::vector<Column>& columns) {
  Handle type = own(H5Tcreate(H5T_COMPOUND, kCell * columns.size()), H5Tclose);
  for (size_t i = 0; i < columns.size(); ++i)
    H5Tinsert(type.get(), columns[i].name.c_str(), kCell * i, is_integer(columns[i]) ? H5T_NATIVE_INT64 : H5T_NATIVE_DOUBLE);
  return type;
}

/// How a table of `rows` rows is laid out; a table without rows has no chunk to compress.
Handle layout_of(Storage storage, hsize_t rows) {
  Handle list = without_times();
  if (storage == Storage::compressed && rows > 0 && H5Zfilter_avail(H5Z_FILTER_DEFLATE) > 0) {
    constexpr unsigned kBest = 9;
    H5Pset_chunk(list.get(), 1, &rows);
    H5Pset_shuffle(list.get());
    H5Pset_deflate(list.get(), kBest);
  }
  return list;
}

}  // namespace

Dataset Group::write_table(const std::string& path, const std::vector<Column>& columns, Storage storage) {
  const size_t rows = columns.empty() ? 0 : size_of(columns[0]), stride = kCell * columns.size();
  std::vector<char> cells(rows * stride);
  for (size_t i = 0; i < columns.size(); ++i) {
    if (size_of(columns[i]) != rows) fail_write(inside(path), "column '" + columns[i].name + "' has another length");
    std::visit([&](const auto& values) {
      for (size_t row = 0; row < rows; ++row) std::memcpy(&cells[row * stride + i * kCell], &values[row], kCell);
    }, columns[i].values);
  }
  const hsize_t size = rows;
  Handle type = type_of(columns);
  Handle space = own(H5Screate_simple(1, &size, nullptr), H5Sclose), links = with_folders(), layout = layout_of(storage, size);
  Handle handle = own(H5Dcreate2(id(), path.c_str(), type.get(), space.get(), links.get(), layout.get(), H5P_DEFAULT), H5Dclose);
  if (!handle.valid() || (rows > 0 && H5Dwrite(handle.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, cells.data()) < 0))
    fail_write(inside(path), "cannot write the table");
  return Dataset(std::move(handle), inside(path));
}

std::vector<Column> Group::read_table(const std::string& path) const {
  const Dataset table = dataset(path);
  if (table.kind() != Kind::table) fail_read(table.where(), "is not a table of named columns");
  if (table.shape().size() != 1) fail_read(table.where(), "is a table of " + std::to_string(table.shape().size()) + " dimensions; one is needed");
  Handle stored = own(H5Dget_type(table.id()), H5Tclose);
  std::vector<Column> columns;
  for (int i = 0; i < H5Tget_nmembers(stored.get()); ++i) {
    char* name = H5Tget_member_name(stored.get(), static_cast<unsigned>(i));
    if (!name) fail_read(table.where(), "cannot read the table");
    Column column{name, std::vector<double>()};
    H5free_memory(name);
    const H5T_class_t kind = H5Tget_member_class(stored.get(), static_cast<unsigned>(i));
    if (kind != H5T_INTEGER && kind != H5T_FLOAT) fail_read(table.where(), "its column '" + column.name + "' holds no numbers");
    if (kind == H5T_INTEGER) column.values = std::vector<int64_t>();
    columns.push_back(std::move(column));
  }
  const size_t rows = static_cast<size_t>(table.rows()), stride = kCell * columns.size();
  std::vector<char> cells(rows * stride);
  Handle type = type_of(columns);
  if (rows > 0 && H5Dread(table.id(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, cells.data()) < 0)
    fail_read(table.where(), "cannot read the table");
  for (size_t i = 0; i < columns.size(); ++i)
    std::visit([&](auto& values) {
      values.resize(rows);
      for (size_t row = 0; row < rows; ++row) std::memcpy(&values[row], &cells[row * stride + i * kCell], kCell);
    }, columns[i].values);
  return columns;
}

}  // namespace mneme::h5
