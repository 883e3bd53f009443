// The linear memory against numbers of flash-linear-attention's naive references: Titans' coefficients, DeltaNet, Gated DeltaNet.
#include "tests/golden/golden.h"

#include "memory/coefficients.h"
#include "memory/network_kernels.h"

using namespace mneme;
using namespace mneme::test;

TEST_CASE("linear rules: coefficients as flash-linear-attention's Titans reference", "[memory][golden]") {
  const auto fixture = golden("linear_attention_rules.json").at("fla_titans_coefficients");
  auto field = [&](const char* name) { return golden_tensor(fixture.at(name)); };
  const at::Tensor theta = field("theta").view({2, 8});
  const auto c = memory::coefficients(theta, field("alpha").view({2, 8}), field("eta").view({2, 8}));
  constexpr double kTheirs = 1e-6;  // computed in fp32 by products of logarithms
  REQUIRE(relative_error(c.now.d, field("beta").view({2, 8})) <= kTheirs);
  REQUIRE(relative_error(c.now.d.select(1, 7), field("beta_T").view({2})) <= kTheirs);
  REQUIRE(relative_error(c.now.m, field("f").view({2, 8})) <= kTheirs);
  REQUIRE(relative_error(c.now.m.select(1, 7), field("f_T").view({2})) <= kTheirs);
  REQUIRE(relative_error(-c.now.K.select(1, 7), field("g").view({2, 8})) <= kTheirs);
  REQUIRE(relative_error(-c.now.K, field("G").view({2, 8, 8})) <= kTheirs);
  REQUIRE(relative_error(c.p, field("m_T").view({2})) <= kTheirs);
  REQUIRE(relative_error(-c.L, field("n_T").view({2, 8})) <= kTheirs);
}

TEST_CASE("linear rules: DeltaNet is the exact mode with θ = β/2, Gated DeltaNet its gradient after forgetting", "[memory][golden]") {
  const auto fixture = golden("linear_attention_rules.json").at("fla_delta");
  const at::Tensor h0 = golden_tensor(fixture.at("h0"));
  auto by_head = [](const nlohmann::json& json) { return golden_tensor(json).transpose(1, 2); };  // [B,T,H,…] → [B,H,T,…]
  auto gate = [&](const nlohmann::json& json) { return by_head(json).unsqueeze(3); };
  for (const bool gated : {false, true}) {
    const auto& expected = fixture.at(gated ? "gated_delta" : "delta");
    memory::NetworkCall call;
    call.net.depth = 1, call.net.form = memory::Form::plain;
    call.query = by_head(fixture.at("q")), call.key = by_head(fixture.at("k")), call.value = by_head(fixture.at("v"));
    call.theta = gate(fixture.at("beta")) / 2;
    call.alpha = 1 - gate(expected.at("g")).exp();
    call.decayed = gated;
    for (int64_t tile : {5, 16}) {
      call.tile = tile;
      memory::NetworkWeights w{{h0}};
      const at::Tensor reads = memory::network_linear(call, w);
      REQUIRE(relative_error(reads, by_head(expected.at("o"))) <= 1e-5);
      REQUIRE(relative_error(w.weights[0], golden_tensor(expected.at("state"))) <= 1e-5);
    }
  }
}
