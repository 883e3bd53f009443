// Your own rows, from HDF5 or JSON lines (docs/file-formats.md): made by any generator, in any language.
//
//   {"tokens": [5, 9, 2, 5], "targets": [-1, -1, -1, 9]}        −1 = not scored; all rows of a file equally long
#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <map>
#include <span>

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
    v.files("validation", validation, "rows for choosing learning rates: one file; empty = 5 % of train");
    v.files("test", test, "rows of the tests: one file");
    v.option("vocab", vocab, {0, kMostTokens}, "different tokens; 0 = largest token or target in the files + 1");
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

/// Some rows of a file.
struct Part {
  std::shared_ptr<const RowFile> file;
  std::vector<int64_t> places;  // in the file

  int64_t count() const { return static_cast<int64_t>(places.size()); }

  Sample row(int64_t index) const {
    const auto begin = places[static_cast<size_t>(index)] * file->length, end = begin + file->length;
    return {{file->tokens.begin() + begin, file->tokens.begin() + end},
            {file->targets.begin() + begin, file->targets.begin() + end},
            {}};
  }

  std::span<const int64_t> targets(int64_t index) const { return targets_of(*file, places[static_cast<size_t>(index)]); }

  static std::span<const int64_t> targets_of(const RowFile& file, int64_t place) {
    return {file.targets.data() + place * file.length, static_cast<size_t>(file.length)};
  }
};

bool is_scored(const RowFile& file, int64_t place) {
  const std::span<const int64_t> targets = Part::targets_of(file, place);
  return std::any_of(targets.begin(), targets.end(), [](int64_t target) { return target >= 0; });
}

class FileTask : public Task {
 public:
  FileTask(const TaskContext& context, const FileOptions& options)
      : options_(options),
        vocab_(options.vocab),
        impossible_(context.common.control == "impossible") {
    const bool every_token = context.common.loss == "all";  // then what has no target has something to learn from all the same
    const Part train = read("train", options_.train, every_token), test = read("test", options_.test, false);
    if (!options_.validation.empty()) parts_ = {train, read("validation", options_.validation, false), test};
    else parts_ = {train, held_out(train), test};
    if (options_.validation.empty()) {
      Part& rest = parts_[0];
      std::erase_if(rest.places, [&](int64_t place) { return std::binary_search(parts_[1].places.begin(), parts_[1].places.end(), place); });
    }
    if (vocab_ == 0) vocab_ = highest_ + 1;
    for (size_t split = 0; split < parts_.size(); ++split)
      for (int64_t index = 0; index < parts_[split].count(); ++index)
        for (const int64_t target : parts_[split].targets(index))
          if (target >= 0) answers_[split].push_back(target);
    chance_ = chance_of_rows(0, rows(Split::test));
  }

  int64_t vocab() const override { return vocab_; }
  Metric metric() const override { return *Metric::named(options_.metric); }
  double chance() const override { return chance_; }
  double chance_of(uint64_t seed, uint64_t count) const override { return chance_of_rows(seed, std::min(count, rows(Split::test))); }
  std::vector<std::string> notes() const override { return notes_; }
  std::vector<Setting> train_settings() const override { return {{part(Split::train).file->length}}; }
  std::vector<Setting> test_settings() const override { return {{part(Split::test).file->length}}; }
  uint64_t rows(Split split) const override { return static_cast<uint64_t>(part(split).count()); }

  // A random order: training goes through all rows in one after the other, and the first rows of a test are a sample of them all.
  Sample sample(Split split, uint64_t seed, uint64_t index, const Setting& setting) const override {
    Sample row = part(split).row(place_of(split, seed, index));
    if (impossible_) forget_answers(row_random("file", split, seed, index, setting), split, row);
    return row;
  }

 private:
  /// All rows of a file, without those that have no target.
  Part read(const std::string& name, const Paths& paths, bool with_unscored) {
    const std::string key = "task.file." + name;
    auto file = std::make_shared<const RowFile>(read_row_file(key, paths.at(0)));
    if (options_.vocab > 0) require_below(*file, options_.vocab, key, paths[0]);
    for (const auto* numbers : {&file->tokens, &file->targets}) highest_ = std::max(highest_, *std::max_element(numbers->begin(), numbers->end()));
    Part part{file, {}};
    for (int64_t row = 0; row < file->rows; ++row)
      if (with_unscored || is_scored(*file, row)) part.places.push_back(row);
    if (part.count() < file->rows)
      notes_.push_back(fmt::format("{}: {} of the {} rows of {} have no target (all -1) and are left out", key, file->rows - part.count(), file->rows, paths[0]));
    return part;
  }

  /// 5 % of the training rows, from anywhere in the file: what is sorted ends in rows unlike the others.
  Part held_out(const Part& train) const {
    Part held{train.file, {}};
    const auto held_rows = std::max<uint64_t>(1, static_cast<uint64_t>(train.count()) / 20), count = static_cast<uint64_t>(train.count());
    for (uint64_t index = 0; index < count && held.places.size() < held_rows; ++index)
      if (const int64_t place = train.places[row_at(index, count, mix_seed(0, "file/held out"))]; is_scored(*train.file, place)) held.places.push_back(place);
    if (held.places.empty() || held.places.size() == count)
      throw DataError(fmt::format("task.file.train: {}: one row cannot be split{}; give more rows or task.file.validation", options_.train[0],
                                  count < static_cast<uint64_t>(train.file->rows) ? fmt::format(" (the other {} have no target)", train.file->rows - train.count()) : ""));
    std::sort(held.places.begin(), held.places.end());
    return held;
  }

  int64_t place_of(Split split, uint64_t seed, uint64_t index) const {
    const uint64_t count = rows(split);
    return static_cast<int64_t>(row_at(index % count, count, mix_seed(seed, split == Split::train ? "file" : "file/rows", index / count)));
  }

  const Part& part(Split split) const { return parts_.at(static_cast<size_t>(split)); }

  // Leak control: answers of the split, drawn without regard to the row.
  void forget_answers(Random random, Split split, Sample& row) const {
    const std::vector<int64_t>& answers = answers_[static_cast<size_t>(split)];
    for (int64_t& target : row.targets)
      if (target >= 0) target = answers[random.below(answers.size())];
  }

  // Of one who knows how often each answer comes in these rows of the tests: always the most frequent one, or their frequencies.
  double chance_of_rows(uint64_t seed, uint64_t count) const {
    const auto targets = [&](uint64_t index) { return part(Split::test).targets(place_of(Split::test, seed, index)); };
    std::map<int64_t, double> times;
    double answers = 0;
    for (uint64_t index = 0; index < count; ++index)
      for (const int64_t target : targets(index))
        if (target >= 0) ++times[target], ++answers;
    double entropy = 0;
    for (const auto& [answer, count_of_it] : times) entropy -= count_of_it / answers * std::log(count_of_it / answers);
    if (metric() == Metric::loss) return entropy;
    const auto most = std::max_element(times.begin(), times.end(), [](auto& a, auto& b) { return a.second < b.second; });
    if (metric() == Metric::accuracy) return most->second / answers;
    uint64_t right = 0;
    for (uint64_t index = 0; index < count; ++index) {
      const std::span<const int64_t> row = targets(index);
      right += std::all_of(row.begin(), row.end(), [&](int64_t target) { return target < 0 || target == most->first; });
    }
    return static_cast<double>(right) / static_cast<double>(count);
  }

  FileOptions options_;
  int64_t vocab_, highest_ = 0;
  bool impossible_;
  std::vector<Part> parts_;                      // by split
  std::array<std::vector<int64_t>, 3> answers_;  // scored targets by split
  std::vector<std::string> notes_;
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
