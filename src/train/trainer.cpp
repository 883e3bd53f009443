#include "train/trainer.h"

#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>

#include "base/provenance.h"
#include "base/text.h"
#include "mneme/errors.h"
#include "eval/checkpoint.h"
#include "eval/evaluate.h"
#include "base/signals.h"
#include "eval/make.h"
#include "eval/measure.h"
#include "eval/out_of_memory.h"
#include "train/run_info.h"
#include "eval/runtime.h"
#include "train/training_step.h"

namespace mneme {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kSkippedAtMost = 100;  // steps without a target from the start, before training gives up
constexpr const char* kResume = "the same command goes on from here";

/// What makes a step `times` smaller. Parts of a step are the same step.
std::string smaller_step(const TrainOptions& train, int64_t times) {
  int64_t parts = train.accumulate * times;
  while (train.batch_tokens == 0 && parts < train.batch && train.batch % parts != 0) ++parts;
  const int64_t rows = std::max<int64_t>(1, train.batch / times), tokens = std::max<int64_t>(1, train.batch_tokens / times);
  const std::string fewer = train.batch_tokens > 0 ? fmt::format("train.batch_tokens = {}", tokens) : fmt::format("train.batch = {}", rows);
  const std::string smaller = fmt::format("{}, or make the rows, model.width or the memory {} times smaller", fewer, times);
  if (train.batch_tokens == 0 && parts > train.batch) return smaller;
  return fmt::format("train.accumulate = {} works the same rows through in so many parts; or {}", parts, smaller);
}

std::string smaller_evaluation(const EvalOptions& eval, int64_t times) {
  return fmt::format("eval.batch_tokens = {} (now {}), and with full attention shorter rows", std::max<int64_t>(1, eval.batch_tokens / times),
                     eval.batch_tokens);
}

/// Those of the last step: validation, test.
std::vector<Evaluation> last_evaluations(const RunStore& store) {
  std::vector<Evaluation> result;
  int64_t last = 0;
  for (const Evaluation& evaluation : store.evaluations()) last = std::max(last, evaluation.step);
  for (Split split : {Split::validation, Split::test})
    for (const Evaluation& evaluation : store.evaluations())
      if (evaluation.step == last && evaluation.split == to_string(split)) result.push_back(evaluation);
  return result;
}

std::string not_finite_text(const std::vector<Evaluation>& evaluations) {
  std::vector<std::string> parts;
  for (const Evaluation& evaluation : evaluations)
    if (std::string text = evaluation.not_finite(); !text.empty()) parts.push_back(std::move(text));
  return join(parts, "; ");
}

/// The loop over steps of one run and what it keeps up to date: log rows, evaluations, checkpoints.
class Trainer {
 public:
  Trainer(const Config& config, std::unique_ptr<Task> task, RunStore& store, Log& log);
  void run();

 private:
  void start();
  void train_step();
  StepResult step_of_rows();
  void log_row(const StepResult& result);
  void checkpoint();
  void evaluate_if_due();
  void evaluate_split(Split split);
  void note_best(const Evaluation& evaluation);
  void finish();
  void note_skipped();

  bool due(int64_t every) const { return every > 0 && state_.step > 0 && state_.step % every == 0; }
  bool finished() const;
  const Evaluation* evaluation_at(Split split, int64_t step) const;

  const Config& config_;
  RunStore& store_;
  Log& log_;
  std::unique_ptr<Task> task_;
  std::shared_ptr<SequenceModel> model_;
  AdamW optimizer_;
  TrainingStep step_;
  CheckpointFolder checkpoints_;
  TrainerState state_;
  double row_seconds_ = 0;  // since the last log row
  int64_t row_tokens_ = 0;
  int64_t skipped_ = 0;  // steps of this launch without a target
  std::string note_;  // last validation, for the status line
};

Trainer::Trainer(const Config& config, std::unique_ptr<Task> task, RunStore& store, Log& log)
    : config_(config),
      store_(store),
      log_(log),
      task_(std::move(task)),
      model_(make_model(config, model_shape(*task_))),
      optimizer_(
          named_tensors(*model_), [this](const std::string& name) { return model_->decays(name); }, config.train),
      step_(config, *task_, *model_, optimizer_),
      checkpoints_(store.checkpoint_folder(), config.train.keep) {
  store_.set_training_loss(task_->metric().training_loss());
}

void Trainer::run() {
  throw_if_interrupted(kResume);  // reading texts and making the model may take a while
  start();
  while (true) {
    evaluate_if_due();
    if (finished()) break;
    train_step();
    if (due(config_.train.checkpoint_every) || interrupt_requested()) checkpoint();
    throw_if_interrupted(kResume);
  }
  checkpoint();
  finish();
}

void Trainer::start() {
  state_.config_hash = config_hash(config_);
  state_.code_version = code_version();
  for (const std::string& note : task_->notes()) {
    log_.info("note: " + note);
    store_.note("note: " + note);
  }
  if (checkpoints_.empty()) {
    state_.data = data_digests(config_);
    if (const TrainOptions& train = config_.train; !train.init_from.empty()) init_from(*model_, train.init_from, train.init_sha256);
    store_.note(fmt::format("training begins: {} parameters", model_->parameter_count()));
    if (const std::string unread = unread_lengths(config_, *task_); !unread.empty()) log_.info("note: " + unread);
    return;
  }
  TrainerState saved = checkpoints_.load(config_, *model_, [&](const TensorFile& file, const std::string& source) { optimizer_.load(file, source); });
  if (saved.code_version != state_.code_version)
    throw StoreError(
        fmt::format("{} was begun by code version {}, this is {}: delete the folder to train again, or finish it "
                    "with that version",
                    store_.folder(), saved.code_version, state_.code_version));
  saved.config_hash = state_.config_hash;
  state_ = std::move(saved);
  restore_generator(step_.dropout(), state_.generators);
  store_.resume_at(state_.step);
  log_.info(fmt::format("resuming {} at step {}", store_.folder(), state_.step));
  store_.note(fmt::format("resumed at step {}", state_.step));
}

void Trainer::train_step() {
  const Clock::time_point begin = Clock::now();
  const StepResult result = step_of_rows();
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  ++state_.step;
  state_.tokens += result.tokens;
  state_.wall_seconds += seconds;
  if (result.skipped) {
    note_skipped();
  } else {
    state_.loss_sum += result.loss;
    ++state_.loss_steps;
  }
  row_seconds_ += seconds;
  row_tokens_ += result.tokens;
  log_.progress(
      {state_.step, config_.train.steps, result.loss, static_cast<double>(row_tokens_) / row_seconds_, note_});
  if (due(config_.train.log_every) || state_.step == config_.train.steps) log_row(result);
}

StepResult Trainer::step_of_rows() {
  try {
    return step_.run(state_.step);
  } catch (...) {
    rethrow_out_of_memory([&](int64_t times) { return smaller_step(config_.train, times); });
  }
}

void Trainer::note_skipped() {
  ++skipped_;
  store_.note(fmt::format("step {} is skipped: no row of its batch has a target", state_.step));
  if (skipped_ == state_.step && skipped_ == std::min<int64_t>(kSkippedAtMost, config_.train.steps))
    throw DataError(fmt::format("the first {} training steps have not one target among them: every target is -1 (not scored)", skipped_));
}

void Trainer::log_row(const StepResult& result) {
  TrainRow row;
  row.step = state_.step;
  row.tokens = state_.tokens;
  row.loss = state_.loss_sum / static_cast<double>(state_.loss_steps);
  row.lr = result.lr;
  row.grad_norm = result.grad_norm;
  row.tokens_per_s = static_cast<double>(row_tokens_) / row_seconds_;
  row.rss_mib = rss_mib();
  store_.log(row);
  state_.loss_sum = 0;
  state_.loss_steps = 0;
  row_seconds_ = 0;
  row_tokens_ = 0;
}

void Trainer::checkpoint() {
  store_.require_folder();
  save_generator(step_.dropout(), state_.generators);
  store_.write("running");  // first: what a resume takes over is never older than the checkpoint
  checkpoints_.save(config_, *model_, optimizer_.state(), state_);
}

void Trainer::evaluate_if_due() {
  if (!due(config_.eval.every) || evaluation_at(Split::validation, state_.step)) return;
  checkpoint();  // an interrupt, or a full disk, during the evaluation loses nothing
  evaluate_split(Split::validation);
}

void Trainer::evaluate_split(Split split) try {
  EvalRequest request{split, state_.step, [](const Setting&, int64_t, int64_t) { throw_if_interrupted(kResume); }};
  const Evaluation evaluation = evaluate(*model_, *task_, config_, request);
  const Probe probe = split == Split::validation ? measure(*model_, *task_, config_) : measure_by_name(*model_, *task_, config_);
  if (split == Split::validation) note_best(evaluation);
  // From here on nothing fails before the store has all of it: a step that has an evaluation is not evaluated again.
  store_.add(evaluation);
  for (const auto& [name, entry] : probe.entries())
    store_.probe(name, state_.step, entry.value(), entry.quantity.unit, entry.quantity.help);
  store_.set_cost(run_cost(*model_, store_, state_));
  store_.write("running");
  note_ = evaluation.split + " " + evaluation.text();
  log_.info(fmt::format("step {}  {}", state_.step, note_));
} catch (...) {
  rethrow_out_of_memory([&](int64_t times) { return smaller_evaluation(config_.eval, times); });
}

void Trainer::note_best(const Evaluation& evaluation) {
  if (!std::isfinite(evaluation.value())) return;
  for (const Evaluation& earlier : store_.evaluations())
    if (std::isfinite(earlier.value()) && earlier.split == evaluation.split && earlier.step < evaluation.step && !evaluation.metric.better(evaluation.value(), earlier.value())) return;
  checkpoints_.mark_best(state_.step);
}

const Evaluation* Trainer::evaluation_at(Split split, int64_t step) const {
  for (const Evaluation& evaluation : store_.evaluations())
    if (evaluation.split == to_string(split) && evaluation.step == step) return &evaluation;
  return nullptr;
}

bool Trainer::finished() const {
  if (state_.step >= config_.train.steps) return true;
  if (config_.train.stop_accuracy <= 0) return false;
  const Evaluation* last = evaluation_at(Split::validation, state_.step);
  return last && last->metric.is_share() && last->metric.reaches(last->value(), config_.train.stop_accuracy);
}

void Trainer::finish() {
  for (Split split : {Split::validation, Split::test})
    if (!evaluation_at(split, state_.step)) evaluate_split(split);
  store_.set_cost(run_cost(*model_, store_, state_));
  const std::string not_finite = not_finite_text(last_evaluations(store_));
  store_.write("done", not_finite);
  store_.note(not_finite.empty() ? "done" : "done, but " + not_finite);
  if (skipped_ > 0) log_.info(fmt::format("note: {} of the steps of this launch had no target and were skipped (log.txt names them)", skipped_));
}

/// Records how a run ended that did not reach its end; the failure itself travels on. A full disk, which may be that very
/// failure, must not hide it. `status` "": only stopped, will go on.
void record(RunStore& store, const char* status, const std::string& error) {
  try {
    store.note((*status ? std::string(status) + ": " : "") + error);
    // It ended before it went on (a damaged checkpoint, a missing text): what earlier launches found is kept.
    if (store.train_rows().empty() && store.evaluations().empty()) store.resume_at(INT64_MAX);
    store.write(*status ? status : "running", *status ? error : "");
  } catch (const StoreError&) {
  }
}

TrainerResult result_of(const RunStore& store, bool already_done) {
  TrainerResult result{store.folder(), already_done, last_evaluations(store), "", store.cost()};
  result.not_finite = already_done && !store.previous_error().empty() ? store.previous_error() : not_finite_text(result.evaluations);
  return result;
}

}  // namespace

TrainerResult train(const Config& config, const TrainerOptions& options, Log& log) {
  const InterruptGuard guard;
  const int64_t threads = set_up_runtime(config.runtime);
  if (const std::string crowded = crowding(1, threads); !crowded.empty()) log.info("note: " + crowded);
  const std::string folder = config.run.folder + "/" + run_id(config);
  const bool starts_from_weights =
      !config.train.init_from.empty() && !std::filesystem::exists(folder + "/run.h5") && pointed_to(folder + "/checkpoint", "latest").empty();
  std::unique_ptr<Task> task;
  if (starts_from_weights || !std::filesystem::exists(folder)) {  // what does not fit is no run: said before there is a folder
    task = make_task(config);
    if (starts_from_weights)
      init_from(*make_model(config, model_shape(*task)), config.train.init_from, config.train.init_sha256);
  }
  RunStore store(folder, run_info(config, options.command_line, threads));
  if (const std::string status = store.previous_status(); status == "done" || status == "diverged") {
    if (store.previous_code_version() != code_version())
      throw StoreError(
          fmt::format("{} was finished ({}) by code version {}, this is {}: delete the folder to run it again, or "
                      "choose another run.folder",
                      store.folder(), status, store.previous_code_version(), code_version()));
    if (status == "diverged")
      throw DivergedError(store.folder() +
                          ": this run diverged before and would again; its results are in run.h5. Change "
                          "train.lr, or delete the folder to run it again");
    store.resume_at(INT64_MAX);
    return result_of(store, true);
  }
  try {
    if (!task) task = make_task(config);
    Trainer(config, std::move(task), store, log).run();
  } catch (const Interrupted& stopped) {
    record(store, "", stopped.what());
    throw;
  } catch (const DivergedError& error) {
    record(store, "diverged", error.what());
    throw;
  } catch (const c10::Error& error) {
    record(store, "failed", error.what_without_backtrace());
    throw;
  } catch (const std::exception& error) {
    record(store, "failed", error.what());
    throw;
  }
  return result_of(store, false);
}

}  // namespace mneme
