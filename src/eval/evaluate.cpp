#include "eval/evaluate.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>

#include "base/provenance.h"
#include "mneme/errors.h"
#include "eval/batch.h"
#include "eval/loss.h"
#include "eval/make.h"
#include "eval/measure.h"
#include "eval/objective.h"

namespace mneme {

namespace {

using Clock = std::chrono::steady_clock;

/// Tokens, or numbers of vectors, of all rows of a batch together, whatever the segment: bounds what is held beside the model's state.
constexpr int64_t kTokensHeld = int64_t{1} << 22;

/// 0, 256, 1k, 4k, … up to and including the first edge ≥ length.
std::vector<int64_t> position_edges(int64_t length) {
  std::vector<int64_t> edges{0, 256};
  while (edges.back() < length) edges.push_back(edges.back() * 4);
  return edges;
}

size_t bin_of(const std::vector<int64_t>& edges, int64_t position) {
  return static_cast<size_t>(std::upper_bound(edges.begin(), edges.end(), position) - edges.begin()) - 1;
}

/// Sums of one batch of rows, by row, by row and place of a position, and by position bin.
class BatchSums {
 public:
  using ByPlace = std::map<int64_t, EvalSums>;

  BatchSums(const Batch& batch, const std::vector<int64_t>* edges)
      : rows_(static_cast<size_t>(batch.rows())), places_(rows_.size()), place_of_(batch.places), edges_(edges) {
    if (edges_) bins_.resize(edges_->size() - 1);
  }

  /// `steps`: tokens in the segment that was scored; `first`: position of its first token.
  void add(const PositionScores& scores, const Scored& scored, int64_t first, int64_t steps) {
    const double* loss = scores.loss.const_data_ptr<double>();
    const bool* correct = scores.correct.const_data_ptr<bool>();
    const at::Tensor index = scored.index.defined() ? scored.index.cpu() : at::Tensor();
    for (int64_t i = 0; i < scored.count; ++i) {
      const int64_t flat = index.defined() ? index.const_data_ptr<int64_t>()[i] : i;
      const auto row = static_cast<size_t>(flat / steps);
      const int64_t position = first + flat % steps;
      rows_[row].add_position(loss[i], correct[i]);
      if (!place_of_[row].empty())
        if (const int64_t place = place_of_[row].at(static_cast<size_t>(position)); place >= 0) places_[row][place].add_position(loss[i], correct[i]);
      if (edges_) bins_[bin_of(*edges_, position)].add_position(loss[i], correct[i]);
    }
  }

  const std::vector<EvalSums>& rows() const { return rows_; }
  const std::vector<ByPlace>& places() const { return places_; }
  const std::vector<EvalSums>& bins() const { return bins_; }

 private:
  std::vector<EvalSums> rows_, bins_;
  std::vector<ByPlace> places_;
  const std::vector<std::vector<int64_t>>& place_of_;
  const std::vector<int64_t>* edges_;
};

void read_segment(SequenceModel& model, const Batch& batch, int64_t first, int64_t steps, State& state, BatchSums& sums) {
  const at::Device device = model.parameters().front().device();
  ForwardContext context;
  const Batch part = batch.part_of_positions(first, steps).to(device);
  const at::Tensor hidden = model.hidden(part.inputs, state, context);
  const Scored scored = scored_positions(part);
  if (scored.count > 0) sums.add(score_positions(model, hidden, scored), scored, first, steps);
}

/// Reads a batch segment by segment, with a fresh state after every `reset` tokens. Returns the state's bytes per row after the last token.
double read_batch(SequenceModel& model, const Batch& batch, int64_t segment, int64_t reset, BatchSums& sums) {
  State state;
  for (int64_t first = 0, steps = 0; first < batch.length(); first += steps) {
    if (reset > 0 && first % reset == 0) state = {};
    steps = std::min(segment, batch.length() - first);
    if (reset > 0) steps = std::min(steps, reset - first % reset);
    read_segment(model, batch, first, steps, state, sums);
    // The state was made while the segment's activations filled the heap. Left where it is, it cuts what they have freed into
    // pieces, and the next segment needs fresh memory: some 7 % more in long rows than in short ones.
    state = state.clone();
  }
  return static_cast<double>(state.bytes_per_row());
}

/// The row up to and with position `last`, without what is asked.
Sample past_of(const Sample& row, const Objective& objective, int64_t last) {
  const auto width = static_cast<size_t>(objective.inputs), steps = static_cast<size_t>(last) + 1;
  Sample past;
  past.tokens.assign(row.tokens.begin(), row.tokens.begin() + static_cast<ptrdiff_t>(std::min(steps, row.tokens.size())));
  past.inputs.assign(row.inputs.begin(), row.inputs.begin() + static_cast<ptrdiff_t>(std::min(steps * width, row.inputs.size())));
  return past;
}

/// What the task's references say on the rows of a batch, scored as a model is.
void add_references(EvalSetting& into, const std::vector<Reference>& references, const Batch& batch, const Objective& objective,
                    const std::function<Sample(int64_t)>& sample) {
  if (references.empty()) return;
  std::vector<Sample> rows;
  for (int64_t row = 0; row < batch.rows(); ++row) rows.push_back(sample(row));
  const Scored scored = scored_positions(batch);
  for (const Reference& reference : references) {
    const at::Tensor outputs = at::empty({scored.count, objective.width()}, at::kDouble);
    for (int64_t i = 0; i < scored.count; ++i) {
      const int64_t flat = scored.index.defined() ? scored.index.const_data_ptr<int64_t>()[i] : i;
      const std::vector<double> said = reference.predict(past_of(rows[static_cast<size_t>(flat / batch.length())], objective, flat % batch.length()));
      if (static_cast<int64_t>(said.size()) != objective.width())
        throw Error("the reference " + reference.name + " says " + std::to_string(said.size()) + " numbers where the task has " + objective.text());
      std::copy(said.begin(), said.end(), outputs.mutable_data_ptr<double>() + i * objective.width());
    }
    BatchSums sums(batch, nullptr);
    if (scored.count > 0) sums.add(tensors_of(objective).scores(outputs, scored), scored, 0, batch.length());
    for (const EvalSums& row : sums.rows()) into.references[reference.name] += row.as_row();
  }
}

std::vector<int64_t> with(std::vector<int64_t> slice, int64_t place) {
  slice.push_back(place);
  return slice;
}

void take_over(EvalSetting& into, const BatchSums& sums, const Batch& batch) {
  for (size_t row = 0; row < sums.rows().size(); ++row) {
    const EvalSums counts = sums.rows()[row].as_row();
    into.sums += counts;
    if (!batch.places[row].empty()) {
      for (const auto& [place, part] : sums.places()[row]) into.slices[with(batch.slices[row], place)] += part.as_row();
    } else if (!batch.slices[row].empty()) {
      into.slices[batch.slices[row]] += counts;
    }
  }
  into.positions.resize(sums.bins().size());
  const auto scored = std::count_if(sums.rows().begin(), sums.rows().end(), [](const EvalSums& row) { return row.scored > 0; });
  for (size_t bin = 0; bin < sums.bins().size(); ++bin) {
    into.positions[bin] += sums.bins()[bin];
    into.positions[bin].rows += scored;
  }
}

/// Says once of a setting what is not finite, and where it begins, in the first row of which an answer is not.
void look_inside(EvalSetting& into, SequenceModel& model, const BatchSums& sums, const Batch& batch, int64_t first) {
  const auto bad = std::find_if(sums.rows().begin(), sums.rows().end(), [](const EvalSums& row) { return row.not_finite > 0; });
  if (bad == sums.rows().end() || !into.where_not_finite.empty()) return;
  const int64_t row = bad - sums.rows().begin();
  const std::string where = where_not_finite(model, batch.inputs.narrow(0, row, 1).to(model.parameters().front().device()));
  into.where_not_finite = fmt::format("row {}{}{}", first + row, where.empty() ? "" : ": ", where);
}

EvalSetting evaluate_setting(SequenceModel& model, const Task& task, const Config& config,
                             const EvalRequest& request, const Setting& setting, const std::vector<int64_t>& edges) {
  const EvalOptions& eval = config.eval;
  EvalSetting result;
  result.setting = setting;
  result.length = task.length(setting);
  const int64_t rows = eval_rows(task, eval, request.split, setting);
  const int64_t segment = std::min(eval.segment, result.length);
  const int64_t numbers = std::max<int64_t>(1, task.objective().inputs + task.objective().outputs);
  const int64_t at_once = std::max<int64_t>(1, std::min(rows_at_once(config, result.length), kTokensHeld / (result.length * numbers)));
  const std::vector<Reference> references = request.split == Split::test ? task.references() : std::vector<Reference>();
  for (int64_t first = 0; first < rows; first += at_once) {
    const Batch batch = make_batch(task, request.split, rows_seed(config), static_cast<uint64_t>(first),
                                   std::min(at_once, rows - first), setting);
    BatchSums sums(batch, task.by_position() ? &edges : nullptr);
    const Clock::time_point begin = Clock::now();
    result.state_bytes = read_batch(model, batch, segment, eval.reset, sums);
    result.seconds += std::chrono::duration<double>(Clock::now() - begin).count();
    take_over(result, sums, batch);
    look_inside(result, model, sums, batch, first);
    add_references(result, references, batch, task.objective(), [&](int64_t row) {
      return task.sample(request.split, rows_seed(config), static_cast<uint64_t>(first + row), setting);
    });
    if (request.progress) request.progress(setting, first + batch.rows(), rows);
  }
  result.tokens_per_s = static_cast<double>(rows * result.length) / result.seconds;
  result.rss_mib = rss_mib();
  return result;
}

}  // namespace

int64_t eval_rows(const Task& task, const EvalOptions& eval, Split split, const Setting& setting) {
  constexpr int64_t kFewest = 16;  // rows of the longest settings, where eval.tokens would leave fewer
  int64_t rows = eval.samples;
  if (eval.tokens > 0) rows = std::min(rows, std::max(kFewest, eval.tokens / task.length(setting)));
  if (const uint64_t there = task.rows(split); there > 0) rows = std::min(rows, static_cast<int64_t>(there));
  return rows;
}

Evaluation evaluate(SequenceModel& model, const Task& task, const Config& config, const EvalRequest& request) {
  at::NoGradGuard no_grad;
  const EvaluationMode evaluation(model);
  Evaluation result;
  result.task = config.task.kind;
  result.split = to_string(request.split);
  result.metric = task.metric();
  result.chance = task.chance();
  result.step = request.step;
  result.axes = task.axes();
  result.row_axes = task.row_axes();
  if (const std::string axis = task.position_axis(); !axis.empty()) result.row_axes.push_back(axis);
  for (const std::string& axis : result.row_axes)
    if (std::vector<std::string> names = task.row_names(axis, request.split); !names.empty()) result.row_names[axis] = std::move(names);
  const std::vector<Setting> settings = request.split == Split::test ? task.test_settings() : task.train_settings();
  int64_t longest = 1;
  for (const Setting& setting : settings) longest = std::max(longest, task.length(setting));
  if (task.by_position()) result.position_edges = position_edges(longest);
  for (const Setting& setting : settings)
    result.settings.push_back(evaluate_setting(model, task, config, request, setting, result.position_edges));
  if (request.split == Split::test && task.rows(Split::test) > 0)
    result.chance = task.chance_of(rows_seed(config), static_cast<uint64_t>(eval_rows(task, config.eval, Split::test, settings.front())));
  return result;
}

}  // namespace mneme
