#include "tests/unit/tasks/task_fixture.h"

#include <fstream>

#include "base/text.h"
#include "mneme/errors.h"
#include "tests/property/subjects.h"

namespace mneme::test {

namespace {

// Each as it is by default, and with the settings asked for.
std::vector<std::string> of_plugins() {
  std::vector<std::string> all;
  for (const std::string& task : subjects().tasks) {
    std::string lines = "task.kind = " + task;
    for (const auto& [key, text] : subjects().settings) {
      const std::vector<std::string> parts = split(key, '.');
      const bool of_all = parts.size() == 2 && (parts[0] == "task" || parts[0] == "eval");
      if (of_all || (parts[0] == "task" && parts.at(1) == task)) lines += "; " + key + " = " + text;
    }
    all.push_back(lines);
  }
  return all;
}

}  // namespace

MadeTask make_task(const std::string& lines) {
  register_tasks();
  set_known_plugins({{.name = "transformer", .has_memory = false}}, {{.name = "linear"}});
  Settings settings;
  for (const std::string& line : split(lines, ';'))
    if (!line.empty()) settings.override_with(line);
  MadeTask made{resolve(settings), nullptr};
  const TaskContext context{made.config.task, *made.config.task_options, made.config.eval.lengths};
  made.task = TaskRegistry::instance().get(made.config.task.kind).make(context);
  return made;
}

std::string error_of(const std::string& lines) {
  try {
    make_task(lines);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

void write_file(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

std::string prose(int64_t words, uint64_t seed) {
  Random random(seed, "prose");
  std::string text;
  for (int64_t word = 1; word <= words; ++word) {
    for (int64_t letters = random.between(1, 9); letters > 0; --letters)
      text += static_cast<char>('a' + random.between(0, 25));
    text += word % 12 == 0 ? '\n' : ' ';
  }
  return text;
}

std::vector<std::string> every_task(const TemporaryFolder& folder) {
  if (subjects().chosen) return of_plugins();
  write_file(folder / "train.txt", prose(4000, 1));
  write_file(folder / "test.txt", prose(2000, 2));
  std::string rows;
  for (int i = 0; i < 40; ++i) rows += "{\"tokens\": [1, 2, " + std::to_string(i) + "], \"targets\": [-1, -1, 1]}\n";
  write_file(folder / "rows.jsonl", rows);
  const std::string text = "train_text = " + folder / "train.txt", test = "test_text = " + folder / "test.txt";
  const std::string file = folder / "rows.jsonl";
  return {
      "task.kind = mqar; task.mqar.train = 64x4, 32x8; task.mqar.test = 64x4, 128x16",
      "task.kind = mqar; task.mqar.train = 64x4; task.mqar.test = 64x4; task.mqar.filler = no_keys; task.mqar.echo = true",
      "task.kind = rewrite; task.rewrite.train = 4x8; task.rewrite.test = 4x8, 8x40",
      "task.kind = rewrite; task.rewrite.train = 4x8; task.rewrite.test = 4x8, 8x40; task.rewrite.writes = zipf",
      "task.kind = rewrite; task.rewrite.train = 4x8; task.rewrite.test = 4x8, 8x40; task.rewrite.writes = hot",
      "task.kind = drift; task.drift.train = 4x2; task.drift.test = 4x2, 6x8",
      "task.kind = drift; task.drift.train = 4x2; task.drift.test = 4x8; task.drift.vocab = 64; task.drift.reused = 0.5; task.drift.marked = true",
      "task.kind = cue; task.cue.train = 4x8; task.cue.test = 4x8, 8x20",
      "task.kind = cue; task.cue.train = 4x8; task.cue.test = 4x8; task.cue.mark = behind; task.cue.distance = 2",
      "task.kind = regression; task.regression.train = 12; task.regression.test = 1, 12; task.regression.noise = 0.5",
      "task.kind = regression; task.regression.train = 12; task.regression.test = 12; task.regression.function = relu; "
      "task.regression.dimension = 3; task.regression.outputs = 5",
      "task.kind = regression; task.regression.train = 12; task.regression.test = 12; task.regression.function = sinusoid; "
      "task.regression.dimension = 1",
      "task.kind = induction; task.length = 32; eval.lengths = 32, 100",
      "task.kind = lm; task.length = 64; eval.lengths = 64, 300; task.lm." + text + "; task.lm." + test,
      "task.kind = needle; task.length = 100; eval.lengths = 100, 301; task.needle." + text + "; task.needle." + test,
      "task.kind = needle; task.length = 150; task.needle.repeats = 1; task.needle.min_distance = 40; task.needle.text_weights = equal; task.needle.renamed = 0.5"
      "; task.needle.alphabet = both; task.needle.train_text = " + folder / "train.txt" + ", " + folder / "test.txt",
      "task.kind = needle; task.length = 200; task.needle.variant = single; task.needle." + text,
      "task.kind = needle; task.length = 200; task.needle.variant = multi_key; task.needle." + text,
      "task.kind = needle; task.length = 600; task.needle.variant = stream; task.needle.pending = 4; task.needle.pool = 12; "
      "task.needle.asks = 1, 2; task.needle." + text + "; task.needle." + test,
      "task.kind = needle; task.length = 200; task.needle.variant = repeated",
      "task.kind = file; task.file.train = " + file + "; task.file.test = " + file,
  };
}

std::string text_of(const std::vector<int64_t>& tokens) { return {tokens.begin(), tokens.end()}; }

}  // namespace mneme::test
