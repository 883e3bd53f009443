// mneme inspect: what a run file or a checkpoint holds.
#include <fmt/format.h>

#include <filesystem>
#include <optional>

#include "base/files.h"
#include "base/outputs.h"
#include "base/text.h"
#include "benchmarks/result_file.h"
#include "cli/program.h"
#include "cli/result_text.h"
#include "cli/text_table.h"
#include "mneme/errors.h"
#include "report/stream_figure.h"
#include "results/run_file.h"
#include "results/stream_file.h"
#include "eval/checkpoint.h"
#include "eval/runtime.h"

namespace mneme {
namespace {

namespace fs = std::filesystem;
using Rows = std::vector<std::vector<std::string>>;

/// Where a run, or a stream of one, came from.
template <class Record>
Rows origin(const Record& record) {
  const RunInfo& info = record.info;
  return {{"run", info.run_id},
          {"status", record.status + (record.error.empty() ? "" : ": " + record.error)},
          {"seed", std::to_string(info.seed)},
          {"config hash", info.config_hash},
          {"code", info.code_version + (info.code_dirty ? " with uncommitted changes" : "")},
          {"command", info.command_line},
          {"created", record.created_utc},
          {"finished", record.finished_utc.empty() ? "-" : record.finished_utc},
          {"LibTorch", info.libtorch_version + ", " + info.blas},
          {"machine", fmt::format("{}, {}, {} threads{}", info.cpu_model, info.device, info.threads,
                                  info.engine.empty() ? "" : ", kernels for " + info.engine)}};
}

void print_run(const RunRecord& run) {
  Rows rows = origin(run);
  const Rows more{{"labels", run.value("run.labels")},
            {"parameters", with_separators(run.cost.parameters)},
            {"state bytes", with_separators(run.cost.state_bytes) + " per sequence at the training length"},
            {"training",
             fmt::format("{} tokens, {} tokens/s, {:.0f} s, peak {:.0f} MiB", with_separators(run.cost.training_tokens),
                         with_separators(static_cast<int64_t>(run.cost.tokens_per_s)), run.cost.wall_seconds,
                         run.cost.peak_mib)}};
  rows.insert(rows.end(), more.begin(), more.end());
  if (!run.train.empty())
    rows.push_back({"last step", fmt::format("{}, {} {:.4f}", run.train.back().step, run.info.training_loss, run.train.back().loss)});
  fmt::print("{}", text_table(rows));
}

/// The last evaluation of each task and split.
void print_evaluations(const RunRecord& run) {
  for (auto it = run.evaluations.begin(); it != run.evaluations.end(); ++it)
    if (run.last_evaluation(it->task, it->split) == &*it) fmt::print("\n{}", evaluation_text(*it));
}

void print_checkpoint(const std::string& path) {
  const LoadedModel loaded = load_model(path);
  fmt::print("{}", text_table({{"checkpoint", loaded.folder},
                               {"step", std::to_string(loaded.step)},
                               {"run", run_id(loaded.config)},
                               {"model", loaded.config.model.kind + ", memory " + loaded.config.memory.kind},
                               {"reads", loaded.model->shape().objective().text()},
                               {"parameters", with_separators(loaded.model->parameter_count())}}));
  Rows rows{{"parameter", "shape", "numbers", "mean", "sd", "decayed"}};
  for (const auto& [name, tensor] : named_tensors(*loaded.model)) {
    std::vector<std::string> sizes;
    for (int64_t size : tensor.sizes()) sizes.push_back(std::to_string(size));
    const bool spread = tensor.numel() > 1;
    rows.push_back({name, sizes.empty() ? "scalar" : join(sizes, "×"), with_separators(tensor.numel()),
                    fmt::format("{:.4f}", tensor.mean().item<double>()),
                    spread ? fmt::format("{:.4f}", tensor.std().item<double>()) : "-",
                    loaded.model->decays(name) ? "yes" : "no"});
  }
  fmt::print("\n{}", text_table(rows));
}

/// What `read` finds in a file: nothing in one of another kind.
template <class Read>
auto found_in(const std::string& path, Read read) {
  try {
    return read(path);
  } catch (const DataError& error) {
    throw StoreError(std::string(error.what()) + "; give an undamaged run.h5, table .h5 or file of mneme stream or bench");
  }
}

int inspect(const CommandLine& line) {
  line.refuse_overrides();
  const std::string& path = line.only_name("run.h5, RUN_FOLDER or CHECKPOINT");
  if (!fs::exists(path))
    throw StoreError("there is no " + path + "; give a run.h5, a run folder or a checkpoint folder");
  const bool run_folder = fs::exists(path + "/run.h5");
  if (!run_folder && fs::is_directory(path)) {
    if (line.has("plot")) throw UsageError("--plot draws what mneme stream wrote; " + path + " is a folder");
    print_checkpoint(path);
    return 0;
  }
  if (!run_folder) {
    if (const std::optional<BenchFile> bench = found_in(path, read_bench_file)) {
      if (line.has("plot")) throw UsageError("--plot draws what mneme stream wrote; " + path + " is a benchmark's");
      fmt::print("mneme bench {}\n\n{}", printable(bench->benchmark), bench_text(*bench));
      return 0;
    }
    if (const std::optional<StreamRecord> stream = found_in(path, read_stream_file)) {
      check_outputs({{"--plot", line.file_or("plot", "")}}, {{"mneme inspect", path}});
      fmt::print("{}\n{}", text_table(origin(*stream)), stream_text(*stream));
      if (line.has("plot")) atomic_write(line.text("plot"), stream_figure(*stream));
      if (line.has("config")) fmt::print("\n{}", printable(stream->info.config_ini));
      return 0;
    }
  }
  if (line.has("plot")) throw UsageError("--plot draws what mneme stream wrote; " + path + " is not that; for runs see mneme report");
  const std::vector<RunRecord> runs = read_runs({path});
  for (size_t i = 0; i < runs.size(); ++i) {
    if (i) fmt::print("\n");
    print_run(runs[i]);
    print_evaluations(runs[i]);
  }
  if (line.has("config")) fmt::print("\n{}", printable(runs.at(0).info.config_ini));
  return 0;
}

}  // namespace

Command inspect_command() {
  Command command;
  command.name = "inspect";
  command.summary = "what a run.h5, a table's or benchmark's .h5, a stream.h5 or a checkpoint holds";
  command.usage = "FILE.h5|RUN_FOLDER|CHECKPOINT";
  command.details =
      "A run: where it came from, its cost and its last evaluations. What mneme stream wrote: the same tables. A checkpoint folder (RUN_FOLDER/checkpoint "
      "or a step folder in it): the table of its parameters.";
  command.example = "mneme inspect results/runs/transformer-mqar-1a2b3c4d/checkpoint";
  command.options.add_options()("config", "also the resolved config of a run")(
      "plot", boost::program_options::value<std::string>()->value_name("FILE.svg"), "draw a stream again from its HDF5 file");
  command.run = inspect;
  return command;
}

}  // namespace mneme
