#include "infer/predict.h"

#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "base/files.h"
#include "io/hdf5.h"
#include "base/outputs.h"
#include "mneme/errors.h"
#include "eval/batch.h"
#include "eval/checkpoint.h"
#include "eval/state_file.h"

namespace mneme {

namespace {

constexpr int64_t kLogitsAtOnce = int64_t{1} << 23;  // 32 MiB of fp32

/// The input's `tokens`, checked.
h5::Dataset open_tokens(const h5::File& input, const std::string& path) {
  if (!input.has("tokens")) throw DataError(path + " has no dataset `tokens`: put the rows to read there, int64 [rows, length]");
  h5::Dataset tokens = input.dataset("tokens");
  if (tokens.kind() != h5::Kind::integer || tokens.shape().size() != 2 || tokens.shape()[1] < 1)
    throw DataError(
        fmt::format("{}: dataset `tokens` must be int64 of shape [rows, length]; it is {} with {} dimensions", path,
                    tokens.type_name(), tokens.shape().size()));
  return tokens;
}

/// The output under a temporary name; gone unless `finish` is reached.
class Output {
 public:
  Output(const PredictOptions& options, int64_t rows, int64_t positions, int64_t vocab)
      : path_(options.output), temporary_(temporary_name(write_target(options.output))), file_(h5::File::create(temporary_)) {
    argmax_ = file_->make<int64_t>("argmax", {rows, positions});
    if (options.logits) logits_ = file_->make<float>("logits", {rows, positions, vocab});
  }
  ~Output() {
    close();
    if (!finished_) std::remove(temporary_.c_str());
  }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  /// logits [B,n,V] of rows from `row` on, positions from `position` on.
  void add(int64_t row, int64_t position, const at::Tensor& logits) {
    const at::Tensor best = logits.argmax(2).cpu().contiguous();
    argmax_->write_block({row, position}, {best.size(0), best.size(1)}, best.const_data_ptr<int64_t>());
    if (!logits_) return;
    const at::Tensor values = logits.to(at::kCPU, at::kFloat).contiguous();
    logits_->write_block({row, position, 0}, values.sizes().vec(), values.const_data_ptr<float>());
  }

  void describe(const LoadedModel& loaded, int64_t length) {
    file_->set("checkpoint", std::filesystem::path(loaded.folder).filename().string());
    file_->set("config_ini", canonical_ini(loaded.config));
    file_->set("step", loaded.step);
    file_->set("first_position", length - argmax_->shape()[1]);
    argmax_->set("description", "most likely answer after reading the row up to and including this position");
    if (logits_) logits_->set("description", "scores before the soft maximum, by token");
  }

  void finish() {
    argmax_.reset();
    logits_.reset();
    file_->close();
    file_.reset();
    move_into_place(temporary_, path_);
    finished_ = true;
  }

 private:
  void close() {
    argmax_.reset();
    logits_.reset();
    file_.reset();
  }

  std::string path_, temporary_;
  std::optional<h5::File> file_;
  std::optional<h5::Dataset> argmax_, logits_;
  bool finished_ = false;
};

class Predictor {
 public:
  Predictor(SequenceModel& model, const EvalOptions& eval, const h5::Dataset& tokens, Output& output, int64_t skipped)
      : model_(model),
        eval_(eval),
        tokens_(tokens),
        output_(output),
        skipped_(skipped),
        length_(tokens.shape()[1]),
        device_(model.parameters().front().device()) {}

  /// From `state` on; it is then that at the end of the rows.
  void rows(int64_t row, int64_t count, State& state) {
    const int64_t segment = std::min(eval_.segment, length_);
    for (int64_t first = 0; first < length_; first += segment) {
      const int64_t steps = std::min(segment, length_ - first);
      ForwardContext context;
      const at::Tensor hidden = model_.hidden(read(row, count, first, steps).to(device_), state, context);
      answers(row, first, hidden);
    }
  }

 private:
  at::Tensor read(int64_t row, int64_t count, int64_t first, int64_t steps) const {
    const std::vector<int64_t> values = tokens_.read_block<int64_t>({row, first}, {count, steps});
    for (size_t i = 0; i < values.size(); ++i)
      if (values[i] < 0 || values[i] >= model_.shape().vocab)
        throw DataError(fmt::format("{}: token {} in row {}, column {} is outside this model's vocabulary (0 to {})",
                                    tokens_.where(), values[i], row + static_cast<int64_t>(i) / steps,
                                    first + static_cast<int64_t>(i) % steps, model_.shape().vocab - 1));
    at::Tensor tensor = at::empty({count, steps}, at::kLong);
    std::copy(values.begin(), values.end(), tensor.mutable_data_ptr<int64_t>());
    return tensor;
  }

  /// Logits of the positions of a segment that are asked for, in pieces.
  void answers(int64_t row, int64_t first, const at::Tensor& hidden) {
    const int64_t end = first + hidden.size(1);
    const int64_t piece = std::max<int64_t>(1, kLogitsAtOnce / (hidden.size(0) * model_.shape().vocab));
    for (int64_t begin = std::max(first, skipped_); begin < end; begin += piece) {
      const int64_t count = std::min(piece, end - begin);
      output_.add(row, begin - skipped_, model_.logits(hidden.narrow(1, begin - first, count)));
    }
  }

  SequenceModel& model_;
  const EvalOptions& eval_;
  const h5::Dataset& tokens_;
  Output& output_;
  int64_t skipped_, length_;
  at::Device device_;
};

}  // namespace

PredictSummary predict(const PredictOptions& options) {
  at::NoGradGuard no_grad;
  check_outputs({{"--output", options.output}, {"--save-memory", options.save_memory}},
                {{"--input", options.input}, {"--memory", options.memory}});
  const h5::File input = h5::File::open(options.input);
  const h5::Dataset tokens = open_tokens(input, options.input);
  const LoadedModel loaded = load_model(options.checkpoint);
  loaded.model->eval();
  PredictSummary summary{tokens.shape()[0], tokens.shape()[1], 0, loaded.model->shape().vocab, loaded.step, 0};
  if (options.last > summary.length)
    throw UsageError(fmt::format("--last {}: rows of {} have {} tokens", options.last, options.input, summary.length));
  summary.positions = options.last > 0 ? options.last : summary.length;
  std::optional<StoredMemories> memories;
  if (!options.memory.empty()) memories.emplace(options.memory, loaded, summary.rows);
  Output output(options, summary.rows, summary.positions, summary.vocab);
  Predictor predictor(*loaded.model, loaded.config.eval, tokens, output, summary.length - summary.positions);

  const auto begin = std::chrono::steady_clock::now();
  const int64_t at_once = rows_at_once(loaded.config, summary.length);
  std::vector<State> ends;
  std::vector<int64_t> counts;
  for (int64_t row = 0; row < summary.rows; row += at_once) {
    const int64_t count = std::min(at_once, summary.rows - row);
    State state = memories ? memories->rows(row, count) : State();
    predictor.rows(row, count, state);
    if (!options.save_memory.empty()) {
      ends.push_back(memories_of(state));
      counts.push_back(count);
    }
    if (options.progress) options.progress(row + count, summary.rows);
  }
  output.describe(loaded, summary.length);
  output.finish();
  if (!ends.empty()) save_memories(options.save_memory, State::join(ends, counts), loaded);
  summary.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return summary;
}

}  // namespace mneme
