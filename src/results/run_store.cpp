#include "results/run_store.h"

#include <algorithm>
#include <deque>
#include <filesystem>
#include <optional>

#include "base/files.h"
#include "base/folder_lock.h"
#include "base/provenance.h"
#include "io/seal.h"
#include "mneme/errors.h"
#include "results/metrics_stream.h"
#include "results/run_file.h"

namespace mneme {

namespace {

template <class T, class Step>
void cut(std::vector<T>& records, int64_t last_step, Step step) {
  std::erase_if(records, [&](const T& record) { return step(record) > last_step; });
}

/// A later value for the same step replaces the earlier one; settings of the same step add to each other.
void merge(std::vector<Evaluation>& evaluations, const Evaluation& added) {
  const auto same = std::find_if(evaluations.begin(), evaluations.end(), [&](const Evaluation& evaluation) {
    return evaluation.task == added.task && evaluation.split == added.split && evaluation.step == added.step &&
           evaluation.axes == added.axes;
  });
  if (same == evaluations.end()) {
    evaluations.push_back(added);
    return;
  }
  std::vector<EvalSetting> settings = std::move(same->settings);
  for (const EvalSetting& entry : added.settings) {
    const auto old = std::find_if(settings.begin(), settings.end(), [&](const EvalSetting& s) { return s.setting == entry.setting; });
    if (old == settings.end()) settings.push_back(entry);
    else *old = entry;
  }
  *same = added;
  same->settings = std::move(settings);
}

}  // namespace

std::string run_config(const std::string& canonical) { return sealed(canonical + "\n# " + unfilled_seal() + "\n"); }

struct RunStore::Impl {
  Impl(std::string folder_name, RunInfo info) : folder(std::move(folder_name)) {
    make_folders(folder);
    run.info = std::move(info);
    run.created_utc = utc_now();
    read_previous();
    if (ended()) return;
    lock.emplace(folder);
    read_previous();  // by whoever held the lock before
    remove_unfinished(folder, "", /*held=*/true);
    make_folders(folder + "/checkpoint");
    remove_unfinished(folder + "/checkpoint", "", /*held=*/true);
    atomic_write(folder + "/config.ini", run_config(run.info.config_ini));
  }

  void read_previous() {
    if (!std::filesystem::exists(run_file())) return;
    previous = read_run(run_file());
    if (previous->info.config_hash != run.info.config_hash)
      throw StoreError(folder + " holds a run of another config (hash " + previous->info.config_hash + ", this one has " +
                       run.info.config_hash + "); choose another run.name or run.folder, or delete the folder");
  }

  void write_lines() {
    if (unwritten.empty()) return;
    LineFile& file = metrics();
    for (; !unwritten.empty(); unwritten.pop_front()) file.add(unwritten.front());
  }

  bool ended() const { return previous && (previous->status == "done" || previous->status == "diverged"); }

  void require_folder() const {
    if (lock) lock->require_folder();
  }

  std::string run_file() const { return folder + "/run.h5"; }
  std::string metrics_file() const { return folder + "/metrics.jsonl"; }

  LineFile& metrics() {
    require_folder();
    if (!stream) {
      atomic_write(metrics_file(), metrics_text(run));  // without a resume: nothing of an earlier attempt stays
      unwritten.clear();
      stream = std::make_unique<LineFile>(metrics_file());
    }
    return *stream;
  }

  std::string folder;
  std::optional<FolderLock> lock;
  RunRecord run;
  std::optional<RunRecord> previous;
  std::unique_ptr<LineFile> stream;
  std::deque<std::string> unwritten;  // of evaluations and probes
};

RunStore::RunStore(std::string folder, RunInfo info) : impl_(std::make_unique<Impl>(std::move(folder), std::move(info))) {}
RunStore::~RunStore() = default;

const std::string& RunStore::folder() const { return impl_->folder; }
void RunStore::require_folder() const { impl_->require_folder(); }
std::string RunStore::checkpoint_folder() const { return impl_->folder + "/checkpoint"; }
std::string RunStore::previous_status() const { return impl_->previous ? impl_->previous->status : ""; }
std::string RunStore::previous_code_version() const { return impl_->previous ? impl_->previous->info.code_version : ""; }
std::string RunStore::previous_error() const { return impl_->previous ? impl_->previous->error : ""; }
const RunCost& RunStore::cost() const { return impl_->run.cost; }
const std::vector<TrainRow>& RunStore::train_rows() const { return impl_->run.train; }
const std::vector<Evaluation>& RunStore::evaluations() const { return impl_->run.evaluations; }
void RunStore::set_training_loss(const Metric& metric) { impl_->run.info.training_loss = metric.name(); }
void RunStore::set_cost(const RunCost& cost) { impl_->run.cost = cost; }

void RunStore::resume_at(int64_t step) {
  RunRecord& run = impl_->run;
  if (impl_->previous) {
    run.created_utc = impl_->previous->created_utc;
    run.info.training_loss = impl_->previous->info.training_loss;
    run.train = impl_->previous->train;
    run.evaluations = impl_->previous->evaluations;
    run.probes = impl_->previous->probes;
    run.cost = impl_->previous->cost;
  }
  cut(run.train, step, [](const TrainRow& row) { return row.step; });
  cut(run.evaluations, step, [](const Evaluation& evaluation) { return evaluation.step; });
  for (ProbeSeries& probe : run.probes) {
    const size_t kept = static_cast<size_t>(std::upper_bound(probe.steps.begin(), probe.steps.end(), step) - probe.steps.begin());
    probe.steps.resize(kept);
    probe.values.resize(kept);
  }
  std::erase_if(run.probes, [](const ProbeSeries& probe) { return probe.steps.empty(); });
  impl_->stream.reset();  // cut with the next line
  impl_->unwritten.clear();
}

void RunStore::log(const TrainRow& row) {
  impl_->write_lines();
  impl_->metrics().add(metrics_line(row));
  impl_->run.train.push_back(row);
}

void RunStore::add(const Evaluation& evaluation) {
  for (std::string& line : metrics_lines(evaluation)) impl_->unwritten.push_back(std::move(line));
  merge(impl_->run.evaluations, evaluation);
}

void RunStore::probe(const std::string& name, int64_t step, double value, const std::string& unit, const std::string& help) {
  impl_->unwritten.push_back(probe_line(name, step, value, unit));
  std::vector<ProbeSeries>& probes = impl_->run.probes;
  auto series = std::find_if(probes.begin(), probes.end(), [&](const ProbeSeries& probe) { return probe.name == name; });
  if (series == probes.end()) series = probes.insert(probes.end(), {name, unit, help, {}, {}});
  series->steps.push_back(step);
  series->values.push_back(value);
}

void RunStore::write(const std::string& status, const std::string& error) {
  impl_->require_folder();
  impl_->write_lines();
  RunRecord& run = impl_->run;
  run.status = status;
  run.error = error;
  run.finished_utc = status == "running" ? "" : utc_now();
  atomic_write(impl_->run_file(), run_file_bytes(run));
}

void RunStore::note(const std::string& line) { LineFile(impl_->folder + "/log.txt").add(utc_now() + "  " + line); }

}  // namespace mneme
