// Your own rows, from HDF5 or JSON lines (docs/file-formats.md): made by any generator, in any language.
//
//   {"tokens": [5, 9, 2, 5], "targets": [-1, -1, -1, 9]}        −1 = not scored; all rows of a file equally long
#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <map>

#include <fmt/format.h>

#include "mneme/errors.h"
#include "tasks/support/row_file.h"
#include "tasks/support/row_order.h"
#include "tasks/support/seeded_task.h"

namespace mneme {
namespace {

using Paths = std::vector<std::string>;  // one path; a list because `files` options are hashed by content

struct FileOptions : Options {
  Paths train, validation, test;
  int64_t vocab = 0;
  std::string metric = Metric::accuracy.name();

  void describe(OptionVisitor& v) override {
    v.files("train", train, "rows to train on: one HDF5 or JSON lines file");
    v.files("validation", validation, "rows for choosing learning rates: one file; empty = the last 5 % of train");
    v.files("test", test, "rows of the tests: one file");
    v.option("vocab", vocab, {0, 1 << 24}, "different tokens; 0 = largest token or target in the files + 1");
    v.option("metric", metric, Metric::names(), "what is reported, of the scored positions");
  }

  void check(const std::string& prefix, Problems& problems) const override {
    check_file(prefix + "train", train, true, problems);
    check_file(prefix + "validation", validation, false, problems);
    check_file(prefix + "test", test, true, problems);
  }

 private:
  static void check_file(const std::string& key, const Paths& paths, bool needed, Problems& problems) {
    if (paths.size() > 1) problems.add(key, fmt::format("{} files given; one is needed", paths.size()));
    if (paths.empty() && needed) problems.add(key, "no file given; name an HDF5 or JSON lines file");
    std::error_code ignored;
    for (const std::string& path : paths)
      if (std::filesystem::is_directory(path, ignored))
        problems.add(key, fmt::format("'{}' is no file; name an HDF5 or JSON lines file", path));
      else if (!std::filesystem::is_regular_file(path, ignored))
        problems.add(key, fmt::format("'{}' is no file", path));
  }
};

/// Rows [first, first + count) of a file.
struct Part {
  std::shared_ptr<const RowFile> file;
  int64_t first, count;

  Sample row(int64_t index) const {
    const auto begin = (first + index) * file->length, end = begin + file->length;
    return {{file->tokens.begin() + begin, file->tokens.begin() + end},
            {file->targets.begin() + begin, file->targets.begin() + end},
            {}};
  }

  std::vector<int64_t> answers() const {
    std::vector<int64_t> result;
    const auto begin = file->targets.begin() + first * file->length;
    std::copy_if(begin, begin + count * file->length, std::back_inserter(result), [](int64_t t) { return t >= 0; });
    return result;
  }
};

class FileTask : public Task {
 public:
  FileTask(const TaskContext& context, const FileOptions& options)
      : options_(options),
        vocab_(options.vocab),
        impossible_(context.common.control == "impossible") {
    const auto train = read("train", options_.train), test = read("test", options_.test);
    const bool given = !options_.validation.empty();
    const auto validation = given ? read("validation", options_.validation) : train;
    const int64_t held = given ? 0 : std::max<int64_t>(1, train->rows / 20);
    if (train->rows <= held)
      throw DataError(fmt::format(
          "task.file.train: {}: one row cannot be split; give more rows or task.file.validation", options_.train[0]));
    parts_ = {Part{train, 0, train->rows - held},
              given ? Part{validation, 0, validation->rows} : Part{train, train->rows - held, held},
              Part{test, 0, test->rows}};
    for (size_t split = 0; split < parts_.size(); ++split) answers_[split] = parts_[split].answers();
    chance_ = chance_of_tests();
  }

  int64_t vocab() const override { return vocab_; }
  Metric metric() const override { return *Metric::named(options_.metric); }
  double chance() const override { return chance_; }
  std::vector<Setting> train_settings() const override { return {{part(Split::train).file->length}}; }
  std::vector<Setting> test_settings() const override { return {{part(Split::test).file->length}}; }
  uint64_t rows(Split split) const override { return static_cast<uint64_t>(part(split).count); }

  // Training goes through all rows in one random order after the other; the other splits in the file's order.
  Sample sample(Split split, uint64_t seed, uint64_t index, const Setting& setting) const override {
    const uint64_t count = rows(split), epoch = index / count, place = index % count;
    const bool shuffled = split == Split::train;
    Sample row =
        part(split).row(static_cast<int64_t>(shuffled ? row_at(place, count, mix_seed(seed, "file", epoch)) : place));
    if (impossible_) forget_answers(row_random("file", split, seed, index, setting), split, row);
    return row;
  }

 private:
  std::shared_ptr<const RowFile> read(const std::string& name, const Paths& paths) {
    const std::string key = "task.file." + name;
    auto rows = std::make_shared<const RowFile>(read_row_file(key, paths.at(0)));
    if (options_.vocab > 0) {
      require_below(*rows, options_.vocab, key, paths[0]);
    } else {
      for (const auto* numbers : {&rows->tokens, &rows->targets})
        vocab_ = std::max(vocab_, *std::max_element(numbers->begin(), numbers->end()) + 1);
    }
    return rows;
  }

  const Part& part(Split split) const { return parts_.at(static_cast<size_t>(split)); }

  // Leak control: answers of the split, drawn without regard to the row.
  void forget_answers(Random random, Split split, Sample& row) const {
    const std::vector<int64_t>& answers = answers_[static_cast<size_t>(split)];
    for (int64_t& target : row.targets)
      if (target >= 0) target = answers[random.below(answers.size())];
  }

  // Of one who knows how often each answer comes in the tests: always the most frequent one, or their frequencies.
  double chance_of_tests() const {
    std::map<int64_t, double> shares;
    const std::vector<int64_t>& answers = answers_[static_cast<size_t>(Split::test)];
    for (const int64_t answer : answers) shares[answer] += 1.0 / static_cast<double>(answers.size());
    double entropy = 0;
    for (const auto& [answer, share] : shares) entropy -= share * std::log(share);
    if (metric() == Metric::loss) return entropy;
    const auto most =
        std::max_element(shares.begin(), shares.end(), [](auto& a, auto& b) { return a.second < b.second; });
    return metric() == Metric::accuracy ? most->second : share_of_rows_with(most->first);
  }

  double share_of_rows_with(int64_t answer) const {
    int64_t right = 0;
    for (int64_t index = 0; index < part(Split::test).count; ++index) {
      const Sample row = part(Split::test).row(index);
      right += std::all_of(row.targets.begin(), row.targets.end(), [&](int64_t t) { return t < 0 || t == answer; });
    }
    return static_cast<double>(right) / static_cast<double>(part(Split::test).count);
  }

  FileOptions options_;
  int64_t vocab_;
  bool impossible_;
  std::vector<Part> parts_;                      // by split
  std::array<std::vector<int64_t>, 3> answers_;  // scored targets by split
  double chance_ = 0;
};

}  // namespace

void register_task_file(TaskRegistry& registry) {
  registry.add({"file", "your own rows from HDF5 or JSON lines", [] { return std::make_unique<FileOptions>(); },
                [](const TaskContext& context) {
                  return std::make_unique<FileTask>(context, dynamic_cast<const FileOptions&>(context.options));
                }});
}

}  // namespace mneme
