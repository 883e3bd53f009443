// mneme show: rows of a task as a person reads them, answers marked.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "core/text.h"
#include "experiments/config_source.h"
#include "experiments/program.h"
#include "experiments/text_table.h"
#include "mneme/errors.h"
#include "train/make_task.h"

namespace mneme {
namespace {

constexpr size_t kShownBefore = 120;  // tokens kept in front of an answer, and at the start and end of a row

/// How an answer stands out: on a terminal in bold green, else in brackets.
struct Marks {
  std::string open, close;
  explicit Marks(bool terminal) : open(terminal ? "\033[1;32m" : "["), close(terminal ? "\033[0m" : "]") {}
};

/// Settings of a task by name, or of a config file or run folder.
Settings settings_of(const std::string& name, const std::vector<std::string>& overrides) {
  if (std::filesystem::exists(name) || !TaskRegistry::instance().find(name)) {
    if (!std::filesystem::exists(name)) {
      const auto names = TaskRegistry::instance().names();
      throw UsageError(fmt::format("'{}' is neither a task ({}) nor a config file{}", name, join(names, ", "),
                                   did_you_mean(name, names)));
    }
    return read_settings(name, overrides);
  }
  Settings settings;
  settings.set("task.kind", name, "command line");
  for (const std::string& assignment : overrides) settings.override_with(assignment);
  return settings;
}

/// Tokens to print: all of a short row; of a long one the ends and what stands before an answer.
std::vector<bool> visible(const Sample& sample, bool everything) {
  const size_t length = sample.tokens.size();
  std::vector<bool> result(length, everything || length <= 8 * kShownBefore);
  if (everything || length <= 8 * kShownBefore) return result;
  const size_t scored = static_cast<size_t>(std::count_if(sample.targets.begin(), sample.targets.end(),
                                                          [](int64_t target) { return target >= 0; }));
  for (size_t t = 0; t < length; ++t) {
    const bool near_end = t < kShownBefore || t + kShownBefore >= length;
    if (near_end) result[t] = true;
    if (sample.targets[t] >= 0 && 2 * scored < length)
      for (size_t back = 0; back <= std::min(t, kShownBefore); ++back) result[t - back] = true;
  }
  return result;
}

std::string row_text(const Task& task, const Sample& sample, bool everything, const Marks& marks) {
  const size_t length = sample.tokens.size();
  const bool all_scored = std::all_of(sample.targets.begin(), sample.targets.end() - 1, [](int64_t t) { return t >= 0; });
  const std::vector<bool> shown = visible(sample, everything);
  std::string text;
  size_t hidden = 0;
  bool marked = false;  // the next token is an answer that the row itself goes on with (teacher forcing)
  for (size_t t = 0; t < length; ++t) {
    if (!shown[t]) {
      ++hidden;
      continue;
    }
    if (hidden) text += fmt::format(" … {} tokens … ", hidden), hidden = 0;
    const std::string token = task.token_text(sample.tokens[t]);
    text += marked ? marks.open + token + marks.close : token;
    marked = false;
    const int64_t target = sample.targets[t];
    if (target < 0 || all_scored) continue;
    marked = t + 1 < length && sample.tokens[t + 1] == target;
    if (!marked) text += marks.open + "→" + trim(task.token_text(target)) + marks.close + " ";
  }
  if (hidden) text += fmt::format(" … {} tokens", hidden);
  return all_scored ? text + "\n(every token is the answer to those before it)" : text;
}

Split parse_split(const std::string& name) {
  for (Split split : {Split::train, Split::validation, Split::test})
    if (name == to_string(split)) return split;
  throw UsageError(fmt::format("--split {}: there are train, validation and test", name));
}

std::string describe_row(const Task& task, const Setting& setting, const Sample& sample, uint64_t index) {
  std::string text = fmt::format("row {}", index);
  for (size_t i = 0; i < setting.size(); ++i) text += fmt::format(" · {} {}", task.axes().at(i), setting[i]);
  for (size_t i = 0; i < sample.slice.size(); ++i) text += fmt::format(" · {} {}", task.row_axes().at(i), sample.slice[i]);
  const auto scored = std::count_if(sample.targets.begin(), sample.targets.end(), [](int64_t t) { return t >= 0; });
  return text + fmt::format(" · {} tokens, {} scored", sample.tokens.size(), scored);
}

int show(const CommandLine& line) {
  const Config config = resolve(settings_of(line.only_name("TASK or CONFIG"), line.overrides()));
  const Split split = parse_split(line.text_or("split", "train"));
  const std::unique_ptr<Task> task = make_task(config);
  const std::vector<Setting> settings = split == Split::test ? task->test_settings() : task->train_settings();
  uint64_t rows = static_cast<uint64_t>(line.integer_or("rows", 3, 1, 1000));
  const uint64_t first = static_cast<uint64_t>(line.integer_or("first", 0, 0, INT64_MAX / 2));
  if (const uint64_t there = task->rows(split); there > 0) {
    if (first >= there) throw UsageError(fmt::format("--first {}: the task has {} {} rows", first, there, to_string(split)));
    rows = std::min(rows, there - first);
  }
  const uint64_t seed = static_cast<uint64_t>(split == Split::test ? config.eval.seed : config.run.seed);
  const Marks marks(::isatty(STDOUT_FILENO) == 1);
  fmt::print("task {} · {} split · {} · chance {} · {} different tokens\n", config.task.kind, to_string(split),
             to_string(task->metric()), format_number(task->chance()), task->vocab());
  for (uint64_t i = 0; i < rows; ++i) {
    const Setting& setting = settings.at(i % settings.size());
    const Sample sample = task->sample(split, seed, first + i, setting);
    fmt::print("\n{}\n{}\n", describe_row(*task, setting, sample, first + i),
               row_text(*task, sample, line.has("full"), marks));
  }
  return 0;
}

}  // namespace

Command show_command() {
  namespace po = boost::program_options;
  Command command;
  command.name = "show";
  command.summary = "print sample rows of a task as a person reads them";
  command.usage = "TASK|CONFIG [key=value ...]";
  command.details = "Prints rows exactly as a model gets them, the settings in turn. Answers are marked: bold on a terminal, "
                    "[in brackets] otherwise; [→x] is an answer that is asked for but not in the row.";
  command.example = "mneme show mqar task.mqar.train=64x4 --rows 2";
  command.options.add_options()("rows,n", po::value<std::string>()->value_name("N"), "rows to print (3)")(
      "first", po::value<std::string>()->value_name("I"), "index of the first row (0)")(
      "split", po::value<std::string>()->value_name("NAME"), "train, validation or test (train)")(
      "full", "whole rows; without, the middle of a long row is left out");
  command.run = show;
  return command;
}

}  // namespace mneme
