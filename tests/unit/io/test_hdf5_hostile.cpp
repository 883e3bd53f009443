// What a file can do to its reader: files of before there were seals, and made to hurt.
#include <hdf5.h>
#include <sys/stat.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <functional>
#include <random>

#include "base/files.h"
#include "base/guarded.h"
#include "io/hdf5.h"
#include "mneme/errors.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test.h"

using namespace mneme;
using Catch::Contains;

namespace {

/// Without a seal, as files of before there were seals.
void write_plain(const std::string& path) {
  h5::File file = h5::File::create(path);
  file.set("schema", "old");
  file.set("count", int64_t{3});
  file.write<int64_t>("a/counts", {2, 2}, {1, 2, 3, 4});
  file.write<double>("a/reals", {0.5, 1.5});
  file.write_text("names", {"", "wörter"});
  file.write_table("train", {{"step", std::vector<int64_t>{1, 2}}, {"loss", std::vector<double>{2, 1}}}, h5::Storage::compressed);
  file.close();
}

/// The file of write_plain, changed by HDF5 itself.
std::string changed(const std::string& path, const std::function<void(hid_t)>& change) {
  write_plain(path);
  const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
  change(file);
  H5Fclose(file);
  return path;
}

void array_of_texts(hid_t file, const char* name, hsize_t count) {
  const hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate_simple(1, &count, nullptr);
  H5Tset_size(type, H5T_VARIABLE);
  H5Adelete(file, name);
  const hid_t attribute = H5Acreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
  const std::vector<const char*> texts(count, "done");
  H5Awrite(attribute, type, texts.data());
  H5Aclose(attribute), H5Sclose(space), H5Tclose(type);
}

void huge(hid_t file, const char* name, std::vector<hsize_t> shape, hid_t type, bool chunked) {
  const hid_t space = H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr), list = H5Pcreate(H5P_DATASET_CREATE);
  const std::vector<hsize_t> chunk(shape.size(), shape.size() == 1 ? 1000 : 10);
  if (chunked) H5Pset_chunk(list, static_cast<int>(chunk.size()), chunk.data());
  if (chunked) H5Pset_deflate(list, 9);
  H5Dclose(H5Dcreate2(file, name, type, space, H5P_DEFAULT, list, H5P_DEFAULT));
  H5Pclose(list), H5Sclose(space);
}

}  // namespace

TEST_CASE("a file without a seal reads as it is", "[hdf5][hostile]") {
  test::TemporaryFolder folder;
  write_plain(folder / "x.h5");
  const h5::File file = h5::File::load(folder / "x.h5");
  CHECK(file.text("schema") == "old");
  CHECK(file.integer("count") == 3);
  CHECK(file.dataset("a/counts").shape() == h5::Shape{2, 2});
  CHECK(file.dataset("a/counts").read<int64_t>() == std::vector<int64_t>{1, 2, 3, 4});
  CHECK(file.dataset("names").read_text() == std::vector<std::string>{"", "wörter"});
  CHECK(std::get<std::vector<double>>(file.read_table("train")[1].values) == std::vector<double>{2, 1});
}

TEST_CASE("loops, depth, links elsewhere and declared sizes are refused by name, at once", "[hdf5][hostile]") {
  test::TemporaryFolder folder;
  const std::string path = folder / "bad.h5";
  const auto refused = [&](const std::string& message, const std::function<void(hid_t)>& change) {
    INFO(message);
    const auto begin = std::chrono::steady_clock::now();
    CHECK_THROWS_AS(h5::File::load(changed(path, change)), DataError);
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5));
    CHECK_THROWS_WITH(h5::File::load(path), Contains("bad.h5") && Contains(message));
  };
  refused("by another name", [](hid_t file) { H5Lcreate_hard(file, "/a", file, "/a/again", H5P_DEFAULT, H5P_DEFAULT); });
  refused("is a link", [](hid_t file) { H5Lcreate_soft("/a", file, "/a/again", H5P_DEFAULT, H5P_DEFAULT); });
  refused("is a link", [&](hid_t file) { H5Lcreate_external(path.c_str(), "/", file, "/a/again", H5P_DEFAULT, H5P_DEFAULT); });
  refused("deeper than any", [](hid_t file) {
    std::string name = "/a";
    for (int i = 0; i < 40; ++i) H5Gclose(H5Gcreate2(file, (name += "/b").c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
  });
  refused("declares the shape", [](hid_t file) { huge(file, "/a/chunks", {4000000000}, H5T_NATIVE_INT64, true); });
  refused("declares the shape", [](hid_t file) { huge(file, "/a/plain", {1000000000}, H5T_NATIVE_DOUBLE, false); });
  refused("declares the shape", [](hid_t file) { huge(file, "/a/product", {4000000000, 1000000000}, H5T_NATIVE_INT64, true); });
  refused("values in another file", [&](hid_t file) {
    const hsize_t size = 10;
    const hid_t space = H5Screate_simple(1, &size, nullptr), list = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_external(list, "/etc/hostname", 0, 80);
    H5Dclose(H5Dcreate2(file, "/a/outside", H5T_NATIVE_INT64, space, H5P_DEFAULT, list, H5P_DEFAULT));
    H5Pclose(list), H5Sclose(space);
  });
  refused("2 dimensions", [](hid_t file) {
    const hid_t type = H5Tcreate(H5T_COMPOUND, 8);
    H5Tinsert(type, "step", 0, H5T_NATIVE_INT64);
    H5Ldelete(file, "/train", H5P_DEFAULT);
    const hsize_t sizes[] = {4, 5};
    const hid_t space = H5Screate_simple(2, sizes, nullptr), table = H5Dcreate2(file, "/train", type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    const std::vector<int64_t> values(20);
    H5Dwrite(table, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data());
    H5Dclose(table), H5Sclose(space), H5Tclose(type);
  });
}

TEST_CASE("an attribute that is an array of texts is no text", "[hdf5][hostile]") {
  test::TemporaryFolder folder;
  for (const hsize_t count : {hsize_t{0}, hsize_t{3}, hsize_t{400}}) {
    const std::string path = changed(folder / "x.h5", [&](hid_t file) { array_of_texts(file, "schema", count); });
    CHECK_THROWS_WITH(h5::File::open(path).text("schema"), Contains("'schema' is not one text"));
    CHECK_THROWS_AS(h5::File::load(path).text("schema"), DataError);
  }
}

TEST_CASE("a user's file is read where it lies, of it what this process survives", "[hdf5][hostile]") {
  test::TemporaryFolder folder;
  const std::string path = changed(folder / "rows.h5", [](hid_t file) { H5Lcreate_soft("/a/counts", file, "/tokens", H5P_DEFAULT, H5P_DEFAULT); });
  CHECK(h5::File::open(path, {"tokens", "targets"}).dataset("tokens").read<int64_t>() == std::vector<int64_t>{1, 2, 3, 4});
  changed(path, [&](hid_t file) { H5Lcreate_external("other.h5", "/", file, "/tokens", H5P_DEFAULT, H5P_DEFAULT); });
  CHECK_THROWS_WITH(h5::File::open(path, {"tokens"}), Contains("/tokens") && Contains("another file"));
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CHECK_THROWS_WITH(h5::File::open(folder / "pipe"), Contains("a device or a pipe"));
  CHECK_THROWS_WITH(h5::File::load("/dev/zero"), Contains("a device or a pipe"));
}

TEST_CASE("whatever becomes of a file's bytes, it is read or refused", "[hdf5][hostile]") {
  test::TemporaryFolder folder;
  const std::string path = folder / "x.h5";
  write_plain(path);
  const std::string whole = read_file(path);
  std::mt19937 random(7);
  const auto below = [&](size_t count) { return static_cast<size_t>(random()) % count; };
  int refused = 0;
  for (int round = 0; round < 300; ++round) {
    std::string damaged = whole;
    const size_t changes = 1 + below(round % 3 == 0 ? 1 : 12), from = below(damaged.size());
    for (size_t i = 0; i < changes; ++i) damaged[round % 2 ? (from + i) % damaged.size() : below(damaged.size())] = static_cast<char>(random());
    if (round % 10 == 0) damaged.resize(below(damaged.size()));
    std::ofstream(path, std::ios::binary) << damaged;
    try {
      const h5::File file = h5::File::load(path);
      if (file.has("train")) file.read_table("train");
    } catch (const DataError& error) {
      ++refused;
      CHECK_THAT(error.what(), Contains("x.h5"));
    }
  }
  CHECK(refused > 30);
}

TEST_CASE("a guarded process may crash, hang and ask for all memory", "[guarded][hostile]") {
  GuardLimits limits{0.2, size_t{64} << 20};
  CHECK(guarded("x", limits, [] { return std::string("found"); }) == "found");
  const std::string large(size_t{3} << 20, 'x');
  CHECK(guarded("x", limits, [&] { return large; }) == large);
  const auto fails = [&](const std::string& message, const std::function<std::string()>& work) {
    CHECK_THROWS_WITH(guarded("file.h5", limits, work), Contains("file.h5") && Contains(message));
  };
  fails("file.h5: has no rows", []() -> std::string { throw DataError("file.h5: has no rows"); });
  fails("SIGKILL", []() -> std::string { ::raise(SIGKILL); return ""; });
  fails("more than 0.2 s", []() -> std::string { for (volatile const bool ever = true; ever;) {} return ""; });
#ifndef __SANITIZE_ADDRESS__  // which ends a process that asks for too much by itself
  fails("64 MiB", []() -> std::string { return std::string(size_t{1} << 40, 'x'); });
#endif
}
