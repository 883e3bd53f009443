#include "eval/measure.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "eval/batch.h"
#include "eval/evaluate.h"
#include "eval/make.h"

namespace mneme {

namespace {

constexpr int64_t kProbeTokens = 4096, kProbeRows = 4, kNamedRows = 16;

Probe read_rows(SequenceModel& model, const at::Tensor& rows, int64_t segment) {
  at::NoGradGuard no_grad;
  const EvaluationMode evaluation(model);
  const at::Tensor tokens = rows.to(model.parameters().front().device());
  Probe probe;
  State state;
  for (int64_t first = 0; first < tokens.size(1); first += segment) {
    ForwardContext context;
    context.probe = &probe;
    model.hidden(tokens.narrow(1, first, std::min(segment, tokens.size(1) - first)).contiguous(), state, context);
  }
  return probe;
}

/// "layer 1, head 0" of the first fast weights that hold a number that is not finite; "" where all are.
std::string not_finite(const State& state) {
  for (const auto& [path, tensor] : state.flatten()) {
    const size_t memory = path.find("/memory/"), name = path.rfind('/') + 1;
    if (memory == std::string::npos || path.compare(name, 8, "weights_") != 0 || tensor.dim() < 3) continue;
    const at::Tensor bad = ~at::isfinite(tensor).flatten(2).all(2).all(0);  // [H]
    if (!bad.any().item<bool>()) continue;
    const std::string layer = path.substr(0, path.find('/'));
    return fmt::format("layer {}, head {}: fast weights {} are not finite", layer.substr(layer.rfind('_') + 1),
                       bad.nonzero()[0].item<int64_t>(), path.substr(name + 8));
  }
  return "";
}

/// "layer0: largest theta 0.5, alpha 0.01, eta 0.99; weights 12.3; …"
std::string largest_gates(const Probe& probe) {
  std::string text;
  for (const auto& [name, entry] : probe.entries()) {
    const std::string end = "theta_max";
    if (!name.ends_with(end)) continue;
    const std::string place = name.substr(0, name.size() - end.size());
    auto value = [&](const std::string& quantity) {
      const auto found = probe.entries().find(place + quantity);
      return found == probe.entries().end() ? std::nan("") : found->second.value();
    };
    text += fmt::format("{}{}: theta {:.3g}, alpha {:.3g}, eta {:.3g}, norm of the weights {:.3g}", text.empty() ? "largest gates: " : "; ",
                        place.substr(0, place.find('/')), value("theta_max"), value("alpha_max"), value("eta_max"), value("weights_norm"));
  }
  return text;
}

}  // namespace

Probe measure(SequenceModel& model, const Task& task, const Config& config) {
  const Setting setting = task.train_settings().back();
  int64_t rows = std::clamp<int64_t>(kProbeTokens / task.length(setting), 1, kProbeRows);
  if (const uint64_t there = task.rows(Split::validation); there > 0) rows = std::min(rows, static_cast<int64_t>(there));
  return read_rows(model, make_batch(task, Split::validation, rows_seed(config), 0, rows, setting).inputs, config.eval.segment);
}

Probe measure_by_name(SequenceModel& model, const Task& task, const Config& config) {
  const Setting setting = task.train_settings().back();
  const std::vector<std::string> axes = task.row_axes();
  Probe all;
  for (size_t axis = 0; axis < axes.size(); ++axis) {
    const std::vector<std::string> names = task.row_names(axes[axis], Split::test);
    if (names.empty()) continue;
    const int64_t each = std::clamp<int64_t>(kProbeTokens / task.length(setting), kProbeRows, kNamedRows);
    int64_t rows = 2 * each * static_cast<int64_t>(names.size());  // which name a row has is the task's draw
    if (const uint64_t there = task.rows(Split::test); there > 0) rows = std::min(rows, static_cast<int64_t>(there));
    const Batch batch = make_batch(task, Split::test, rows_seed(config), 0, rows, setting);
    for (size_t name = 0; name < names.size(); ++name) {
      std::vector<int64_t> chosen;
      for (int64_t row = 0; row < rows && static_cast<int64_t>(chosen.size()) < each; ++row)
        if (batch.slices[static_cast<size_t>(row)].at(axis) == static_cast<int64_t>(name)) chosen.push_back(row);
      if (!chosen.empty())
        all.add(axes[axis] + "/" + names[name] + "/",
                read_rows(model, batch.inputs.index_select(0, at::tensor(chosen, at::kLong)), config.eval.segment));
    }
  }
  return all;
}

std::string describe_divergence(SequenceModel& model, const at::Tensor& inputs) {
  constexpr int64_t kPart = 64;
  at::NoGradGuard no_grad;
  Probe probe;
  State state;
  std::string where;
  for (int64_t first = 0; first < inputs.size(1) && where.empty(); first += kPart) {
    const int64_t steps = std::min(kPart, inputs.size(1) - first);
    ForwardContext context;
    context.probe = &probe;
    model.hidden(inputs.narrow(1, first, steps).contiguous(), state, context);
    if (const std::string what = not_finite(state); !what.empty()) where = fmt::format("{} within tokens {} to {}", what, first, first + steps - 1);
  }
  const std::string gates = largest_gates(probe);
  if (gates.empty()) return "";
  return (where.empty() ? "all fast weights are finite" : where) + "; " + gates;
}

}  // namespace mneme
