#include "eval/measure.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "eval/batch.h"
#include "eval/checkpoint.h"
#include "eval/evaluate.h"
#include "eval/make.h"

namespace mneme {

namespace {

namespace fs = std::filesystem;

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

/// Whether a tensor of a state, [B,H,…], is what a memory holds, and not the window of a convolution beside it.
bool is_memory(const std::string& path, const at::Tensor& tensor) {
  const fs::path place(path);
  return tensor.dim() > 2 && place.parent_path().filename() == "memory" && !path.ends_with("_tail");
}

/// "layer 1, head 0: fast weights 2"
std::string part_text(const std::string& path, const at::Tensor& tensor, const std::vector<int64_t>& place) {
  const std::string layer = path.substr(0, path.find('/')), name = path.substr(path.rfind('/') + 1);
  const std::string text = "layer " + layer.substr(layer.rfind('_') + 1);
  if (!is_memory(path, tensor)) return text + ": " + path.substr(path.find('/') + 1);
  const bool weights = name.starts_with("weights");
  return fmt::format("{}, head {}: {}", text, place.at(1), weights ? "fast weights" + (name.size() > 8 ? " " + name.substr(8) : "") : name);
}

/// Where memories are all finite but what is read from them is not: "; the largest numbers are in layer 0, head 1: fast weights 0 (2.1e+30)".
std::string largest_part(const State& state) {
  double most = 0;
  std::string text;
  for (const auto& [path, tensor] : state.flatten()) {
    if (!is_memory(path, tensor) || !tensor.is_floating_point() || tensor.numel() == 0) continue;
    const at::Tensor by_head = tensor.abs().flatten(2).amax(2).amax(0);  // [H]
    const double here = by_head.max().item<double>();
    if (!(here > most)) continue;
    most = here;
    text = fmt::format("; the largest numbers are in {} ({:.2g})", part_text(path, tensor, {0, by_head.argmax().item<int64_t>()}), here);
  }
  return text;
}

/// Place of the first number of a tensor that is not finite.
std::vector<int64_t> first_not_finite(const at::Tensor& tensor) {
  const at::Tensor place = at::isfinite(tensor).logical_not().nonzero()[0].to(at::kCPU).contiguous();
  return {place.const_data_ptr<int64_t>(), place.const_data_ptr<int64_t>() + place.numel()};
}

/// In parts; the part where it happens is read again from the state before it in shorter ones, at last token by token.
std::string read_until_not_finite(SequenceModel& model, const at::Tensor& inputs, const State& start, int64_t read, Probe& probe) {
  std::string weights;
  for (const auto& [name, tensor] : named_tensors(model))
    if (weights.empty() && !at::isfinite(tensor).all().item<bool>()) weights = "the weights " + name + " are not finite";
  const std::string after_weights = weights.empty() ? "" : weights + "; ";
  State state = start.clone();
  int64_t first = 0, end = inputs.size(1);
  for (const int64_t part : {1024, 64, 1}) {
    std::string what;
    for (; first < end; first += part) {
      const State before = state.clone();
      const int64_t steps = std::min(part, end - first);
      ForwardContext context;
      context.probe = &probe;
      const at::Tensor hidden = model.hidden(inputs.narrow(1, first, steps).contiguous(), state, context);
      what = not_finite_part(state);
      if (!what.empty()) what += " are";
      else if (!at::isfinite(model.logits(hidden)).all().item<bool>()) what = "what the model says is";
      if (what.empty()) continue;
      if (part == 1)
        return fmt::format("{}{} not finite from token {} on{}", after_weights, what, read + first, what.find(", head ") == std::string::npos ? largest_part(state) : "");
      end = first + steps;
      state = before;
      break;
    }
    if (what.empty()) return weights;
  }
  return weights;
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

std::string not_finite_part(const State& state) {
  std::string found;
  int best = 3;  // fast weights before what else a memory holds, and that before the rest
  for (const auto& [path, tensor] : state.flatten()) {
    const int rank = !is_memory(path, tensor) ? 2 : path.find("/weights") == std::string::npos ? 1 : 0;
    if (rank >= best || !tensor.is_floating_point() || at::isfinite(tensor).all().item<bool>()) continue;
    const std::vector<int64_t> first = first_not_finite(tensor);
    best = rank;
    found = (!first.empty() && tensor.size(0) > 1 ? fmt::format("row {}, ", first[0]) : "") + part_text(path, tensor, first);
  }
  return found;
}

std::string where_not_finite(SequenceModel& model, const at::Tensor& inputs, const State& start, int64_t read) {
  at::NoGradGuard no_grad;
  const EvaluationMode evaluation(model);
  Probe ignored;
  return read_until_not_finite(model, inputs, start, read, ignored);
}

std::string describe_divergence(SequenceModel& model, const at::Tensor& inputs) {
  at::NoGradGuard no_grad;
  Probe probe;
  const std::string where = read_until_not_finite(model, inputs, {}, 0, probe), gates = largest_gates(probe);
  if (gates.empty()) return where;
  return (where.empty() ? "all fast weights are finite" : where) + "; " + gates;
}

}  // namespace mneme
