// Attributes and groups.
#include <algorithm>

#include "io/hdf5_id.h"

namespace mneme::h5 {

namespace {

void set_scalar(Id object, const std::string& where, const std::string& name, hid_t type, const void* value) {
  if (H5Aexists(object, name.c_str()) > 0) H5Adelete(object, name.c_str());
  Handle space = own(H5Screate(H5S_SCALAR), H5Sclose);
  Handle attribute = own(H5Acreate2(object, name.c_str(), type, space.get(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  if (!attribute.valid() || H5Awrite(attribute.get(), type, value) < 0)
    fail_write(where, "cannot write the attribute '" + name + "'");
}

Handle open_attribute(Id object, const std::string& where, const std::string& name) {
  Handle attribute = own(H5Aopen(object, name.c_str(), H5P_DEFAULT), H5Aclose);
  if (!attribute.valid()) fail_read(where, "there is no attribute '" + name + "'");
  return attribute;
}

template <class T>
T read_scalar(Id object, const std::string& where, const std::string& name) {
  Handle attribute = open_attribute(object, where, name);
  Handle space = own(H5Aget_space(attribute.get()), H5Sclose);
  T value{};
  if (H5Sget_simple_extent_npoints(space.get()) != 1 || H5Aread(attribute.get(), native<T>(), &value) < 0)
    fail_read(where, "the attribute '" + name + "' is not a number");
  return value;
}

herr_t add_name(hid_t, const char* name, const H5L_info_t*, void* out) {
  static_cast<std::vector<std::string>*>(out)->push_back(name);
  return 0;
}

herr_t add_attribute(hid_t, const char* name, const H5A_info_t*, void* out) {
  static_cast<std::vector<std::string>*>(out)->push_back(name);
  return 0;
}

}  // namespace

void Object::set(const std::string& name, const std::string& value) {
  // HDF5 ends strings at the first NUL byte; nothing we write holds one.
  const char* text = value.c_str();
  set_scalar(id(), where_, name, text_type().get(), &text);
}

void Object::set(const std::string& name, int64_t value) { set_scalar(id(), where_, name, H5T_NATIVE_INT64, &value); }

void Object::set(const std::string& name, double value) { set_scalar(id(), where_, name, H5T_NATIVE_DOUBLE, &value); }

bool Object::has_attribute(const std::string& name) const { return H5Aexists(id(), name.c_str()) > 0; }

std::vector<std::string> Object::attributes() const {
  std::vector<std::string> names;
  hsize_t position = 0;
  if (H5Aiterate2(id(), H5_INDEX_NAME, H5_ITER_INC, &position, add_attribute, &names) < 0)
    fail_read(where_, "cannot list the attributes");
  return names;
}

std::string Object::text(const std::string& name) const {
  Handle attribute = open_attribute(id(), where_, name);
  Handle type = own(H5Aget_type(attribute.get()), H5Tclose);
  Handle space = own(H5Aget_space(attribute.get()), H5Sclose);
  if (H5Tget_class(type.get()) != H5T_STRING || H5Sget_simple_extent_npoints(space.get()) != 1)
    fail_read(where_, "the attribute '" + name + "' is not one text");
  if (H5Tis_variable_str(type.get()) > 0) {
    char* text = nullptr;
    if (H5Aread(attribute.get(), text_type().get(), &text) < 0) fail_read(where_, "cannot read the attribute '" + name + "'");
    std::string value = text ? text : "";
    H5free_memory(text);
    return value;
  }
  constexpr size_t kLongest = size_t{1} << 20;
  const size_t size = H5Tget_size(type.get());
  if (size > kLongest) fail_read(where_, "the attribute '" + name + "' declares a text of " + std::to_string(size) + " bytes");
  std::string value(size, '\0');
  if (H5Aread(attribute.get(), type.get(), value.data()) < 0) fail_read(where_, "cannot read the attribute '" + name + "'");
  return value.substr(0, value.find('\0'));
}

int64_t Object::integer(const std::string& name) const { return read_scalar<int64_t>(id(), where_, name); }

double Object::real(const std::string& name) const { return read_scalar<double>(id(), where_, name); }

Handle with_folders() {
  Handle links = own(H5Pcreate(H5P_LINK_CREATE), H5Pclose);
  H5Pset_create_intermediate_group(links.get(), 1);
  return links;
}

Handle without_times() {
  Handle list = own(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_obj_track_times(list.get(), false);
  return list;
}

std::string Group::inside(const std::string& path) const {
  const std::string separator = where_.find(": /") == std::string::npos ? ": /" : "/";
  return where_ + separator + path.substr(path.starts_with('/') ? 1 : 0);
}

/// A link into another file would read what nobody named.
void Group::require_inside(const std::string& path) const {
  for (size_t end = 0; end != std::string::npos && end < path.size();) {
    end = path.find('/', end + 1);
    H5L_info_t link;
    if (H5Lget_info(id(), path.substr(0, end).c_str(), &link, H5P_DEFAULT) < 0) return;
    if (link.type != H5L_TYPE_HARD && link.type != H5L_TYPE_SOFT)
      fail_read(inside(path), "is a link into another file; put the data themselves here");
  }
}

bool Group::has(const std::string& path) const {
  for (size_t end = path.find('/', 1); end != std::string::npos; end = path.find('/', end + 1))
    if (H5Lexists(id(), path.substr(0, end).c_str(), H5P_DEFAULT) <= 0) return false;
  return H5Lexists(id(), path.c_str(), H5P_DEFAULT) > 0;
}

std::vector<std::string> Group::names() const {
  std::vector<std::string> names;
  if (H5Literate(id(), H5_INDEX_NAME, H5_ITER_INC, nullptr, add_name, &names) < 0) fail_read(where_, "cannot list the group");
  std::sort(names.begin(), names.end());
  return names;
}

bool Group::is_group(const std::string& path) const {
  H5O_info_t info;
  return has(path) && H5Oget_info_by_name2(id(), path.c_str(), &info, H5O_INFO_BASIC, H5P_DEFAULT) >= 0 &&
         info.type == H5O_TYPE_GROUP;
}

Group Group::group(const std::string& path) const {
  require_inside(path);
  if (!has(path)) fail_read(inside(path), "there is no such group");
  Handle handle = own(H5Gopen2(id(), path.c_str(), H5P_DEFAULT), H5Gclose);
  if (!handle.valid()) fail_read(inside(path), "cannot open the group");
  return Group(std::move(handle), inside(path));
}

Group Group::make_group(const std::string& path) {
  if (has(path)) return group(path);
  Handle links = with_folders();
  Handle handle = own(H5Gcreate2(id(), path.c_str(), links.get(), H5P_DEFAULT, H5P_DEFAULT), H5Gclose);
  if (!handle.valid()) fail_write(inside(path), "cannot make the group");
  return Group(std::move(handle), inside(path));
}

}  // namespace mneme::h5
