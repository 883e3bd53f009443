// HDF5 files through its C API (numbered calls), owned by RAII. Errors are exceptions that name file and dataset and carry
// HDF5's own reason: DataError where something is read, StoreError where something is written.
//
//   h5::File file = h5::File::open("rows.h5");
//   h5::Dataset tokens = file.dataset("tokens");               // shape {N, T}
//   std::vector<int64_t> two = tokens.read_rows<int64_t>(0, 2); // rows 0 and 1, row after row
//
// Element types: int64_t, int32_t, double, float. HDF5 converts between them; a float that is read as an integer is
// refused. Strings are variable-length UTF-8. Not thread-safe (nor is Debian's HDF5).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "mneme/errors.h"

namespace mneme::h5 {

using Id = int64_t;  // hid_t, without HDF5's header
using Shape = std::vector<int64_t>;

/// A file that cannot be read now, which says nothing against the file: missing, not ours to read, open for writing in another program.
class AccessError : public DataError {
 public:
  using DataError::DataError;
};

/// Owns one HDF5 identifier.
class Handle {
 public:
  Handle() = default;
  Handle(Id id, int (*closer)(Id)) : id_(id), closer_(closer) {}
  Handle(Handle&& other) noexcept : id_(other.id_), closer_(other.closer_) { other.id_ = -1; }
  Handle& operator=(Handle&& other) noexcept;
  ~Handle();
  Id get() const { return id_; }
  bool valid() const { return id_ >= 0; }
  /// Closes now; false where HDF5 could not (e.g. the disk is full).
  bool close();

 private:
  Id id_ = -1;
  int (*closer_)(Id) = nullptr;
};

/// What has attributes: a dataset, a group, a file's root.
class Object {
 public:
  /// "run.h5: /eval/needle": how messages name it.
  const std::string& where() const { return where_; }

  void set(const std::string& name, const std::string& value);
  void set(const std::string& name, const char* value) { set(name, std::string(value)); }
  void set(const std::string& name, int64_t value);
  void set(const std::string& name, double value);
  bool has_attribute(const std::string& name) const;
  std::vector<std::string> attributes() const;
  /// DataError where the attribute is missing or of another type.
  std::string text(const std::string& name) const;
  int64_t integer(const std::string& name) const;
  double real(const std::string& name) const;

 protected:
  Object(Handle handle, std::string where) : handle_(std::move(handle)), where_(std::move(where)) {}
  Id id() const { return handle_.get(); }
  friend struct Guarded;  // hdf5_guarded.cpp
  Handle handle_;
  std::string where_;
};

enum class Kind { integer, real, text, table, other };

class Dataset : public Object {
 public:
  const Shape& shape() const { return shape_; }
  int64_t rows() const { return shape_.empty() ? 1 : shape_[0]; }
  /// Elements in one row: the product of all dimensions but the first.
  int64_t row_size() const;
  Kind kind() const;
  /// For messages: "int64", "float32", "text", …
  std::string type_name() const;

  template <class T>
  std::vector<T> read() const;
  /// Rows [first, first + count); only they are held in memory.
  template <class T>
  std::vector<T> read_rows(int64_t first, int64_t count) const;
  std::vector<std::string> read_text() const;
  /// The block of `count` elements along each dimension from `first` on, row-major.
  template <class T>
  std::vector<T> read_block(const Shape& first, const Shape& count) const;
  template <class T>
  void write_block(const Shape& first, const Shape& count, const T* values);

  /// Writes `count` rows from `first` on; the dataset grows where it was made by `Group::rows`.
  template <class T>
  void write_rows(int64_t first, int64_t count, const T* values);

  /// Names dimension `axis` and attaches `scale` (a 1-D dataset of its length) to it, as netCDF and xarray read it.
  void attach_scale(int64_t axis, Dataset& scale, const std::string& name);
  void name_axis(int64_t axis, const std::string& name);

 private:
  friend class Group;
  Dataset(Handle handle, std::string where);
  void require_stored() const;
  Shape shape_;
};

/// A column of a compound table; all columns of a table have the same length.
struct Column {
  std::string name;
  std::variant<std::vector<int64_t>, std::vector<double>> values;
};

/// compressed: in one deflated chunk, where this HDF5 has zlib. Readers need not know.
enum class Storage { plain, compressed };

class Group : public Object {
 public:
  bool has(const std::string& path) const;
  /// Names of the links in this group, sorted.
  std::vector<std::string> names() const;
  bool is_group(const std::string& path) const;

  /// Opens; DataError where it is missing.
  Group group(const std::string& path) const;
  Dataset dataset(const std::string& path) const;

  /// Makes it, with every group on the way; opens it where it is there.
  Group make_group(const std::string& path);
  template <class T>
  Dataset write(const std::string& path, const Shape& shape, const std::vector<T>& values);
  template <class T>
  Dataset write(const std::string& path, const std::vector<T>& values) {
    return write(path, Shape{static_cast<int64_t>(values.size())}, values);
  }
  /// Of this shape, to be filled by `write_block`; what never is reads as 0.
  template <class T>
  Dataset make(const std::string& path, const Shape& shape);
  Dataset write_text(const std::string& path, const std::vector<std::string>& values);
  /// An extendable dataset of rows of shape `row`, at first without any; stored in chunks of about `chunk_rows` rows.
  template <class T>
  Dataset rows(const std::string& path, const Shape& row, int64_t chunk_rows = 64);
  Dataset write_table(const std::string& path, const std::vector<Column>& columns, Storage storage = Storage::plain);
  std::vector<Column> read_table(const std::string& path) const;

 protected:
  Group(Handle handle, std::string where) : Object(std::move(handle), std::move(where)) {}
  friend struct Guarded;
  std::string inside(const std::string& path) const;  // `where` of a member
  void require_inside(const std::string& path) const;
};

class File : public Group {
 public:
  /// A file of results, into memory: one that is as it was written, which its seal says (io/seal.h), or of one without a seal what it
  /// holds of plain groups, arrays, tables and texts, as a guarded process finds them (base/guarded.h): HDF5 itself does not survive every
  /// damaged file. AccessError: missing, unreadable, or another program has it open for writing. DataError: not HDF5, or damaged.
  static File load(const std::string& path);
  /// A user's file in place, which may be larger than memory, once a guarded process read `datasets` of it (of a large file the first and
  /// last rows). AccessError and DataError as above.
  static File open(const std::string& path, const std::vector<std::string>& datasets = {});
  /// For writing in place, replacing what is there: for outputs larger than memory.
  static File create(const std::string& path);
  /// In memory; `image` gives the bytes for `atomic_write`, sealed. `name` is for messages.
  static File in_memory(const std::string& name);

  std::string image();
  /// Flushes and closes; StoreError where not everything could be written. Other handles must be gone.
  void close();

 private:
  File(Handle file, Handle root, std::string where) : Group(std::move(root), std::move(where)), file_(std::move(file)) {}
  static File in_place(const std::string& path);
  static File of_image(const std::string& bytes, const std::string& name);
  friend struct Guarded;
  Handle file_;
};

}  // namespace mneme::h5
