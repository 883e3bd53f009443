#include <fstream>

#include "base/files.h"
#include "io/hdf5.h"
#include "io/seal.h"
#include "mneme/errors.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test.h"

using namespace mneme;
using Catch::Contains;

TEST_CASE("a seal knows every change of its file", "[seal]") {
  const std::string whole = sealed("{\"step\": 10, \"sha256\": \"" + unfilled_seal() + "\"}\n");
  CHECK(seal_of(whole) == Seal::whole);
  CHECK(sealed(whole) == whole);
  CHECK(seal_of("nothing of the kind") == Seal::none);
  CHECK(sealed("nothing of the kind") == "nothing of the kind");
  for (size_t i = 0; i < whole.size(); ++i)
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = whole;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
      CHECK(seal_of(damaged) != Seal::whole);
    }
  CHECK(seal_of(whole.substr(0, whole.size() - 1)) == Seal::broken);
  CHECK(seal_of(whole + " ") == Seal::broken);
  CHECK(seal_of(whole.substr(0, seal_digits(whole) + 10)) == Seal::broken);
  CHECK_THROWS_WITH(require_unbroken("x.json", whole + " "), Contains("x.json") && Contains("damaged or edited"));
}

TEST_CASE("an HDF5 file of ours is sealed, and equal content is equal bytes", "[seal]") {
  test::TemporaryFolder folder;
  const auto bytes = [](double value) {
    h5::File file = h5::File::in_memory("x.h5");
    file.write<double>("a/values", {1, value});
    return file.image();
  };
  CHECK(bytes(2) == bytes(2));
  const std::string whole = bytes(2);
  CHECK(seal_of(whole) == Seal::whole);
  const std::string path = folder / "x.h5";
  atomic_write(path, whole);
  CHECK(h5::File::load(path).dataset("a/values").read<double>() == std::vector<double>{1, 2});
  for (size_t i = 0; i < whole.size(); i += 7) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 16);
    std::ofstream(path, std::ios::binary) << damaged;
    CHECK_THROWS_AS(h5::File::load(path), DataError);
  }
}
