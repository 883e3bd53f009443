// mneme stream: a trained model on one endless text, with questions on the way.
#include "infer/stream.h"

#include <fmt/format.h>

#include <cstdio>
#include <map>

#include "base/files.h"
#include "base/outputs.h"
#include "base/text.h"
#include "cli/program.h"
#include "cli/result_text.h"
#include "cli/status_line.h"
#include "cli/text_table.h"
#include "mneme/errors.h"
#include "report/stream_figure.h"
#include "results/stream_file.h"
#include "base/signals.h"
#include "eval/make.h"
#include "train/run_info.h"
#include "eval/runtime.h"

namespace mneme {
namespace {

constexpr int64_t kTokens = int64_t{1} << 21;

/// The checkpoint's config with what the command line changes.
Config stream_config(const CommandLine& line, const std::string& path) {
  std::vector<std::string> overrides = line.overrides();
  if (line.has("segment")) overrides.push_back(fmt::format("eval.segment={}", line.integer_or("segment", 1, 1, INT32_MAX)));
  if (line.has("seed")) overrides.push_back(fmt::format("eval.seed={}", line.integer_or("seed", 1, 0, INT64_MAX)));
  if (!line.has("text")) return checkpoint_config(path, overrides);
  const Config trained = checkpoint_config(path, overrides);
  const std::string section = "task." + trained.task.kind + ".";
  std::map<std::string, std::string> values;
  for (const auto& [key, value] : flat_values(trained)) values[key] = value;
  if (!values.count(section + "test_text"))
    throw UsageError(fmt::format("--text is for a task that reads a text (needle, lm); this checkpoint's task is {}", trained.task.kind));
  if (values[section + "variant"] == "repeated")
    throw UsageError("--text: " + section + "variant = repeated reads no text; choose another variant, e.g. " + section + "variant=stream");
  overrides.push_back(fmt::format("{}test_text={}", section, join(line.list("text"), ", ")));
  return checkpoint_config(path, overrides);
}

StreamRecord read(const CommandLine& line, const LoadedModel& loaded, const Task& task) {
  StreamOptions options;
  options.seed = static_cast<uint64_t>(loaded.config.eval.seed);
  options.distances = line.integers("distances", 0, INT32_MAX);
  options.spacing = line.integer_or("spacing", 0, 1, INT32_MAX);
  StatusLine status(line.has("quiet"));
  StreamRequest request;
  request.tokens = line.integer_or("tokens", kTokens, 1, INT64_MAX);
  request.segment = loaded.config.eval.segment;
  request.progress = [&](const StreamRecord&, const StreamBin& bin) {
    status.show(fmt::format("token {} of {}, {} tokens/s, {:.0f} MiB", with_separators(bin.end), with_separators(request.tokens),
                            with_separators(static_cast<int64_t>(bin.tokens_per_s())), bin.rss_mib));
  };
  StreamRecord record = read_stream(loaded, *make_stream(task, options), request);
  record.task = loaded.config.task.kind;
  record.metric = task.metric();
  record.chance = task.chance();
  return record;
}

int stream(const CommandLine& line) {
  const std::string& path = line.only_name("CHECKPOINT or RUN_FOLDER");
  const std::string output = line.file_or("output", ""), plot = line.file_or("plot", "");
  const Config config = stream_config(line, path);
  check_outputs({{"--output", output}, {"--plot", plot}}, data_files(config));
  const int64_t threads = set_up_runtime(config.runtime);
  const LoadedModel loaded = load_model(path, config);
  const std::unique_ptr<Task> task = make_task(config);
  for (const std::string& file : changed_data(path, config)) fmt::print(stderr, "mneme: note: {} has changed since this model was trained\n", file);
  for (const std::string& note : task->notes()) fmt::print(stderr, "mneme: note: {}\n", note);
  const InterruptGuard guard;
  fmt::print("{}\n", loaded.folder);
  std::fflush(stdout);
  StreamRecord record = read(line, loaded, *task);
  record.info = run_info(config, line.typed(), threads);
  if (record.tokens() == 0) throw_if_interrupted("nothing was read; give the command again");
  fmt::print("\n{}", stream_text(record));
  const auto write = [&](const std::string& file, const std::string& bytes) {
    atomic_write(file, bytes);
    fmt::print("written: {}\n", file);
  };
  if (!output.empty()) write(output, stream_file_bytes(record));
  if (!plot.empty()) write(plot, stream_figure(record));
  const std::string found = fmt::format("what was found in the first {} tokens is {}; the same command starts at the beginning again",
                                        with_separators(record.tokens()), output.empty() ? "above" : "in " + output);
  throw_if_interrupted(found.c_str());
  if (!record.error.empty()) throw DivergedError(record.error);
  return 0;
}

}  // namespace

Command stream_command() {
  namespace po = boost::program_options;
  const auto text = [](const char* name) { return po::value<std::string>()->value_name(name); };
  const auto list = [](const char* name) { return po::value<std::vector<std::string>>()->value_name(name); };
  Command command;
  command.name = "stream";
  command.summary = "a trained model reads one endless stream and answers questions on the way";
  command.usage = "CHECKPOINT|RUN_FOLDER --tokens N [key=value ...]";
  command.details =
      "The state is carried from the first token to the last and never reset; memory does not grow. Task needle: its test text, from "
      "the beginning again when it ends, with needles hidden and asked for after --distances tokens. Any other task: its test rows end "
      "to end. Prints answers, speed and memory along the stream and answers by distance (or by setting). Full attention keeps every "
      "token and is refused.";
  command.example = "mneme stream results/runs/mag-needle-1a2b3c4d --tokens 2097152 --output results/stream.h5 --plot results/stream.svg";
  command.options.add_options()("tokens,n", text("N"), "how many tokens to read (2097152)")(
      "text", list("FILE"), "text for the task's test text: files or folders")(
      "distances", list("N,N,..."), "tokens from a needle to its question (64, 128, ..., 16384)")(
      "spacing", text("N"), "tokens from one needle to the next, on average (128)")("seed", text("N"), "of the stream (eval.seed)")(
      "segment", text("N"), "tokens per call of the model (eval.segment): speed, not answers")(
      "output,o", text("FILE.h5"), "write what was found")("plot", text("FILE.svg"), "draw it");
  command.run = stream;
  return command;
}

}  // namespace mneme
