// Where the token embedding starts: model.embedding_init.
#include <ATen/ATen.h>

#include "config/config.h"
#include "mneme/model.h"
#include "tests/support/tensors.h"

using namespace mneme;
using namespace mneme::test;

namespace {

SequenceModel embedding_model(const std::string& kind, const std::string& init) {
  ModelOptions model;
  model.kind = kind, model.width = 8, model.conv_width = 2, model.tie_embeddings = false, model.embedding_init = init;
  return SequenceModel(model, MemoryOptions(), {16, 32}, 1);
}

}  // namespace

TEST_CASE("embedding_init = zero: every other weight starts as it would, and the first gradient finds the tokens that were read", "[models][embedding]") {
  make_plugins_known();
  for (const BlockPlugin& block : BlockRegistry::instance().all()) {
    INFO(block.name);
    SequenceModel zero = embedding_model(block.name, "zero"), usual = embedding_model(block.name, "normal");
    for (const auto& p : usual.named_parameters()) {
      const at::Tensor other = zero.named_parameters()[p.key()];
      if (p.key() == "embedding")
        CHECK((other.count_nonzero().item<int64_t>() == 0 && p.value().count_nonzero().item<int64_t>() == p.value().numel()));
      else
        CHECK(at::equal(other, p.value()));
    }
    State state;
    ForwardContext context;
    const at::Tensor tokens = at::tensor({3, 5, 5, 9, 3, 2, 9, 11}, at::kLong).view({1, 8});
    const at::Tensor logits = zero.forward(tokens, state, context);
    at::cross_entropy_loss(logits.view({8, 16}), tokens.view({8}).roll(1)).backward();
    const at::Tensor gradient = zero.named_parameters()["embedding"].grad();
    CHECK(at::isfinite(gradient).all().item<bool>());
    for (int64_t token = 0; token < 16; ++token) {
      INFO("token " << token);
      CHECK((gradient[token].abs().max().item<double>() > 0) == (tokens == token).any().item<bool>());
    }
  }
}

TEST_CASE("embedding_init = zero with a tied head, which could not learn, is refused", "[models][embedding]") {
  make_plugins_known();
  Resolution resolution = try_resolve(Settings::from_text("[model]\nembedding_init = zero", "x.ini"), DataFiles::may_be_missing);
  bool named = false;
  for (const std::string& problem : resolution.problems) named |= problem.find("set model.tie_embeddings = false") != std::string::npos;
  CHECK(named);
}
