// The language model: what is predicted, and how long ago the row had its word.
#include <algorithm>

#include "tests/support/test.h"
#include "tests/unit/tasks/task_fixture.h"

using namespace mneme;
using namespace mneme::test;

TEST_CASE("lm: a byte's place is its word's, by where the row last had that word", "[tasks][lm]") {
  TemporaryFolder folder;
  // Words of the row: each, but those that an end cuts, once per distance, in bytes: itself 250 further, 1000, 4000 and 4100 further.
  std::string text(12000, '.');
  const auto write = [&](size_t at, const std::string& word) { text.replace(at, word.size(), word); };
  write(0, "cut");
  for (const size_t at : {10, 260, 1260, 5260, 9360}) write(at, "alder");
  write(20, "Alder");
  write(30, "\xc3\xa9t\xc3\xa9");
  write(40, "alders");
  write(11997, "cut");
  write_file(folder / "words.txt", text);
  write_file(folder / "train.txt", prose(4000, 1));
  const MadeTask lm = make_task("task.kind = lm; task.length = 64; eval.lengths = 11999; task.lm.train_text = " + folder / "train.txt" +
                                "; task.lm.test_text = " + folder / "words.txt");
  CHECK(lm->position_axis() == "last_seen");
  const std::vector<std::string> names = lm->row_names("last_seen", Split::test);
  const Sample row = lm->sample(Split::test, 1, 0, {11999});
  REQUIRE(row.places.size() == 11999);
  const auto place = [&](size_t byte) { return row.places[byte - 1] < 0 ? "none" : names.at(static_cast<size_t>(row.places[byte - 1])); };
  CHECK((place(1) == "none" && place(2) == "none" && place(11998) == "none"));
  CHECK((place(3) == "no word" && place(15) == "no word"));
  for (const size_t byte : {10, 14, 20, 24, 30, 34, 40, 45}) CHECK(place(byte) == "never");
  CHECK((place(260) == "within 256" && place(264) == "within 256"));
  CHECK(place(1260) == "within 1k");
  CHECK(place(5260) == "within 4k");
  CHECK(place(9360) == "before");
  CHECK(std::count(row.places.begin(), row.places.end(), -1) == 2 + 3);
}
