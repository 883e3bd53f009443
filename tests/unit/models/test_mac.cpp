// MAC against its definition, written out token by token: what is retrieved, what each token attends to, what is written.
#include "tests/support/tensors.h"
#include "tests/support/memory_options.h"

#include "mneme/model.h"
#include "memory/layer.h"
#include "nn/rope.h"

using namespace mneme;
using namespace mneme::test;

namespace {

constexpr int64_t kMacWidth = 12, kHeads = 2, kHeadWidth = 6, kSegment = 5;

struct MacSetting {
  std::string combine, positions;
  int64_t persistent, kv_heads;
  bool residual = true;
};

struct Mac {
  explicit Mac(const MacSetting& setting) {
    register_blocks();
    register_memories();
    model.kind = "mac", model.width = kMacWidth, model.heads = kHeads, model.kv_heads = setting.kv_heads;
    set_segment(model, kSegment);
    set_own(model, "residual", setting.residual ? "true" : "false");
    residual = setting.residual;
    model.combine = setting.combine, model.positions = setting.positions, model.persistent_tokens = setting.persistent;
    memory.kind = "linear", memory.heads = 2, memory.init = "random";
    auto generator = at::make_generator<at::CPUGeneratorImpl>(3);
    block = BlockRegistry::instance().get("mac").make({model, memory.made(), 0, generator});
    at::NoGradGuard no_grad;
    for (auto& p : block->parameters()) p.add_(at::empty_like(p).normal_(0, 0.2, generator));
    block->to(at::kDouble);
    ModelOptions plain = model;
    plain.persistent_tokens = 0;
    layer = std::make_shared<MemoryLayer>(BlockContext{plain, memory.made(), 0, generator});
    layer->to(at::kDouble);
    for (auto& p : layer->named_parameters()) p.value().copy_(parameter("memory." + p.key()));
  }
  at::Tensor parameter(const std::string& name) const { return block->named_parameters()[name]; }

  bool residual;
  ModelOptions model;
  AnyMemory memory;
  std::shared_ptr<Block> block;
  std::shared_ptr<MemoryLayer> layer;  // the same memory, on its own
};

at::Tensor norm(const at::Tensor& x, const at::Tensor& weight) { return x / (x.square().mean(-1, true) + 1e-6).sqrt() * weight; }

// Inputs [n,C] → keys or values [n,H,D] with their heads repeated; keys get the phase of `at_token`, −1 = none.
at::Tensor projected(const Mac& mac, const at::Tensor& inputs, bool keys, int64_t at_token) {
  const int64_t kv = mac.model.kv_heads * kHeadWidth, first = kMacWidth + (keys ? 0 : kv);
  at::Tensor y = at::matmul(inputs, mac.parameter("attention.qkv").narrow(0, first, kv).t()).view({1, -1, mac.model.kv_heads, kHeadWidth});
  if (keys && at_token >= 0 && mac.model.positions == "rope")
    y = nn::rope_reference(y, nn::RotaryTable(kHeadWidth, mac.model.rope_base).rows(at_token, 1, y.options()));
  return y[0].repeat_interleave(kHeads / mac.model.kv_heads, 1);
}

// One row x [T,C], token by token.
at::Tensor mac_by_hand(const Mac& mac, const at::Tensor& x) {
  State memory, frozen;
  mac.layer->begin(memory, 1);
  std::vector<at::Tensor> outputs, keys, values;
  for (int64_t t = 0; t < x.size(0); ++t) {
    const int64_t i = t % kSegment;
    const at::Tensor now = x.narrow(0, t, 1);
    if (i == 0) {
      frozen = memory.clone().child("memory");
      keys.clear(), values.clear();
      if (mac.model.persistent_tokens > 0) {
        keys.push_back(projected(mac, mac.parameter("attention.persistent"), true, -1));
        values.push_back(projected(mac, mac.parameter("attention.persistent"), false, -1));
      }
    }
    at::Tensor no_tail;
    const at::Tensor h = mac.layer->retrieve(mac.layer->queries(now.unsqueeze(0), no_tail), now.unsqueeze(0), frozen)[0];
    for (const at::Tensor& input : {h, now}) {
      keys.push_back(projected(mac, input, true, i));
      values.push_back(projected(mac, input, false, -1));
    }
    at::Tensor q = at::matmul(now, mac.parameter("attention.qkv").narrow(0, 0, kMacWidth).t()).view({1, 1, kHeads, kHeadWidth});
    if (mac.model.positions == "rope") q = nn::rope_reference(q, nn::RotaryTable(kHeadWidth, mac.model.rope_base).rows(i, 1, q.options()));
    std::vector<at::Tensor> heads;
    for (int64_t head = 0; head < kHeads; ++head) {
      const at::Tensor k = at::cat(keys).select(1, head), v = at::cat(values).select(1, head);
      heads.push_back(at::matmul((at::matmul(k, q[0][0][head]) / std::sqrt(double(kHeadWidth))).softmax(0), v));
    }
    const at::Tensor y = at::matmul(at::cat(heads).unsqueeze(0), mac.parameter("attention.out").t());
    const at::Tensor near = norm(y, mac.parameter("attention_norm"));
    ForwardContext context;
    const at::Tensor far = norm(mac.layer->forward((mac.residual ? now + near : near).unsqueeze(0), memory, context)[0], mac.parameter("memory_norm"));
    if (mac.model.combine == "product") {
      outputs.push_back(near * far);
    } else {
      const at::Tensor g = at::matmul(now, mac.parameter("mix").t()).sigmoid();
      outputs.push_back(g * near + (1 - g) * far);
    }
  }
  return at::cat(outputs);
}

}  // namespace

TEST_CASE("mac is its definition, token by token", "[models][mac]") {
  at::NoGradGuard no_grad;
  torch::manual_seed(6);
  const std::vector<MacSetting> settings{{"product", "rope", 0, 2}, {"sum", "rope", 3, 1}, {"product", "none", 2, 1, false}};
  for (const MacSetting& setting : settings) {
    INFO(setting.combine << " " << setting.positions << " " << setting.persistent);
    const Mac mac(setting);
    const at::Tensor x = normal({2, 23, kMacWidth});
    State state;
    ForwardContext context;
    const at::Tensor y = mac.block->forward(x, state, context);
    for (int64_t row = 0; row < 2; ++row) REQUIRE(relative_error(y[row], mac_by_hand(mac, x[row])) < kExact);
  }
}

TEST_CASE("mac: a token reaches itself and every later token, none before", "[models][mac]") {
  at::NoGradGuard no_grad;
  torch::manual_seed(7);
  const Mac mac({"product", "rope", 0, 2, false});
  const at::Tensor x = normal({1, 2 * kSegment, kMacWidth});
  auto read = [&](const at::Tensor& input) {
    State state;
    ForwardContext context;
    return mac.block->forward(input, state, context);
  };
  const at::Tensor y = read(x);
  for (int64_t t = 0; t < 2 * kSegment; ++t) {  // token t moves itself and all after it, none before
    at::Tensor other = x.clone();
    other.select(1, t).copy_(normal({1, kMacWidth}));
    const at::Tensor changed = read(other);
    REQUIRE(at::equal(changed.narrow(1, 0, t), y.narrow(1, 0, t)));
    for (int64_t later = t; later < 2 * kSegment; ++later) REQUIRE_FALSE(at::equal(changed.select(1, later), y.select(1, later)));
  }
}
