#include <cmath>
#include <fstream>

#include "base/files.h"
#include "io/hdf5.h"
#include "mneme/errors.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test.h"

using namespace mneme;
using Catch::Contains;

TEST_CASE("arrays, text, tables and attributes read back as they were written", "[hdf5]") {
  test::TemporaryFolder folder;
  const std::vector<double> reals{0.1, -1e300, std::nan("")};
  {
    h5::File file = h5::File::in_memory("x.h5");
    file.write<int64_t>("a/b/counts", {2, 2}, {1, -2, 3, INT64_MAX});
    file.write<float>("a/floats", {1.5f, -2});
    file.write<int32_t>("none", {0, 3}, {});
    file.write_text("names", {"", "wörter"});
    file.write_table("t/table", {{"step", std::vector<int64_t>{1, 2, 3}}, {"value", reals}});
    file.set("title", "two\nlines");
    file.set("title", "again");
    file.set("count", int64_t{7});
    file.set("share", 0.25);
    atomic_write(folder / "x.h5", file.image());
  }
  const h5::File file = h5::File::open(folder / "x.h5");
  CHECK(file.names() == std::vector<std::string>{"a", "names", "none", "t"});
  CHECK(file.has("a/b/counts"));
  CHECK_FALSE(file.has("a/c/counts"));
  CHECK(file.group("a").dataset("b/counts").read<int64_t>() == std::vector<int64_t>{1, -2, 3, INT64_MAX});
  CHECK(file.dataset("a/b/counts").shape() == h5::Shape{2, 2});
  CHECK(file.dataset("a/floats").read<double>() == std::vector<double>{1.5, -2});
  CHECK(file.dataset("none").read<int64_t>().empty());
  CHECK(file.dataset("names").read_text() == std::vector<std::string>{"", "wörter"});
  const std::vector<h5::Column> table = file.read_table("t/table");
  REQUIRE(table.size() == 2);
  CHECK(std::get<std::vector<int64_t>>(table[0].values) == std::vector<int64_t>{1, 2, 3});
  CHECK(std::get<std::vector<double>>(table[1].values)[1] == -1e300);
  CHECK(std::isnan(std::get<std::vector<double>>(table[1].values)[2]));
  CHECK(file.text("title") == "again");
  CHECK(file.integer("count") == 7);
  CHECK(file.real("share") == 0.25);
}

TEST_CASE("rows are written and read a few at a time", "[hdf5]") {
  test::TemporaryFolder folder;
  {
    h5::File file = h5::File::create(folder / "rows.h5");
    {
      h5::Dataset rows = file.rows<int64_t>("argmax", {4}, 2);
      for (int64_t row = 0; row < 5; ++row) {
        const std::vector<int64_t> values{row, row + 10, row + 20, row + 30};
        rows.write_rows<int64_t>(row, 1, values.data());
      }
      const std::vector<int64_t> again{-1, -2, -3, -4};
      rows.write_rows<int64_t>(1, 1, again.data());
    }
    file.close();
  }
  const h5::File file = h5::File::open(folder / "rows.h5");
  const h5::Dataset rows = file.dataset("argmax");
  CHECK(rows.shape() == h5::Shape{5, 4});
  CHECK(rows.read_rows<int64_t>(1, 2) == std::vector<int64_t>{-1, -2, -3, -4, 2, 12, 22, 32});
  CHECK_THROWS_WITH(rows.read_rows<int64_t>(4, 2), Contains("has no rows 4 to 5") && Contains("[5, 4]"));
}

TEST_CASE("messages name file, dataset and what is wrong", "[hdf5]") {
  test::TemporaryFolder folder;
  std::ofstream(folder / "text.h5") << "not HDF5";
  CHECK_THROWS_WITH(h5::File::open(folder / "text.h5"), Contains("text.h5") && Contains("not HDF5, or damaged"));
  CHECK_THROWS_AS(h5::File::open(folder / "missing.h5"), DataError);
  CHECK_THROWS_AS(h5::File::create(folder / "no/x.h5"), StoreError);
  h5::File file = h5::File::in_memory("mine.h5");
  file.write<double>("reals", {0.5});
  CHECK_THROWS_WITH(file.dataset("reals").read<int64_t>(), Contains("mine.h5: /reals") && Contains("float64"));
  CHECK_THROWS_WITH(file.dataset("other"), Contains("mine.h5: /other: there is no such dataset"));
  CHECK_THROWS_WITH(file.text("title"), Contains("no attribute 'title'"));
  CHECK_THROWS_AS((file.write<double>("bad", {2, 2}, {1.0})), StoreError);
}
