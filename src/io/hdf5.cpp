#include <algorithm>
#include <cstring>
#include <string_view>

#include "base/folder_lock.h"
#include "io/hdf5_id.h"
#include "io/seal.h"

namespace mneme::h5 {

namespace {

herr_t collect(unsigned, const H5E_error2_t* error, void* out) {
  if (error->desc && *error->desc) *static_cast<std::string*>(out) = error->desc;  // the last one called is the innermost
  return 0;
}

/// HDF5's own locks where `locks`; what we write is not seen by others before it is whole.
Handle access_list(bool locks) {
  Handle list = own(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
#if H5_VERSION_GE(1, 10, 7)
  H5Pset_file_locking(list.get(), locks, true);
#endif
  return list;
}

constexpr size_t kGrowth = size_t{1} << 18;

/// HDF5 takes two files in memory for one where their names are equal.
std::string name_in_memory(const std::string& name) {
  static int64_t count = 0;
  return name + "#" + std::to_string(count++);
}

Handle root_of(const Handle& file, const std::string& path) {
  Handle root = own(H5Gopen2(file.get(), "/", H5P_DEFAULT), H5Gclose);
  if (!root.valid()) fail_read(path, "cannot open the root group");
  return root;
}

}  // namespace

bool has_locks(const std::string& path) {
  ReadLock lock;
  try {
    lock = read_lock(path);
  } catch (const DataError& error) {
    throw AccessError(error.what());
  }
  if (lock == ReadLock::held)
    throw AccessError(path + " is open for writing in another program (a notebook, h5py?), which locks it; nothing is wrong with the file: close it "
                             "there, then give the command again");
  return lock == ReadLock::free;
}

void prepare() {
  // Every file is closed where its writing ends. One that could not be (a full disk) makes the library's own end of the process crash.
  [[maybe_unused]] static const herr_t once = H5dont_atexit();
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

std::string reason() {
  std::string text;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, collect, &text);
  H5Eclear2(H5E_DEFAULT);
  // Of a failed system call: "file write failed: time = …\n, filename = …, error message = 'No space left on device', …".
  constexpr std::string_view kMessage = "error message = '";
  if (const size_t begin = text.find(kMessage); begin != std::string::npos)
    text = text.substr(begin + kMessage.size(), text.find('\'', begin + kMessage.size()) - begin - kMessage.size());
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

Handle text_type() {
  Handle type = own(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type.get(), H5T_VARIABLE);
  H5Tset_cset(type.get(), H5T_CSET_UTF8);
  return type;
}

Handle& Handle::operator=(Handle&& other) noexcept {
  if (this != &other) {
    close();
    id_ = other.id_;
    closer_ = other.closer_;
    other.id_ = -1;
  }
  return *this;
}

Handle::~Handle() { close(); }

bool Handle::close() {
  if (id_ < 0) return true;
  const bool done = closer_(id_) >= 0;
  id_ = -1;
  return done;
}

File File::in_place(const std::string& path) {
  prepare();
  Handle list = access_list(has_locks(path));
  Handle file = own(H5Fopen(path.c_str(), H5F_ACC_RDONLY, list.get()), H5Fclose);
  if (!file.valid()) fail_read(path, "cannot open as an HDF5 file: not HDF5, or damaged");
  Handle root = root_of(file, path);
  return File(std::move(file), std::move(root), path);
}

File File::create(const std::string& path) {
  prepare();
  Handle list = access_list(false);
  Handle file = own(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, list.get()), H5Fclose);
  if (!file.valid()) fail_write(path, "cannot create the file: is its folder there and writable?");
  Handle root = root_of(file, path);
  return File(std::move(file), std::move(root), path);
}

File File::in_memory(const std::string& name) {
  prepare();
  Handle list = own(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_fapl_core(list.get(), kGrowth, false);
  Handle file = own(H5Fcreate(name_in_memory(name).c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, list.get()), H5Fclose);
  if (!file.valid()) fail_write(name, "cannot make an HDF5 file in memory");
  Handle root = root_of(file, name);
  return File(std::move(file), std::move(root), name);
}

File File::of_image(const std::string& bytes, const std::string& name) {
  prepare();
  Handle list = own(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_fapl_core(list.get(), kGrowth, false);
  H5Pset_file_image(list.get(), const_cast<char*>(bytes.data()), bytes.size());  // copies them
  Handle file = own(H5Fopen(name_in_memory(name).c_str(), H5F_ACC_RDONLY, list.get()), H5Fclose);
  if (!file.valid()) fail_read(name, "cannot open as an HDF5 file: not HDF5 or damaged");
  Handle root = root_of(file, name);
  return File(std::move(file), std::move(root), name);
}

std::string File::image() {
  set(kSealAttribute, unfilled_seal());
  H5Fflush(file_.get(), H5F_SCOPE_LOCAL);
  const ssize_t size = H5Fget_file_image(file_.get(), nullptr, 0);
  std::string bytes(size > 0 ? static_cast<size_t>(size) : 0, '\0');
  if (size <= 0 || H5Fget_file_image(file_.get(), bytes.data(), bytes.size()) != size)
    fail_write(where_, "cannot make the bytes of the file");
  return sealed(std::move(bytes));
}

void File::close() {
  const bool flushed = H5Fflush(file_.get(), H5F_SCOPE_LOCAL) >= 0;
  const std::string why = flushed ? "" : reason();
  handle_.close();
  if (!file_.close() || !flushed)
    throw StoreError(where_ + ": not everything could be written; is the disk full? Free some space, or choose another place" + (why.empty() ? "" : " (HDF5: " + why + ")"));
}

}  // namespace mneme::h5
