// The table of one instruction set's functions.
#pragma once

#include "kernels/linear_tile.h"
#include "kernels/mlp_gradient.h"
#include "kernels/attention_tile.h"

namespace mneme::kernels {

template <int L>
void plain_product(int64_t m, int64_t n, int64_t k, float* a, float* b, float* c) {
  product<L>({m, n, k}, Matrix{a, k}, Matrix{b, n}, Set<L>{{c, n}});
}

template <int L>
Engine engine_table(const char* name) {
  Engine e{};
  e.name = name;
  e.mlp_scratch = mlp_scratch<L>;
  e.mlp_slot = MlpSlot::floats;
  e.mlp = mlp<L>;
  e.mlp_gradient_scratch = mlp_gradient_scratch<L>;
  e.mlp_gradient = mlp_gradient<L>;
  e.linear_scratch = linear_scratch<L>;
  e.linear_gradient_scratch = linear_gradient_scratch<L>;
  e.linear_slot = LinearSlot::floats;
  e.linear = linear<L>;
  e.linear_gradient = linear_gradient<L>;
  e.attention_scratch = attention_scratch<L>;
  e.attention = attention<L>;
  e.attention_gradient_scratch = attention_gradient_scratch<L>;
  e.attention_gradient = attention_gradient<L>;
  e.product = plain_product<L>;
  return e;
}

}  // namespace mneme::kernels
