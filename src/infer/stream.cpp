#include "infer/stream.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <filesystem>

#include "base/provenance.h"
#include "mneme/errors.h"
#include "base/signals.h"
#include "eval/loss.h"
#include "eval/measure.h"
#include "eval/objective.h"

namespace mneme {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kFirstBin = 4096, kBin = 65536;  // tokens
constexpr int64_t kMostKept = 16384;               // tokens of a stream that a model may keep one and all

int64_t bin_end(int64_t first) { return first < kBin ? std::max(kFirstBin, 2 * first) : first + kBin; }

void refuse_endless_attention(const LoadedModel& loaded, int64_t tokens) {
  if (tokens <= kMostKept || !keeps_every_token(loaded.config.model)) return;
  throw ConfigError(
      fmt::format("{}: full attention (model.attention = full) keeps every token it reads, so {} tokens do not fit in bounded memory; "
                  "take a model with a window (model.attention = window) or of memories alone (model.kind = lmm), or read at most {} "
                  "tokens",
                  loaded.folder, tokens, kMostKept));
}

/// Questions whose scored positions are being read; complete ones go into the bin.
class Questions {
 public:
  void open(const Sample& piece) {
    const int64_t scored = std::count_if(piece.targets.begin(), piece.targets.end(), [](int64_t target) { return target >= 0; });
    if (scored > 0) open_.push_back({piece.slice, scored, {}});
  }

  void score(double loss, bool correct, StreamBin& bin) {
    Open& question = open_.front();
    question.sums.add_position(loss, correct);
    if (question.sums.scored < question.positions) return;
    const EvalSums counts = question.sums.as_row();
    bin.questions += counts;
    bin.slices[question.slice] += counts;
    open_.pop_front();
  }

 private:
  struct Open {
    std::vector<int64_t> slice;
    int64_t positions;
    EvalSums sums;
  };
  std::deque<Open> open_;
};

class Reader {
 public:
  Reader(SequenceModel& model, TokenStream& stream) : model_(model), stream_(stream), device_(model.parameters().front().device()) {}

  /// The next tokens of the stream through the model; time and answers go into the bin.
  void read(int64_t steps, StreamBin& bin) {
    const Clock::time_point begin = Clock::now();
    const double processor = processor_seconds();
    take(steps);
    const State before = state_.clone();
    ForwardContext context;
    const at::Tensor hidden = model_.hidden(tokens_.to(device_), state_, context);
    const Scored scored = scored_positions(targets_.to(device_));
    const int64_t bad = bin.questions.not_finite;
    if (scored.count > 0) score(score_positions(model_, hidden, scored), scored.count, bin);
    if (not_finite_.empty() && (bin.questions.not_finite > bad || !not_finite_part(state_).empty()))
      not_finite_ = where_not_finite(model_, tokens_.to(device_), before, bin.end);
    state_ = state_.clone();  // out of the heap's holes: src/eval/evaluate.cpp, read_batch
    bin.end += steps;
    bin.state_bytes = state_.bytes_per_row();
    bin.rss_mib = rss_mib();
    bin.seconds += std::chrono::duration<double>(Clock::now() - begin).count();
    bin.processor_seconds += processor_seconds() - processor;
  }

  /// What was not finite first, and from which token of the stream on; "" = nothing.
  const std::string& not_finite() const { return not_finite_; }

 private:
  /// tokens_, targets_: the stream's next, [1,steps].
  void take(int64_t steps) {
    tokens_ = at::full({1, steps}, 0, at::kLong);
    targets_ = at::full({1, steps}, -1, at::kLong);
    int64_t *tokens = tokens_.mutable_data_ptr<int64_t>(), *targets = targets_.mutable_data_ptr<int64_t>();
    for (int64_t t = 0; t < steps;) {
      if (used_ == piece_.tokens.size()) next_piece();
      const auto count = std::min(steps - t, static_cast<int64_t>(piece_.tokens.size() - used_));
      std::copy_n(piece_.tokens.data() + used_, count, tokens + t);
      std::copy_n(piece_.targets.data() + used_, count, targets + t);
      used_ += static_cast<size_t>(count);
      t += count;
    }
  }

  void next_piece() {
    piece_ = stream_.next();
    used_ = 0;
    questions_.open(piece_);
    const int64_t highest = *std::max_element(piece_.tokens.begin(), piece_.tokens.end());
    if (highest >= model_.shape().vocab)
      throw DataError(fmt::format("token {} of the stream is outside this model's vocabulary (0 to {}); stream the task that it was "
                                  "trained on",
                                  highest, model_.shape().vocab - 1));
  }

  void score(const PositionScores& scores, int64_t count, StreamBin& bin) {
    const double* loss = scores.loss.const_data_ptr<double>();
    const bool* correct = scores.correct.const_data_ptr<bool>();
    for (int64_t i = 0; i < count; ++i) questions_.score(loss[i], correct[i], bin);
  }

  SequenceModel& model_;
  TokenStream& stream_;
  at::Device device_;
  State state_;
  Sample piece_;
  size_t used_ = 0;
  Questions questions_;
  at::Tensor tokens_, targets_;
  std::string not_finite_;
};

}  // namespace

StreamRecord read_stream(const LoadedModel& loaded, TokenStream& stream, const StreamRequest& request) {
  at::NoGradGuard no_grad;
  require_tokens(*loaded.model, "mneme stream");
  refuse_endless_attention(loaded, request.tokens);
  loaded.model->eval();
  StreamRecord record;
  record.checkpoint = std::filesystem::path(loaded.folder).filename().string();
  record.step = loaded.step;
  record.axes = stream.axes();
  record.created_utc = utc_now();
  record.status = "done";
  Reader reader(*loaded.model, stream);
  while (record.tokens() < request.tokens && record.status == "done") {
    StreamBin bin;
    bin.first = bin.end = record.tokens();
    const int64_t end = std::min(bin_end(bin.first), request.tokens);
    while (bin.end < end && !interrupt_requested()) {
      reader.read(std::min(request.segment, end - bin.end), bin);
      if (request.progress) request.progress(record, bin);
    }
    if (bin.end < end) record.status = "interrupted";
    if (bin.end > bin.first) record.bins.push_back(bin);
  }
  if (const EvalSums all = whole_stream(record).questions; all.not_finite > 0 || !reader.not_finite().empty())
    record.error = fmt::format("the answers to {} of {} questions are not finite; {}", all.not_finite, all.rows, reader.not_finite());
  record.finished_utc = utc_now();
  return record;
}

}  // namespace mneme
