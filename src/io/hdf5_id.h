// Shared by the hdf5*.cpp files: HDF5's header, types and error texts.
#pragma once

#include <hdf5.h>
#include <hdf5_hl.h>

#include "io/hdf5.h"
#include "mneme/errors.h"

namespace mneme::h5 {

/// What HDF5 last complained about, innermost reason last; empties its stack.
std::string reason();

template <class E>
[[noreturn]] void fail(const std::string& where, const std::string& what) {
  const std::string why = reason();
  throw E(where + ": " + what + (why.empty() ? "" : " (HDF5: " + why + ")"));
}
[[noreturn]] inline void fail_read(const std::string& where, const std::string& what) { fail<DataError>(where, what); }
[[noreturn]] inline void fail_write(const std::string& where, const std::string& what) { fail<StoreError>(where, what); }

/// Takes an identifier over; a negative one is the call's failure.
inline Handle own(hid_t id, herr_t (*close)(hid_t)) { return Handle(id, close); }

template <class T>
hid_t native();
template <>
inline hid_t native<int64_t>() { return H5T_NATIVE_INT64; }
template <>
inline hid_t native<int32_t>() { return H5T_NATIVE_INT32; }
template <>
inline hid_t native<double>() { return H5T_NATIVE_DOUBLE; }
template <>
inline hid_t native<float>() { return H5T_NATIVE_FLOAT; }

/// Variable-length UTF-8.
Handle text_type();
/// For H5Dcreate2: makes the groups on the way to a dataset.
Handle with_folders();
/// For H5Dcreate2: without the time of creation, so that equal content is equal bytes.
Handle without_times();
/// Of the root, where the seal of a file stands.
inline constexpr const char* kSealAttribute = "sha256";

/// Turns HDF5's printing of errors off; called by whatever opens a file.
void prepare();

/// Whether the file has locks; AccessError where it cannot be read now.
bool has_locks(const std::string& path);

}  // namespace mneme::h5
