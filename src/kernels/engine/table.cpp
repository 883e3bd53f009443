// One instruction set's table of functions. CMakeLists.txt compiles this file once per engine, with the flags of its instruction set,
// MNEME_ENGINE (generic, avx2, avx512) and MNEME_LANES (floats in a vector). The table is the only symbol that leaves the object file,
// and it is constant: no code of this file runs before somebody calls a function of the table. tests/build/test_engines.py holds both.
#include "kernels/engine/attention_tile.h"
#include "kernels/engine/linear_tile.h"
#include "kernels/engine/loops.h"
#include "kernels/engine/mlp_gradient.h"

#define MNEME_JOIN(a, b) a##b
#define MNEME_TABLE(name) MNEME_JOIN(engine_, name)
#define MNEME_QUOTED(name) MNEME_TEXT(name)
#define MNEME_TEXT(name) #name

namespace mneme::kernels {
namespace {

constexpr int L = MNEME_LANES;

void plain_product(int64_t m, int64_t n, int64_t k, float* a, float* b, float* c) {
  product<L>({m, n, k}, Matrix{a, k}, Matrix{b, n}, Set<L>{{c, n}});
}

}  // namespace

extern const Engine MNEME_TABLE(MNEME_ENGINE);
constexpr Engine MNEME_TABLE(MNEME_ENGINE) = {
    MNEME_QUOTED(MNEME_ENGINE),
    mlp_scratch<L>,
    mlp_gradient_scratch<L>,
    MlpSlot::floats,
    mlp<L>,
    mlp_gradient<L>,
    linear_scratch<L>,
    linear_gradient_scratch<L>,
    LinearSlot::floats,
    linear<L>,
    linear_gradient<L>,
    attention_scratch<L>,
    attention_gradient_scratch<L>,
    attention<L>,
    attention_gradient<L>,
    plain_product,
    loops_of<float>(),
    loops_of<double>(),
};

}  // namespace mneme::kernels
