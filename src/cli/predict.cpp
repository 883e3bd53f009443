// mneme predict: a trained model on anyone's own rows.
#include "infer/predict.h"

#include <fmt/format.h>

#include <cstdint>

#include "cli/program.h"
#include "cli/status_line.h"
#include "cli/text_table.h"
#include "base/signals.h"
#include "mneme/errors.h"
#include "eval/runtime.h"

namespace mneme {
namespace {

int predict_main(const CommandLine& line) {
  line.refuse_overrides();
  PredictOptions options;
  options.checkpoint = line.only_name("CHECKPOINT or RUN_FOLDER");
  options.input = line.file("input");
  options.output = line.file("output");
  options.last = line.integer_or("last", 0, 1, INT64_MAX);
  options.logits = line.has("logits");
  options.memory = line.file_or("memory", "");
  options.save_memory = line.file_or("save-memory", "");
  RuntimeOptions runtime;
  runtime.threads = line.integer_or("threads", 0, 1, 4096);
  set_up_runtime(runtime);

  StatusLine status(line.has("quiet"));
  options.progress = [&](int64_t done, int64_t rows) {
    throw_if_interrupted("nothing was stored; give the command again");
    status.show(fmt::format("row {} of {}", done, rows));
  };
  const InterruptGuard guard;
  const PredictSummary summary = predict(options);
  const double tokens = static_cast<double>(summary.rows * summary.length);
  fmt::print("{}: {} rows of {} tokens, answers at {} positions each, step {}, {} tokens/s\n", options.output,
             summary.rows, summary.length, summary.positions, summary.step,
             with_separators(static_cast<int64_t>(tokens / summary.seconds)));
  if (summary.not_finite > 0)
    throw DivergedError(fmt::format("{} of {} answers in {} are not finite (argmax -1), first {}{}", summary.not_finite, summary.rows * summary.positions,
                                    options.output, summary.where_not_finite,
                                    options.save_memory.empty() ? "" : "; " + options.save_memory + " is not written"));
  return 0;
}

}  // namespace

Command predict_command() {
  namespace po = boost::program_options;
  const auto text = [](const char* name) { return po::value<std::string>()->value_name(name); };
  Command command;
  command.name = "predict";
  command.summary = "a trained model's answers on your own rows, from HDF5 to HDF5";
  command.usage = "CHECKPOINT|RUN_FOLDER --input x.h5 --output y.h5";
  command.details =
      "Reads `tokens`, int64 [N,T]; writes `argmax`, int64 [N,T] and, with --logits, `logits`, float32 [N,T,V]: "
      "at each position what the model says next. A model of vectors (task regression) reads `inputs`, real [N,T,·], and writes "
      "`outputs`, float32 [N,T,·]. Long rows and large files are read in bounded memory.";
  command.example = "mneme predict results/runs/mag-mqar-1a2b3c4d --input rows.h5 --output answers.h5 --last 1";
  command.options.add_options()("input,i", text("FILE.h5"), "rows to read")(
      "output,o", text("FILE.h5"), "answers to write")("last", text("N"), "only the last N positions of each row")(
      "logits", "also the logits")("memory", text("FILE"), "memories to start from, of one row or of every row")(
      "save-memory", text("FILE"), "write the memories at the ends of the rows")("threads", text("N"), "threads (all cores)");
  command.run = predict_main;
  return command;
}

}  // namespace mneme
