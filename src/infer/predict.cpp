#include "infer/predict.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/isfinite.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "base/files.h"
#include "io/hdf5.h"
#include "base/outputs.h"
#include "mneme/errors.h"
#include "eval/batch.h"
#include "eval/checkpoint.h"
#include "eval/measure.h"
#include "eval/state_file.h"

namespace mneme {

namespace {

constexpr int64_t kLogitsAtOnce = int64_t{1} << 23;  // 32 MiB of fp32

/// What rows and answers are in files, by the model's objective.
class RowFormat {
 public:
  explicit RowFormat(const Objective& objective) : objective_(objective) {}
  virtual ~RowFormat() = default;

  /// The input's dataset, checked.
  virtual h5::Dataset open(const h5::File& input, const std::string& path) const = 0;
  /// Rows [count, steps, ·] of it as SequenceModel::hidden takes them.
  virtual at::Tensor read(const h5::Dataset& rows, int64_t row, int64_t count, int64_t first, int64_t steps) const = 0;
  /// The datasets of the output.
  virtual void make(h5::File& file, int64_t rows, int64_t positions) = 0;
  /// What the model says, [B,n,·], of rows from `row` on, positions from `position` on. `finite`, [B,n]: whether it is an answer.
  virtual void add(int64_t row, int64_t position, const at::Tensor& said, const at::Tensor& finite) = 0;
  virtual void close() = 0;
  const Objective& objective() const { return objective_; }

 protected:
  Objective objective_;
};

void write_numbers(h5::Dataset& dataset, int64_t row, int64_t position, const at::Tensor& said) {
  const at::Tensor values = said.to(at::kCPU, at::kFloat).contiguous();
  dataset.write_block({row, position, 0}, values.sizes().vec(), values.const_data_ptr<float>());
}

class TokenFormat : public RowFormat {
 public:
  TokenFormat(const Objective& objective, bool logits) : RowFormat(objective), with_logits_(logits) {}

  h5::Dataset open(const h5::File& input, const std::string& path) const override {
    if (!input.has("tokens")) throw DataError(path + " has no dataset `tokens`: put the rows to read there, int64 [rows, length]");
    h5::Dataset tokens = input.dataset("tokens");
    if (tokens.kind() != h5::Kind::integer || tokens.shape().size() != 2 || tokens.shape()[1] < 1)
      throw DataError(fmt::format("{}: dataset `tokens` must be int64 of shape [rows, length]; it is {} with {} dimensions", path,
                                  tokens.type_name(), tokens.shape().size()));
    return tokens;
  }

  at::Tensor read(const h5::Dataset& rows, int64_t row, int64_t count, int64_t first, int64_t steps) const override {
    const std::vector<int64_t> values = rows.read_block<int64_t>({row, first}, {count, steps});
    for (size_t i = 0; i < values.size(); ++i)
      if (values[i] < 0 || values[i] >= objective_.vocab)
        throw DataError(fmt::format("{}: token {} in row {}, column {} is outside this model's vocabulary (0 to {})", rows.where(), values[i],
                                    row + static_cast<int64_t>(i) / steps, first + static_cast<int64_t>(i) % steps, objective_.vocab - 1));
    at::Tensor tensor = at::empty({count, steps}, at::kLong);
    std::copy(values.begin(), values.end(), tensor.mutable_data_ptr<int64_t>());
    return tensor;
  }

  void make(h5::File& file, int64_t rows, int64_t positions) override {
    argmax_ = file.make<int64_t>("argmax", {rows, positions});
    argmax_->set("description", "most likely answer after reading the row up to and including this position; -1 where the logits are not finite");
    if (!with_logits_) return;
    logits_ = file.make<float>("logits", {rows, positions, objective_.vocab});
    logits_->set("description", "scores before the soft maximum, by token");
  }

  void add(int64_t row, int64_t position, const at::Tensor& logits, const at::Tensor& finite) override {
    const at::Tensor best = logits.argmax(2).masked_fill(finite.logical_not(), -1).cpu().contiguous();
    argmax_->write_block({row, position}, {best.size(0), best.size(1)}, best.const_data_ptr<int64_t>());
    if (logits_) write_numbers(*logits_, row, position, logits);
  }

  void close() override {
    argmax_.reset();
    logits_.reset();
  }

 private:
  bool with_logits_;
  std::optional<h5::Dataset> argmax_, logits_;
};

class VectorFormat : public RowFormat {
 public:
  using RowFormat::RowFormat;

  h5::Dataset open(const h5::File& input, const std::string& path) const override {
    const std::string wanted = fmt::format("float32 [rows, length, {}]", objective_.inputs);
    if (!input.has("inputs"))
      throw DataError(path + " has no dataset `inputs`: put the rows to read there, " + wanted + ", as this model reads vectors");
    h5::Dataset rows = input.dataset("inputs");
    if (rows.kind() != h5::Kind::real || rows.shape().size() != 3 || rows.shape()[1] < 1 || rows.shape()[2] != objective_.inputs)
      throw DataError(fmt::format("{}: dataset `inputs` must be {}; it is {} of shape [{}]", path, wanted, rows.type_name(),
                                  fmt::join(rows.shape(), ", ")));
    return rows;
  }

  at::Tensor read(const h5::Dataset& rows, int64_t row, int64_t count, int64_t first, int64_t steps) const override {
    const std::vector<float> values = rows.read_block<float>({row, first, 0}, {count, steps, objective_.inputs});
    for (size_t i = 0; i < values.size(); ++i)
      if (const int64_t at = static_cast<int64_t>(i) / objective_.inputs; !std::isfinite(values[i]))
        throw DataError(fmt::format("{}: a number in row {}, position {} is not finite", rows.where(), row + at / steps, first + at % steps));
    at::Tensor tensor = at::empty({count, steps, objective_.inputs}, at::kFloat);
    std::copy(values.begin(), values.end(), tensor.mutable_data_ptr<float>());
    return tensor;
  }

  void make(h5::File& file, int64_t rows, int64_t positions) override {
    outputs_ = file.make<float>("outputs", {rows, positions, objective_.outputs});
    outputs_->set("description", "answer after reading the row up to and including this position");
  }

  void add(int64_t row, int64_t position, const at::Tensor& said, const at::Tensor&) override { write_numbers(*outputs_, row, position, said); }
  void close() override { outputs_.reset(); }

 private:
  std::optional<h5::Dataset> outputs_;
};

std::unique_ptr<RowFormat> row_format(const Objective& objective, const PredictOptions& options) {
  if (objective.of_tokens()) return std::make_unique<TokenFormat>(objective, options.logits);
  if (options.logits) throw UsageError("--logits: this model answers with numbers, which are written to `outputs` anyway; leave it out");
  return std::make_unique<VectorFormat>(objective);
}

/// The output under a temporary name; gone unless `finish` is reached.
class Output {
 public:
  Output(const PredictOptions& options, RowFormat& format, int64_t rows, int64_t positions)
      : path_(options.output), temporary_(temporary_name(write_target(options.output))), file_(h5::File::create(temporary_)), format_(format) {
    format_.make(*file_, rows, positions);
  }
  ~Output() {
    close();
    if (!finished_) std::remove(temporary_.c_str());
  }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  void describe(const LoadedModel& loaded, int64_t first_position, int64_t not_finite) {
    file_->set("checkpoint", std::filesystem::path(loaded.folder).filename().string());
    file_->set("config_ini", canonical_ini(loaded.config));
    file_->set("step", loaded.step);
    file_->set("first_position", first_position);
    file_->set("not_finite", not_finite);
  }

  void finish() {
    format_.close();
    file_->close();
    file_.reset();
    move_into_place(temporary_, path_);
    finished_ = true;
  }

 private:
  void close() {
    format_.close();
    file_.reset();
  }

  std::string path_, temporary_;
  std::optional<h5::File> file_;
  RowFormat& format_;
  bool finished_ = false;
};

/// Answers that are none.
struct NotFinite {
  int64_t count = 0;
  int64_t row = 0, position = 0;  ///< of the first that was met
};

class Predictor {
 public:
  Predictor(SequenceModel& model, const EvalOptions& eval, const h5::Dataset& rows, RowFormat& format, int64_t skipped)
      : model_(model),
        eval_(eval),
        rows_(rows),
        format_(format),
        skipped_(skipped),
        length_(rows.shape()[1]),
        device_(model.parameters().front().device()) {}

  /// From `state` on; it is then that at the end of the rows.
  void rows(int64_t row, int64_t count, State& state) {
    const int64_t segment = std::min(eval_.segment, length_);
    for (int64_t first = 0; first < length_; first += segment) {
      const int64_t steps = std::min(segment, length_ - first);
      ForwardContext context;
      const at::Tensor hidden = model_.hidden(format_.read(rows_, row, count, first, steps).to(device_), state, context);
      answers(row, first, hidden);
    }
  }

  const NotFinite& not_finite() const { return not_finite_; }

 private:
  /// What the model says at the positions of a segment that are asked for, in pieces.
  void answers(int64_t row, int64_t first, const at::Tensor& hidden) {
    const int64_t end = first + hidden.size(1);
    const int64_t piece = std::max<int64_t>(1, kLogitsAtOnce / (hidden.size(0) * format_.objective().width()));
    for (int64_t begin = std::max(first, skipped_); begin < end; begin += piece) {
      const int64_t count = std::min(piece, end - begin);
      const at::Tensor said = model_.logits(hidden.narrow(1, begin - first, count)), finite = at::isfinite(said).all(2);
      count_not_finite(finite, row, begin);
      format_.add(row, begin - skipped_, said, finite);
    }
  }

  void count_not_finite(const at::Tensor& finite, int64_t row, int64_t position) {
    const at::Tensor places = finite.logical_not().nonzero();
    if (places.size(0) == 0) return;
    if (not_finite_.count == 0) not_finite_ = {0, row + places[0][0].item<int64_t>(), position + places[0][1].item<int64_t>()};
    not_finite_.count += places.size(0);
  }

  SequenceModel& model_;
  const EvalOptions& eval_;
  const h5::Dataset& rows_;
  RowFormat& format_;
  int64_t skipped_, length_;
  at::Device device_;
  NotFinite not_finite_;
};

}  // namespace

PredictSummary predict(const PredictOptions& options) {
  at::NoGradGuard no_grad;
  check_outputs({{"--output", options.output}, {"--save-memory", options.save_memory}},
                {{"--input", options.input}, {"--memory", options.memory}});
  const h5::File input = h5::File::open(options.input, {"tokens", "inputs"});
  const LoadedModel loaded = load_model(options.checkpoint);
  loaded.model->eval();
  const std::unique_ptr<RowFormat> format = row_format(loaded.model->shape().objective(), options);
  const h5::Dataset rows = format->open(input, options.input);
  PredictSummary summary{rows.shape()[0], rows.shape()[1], 0, loaded.step, 0, 0, ""};
  if (options.last > summary.length)
    throw UsageError(fmt::format("--last {}: rows of {} have {} tokens", options.last, options.input, summary.length));
  summary.positions = options.last > 0 ? options.last : summary.length;
  std::optional<StoredMemories> memories;
  if (!options.memory.empty()) memories.emplace(options.memory, loaded, summary.rows);
  Output output(options, *format, summary.rows, summary.positions);
  Predictor predictor(*loaded.model, loaded.config.eval, rows, *format, summary.length - summary.positions);

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
  const NotFinite bad = predictor.not_finite();
  output.describe(loaded, summary.length - summary.positions, bad.count);
  output.finish();
  if (bad.count > 0) {
    const at::Tensor read = format->read(rows, bad.row, 1, 0, bad.position + 1).to(loaded.model->parameters().front().device());
    const std::string where = where_not_finite(*loaded.model, read, memories ? memories->rows(bad.row, 1) : State());
    summary.not_finite = bad.count;
    summary.where_not_finite = fmt::format("row {}, position {}{}{}", bad.row, bad.position, where.empty() ? "" : ": ", where);
  } else if (!ends.empty()) {
    save_memories(options.save_memory, State::join(ends, counts), loaded);
  }
  summary.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return summary;
}

}  // namespace mneme
