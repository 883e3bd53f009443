// mneme show: rows of a task as a person reads them, answers marked; or the memory of a config (show_memory.cpp).
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "base/text.h"
#include "config/config.h"
#include "cli/program.h"
#include "cli/text_table.h"
#include "mneme/errors.h"
#include "eval/make.h"

namespace mneme {
namespace {

constexpr size_t kShownAround = 100;  // tokens kept at the ends of a long row and in front of an answer

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

void reveal(std::vector<bool>& shown, size_t first, size_t last) {
  for (size_t t = first; t < std::min(last, shown.size()); ++t) shown[t] = true;
}

/// Tokens to print: all of a short row; of a long one its ends, what stands before each answer, and where the row says
/// that answer.
std::vector<bool> visible(const Sample& sample, bool everything) {
  const std::vector<int64_t>&tokens = sample.tokens, &targets = sample.targets;
  const size_t length = tokens.size();
  const auto scored =
      static_cast<size_t>(std::count_if(targets.begin(), targets.end(), [](int64_t t) { return t >= 0; }));
  std::vector<bool> shown(length, everything || length <= 8 * kShownAround);
  reveal(shown, 0, kShownAround);
  reveal(shown, length - std::min(length, kShownAround), length);
  if (2 * scored >= length) return shown;  // every token is an answer, as in a language model
  for (size_t t = 0; t < length; ++t) {
    if (targets[t] < 0 || (t > 0 && targets[t - 1] >= 0)) continue;
    const auto end =
        std::find_if(targets.begin() + static_cast<ptrdiff_t>(t), targets.end(), [](int64_t x) { return x < 0; });
    reveal(shown, t - std::min(t, kShownAround), static_cast<size_t>(end - targets.begin()) + 1);
    const auto before = tokens.begin() + static_cast<ptrdiff_t>(t) + 1;
    const auto said = std::find_end(tokens.begin(), before, targets.begin() + static_cast<ptrdiff_t>(t), end);
    if (said == before) continue;
    const size_t at = static_cast<size_t>(said - tokens.begin());
    reveal(shown, at - std::min(at, kShownAround), at + kShownAround / 2);
  }
  return shown;
}

/// Builds the text of a row; neighbouring answers share one mark.
class RowWriter {
 public:
  explicit RowWriter(Marks marks) : marks_(std::move(marks)) {}
  void plain(const std::string& text) { mark(false), text_ += text; }
  void answer(const std::string& text) { mark(true), text_ += text; }
  bool in_answer() const { return marked_; }
  std::string finish() { return mark(false), text_; }

 private:
  void mark(bool on) {
    if (on != marked_) text_ += on ? marks_.open : marks_.close;
    marked_ = on;
  }
  Marks marks_;
  std::string text_;
  bool marked_ = false;
};

/// A line a position: "  5  0.41 -1.20 1.00   →[0.33]".
std::string vectors_text(const Objective& objective, const Sample& sample, bool everything, const Marks& marks) {
  const auto numbers = [](const std::vector<float>& values, size_t position, int64_t width) {
    std::string text;
    for (size_t i = 0; i < static_cast<size_t>(width); ++i) text += fmt::format(" {:7.3f}", values.at(position * static_cast<size_t>(width) + i));
    return text;
  };
  constexpr size_t kShownAtEnds = 20;
  const size_t length = sample.targets.size();
  std::string text;
  for (size_t t = 0; t < length; ++t) {
    if (!everything && length > 2 * kShownAtEnds && t == kShownAtEnds) {
      text += fmt::format("… {} positions …\n", length - 2 * kShownAtEnds);
      t = length - kShownAtEnds;
    }
    text += fmt::format("{:5} ", t) + numbers(sample.inputs, t, objective.inputs);
    if (sample.targets[t] >= 0) text += "   " + marks.open + "→" + trim(numbers(sample.answers, t, objective.outputs)) + marks.close;
    if (t + 1 < length) text += "\n";
  }
  return text;
}

std::string row_text(const Task& task, const Sample& sample, bool everything, const Marks& marks) {
  if (const Objective objective = task.objective(); !objective.of_tokens()) return vectors_text(objective, sample, everything, marks);
  const size_t length = sample.tokens.size();
  const bool all_scored =
      std::all_of(sample.targets.begin(), sample.targets.end() - 1, [](int64_t t) { return t >= 0; });
  const std::vector<bool> shown = visible(sample, everything);
  RowWriter writer(marks);
  size_t hidden = 0;
  bool answer = false;  // this token is the answer to those before it
  for (size_t t = 0; t < length; ++t) {
    if (!shown[t]) {
      ++hidden;
      continue;
    }
    if (hidden > 0) writer.plain(fmt::format(" … {} tokens … ", hidden));
    hidden = 0;
    const std::string token = task.token_text(sample.tokens[t]);
    answer ? writer.answer(token) : writer.plain(token);
    const int64_t target = sample.targets[t];
    answer = target >= 0 && !all_scored && t + 1 < length && sample.tokens[t + 1] == target;
    if (target < 0 || all_scored || answer) continue;
    // Asked for, but not what the row goes on with: an answer of its own, or the last token of one.
    const std::string text = task.token_text(target);
    const bool goes_on = writer.in_answer() && t + 1 == length;
    goes_on ? writer.answer(text) : writer.answer("→" + trim(text));
    writer.plain(goes_on ? "" : " ");
  }
  return writer.finish() + (all_scored ? "\n(every token is the answer to those before it)" : "");
}

Split parse_split(const std::string& name) {
  for (Split split : {Split::train, Split::validation, Split::test})
    if (name == to_string(split)) return split;
  throw UsageError(fmt::format("--split {}: there are train, validation and test", name));
}

std::string describe_row(const Task& task, Split split, const Setting& setting, const Sample& sample, uint64_t index) {
  std::string text = fmt::format("row {}", index);
  for (size_t i = 0; i < setting.size(); ++i) text += fmt::format(" · {} {}", task.axes().at(i), setting[i]);
  for (size_t i = 0; i < sample.slice.size(); ++i) {
    const std::string axis = task.row_axes().at(i);
    const std::vector<std::string> names = task.row_names(axis, split);
    text += fmt::format(" · {} {}", axis, names.empty() ? std::to_string(sample.slice[i]) : names.at(static_cast<size_t>(sample.slice[i])));
  }
  const auto scored = std::count_if(sample.targets.begin(), sample.targets.end(), [](int64_t t) { return t >= 0; });
  return text + fmt::format(" · {} {}, {} scored", sample.targets.size(), task.objective().of_tokens() ? "tokens" : "positions", scored);
}

int show(const CommandLine& line) {
  if (!line.names().empty() && line.names()[0] == "memory") return show_memory(line);
  const Config config = resolve(settings_of(line.only_name("TASK or CONFIG"), line.overrides()));
  const Split split = parse_split(line.text_or("split", "train"));
  const std::unique_ptr<Task> task = make_task(config);
  const std::vector<Setting> settings = split == Split::test ? task->test_settings() : task->train_settings();
  uint64_t rows = static_cast<uint64_t>(line.integer_or("rows", 3, 1, 1000));
  const uint64_t first = static_cast<uint64_t>(line.integer_or("first", 0, 0, INT64_MAX / 2));
  if (const uint64_t there = task->rows(split); there > 0) {
    if (first >= there)
      throw UsageError(fmt::format("--first {}: the task has {} {} rows", first, there, to_string(split)));
    rows = std::min(rows, there - first);
  }
  const uint64_t seed = split == Split::train ? static_cast<uint64_t>(config.run.seed) : rows_seed(config);
  const Marks marks(::isatty(STDOUT_FILENO) == 1);
  fmt::print("task {} · {} split · {} · chance {} · {}\n", config.task.kind, to_string(split),
             task->metric().name(), format_number(task->chance()), task->objective().text());
  for (uint64_t i = 0; i < rows; ++i) {
    const Setting& setting = settings.at(i % settings.size());
    const Sample sample = task->sample(split, seed, first + i, setting);
    fmt::print("\n{}\n{}\n", describe_row(*task, split, setting, sample, first + i),
               row_text(*task, sample, line.has("full"), marks));
  }
  return 0;
}

}  // namespace

Command show_command() {
  namespace po = boost::program_options;
  Command command;
  command.name = "show";
  command.summary = "print sample rows of a task, or what a memory is, as a person reads them";
  command.usage = "TASK|CONFIG [key=value ...]  or  memory CONFIG [key=value ...]";
  command.details =
      "Prints rows exactly as a model gets them, the settings in turn. Answers are marked: bold on a terminal, "
      "[in brackets] otherwise; [→x] is an answer that is asked for but not in the row. With `memory`: rule, state, gates and "
      "parameters of the config's memory, and which kernel runs in training, evaluation and decoding, and why not the others.";
  command.example = "mneme show mqar task.mqar.train=64x4 --rows 2";
  command.options.add_options()("rows,n", po::value<std::string>()->value_name("N"), "rows to print (3)")(
      "first", po::value<std::string>()->value_name("I"), "index of the first row (0)")(
      "split", po::value<std::string>()->value_name("NAME"), "train, validation or test (train)")(
      "full", "whole rows; without, the middle of a long row is left out");
  command.run = show;
  return command;
}

}  // namespace mneme
