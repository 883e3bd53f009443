// Arrays, strings, rows and dimension scales.
#include <algorithm>
#include <numeric>

#include "io/hdf5_id.h"

namespace mneme::h5 {

namespace {

std::string shape_text(const Shape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

int64_t count_of(const Shape& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

Shape extent(hid_t dataset) {
  Handle space = own(H5Dget_space(dataset), H5Sclose);
  const int rank = H5Sget_simple_extent_ndims(space.get());
  std::vector<hsize_t> sizes(rank > 0 ? static_cast<size_t>(rank) : 0);
  if (rank > 0) H5Sget_simple_extent_dims(space.get(), sizes.data(), nullptr);
  return Shape(sizes.begin(), sizes.end());
}

Handle space_of(const Shape& shape) {
  const std::vector<hsize_t> sizes(shape.begin(), shape.end());
  return own(H5Screate_simple(static_cast<int>(sizes.size()), sizes.data(), nullptr), H5Sclose);
}

/// Selects a block of the file's space.
Handle select_block(hid_t dataset, const Shape& first, const Shape& count) {
  Handle space = own(H5Dget_space(dataset), H5Sclose);
  const std::vector<hsize_t> start(first.begin(), first.end()), size(count.begin(), count.end());
  H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, start.data(), nullptr, size.data(), nullptr);
  return space;
}

/// Selects rows [first, first + count) of the file's space.
Handle select_rows(hid_t dataset, const Shape& shape, int64_t first, int64_t count) {
  Shape start(shape.size(), 0), size = shape;
  start[0] = first;
  size[0] = count;
  return select_block(dataset, start, size);
}

bool inside_of(const Shape& shape, const Shape& first, const Shape& count) {
  if (first.size() != shape.size() || count.size() != shape.size()) return false;
  for (size_t i = 0; i < shape.size(); ++i)
    if (first[i] < 0 || count[i] < 0 || first[i] + count[i] > shape[i]) return false;
  return true;
}

template <class T>
void refuse_rounding(const Dataset& dataset) {
  const bool fits = dataset.kind() == Kind::integer || (std::is_floating_point_v<T> && dataset.kind() == Kind::real);
  if (!fits)
    fail_read(dataset.where(), "has elements of type " + dataset.type_name() + ", but " +
                                   (std::is_floating_point_v<T> ? "numbers are" : "integers are") + " needed");
}

}  // namespace

Dataset::Dataset(Handle handle, std::string where) : Object(std::move(handle), std::move(where)), shape_(extent(id())) {}

/// HDF5 believes every size that a file declares: its values must be in this file, and be no more than its bytes can stand for.
void Dataset::require_stored() const {
  Handle list = own(H5Dget_create_plist(id()), H5Pclose), type = own(H5Dget_type(id()), H5Tclose);
  if (H5Pget_layout(list.get()) == H5D_VIRTUAL || H5Pget_external_count(list.get()) > 0)
    fail_read(where_, "has its values in another file; put the values themselves here");
  for (int i = 0; i < H5Pget_nfilters(list.get()); ++i) {
    unsigned flags = 0;
    size_t values = 0;
    char name[64] = "";
    const H5Z_filter_t filter = H5Pget_filter2(list.get(), static_cast<unsigned>(i), &flags, &values, nullptr, sizeof name, name, nullptr);
    if (filter >= 0 && H5Zfilter_avail(filter) <= 0)
      fail_read(where_, std::string("is packed by the filter '") + name + "' (" + std::to_string(filter) +
                            "), which this HDF5 does not have; write it with gzip or plain");
  }
  constexpr unsigned __int128 kDensest = 1100;  // what deflate makes of zeros, and a little
  constexpr unsigned __int128 kAlways = size_t{1} << 20;
  hsize_t file = 0;
  Handle owner = own(H5Iget_file_id(id()), H5Fclose);
  if (H5Fget_filesize(owner.get(), &file) < 0) fail_read(where_, "cannot be read");
  const unsigned __int128 stored = std::min<hsize_t>(H5Dget_storage_size(id()), file);
  unsigned __int128 declared = std::max<size_t>(1, H5Tget_size(type.get()));
  for (const int64_t size : shape_) {
    if (size < 0 || declared > (static_cast<unsigned __int128>(1) << 64))
      fail_read(where_, "declares the shape " + shape_text(shape_) + ", which no file can hold");
    declared *= static_cast<unsigned __int128>(size);
  }
  if (declared > kDensest * stored + kAlways)
    fail_read(where_, "declares the shape " + shape_text(shape_) + ", but the file has " + std::to_string(static_cast<uint64_t>(stored)) +
                          " bytes for it");
}

int64_t Dataset::row_size() const {
  return shape_.empty() ? 1 : count_of(Shape(shape_.begin() + 1, shape_.end()));
}

Kind Dataset::kind() const {
  Handle type = own(H5Dget_type(id()), H5Tclose);
  switch (H5Tget_class(type.get())) {
    case H5T_INTEGER: return Kind::integer;
    case H5T_FLOAT: return Kind::real;
    case H5T_STRING: return Kind::text;
    case H5T_COMPOUND: return Kind::table;
    default: return Kind::other;
  }
}

std::string Dataset::type_name() const {
  Handle type = own(H5Dget_type(id()), H5Tclose);
  const std::string bits = std::to_string(H5Tget_size(type.get()) * 8);
  switch (kind()) {
    case Kind::integer: return (H5Tget_sign(type.get()) == H5T_SGN_NONE ? "uint" : "int") + bits;
    case Kind::real: return "float" + bits;
    case Kind::text: return "text";
    case Kind::table: return "compound";
    default: return "another kind";
  }
}

template <class T>
std::vector<T> Dataset::read() const {
  refuse_rounding<T>(*this);
  std::vector<T> values(static_cast<size_t>(count_of(shape_)));
  if (!values.empty() && H5Dread(id(), native<T>(), H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()) < 0)
    fail_read(where_, "cannot read the data");
  return values;
}

template <class T>
std::vector<T> Dataset::read_rows(int64_t first, int64_t count) const {
  refuse_rounding<T>(*this);
  if (shape_.empty() || first < 0 || count < 0 || first + count > rows())
    fail_read(where_, "has no rows " + std::to_string(first) + " to " + std::to_string(first + count - 1) + "; its shape is " +
                          shape_text(shape_));
  std::vector<T> values(static_cast<size_t>(count * row_size()));
  if (values.empty()) return values;
  Handle source = select_rows(id(), shape_, first, count);
  Handle target = space_of({count * row_size()});
  if (H5Dread(id(), native<T>(), target.get(), source.get(), H5P_DEFAULT, values.data()) < 0)
    fail_read(where_, "cannot read rows " + std::to_string(first) + " to " + std::to_string(first + count - 1));
  return values;
}

std::vector<std::string> Dataset::read_text() const {
  Handle type = own(H5Dget_type(id()), H5Tclose);
  if (kind() != Kind::text || H5Tis_variable_str(type.get()) <= 0)
    fail_read(where_, "has elements of type " + type_name() + ", but variable-length text is needed");
  std::vector<char*> texts(static_cast<size_t>(count_of(shape_)));
  if (!texts.empty() && H5Dread(id(), text_type().get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, texts.data()) < 0)
    fail_read(where_, "cannot read the text");
  std::vector<std::string> values;
  for (char* text : texts) {
    values.push_back(text ? text : "");
    H5free_memory(text);
  }
  return values;
}

template <class T>
void Dataset::write_rows(int64_t first, int64_t count, const T* values) {
  if (count == 0) return;
  if (first + count > rows()) {
    Shape grown = shape_;
    grown[0] = first + count;
    const std::vector<hsize_t> sizes(grown.begin(), grown.end());
    if (H5Dset_extent(id(), sizes.data()) < 0) fail_write(where_, "cannot grow to " + shape_text(grown));
    shape_ = grown;
  }
  Handle target = select_rows(id(), shape_, first, count);
  Handle source = space_of({count * row_size()});
  if (H5Dwrite(id(), native<T>(), source.get(), target.get(), H5P_DEFAULT, values) < 0)
    fail_write(where_, "cannot write the rows; is the disk full? Free some space, or choose another place");
}

template <class T>
std::vector<T> Dataset::read_block(const Shape& first, const Shape& count) const {
  refuse_rounding<T>(*this);
  if (!inside_of(shape_, first, count))
    fail_read(where_, "has no block of " + shape_text(count) + " at " + shape_text(first) + "; its shape is " + shape_text(shape_));
  std::vector<T> values(static_cast<size_t>(count_of(count)));
  if (values.empty()) return values;
  Handle source = select_block(id(), first, count), target = space_of({count_of(count)});
  if (H5Dread(id(), native<T>(), target.get(), source.get(), H5P_DEFAULT, values.data()) < 0)
    fail_read(where_, "cannot read the block at " + shape_text(first));
  return values;
}

template <class T>
void Dataset::write_block(const Shape& first, const Shape& count, const T* values) {
  if (!inside_of(shape_, first, count))
    fail_write(where_, "has no block of " + shape_text(count) + " at " + shape_text(first) + "; its shape is " + shape_text(shape_));
  if (count_of(count) == 0) return;
  Handle target = select_block(id(), first, count), source = space_of({count_of(count)});
  if (H5Dwrite(id(), native<T>(), source.get(), target.get(), H5P_DEFAULT, values) < 0)
    fail_write(where_, "cannot write the block; is the disk full? Free some space, or choose another place");
}

void Dataset::attach_scale(int64_t axis, Dataset& scale, const std::string& name) {
  if (H5DSis_scale(scale.id()) <= 0 && H5DSset_scale(scale.id(), name.c_str()) < 0)
    fail_write(scale.where(), "cannot become a dimension scale");
  if (H5DSattach_scale(id(), scale.id(), static_cast<unsigned>(axis)) < 0)
    fail_write(where_, "cannot attach the dimension scale " + scale.where());
}

void Dataset::name_axis(int64_t axis, const std::string& name) {
  if (H5DSset_label(id(), static_cast<unsigned>(axis), name.c_str()) < 0)
    fail_write(where_, "cannot name dimension " + std::to_string(axis));
}

Dataset Group::dataset(const std::string& path) const {
  require_inside(path);
  if (!has(path)) fail_read(inside(path), "there is no such dataset");
  Handle handle = own(H5Dopen2(id(), path.c_str(), H5P_DEFAULT), H5Dclose);
  if (!handle.valid()) fail_read(inside(path), "cannot open the dataset");
  Dataset dataset(std::move(handle), inside(path));
  dataset.require_stored();
  return dataset;
}

template <class T>
Dataset Group::write(const std::string& path, const Shape& shape, const std::vector<T>& values) {
  if (count_of(shape) != static_cast<int64_t>(values.size()))
    fail_write(inside(path), std::to_string(values.size()) + " values do not fill the shape " + shape_text(shape));
  Handle space = space_of(shape), links = with_folders(), list = without_times();
  Handle handle = own(H5Dcreate2(id(), path.c_str(), native<T>(), space.get(), links.get(), list.get(), H5P_DEFAULT), H5Dclose);
  if (!handle.valid() ||
      (!values.empty() && H5Dwrite(handle.get(), native<T>(), H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()) < 0))
    fail_write(inside(path), "cannot write the dataset");
  return Dataset(std::move(handle), inside(path));
}

template <class T>
Dataset Group::make(const std::string& path, const Shape& shape) {
  Handle space = space_of(shape), links = with_folders(), list = without_times();
  Handle handle = own(H5Dcreate2(id(), path.c_str(), native<T>(), space.get(), links.get(), list.get(), H5P_DEFAULT), H5Dclose);
  if (!handle.valid()) fail_write(inside(path), "cannot make the dataset");
  return Dataset(std::move(handle), inside(path));
}

Dataset Group::write_text(const std::string& path, const std::vector<std::string>& values) {
  std::vector<const char*> texts;
  for (const std::string& value : values) texts.push_back(value.c_str());
  Handle space = space_of({static_cast<int64_t>(values.size())}), links = with_folders(), list = without_times(), type = text_type();
  Handle handle = own(H5Dcreate2(id(), path.c_str(), type.get(), space.get(), links.get(), list.get(), H5P_DEFAULT), H5Dclose);
  if (!handle.valid() || (!texts.empty() && H5Dwrite(handle.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, texts.data()) < 0))
    fail_write(inside(path), "cannot write the dataset");
  return Dataset(std::move(handle), inside(path));
}

template <class T>
Dataset Group::rows(const std::string& path, const Shape& row, int64_t chunk_rows) {
  std::vector<hsize_t> size(row.begin(), row.end()), most(row.begin(), row.end()), chunk(row.begin(), row.end());
  size.insert(size.begin(), 0);
  most.insert(most.begin(), H5S_UNLIMITED);
  chunk.insert(chunk.begin(), static_cast<hsize_t>(std::max<int64_t>(1, chunk_rows)));
  Handle space = own(H5Screate_simple(static_cast<int>(size.size()), size.data(), most.data()), H5Sclose);
  Handle list = without_times(), links = with_folders();
  H5Pset_chunk(list.get(), static_cast<int>(chunk.size()), chunk.data());
  Handle handle = own(H5Dcreate2(id(), path.c_str(), native<T>(), space.get(), links.get(), list.get(), H5P_DEFAULT), H5Dclose);
  if (!handle.valid()) fail_write(inside(path), "cannot make the dataset");
  return Dataset(std::move(handle), inside(path));
}

#define MNEME_H5_ELEMENT(T)                                                                       \
  template std::vector<T> Dataset::read<T>() const;                                               \
  template std::vector<T> Dataset::read_rows<T>(int64_t, int64_t) const;                          \
  template void Dataset::write_rows<T>(int64_t, int64_t, const T*);                               \
  template std::vector<T> Dataset::read_block<T>(const Shape&, const Shape&) const;               \
  template void Dataset::write_block<T>(const Shape&, const Shape&, const T*);                    \
  template Dataset Group::make<T>(const std::string&, const Shape&);                              \
  template Dataset Group::write<T>(const std::string&, const Shape&, const std::vector<T>&);      \
  template Dataset Group::rows<T>(const std::string&, const Shape&, int64_t);
MNEME_H5_ELEMENT(int64_t)
MNEME_H5_ELEMENT(int32_t)
MNEME_H5_ELEMENT(double)
MNEME_H5_ELEMENT(float)
#undef MNEME_H5_ELEMENT

}  // namespace mneme::h5
