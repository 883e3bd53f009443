#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "mneme/model.h"
#include "nn/feed_forward.h"
#include "nn/init.h"
#include "nn/row_norm.h"

namespace mneme {

struct SequenceModel::Layer : torch::nn::Module {
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

// Vaswani et al. 2017: sin and cos of position · 10000^(−2i/C), in fp64.
at::Tensor sinusoids(int64_t first, int64_t steps, int64_t width, const at::TensorOptions& options) {
  const auto wide = at::TensorOptions().dtype(at::kDouble);
  const at::Tensor frequency = at::pow(10000.0, at::arange(0, width, 2, wide) * (-1.0 / double(width)));
  const at::Tensor angle = at::arange(first, first + steps, wide).unsqueeze(1) * frequency;
  return at::stack({angle.sin(), angle.cos()}, -1).flatten(1).narrow(1, 0, width).to(options);
}

}  // namespace

SequenceModel::SequenceModel(const ModelOptions& model, const MemoryOptions& memory, const Shape& shape, uint64_t seed)
    : shape_(shape), options_(model) {
  at::Generator generator = nn::make_generator(seed, "init");
  auto normal = [&](at::IntArrayRef sizes) { return at::empty(sizes, at::kFloat).normal_(0, 0.02, generator); };
  embedding_ = register_parameter("embedding", normal({shape.vocab, model.width}));
  if (model.positions == "learned") positions_ = register_parameter("positions", normal({shape.max_length, model.width}));
  for (int64_t i = 0; i < model.layers; ++i)
    layers_.push_back(register_module("layers_" + std::to_string(i), std::make_shared<Layer>(BlockContext{model, memory, i, generator})));
  norm_ = register_parameter("norm", at::ones({model.width}, at::kFloat));
  if (!model.tie_embeddings) head_ = register_parameter("head", nn::linear_weight(shape.vocab, model.width, generator));
}

SequenceModel::~SequenceModel() = default;

at::Tensor SequenceModel::hidden(const at::Tensor& tokens, State& state, ForwardContext& context) {
  const int64_t T = tokens.size(1), first = state.position;
  at::Tensor x = at::embedding(embedding_, tokens);
  if (positions_.defined()) {
    if (first + T > positions_.size(0))
      throw ConfigError("model.positions = learned has " + std::to_string(positions_.size(0)) + " positions, but a row reaches " +
                        std::to_string(first + T) + ": use rope or none, or shorter rows");
    x = x + positions_.narrow(0, first, T);
  } else if (options_.positions == "sinusoidal") {
    x = x + sinusoids(first, T, options_.width, x.options());
  }
  x = dropped(x, options_.dropout, context);
  for (size_t i = 0; i < layers_.size(); ++i) {
    Layer& layer = *layers_[i];
    const at::Tensor y = layer.block->forward(nn::rms_norm(x, layer.block_norm), state.child("layers_" + std::to_string(i)), context);
    x = x + dropped(y, options_.dropout, context);
    if (layer.feed_forward)
      x = x + dropped(layer.feed_forward->forward(nn::rms_norm(x, layer.feed_forward_norm)), options_.dropout, context);
  }
  state.position += T;
  return nn::rms_norm(x, norm_);
}

at::Tensor SequenceModel::logits(const at::Tensor& hidden) { return at::linear(hidden, head_.defined() ? head_ : embedding_); }

at::Tensor SequenceModel::forward(const at::Tensor& tokens, State& state, ForwardContext& context) {
  return logits(hidden(tokens, state, context));
}

int64_t SequenceModel::parameter_count() const {
  int64_t count = 0;
  for (const at::Tensor& p : parameters()) count += p.numel();
  return count;
}

bool SequenceModel::decays(const std::string& name) const {
  const std::string leaf = name.substr(name.rfind('.') + 1);
  static const std::vector<std::string> projections{"qkv", "out", "out_gate", "up", "down", "mix", "head"};
  return std::find(projections.begin(), projections.end(), leaf) != projections.end();
}

}  // namespace mneme
