// LMM, MAG, MAL, MAC and the transformer against their definition, token by token: outputs, penalty, the gradient of every parameter.
#include "mneme/model.h"
#include "tests/unit/models/by_hand_blocks.h"
#include "tests/support/memory_options.h"
#include "tests/unit/models/same_by_name.h"

using namespace mneme;
using namespace mneme::test;

namespace {

constexpr int64_t kRows = 2, kTokens = 14, kWidth = 8;

struct Choice {
  std::string name;
  void (*change)(ModelOptions& m, AnyMemory& o);
  bool as_printed = false;  // model.mac.residual, model.mal.residual = false
};

const std::vector<Choice>& choices() {
  static const std::vector<Choice> all{
      {"product, full", [](ModelOptions& m, AnyMemory&) { m.combine = "product"; }, true},
      {"product+sum, window", [](ModelOptions& m, AnyMemory&) { m.combine = "product+sum", m.attention = "window"; }},
      {"sum, window, persistent, grouped heads", [](ModelOptions& m, AnyMemory&) { m.attention = "window", m.persistent_tokens = 3, m.kv_heads = 1; }},
      {"product, window, persistent, no phase", [](ModelOptions& m, AnyMemory& o) {
         m.combine = "product", m.attention = "window", m.persistent_tokens = 2, m.positions = "none", m.conv_width = 0, o.group = 2;
       }},
      {"sum, stale, two keys", [](ModelOptions&, AnyMemory& o) { o.gradient = "refresh", o.keys_per_token = 2; }, true},
      {"sum, off", [](ModelOptions&, AnyMemory& o) { o.off = true; }},
  };
  return all;
}

}  // namespace

TEST_CASE("blocks: each is its definition, token by token, gradients too", "[models][by_hand]") {
  register_blocks();
  register_memories();
  torch::manual_seed(8);
  for (const std::string kind : {"transformer", "lmm", "mag", "mal", "mac"})
    for (const std::string memory : {"linear", "neural_mlp"})
      for (const Choice& choice : choices()) {
        if (kind == "transformer" && memory == "neural_mlp") continue;  // it has none
        INFO(kind << ", " << memory << ", " << choice.name);
        ModelOptions m;
        AnyMemory o;
        m.kind = kind, m.width = kWidth, m.heads = 2, m.window = 5, m.conv_width = 3;
        set_segment(m, 6);
        o.kind = memory, o.heads = 2, o.init = "random", o.refresh = 4, o.tile = 8;
        o.gate_scale = 2, o.theta_bias = -1, o.alpha_bias = -2, o.write_penalty = 0.7;
        choice.change(m, o);
        if (kind == "mac" || kind == "mal") set_own(m, "residual", choice.as_printed ? "false" : "true");
        auto generator = at::make_generator<at::CPUGeneratorImpl>(3);
        const auto block = BlockRegistry::instance().get(kind).make({m, o.made(), 0, generator});
        {
          at::NoGradGuard no_grad;
          for (auto& p : block->parameters()) p.add_(at::empty_like(p).normal_(0, 0.2, generator));
        }
        block->to(at::kDouble);
        auto found = [&](const at::Tensor& x) {
          State state;
          ForwardContext context;
          const at::Tensor y = block->forward(x, state, context);
          return Computed{y, context.penalty};
        };
        auto expected = [&](const at::Tensor& x) {
          const auto p = by_hand::parameters_of(*block);
          std::vector<at::Tensor> rows, written;
          for (const at::Tensor& row : x.unbind()) {
            const by_hand::BlockRow r = by_hand::block_row(m, o, p, row, !o.off);
            rows.push_back(r.y);
            written.insert(written.end(), r.written.begin(), r.written.end());
          }
          return Computed{at::stack(rows), written.empty() ? at::Tensor() : o.write_penalty * at::stack(written).mean()};
        };
        require_same_by_name(*block, normal({kRows, kTokens, kWidth}), found, expected, [&](const std::string& name) {
          const std::string leaf = name.substr(name.rfind('.') + 1);
          return o.off && (leaf == "gate" || leaf == "lower_step" || leaf == "pool" || name == "memory.persistent");
        });
      }
}

TEST_CASE("models: each is its definition, token by token, gradients too", "[models][by_hand]") {
  register_blocks();
  register_memories();
  const std::vector<std::vector<int64_t>> texts{{3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5}, {2, 7, 1, 8, 2, 8, 1, 8, 2, 8, 4}};
  const at::Tensor tokens = at::stack({at::tensor(texts[0], at::kLong), at::tensor(texts[1], at::kLong)});
  for (const std::string kind : {"transformer", "lmm", "mag", "mal", "mac"})
    for (const bool one_memory : {false, true}) {
      INFO(kind << (one_memory ? ", one memory layer, learned positions, own head" : ""));
      ModelOptions m;
      AnyMemory o;
      m.kind = kind, m.width = kWidth, m.heads = 2, m.window = 5, m.attention = "window", m.ffn_width = 12;
      set_segment(m, 4);
      if (kind == "mac" || kind == "mal") set_own(m, "residual", one_memory ? "true" : "false");
      o.kind = "neural_mlp", o.heads = 2, o.refresh = 4, o.theta_bias = -1, o.alpha_bias = -2;
      if (one_memory) m.memory_layers = {1}, m.positions = "learned", m.tie_embeddings = false;
      if (kind == "transformer" && one_memory) m.memory_layers = {};
      SequenceModel model(m, o.made(), {10, 16}, 5);
      {
        at::NoGradGuard no_grad;
        auto generator = at::make_generator<at::CPUGeneratorImpl>(3);
        for (auto& p : model.parameters()) p.add_(at::empty_like(p).normal_(0, 0.2, generator));
      }
      model.to(at::kDouble);
      auto found = [&](const at::Tensor& unused) {
        State state;
        ForwardContext context;
        const at::Tensor y = model.forward(tokens, state, context) + 0 * unused;
        return Computed{y, context.penalty};
      };
      auto expected = [&](const at::Tensor& unused) {
        const auto p = by_hand::parameters_of(model);
        std::vector<at::Tensor> rows;
        at::Tensor penalty;
        for (const auto& text : texts) {
          const by_hand::BlockRow r = by_hand::model_row(m, o, p, text);
          rows.push_back(r.y);
          if (r.written.empty()) continue;
          const at::Tensor of_row = o.write_penalty * at::stack(r.written).sum() / double(tokens.numel() * r.written[0].numel());
          penalty = penalty.defined() ? penalty + of_row : of_row;
        }
        return Computed{at::stack(rows) + 0 * unused, penalty};
      };
      require_same_by_name(model, at::zeros({1}, at::kDouble), found, expected, [](const std::string& name) { return name == "x"; });
    }
}
