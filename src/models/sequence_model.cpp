#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "mneme/errors.h"
#include "mneme/model.h"
#include "nn/feed_forward.h"
#include "nn/init.h"
#include "nn/row_norm.h"

namespace mneme {

struct SequenceModel::Layer : Module {
  std::shared_ptr<Block> block;
  std::shared_ptr<nn::FeedForward> feed_forward;  // null with model.ffn = none
  at::Tensor block_norm, feed_forward_norm;

  Layer(const BlockContext& context) {
    const ModelOptions& o = context.model;
    block_norm = register_parameter("block_norm", at::ones({o.width}, at::kFloat));
    block = register_module("block", BlockRegistry::instance().get(o.kind).make(context));
    if (o.ffn == "none") return;
    const int64_t hidden = o.ffn_width ? o.ffn_width : nn::default_hidden(o.width);
    feed_forward_norm = register_parameter("feed_forward_norm", at::ones({o.width}, at::kFloat));
    feed_forward = register_module("feed_forward", std::make_shared<nn::FeedForward>(o.width, hidden, context.generator));
  }
};

namespace {

at::Tensor dropped(const at::Tensor& x, double rate, ForwardContext& context) {
  if (rate <= 0 || !context.dropout) return x;
  return x * at::empty_like(x).bernoulli_(1 - rate, context.dropout).mul_(1 / (1 - rate));
}

// Vaswani et al. 2017: sin and cos of position · 10000^(−2i/C), in fp64. positions [B,T] → [B,T,C]
at::Tensor sinusoids(const at::Tensor& positions, int64_t width, const at::TensorOptions& options) {
  const auto wide = at::TensorOptions().dtype(at::kDouble);
  const at::Tensor frequency = at::pow(10000.0, at::arange(0, width, 2, wide) * (-1.0 / double(width)));
  const at::Tensor angle = positions.to(wide).unsqueeze(-1) * frequency;
  return at::stack({angle.sin(), angle.cos()}, -1).flatten(2).narrow(2, 0, width).to(options);
}

}  // namespace

SequenceModel::SequenceModel(const ModelOptions& model, const MemoryOptions& memory, const Shape& shape, uint64_t seed)
    : shape_(shape), options_(model) {
  at::Generator generator = nn::make_generator(seed, "init");
  auto normal = [&](at::IntArrayRef sizes) { return at::empty(sizes, at::kFloat).normal_(0, 0.02, generator); };
  if (shape.objective().of_tokens()) {
    at::Tensor start = normal({shape.vocab, model.width});  // drawn in any case, so that all other weights start alike
    embedding_ = parameter("embedding", model.embedding_init == "zero" ? at::zeros_like(start) : start, Role::embedding);
  } else {
    input_map_ = parameter("inputs", nn::linear_weight(model.width, shape.inputs, generator), Role::embedding);
  }
  if (model.positions == "learned") positions_ = parameter("positions", normal({shape.max_length, model.width}), Role::embedding);
  for (int64_t i = 0; i < model.layers; ++i)
    layers_.push_back(register_module("layers_" + std::to_string(i), std::make_shared<Layer>(BlockContext{model, memory, i, generator})));
  norm_ = register_parameter("norm", at::ones({model.width}, at::kFloat));
  const bool tied = model.tie_embeddings && embedding_.defined();  // vectors have no embedding to tie
  if (!tied) head_ = register_parameter("head", nn::linear_weight(shape.objective().width(), model.width, generator));
}

SequenceModel::~SequenceModel() = default;

bool keeps_every_token(const ModelOptions& model) {
  if (model.attention != "full") return false;
  const bool every_layer_a_memory = model.memory_layers.empty() || int64_t(model.memory_layers.size()) == model.layers;
  return BlockRegistry::instance().get(model.kind).attends || !every_layer_a_memory;
}

void Block::reset(State&, const at::Tensor&) {
  throw Error("this block cannot start a document inside a row: it has no Block::reset; give each document a row of its own");
}

at::Tensor SequenceModel::embedded(const at::Tensor& inputs) const {
  if (embedding_.defined()) return at::embedding(embedding_, inputs);
  if (inputs.dim() != 3 || inputs.size(2) != input_map_.size(1))
    throw UsageError("this model reads " + shape_.objective().text() + ": [rows, positions, " + std::to_string(shape_.inputs) + "]");
  return at::linear(inputs.to(input_map_.scalar_type()), input_map_);
}

at::Tensor SequenceModel::hidden(const at::Tensor& inputs, State& state, ForwardContext& context) {
  for (const at::Tensor& flags : {context.reset, context.mask, context.write})
    if (flags.defined() && (flags.sizes() != inputs.sizes().slice(0, 2) || flags.scalar_type() != at::kBool))
      throw UsageError("reset, mask and write of a ForwardContext are bool [rows, tokens], the shape of the call's tokens");
  if (inputs.size(1) == 0) return norm_.new_empty({inputs.size(0), 0, options_.width});
  if (!context.reset.defined()) return document(inputs, state, context);
  const int64_t T = inputs.size(1);
  const at::Tensor any = context.reset.any(0).cpu();
  std::vector<int64_t> cuts{0};
  for (int64_t t = 1; t < T; ++t)
    if (any.const_data_ptr<bool>()[t]) cuts.push_back(t);
  cuts.push_back(T);
  std::vector<at::Tensor> parts;
  for (size_t i = 0; i + 1 < cuts.size(); ++i) {
    const int64_t first = cuts[i], steps = cuts[i + 1] - first;
    ForwardContext part = context.tokens(first, steps);
    if (any.const_data_ptr<bool>()[first]) reset(state, context.reset.select(1, first));
    parts.push_back(document(inputs.narrow(1, first, steps), state, part));
    context.add_penalty(part, double(steps) / double(T));
  }
  return parts.size() == 1 ? parts[0] : at::cat(parts, 1);
}

void SequenceModel::reset(State& state, const at::Tensor& rows) {
  const auto begun = [](const State& node) { return node.position > 0 || !node.empty(); };
  if (!begun(state) || !rows.any().item<bool>()) return;
  if (rows.all().item<bool>()) {
    state = State();
    return;
  }
  for (size_t i = 0; i < layers_.size(); ++i)
    if (State& child = state.child("layers_" + std::to_string(i)); begun(child)) layers_[i]->block->reset(child, rows);
  state.set_clock(state.clock(rows.size(0)).masked_fill(rows.cpu(), 0));
}

at::Tensor SequenceModel::add_positions(const at::Tensor& x, const State& state) const {
  if (!positions_.defined() && options_.positions != "sinusoidal") return x;
  const int64_t T = x.size(1), last = state.position + T;
  const at::Tensor clock = state.differing_clocks().defined() ? state.clock(x.size(0)) : at::full({1}, state.position, at::kLong);
  const at::Tensor at_token = clock.unsqueeze(1) + at::arange(T);  // [B or 1,T]
  if (!positions_.defined()) return x + sinusoids(at_token, options_.width, x.options());
  if (last > positions_.size(0))
    throw ConfigError("model.positions = learned has " + std::to_string(positions_.size(0)) + " positions, but a row reaches " +
                      std::to_string(last) + ": use rope or none, or shorter rows");
  return x + at::embedding(positions_, at_token.to(x.device()));
}

at::Tensor SequenceModel::document(const at::Tensor& inputs, State& state, ForwardContext& context) {
  at::Tensor x = dropped(add_positions(embedded(inputs), state), options_.dropout, context);
  const at::Tensor padding = context.mask.defined() ? ~context.mask.unsqueeze(2) : at::Tensor();
  for (size_t i = 0; i < layers_.size(); ++i) {
    Layer& layer = *layers_[i];
    at::Tensor input = nn::rms_norm(x, layer.block_norm);
    if (padding.defined()) input = input.masked_fill(padding, 0);
    const at::Tensor y = layer.block->forward(input, state.child("layers_" + std::to_string(i)), context);
    x = x + dropped(y, options_.dropout, context);
    if (layer.feed_forward)
      x = x + dropped(layer.feed_forward->forward(nn::rms_norm(x, layer.feed_forward_norm)), options_.dropout, context);
  }
  state.advance(inputs.size(1));
  return nn::rms_norm(x, norm_);
}

at::Tensor SequenceModel::logits(const at::Tensor& hidden) { return at::linear(hidden, head_.defined() ? head_ : embedding_); }

at::Tensor SequenceModel::forward(const at::Tensor& inputs, State& state, ForwardContext& context) {
  return logits(hidden(inputs, state, context));
}

int64_t SequenceModel::parameter_count() const {
  int64_t count = 0;
  for (const at::Tensor& p : parameters()) count += p.numel();
  return count;
}

bool SequenceModel::decays(const std::string& name) const {
  const torch::nn::Module* owner = this;
  size_t begin = 0;
  for (size_t dot = name.find('.'); dot != std::string::npos; begin = dot + 1, dot = name.find('.', begin))
    owner = owner->named_children()[name.substr(begin, dot - begin)].get();
  const auto* module = dynamic_cast<const Module*>(owner);
  return module ? module->role(name.substr(begin)) == Role::projection : owner->named_parameters(false)[name.substr(begin)].dim() == 2;
}

}  // namespace mneme
