// What holds for every task, of this tree or a plug-in (tests/property/subjects.h): pure samples, exact lengths, disjoint splits.
#include <algorithm>
#include <cmath>
#include <set>

#include "tests/support/test.h"
#include "tests/unit/tasks/task_fixture.h"

using namespace mneme;
using namespace mneme::test;

TEST_CASE("every task is in the list below", "[tasks]") {
  TemporaryFolder folder;
  std::set<std::string> covered;
  for (const std::string& lines : every_task(folder)) covered.insert(make_task(lines).config.task.kind);
  for (const std::string& name : TaskRegistry::instance().names()) CHECK(covered.count(name) == 1);
}

TEST_CASE("rows have the setting's length, what their objective says, something to score and their slice", "[tasks][conformance]") {
  INFO("tokens and targets lie in [0, vocab()); rows of vectors have no tokens, inputs and answers of the objective's widths, finite; "
       "a target of -1 is not scored; length(setting) is what rows have; one slice value per row axis, "
       "with a name where the axis has names; one place per position where the task has a position axis");
  TemporaryFolder folder;
  for (const std::string& lines : every_task(folder)) {
    INFO(lines);
    const MadeTask made = make_task(lines);
    for (const auto& settings : {made->train_settings(), made->test_settings()}) {
      REQUIRE(!settings.empty());
      for (const Setting& setting : settings) {
        REQUIRE(setting.size() == made->axes().size());
        for (uint64_t index = 0; index < 20; ++index) {
          const Sample row = made->sample(Split::test, 3, index, setting);
          REQUIRE(static_cast<int64_t>(row.targets.size()) == made->length(setting));
          REQUIRE(row.tokens.size() == (made->objective().of_tokens() ? row.targets.size() : 0));
          REQUIRE(row.inputs.size() == row.targets.size() * static_cast<size_t>(made->objective().inputs));
          REQUIRE(row.answers.size() == row.targets.size() * static_cast<size_t>(made->objective().outputs));
          for (const auto* numbers : {&row.inputs, &row.answers})
            REQUIRE(std::all_of(numbers->begin(), numbers->end(), [](float number) { return std::isfinite(number); }));
          REQUIRE(row.slice.size() == made->row_axes().size());
          for (size_t axis = 0; axis < row.slice.size(); ++axis)
            if (const size_t names = made->row_names(made->row_axes()[axis], Split::test).size(); names > 0)
              REQUIRE(static_cast<uint64_t>(row.slice[axis]) < names);
          REQUIRE(row.places.size() == (made->position_axis().empty() ? 0 : row.targets.size()));
          for (const int64_t place : row.places)
            REQUIRE((place >= -1 && place < static_cast<int64_t>(made->row_names(made->position_axis(), Split::test).size())));
          int64_t scored = 0;
          for (size_t t = 0; t < row.targets.size(); ++t) {
            if (!row.tokens.empty()) REQUIRE((row.tokens[t] >= 0 && row.tokens[t] < made->vocab()));
            REQUIRE((row.targets[t] >= -1 && (!made->objective().of_tokens() || row.targets[t] < made->vocab())));
            scored += row.targets[t] >= 0;
          }
          REQUIRE(scored > 0);
        }
      }
    }
  }
}

TEST_CASE("a row depends on its index only, not on what was asked before", "[tasks][conformance]") {
  INFO("all that is random in a row comes from the Random that make() is given, or from row_random(split, seed, index, setting)");
  TemporaryFolder folder;
  for (const std::string& lines : every_task(folder)) {
    INFO(lines);
    const MadeTask first = make_task(lines), second = make_task(lines);
    const Setting setting = first->test_settings().back();
    const Sample row = first->sample(Split::train, 5, 11, first->train_settings()[0]);
    first->sample(Split::test, 5, 3, setting);
    const Sample again = second->sample(Split::train, 5, 11, second->train_settings()[0]);
    CHECK(row.tokens == again.tokens);
    CHECK(row.targets == again.targets);
    CHECK((row.inputs == again.inputs && row.answers == again.answers));
    CHECK((row.slice == again.slice && row.places == again.places));
  }
}

TEST_CASE("splits share no row; other seeds and indices give other rows", "[tasks][conformance]") {
  INFO("rows that repeat are trained on and tested too: of 100 rows of a split more than 70 differ, and no row is in two splits; more words, longer rows or random filler help");
  TemporaryFolder folder;
  for (const std::string& lines : every_task(folder)) {
    const MadeTask made = make_task(lines);
    if (made->rows(Split::train) > 0) continue;  // the user's own files are what they are
    INFO(lines);
    const Setting setting = made->train_settings()[0];
    using Inputs = std::pair<std::vector<int64_t>, std::vector<float>>;
    std::set<Inputs> all;
    size_t of_splits = 0;
    for (const Split split : {Split::train, Split::validation, Split::test}) {
      std::set<Inputs> rows;
      for (uint64_t seed = 1; seed <= 2; ++seed)
        for (uint64_t index = 0; index < 50; ++index) {
          const Sample row = made->sample(split, seed, index, setting);
          rows.insert({row.tokens, row.inputs});
        }
      CHECK(rows.size() > 70);  // two passages of a short text may start at the same word
      of_splits += rows.size();
      all.insert(rows.begin(), rows.end());
    }
    CHECK(all.size() == of_splits);
  }
}
