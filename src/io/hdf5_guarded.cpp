// Files that nobody has checked: what a guarded process finds in them.
#include <algorithm>
#include <set>

#include "base/files.h"
#include "base/guarded.h"
#include "io/hdf5_id.h"
#include "io/seal.h"

namespace mneme::h5 {

/// Copies plain groups, arrays, tables and texts, and attributes of one number or text: all that our files are made of. What a copy
/// lacks can hurt nobody.
struct Guarded {
  std::set<haddr_t> seen;  // groups may hold themselves

  static bool one_value(Id object, const std::string& name, H5T_class_t& kind) {
    Handle attribute = own(H5Aopen(object, name.c_str(), H5P_DEFAULT), H5Aclose);
    Handle type = own(H5Aget_type(attribute.get()), H5Tclose), space = own(H5Aget_space(attribute.get()), H5Sclose);
    kind = H5Tget_class(type.get());
    return H5Sget_simple_extent_npoints(space.get()) == 1;
  }

  static void attributes(const Object& from, Object& to) {
    for (const std::string& name : from.attributes()) {
      H5T_class_t kind;
      if (!one_value(from.id(), name, kind)) continue;
      if (kind == H5T_STRING) to.set(name, from.text(name));
      if (kind == H5T_INTEGER) to.set(name, from.integer(name));
      if (kind == H5T_FLOAT) to.set(name, from.real(name));
    }
  }

  static void array(const Group& from, Group& to, const std::string& name) {
    const Dataset array = from.dataset(name);
    const auto copied = [&](Dataset copy) { attributes(array, copy); };
    switch (array.kind()) {
      case Kind::integer: return copied(to.write(name, array.shape(), array.read<int64_t>()));
      case Kind::real: return copied(to.write(name, array.shape(), array.read<double>()));
      case Kind::text: return copied(to.write_text(name, array.read_text()));
      case Kind::table: return copied(to.write_table(name, from.read_table(name)));
      case Kind::other: return;
    }
  }

  void group(const Group& from, Group& to, int depth) {
    constexpr int kDeepest = 16;
    if (depth > kDeepest) fail_read(from.where(), "lies deeper than any group of ours");
    attributes(from, to);
    for (const std::string& name : from.names()) {
      H5L_info_t link;
      if (H5Lget_info(from.id(), name.c_str(), &link, H5P_DEFAULT) < 0 || link.type != H5L_TYPE_HARD)
        fail_read(from.inside(name), "is a link; put the data themselves here");
      H5O_info_t object;
      if (H5Oget_info_by_name2(from.id(), name.c_str(), &object, H5O_INFO_BASIC, H5P_DEFAULT) < 0)
        fail_read(from.inside(name), "cannot be read");
      if (!seen.insert(object.addr).second) fail_read(from.inside(name), "is in this file by another name too");
      if (object.type == H5O_TYPE_GROUP) {
        Group below = to.make_group(name);
        group(from.group(name), below, depth + 1);
      } else if (object.type == H5O_TYPE_DATASET) {
        array(from, to, name);
      }
    }
  }

  static std::string copy(const std::string& bytes, const std::string& path) {
    const File from = File::of_image(bytes, path);
    // Nothing ends with a seal whose words were damaged, so that it was not found.
    if (from.has_attribute(kSealAttribute)) fail_read(path, "its SHA-256 was damaged");
    File to = File::in_memory(path);
    Guarded().group(from, to, 0);
    return to.image();
  }

  /// Some rows of every dataset that will be read.
  static std::string look(const std::string& path, const std::vector<std::string>& datasets, bool all) {
    const File file = File::in_place(path);
    for (const std::string& name : datasets) {
      if (!file.has(name)) continue;
      const Dataset data = file.dataset(name);
      if (data.shape().empty() || data.rows() == 0 || (data.kind() != Kind::integer && data.kind() != Kind::real)) continue;
      const int64_t at_once = std::max<int64_t>(1, (int64_t{1} << 20) / std::max<int64_t>(1, data.row_size()));
      for (int64_t row = 0; row < data.rows(); row = all || row > 0 ? row + at_once : std::max<int64_t>(at_once, data.rows() - at_once))
        data.read_rows<double>(row, std::min(at_once, data.rows() - row));
    }
    return "";
  }
};

namespace {

/// Of processor time, by the size of the file: hundreds of times what an intact one takes.
GuardLimits limits_for(size_t bytes) {
  constexpr double kBytesPerSecond = 2e6;
  return {0.3 + static_cast<double>(bytes) / kBytesPerSecond, (size_t{256} << 20) + 8 * std::min(bytes, size_t{1} << 30)};
}

}  // namespace

File File::load(const std::string& path) {
  has_locks(path);
  const std::string bytes = read_file(path);
  switch (seal_of(bytes)) {
    case Seal::whole: return of_image(bytes, path);
    case Seal::broken: require_unbroken(path, bytes); break;
    case Seal::none: break;
  }
  return of_image(guarded(path, limits_for(bytes.size()), [&] { return Guarded::copy(bytes, path); }), path);
}

File File::open(const std::string& path, const std::vector<std::string>& datasets) {
  constexpr size_t kLarge = size_t{64} << 20;
  has_locks(path);
  const size_t size = require_file(path);
  guarded(path, limits_for(size), [&] { return Guarded::look(path, datasets, size < kLarge); });
  return in_place(path);
}

}  // namespace mneme::h5
