// A user's own rows: both formats, the order of training, every refusal.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <set>

#include "io/hdf5.h"
#include "tasks/support/row_order.h"
#include "tests/support/test.h"
#include "tests/unit/tasks/task_fixture.h"

using namespace mneme;
using namespace mneme::test;
using Catch::Contains;

namespace {

using Numbers = std::vector<int64_t>;

void write_hdf5(const std::string& path, h5::Shape shape, const Numbers& tokens, const Numbers& targets) {
  h5::File file = h5::File::create(path);
  file.write("tokens", shape, tokens);
  file.write("targets", shape, targets);
  file.close();
}

std::string both(const std::string& path) {
  return "task.kind = file; task.file.train = " + path + "; task.file.test = " + path;
}

}  // namespace

TEST_CASE("file: the same rows from HDF5 and from JSON lines", "[tasks][file]") {
  TemporaryFolder folder;
  write_hdf5(folder / "rows.h5", {3, 2}, {1, 2, 3, 4, 5, 6}, {-1, 2, -1, 9, 7, -1});
  write_file(
      folder / "rows.jsonl",
      "{\"tokens\": [1, 2], \"targets\": [-1, 2]}\n\n{\"targets\": [-1, 9], \"tokens\": [3, 4], \"note\": \"x\"}\r\n"
      "{\"tokens\": [5, 6], \"targets\": [7, -1]}");
  for (const char* name : {"rows.h5", "rows.jsonl"}) {
    INFO(name);
    const MadeTask made = make_task(both(folder / name));
    CHECK(made->vocab() == 10);
    CHECK(made->rows(Split::test) == 3);
    CHECK(made->test_settings() == std::vector<Setting>{{2}});
    std::set<std::pair<Numbers, Numbers>> rows;
    for (uint64_t index = 0; index < 3; ++index) {
      const Sample row = made->sample(Split::test, 1, index, {2});
      rows.insert({row.tokens, row.targets});
    }
    CHECK(rows == std::set<std::pair<Numbers, Numbers>>{{{1, 2}, {-1, 2}}, {{3, 4}, {-1, 9}}, {{5, 6}, {7, -1}}});
  }
}

TEST_CASE("file: training meets every row once an epoch, in another order each; validation is held out",
          "[tasks][file]") {
  TemporaryFolder folder;
  std::string lines;
  for (int i = 0; i < 100; ++i) lines += "{\"tokens\": [" + std::to_string(i) + "], \"targets\": [0]}\n";
  write_file(folder / "rows.jsonl", lines);
  const MadeTask made = make_task(both(folder / "rows.jsonl"));
  REQUIRE(made->rows(Split::train) == 95);
  REQUIRE(made->rows(Split::validation) == 5);
  std::vector<Numbers> epochs(2);
  for (uint64_t index = 0; index < 190; ++index)
    epochs[index / 95].push_back(made->sample(Split::train, 1, index, {1}).tokens[0]);
  CHECK(epochs[0] != epochs[1]);
  for (Numbers& epoch : epochs) {
    CHECK(!std::is_sorted(epoch.begin(), epoch.end()));
    std::sort(epoch.begin(), epoch.end());
  }
  CHECK(epochs[0] == epochs[1]);
  Numbers all = epochs[0], held;
  for (uint64_t index = 0; index < 5; ++index) held.push_back(made->sample(Split::validation, 1, index, {1}).tokens[0]);
  CHECK(*std::min_element(held.begin(), held.end()) < 80);  // a sorted file's end is unlike its rest
  all.insert(all.end(), held.begin(), held.end());
  std::sort(all.begin(), all.end());
  for (int64_t i = 0; i < 100; ++i) CHECK(all[static_cast<size_t>(i)] == i);
}

TEST_CASE("file: the order of rows is a bijection for every count", "[tasks][file]") {
  for (uint64_t count = 1; count < 70; ++count) {
    std::set<uint64_t> rows;
    for (uint64_t place = 0; place < count; ++place) rows.insert(row_at(place, count, 5));
    CHECK(rows.size() == count);
    CHECK(*rows.rbegin() == count - 1);
  }
}

TEST_CASE("file: chance is that of the test file's most frequent answer", "[tasks][file]") {
  TemporaryFolder folder;
  write_hdf5(folder / "rows.h5", {4, 2}, {0, 1, 2, 3, 4, 5, 6, 7}, {-1, 3, -1, 3, 3, 1, -1, 2});
  const std::string lines = both(folder / "rows.h5");
  CHECK(make_task(lines)->chance() == Approx(3.0 / 5));
  CHECK(make_task(lines + "; task.file.metric = exact_match")->chance() == Approx(2.0 / 4));
  CHECK(make_task(lines + "; task.file.metric = loss")->chance() == Approx(-0.6 * std::log(0.6) - 0.4 * std::log(0.2)));
}

TEST_CASE("file: in the impossible variant answers come from anywhere in the split", "[tasks][file][leak]") {
  TemporaryFolder folder;
  std::string lines;
  for (int i = 0; i < 400; ++i)
    lines += "{\"tokens\": [" + std::to_string(i % 4) + "], \"targets\": [" + std::to_string(i % 4) + "]}\n";
  write_file(folder / "rows.jsonl", lines);
  const auto identity = [](const Sample& row) { return row.tokens; };
  CHECK(score(*make_task(both(folder / "rows.jsonl")).task, {1}, 400, identity) == 1.0);
  const MadeTask impossible = make_task(both(folder / "rows.jsonl") + "; task.control = impossible");
  CHECK(std::abs(score(*impossible.task, {1}, 400, identity) - 0.25) < 4 * std::sqrt(0.25 * 0.75 / 400));
}

TEST_CASE("file: what cannot be used says where and why", "[tasks][file][errors]") {
  TemporaryFolder folder;
  const auto json = [&](const std::string& text) {
    write_file(folder / "x.jsonl", text);
    return error_of(both(folder / "x.jsonl"));
  };
  const std::string good = "{\"tokens\": [1, 2], \"targets\": [-1, 2]}\n";
  CHECK(json(good + good) == "");
  CHECK_THAT(json(good + "[1]"), Contains("task.file.train: ") && Contains("x.jsonl:2: not a JSON object"));
  CHECK_THAT(json("{\"tokens\": [1]}"), Contains("no list 'targets'"));
  CHECK_THAT(json("{\"tokens\": [1.5], \"targets\": [0]}"), Contains("tokens[0] = 1.5 is not a 64-bit integer"));
  CHECK_THAT(json("{\"tokens\": [1, 2], \"targets\": [0]}"), Contains("2 tokens but 1 targets"));
  CHECK_THAT(json(good + "{\"tokens\": [1], \"targets\": [0]}"),
             Contains("x.jsonl:2: 1 tokens, but the rows before have 2"));
  CHECK_THAT(json(good + "{\"tokens\": [1, -4], \"targets\": [0, 0]}"),
             Contains("tokens[row 1, column 1] = -4; at least 0"));
  CHECK_THAT(json("{\"tokens\": [1], \"targets\": [-2]}"), Contains("targets[row 0, column 0] = -2; at least -1"));
  CHECK_THAT(json("{\"tokens\": [1], \"targets\": [-1]}"), Contains("every target is -1"));
  CHECK_THAT(json(""), Contains("no rows in it"));
  CHECK_THAT(json("{\"tokens\": [], \"targets\": []}"), Contains("no rows in it"));
  CHECK_THAT(json(good), Contains("one row cannot be split"));
  json(good + good);
  CHECK_THAT(error_of(both(folder / "x.jsonl") + "; task.file.vocab = 2"),
             Contains("tokens[row 0, column 1] = 2; at most vocab-1 = 1 is allowed"));

  const auto hdf5 = [&](auto write) {
    h5::File file = h5::File::create(folder / "x.h5");
    write(file);
    file.close();
    return error_of(both(folder / "x.h5"));
  };
  CHECK_THAT(hdf5([](h5::File& f) { f.write("tokens", {2, 1}, Numbers{1, 2}); }), Contains("no dataset 'targets'"));
  CHECK_THAT(hdf5([](h5::File& f) {
               f.write("tokens", {2}, Numbers{1, 2});
               f.write("targets", {2}, Numbers{1, 2});
             }),
             Contains("has shape [2]; two dimensions"));
  CHECK_THAT(hdf5([](h5::File& f) {
               f.write("tokens", {1, 2}, std::vector<float>{1, 2});
               f.write("targets", {1, 2}, Numbers{1, 2});
             }),
             Contains("elements of type float32; int64 is needed"));
  CHECK_THAT(hdf5([](h5::File& f) {
               f.write("tokens", {1, 2}, Numbers{1, 2});
               f.write("targets", {2, 1}, Numbers{1, 2});
             }),
             Contains("tokens has shape [1, 2] but targets [2, 1]"));
  write_file(folder / "cut.h5", std::string("\x89HDF\r\n\x1a\n", 8) + "damaged");
  CHECK_THAT(error_of(both(folder / "cut.h5")), Contains("task.file.train") && Contains("cut.h5"));

  CHECK_THAT(error_of("task.kind = file"),
             Contains("task.file.train") && Contains("task.file.test") && Contains("no file given"));
  CHECK_THAT(error_of(both(folder / "y.h5")), Contains("task.file.train") && Contains("y.h5' is no file; did you mean '" + folder / "x.h5"));
  CHECK_THAT(error_of(both(folder.path())), Contains("task.file.train") && Contains("task.file.test") &&
                                                Contains("'" + folder.path() + "' is no file; name an HDF5 or JSON lines file"));
  CHECK_THAT(error_of(both(folder / "x.jsonl") + "; task.file.test = " + folder / "x.jsonl" + ", " + folder / "x.h5"),
             Contains("2 files given; one is needed"));
}

TEST_CASE("file: rows without a target are no rows, and how many are left out is said", "[tasks][file]") {
  TemporaryFolder folder;
  std::string lines;
  for (int i = 0; i < 60; ++i) lines += "{\"tokens\": [" + std::to_string(i) + "], \"targets\": [" + std::to_string(i % 3 == 0 ? i : -1) + "]}\n";
  write_file(folder / "rows.jsonl", lines);
  const MadeTask made = make_task(both(folder / "rows.jsonl"));
  CHECK((made->rows(Split::train) == 19 && made->rows(Split::validation) == 1 && made->rows(Split::test) == 20));
  REQUIRE(made->notes().size() == 2);
  CHECK_THAT(made->notes()[0], Contains("task.file.train: 40 of the 60 rows") && Contains("left out"));
  for (uint64_t index = 0; index < 20; ++index) CHECK(made->sample(Split::test, 1, index, {1}).targets[0] >= 0);
  const MadeTask all = make_task(both(folder / "rows.jsonl") + "; task.loss = all");  // every next token is learned from, whatever the targets
  CHECK((all->rows(Split::train) == 57 && all->rows(Split::test) == 20));
}

TEST_CASE("file: the first rows of a test are a sample of the file, and chance is that of the rows asked", "[tasks][file]") {
  TemporaryFolder folder;
  std::string lines;
  for (int i = 0; i < 1000; ++i) lines += "{\"tokens\": [" + std::to_string(i) + "], \"targets\": [" + std::to_string(i < 100 ? 1 : 2) + "]}\n";
  write_file(folder / "sorted.jsonl", lines);
  const MadeTask made = make_task(both(folder / "sorted.jsonl"));
  const auto ones = [&](Split split, uint64_t seed, uint64_t count) {
    double sum = 0;
    for (uint64_t index = 0; index < count; ++index) sum += made->sample(split, seed, index, {1}).targets[0] == 1;
    return sum / static_cast<double>(count);
  };
  CHECK(ones(Split::test, 3, 200) == Approx(0.1).margin(0.07));        // the head of the file has nothing but ones
  CHECK(ones(Split::validation, 3, 50) == Approx(0.1).margin(0.1));
  CHECK(ones(Split::validation, 3, 50) > 0);                             // and its end none
  CHECK(made->chance() == Approx(0.9));
  CHECK(made->chance_of(3, 200) == Approx(1 - ones(Split::test, 3, 200)));
  CHECK(made->sample(Split::test, 3, 0, {1}).tokens == made->sample(Split::test, 3, 0, {1}).tokens);
}

TEST_CASE("file: HDF5 may begin after a user block", "[tasks][file]") {
  TemporaryFolder folder;
  write_hdf5(folder / "rows.h5", {2, 2}, {1, 2, 3, 4}, {-1, 2, -1, 1});
  for (const size_t block : {512u, 2048u}) {
    std::ifstream plain(folder / "rows.h5", std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(plain)), {});
    write_file(folder / "block.h5", std::string(block, 'u') + bytes);
    CHECK(error_of(both(folder / "block.h5")) == "");
  }
}

TEST_CASE("file: what is of another kind is called by its name", "[tasks][file][errors]") {
  TemporaryFolder folder;
  const auto said = [&](const std::string& bytes) {
    write_file(folder / "x", bytes);
    return error_of(both(folder / "x"));
  };
  const std::string good = "{\"tokens\": [1, 2], \"targets\": [-1, 2]}\n";
  CHECK_THAT(said("\x93NUMPY\x01 {'descr': '<i8'}"), Contains("a NumPy array (.npy)") && Contains("h5py"));
  CHECK_THAT(said("\x1f\x8b\x08..."), Contains("packed by gzip"));
  CHECK_THAT(said("PK\x03\x04..."), Contains("ZIP") && Contains(".npz"));
  CHECK_THAT(said("PAR1..."), Contains("Parquet"));
  CHECK_THAT(said("[\n" + good + "]"), Contains("a JSON array") && Contains("one object a line"));
  CHECK_THAT(said("{\n  \"tokens\": [1],\n  \"targets\": [1]\n}\n"), Contains("x:1: the line is not one whole JSON object"));
  CHECK_THAT(said(std::string("\xff\xfe{\0", 4)), Contains("UTF-16"));
  CHECK_THAT(said("{\"input_ids\": [1], \"labels\": [1]}\n"), Contains("input_ids") && Contains("call them tokens, and labels targets"));
  CHECK_THAT(said("{\"tokens\": [1, 2], \"targets\": [-100, 2]}\n"), Contains("targets[row 0, column 0] = -100; PyTorch's mark") && Contains("here it is -1"));
  CHECK(said("\xef\xbb\xbf" + good + good) == "");
}
