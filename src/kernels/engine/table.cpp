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

bool one_matrix(const NetworkShape& s) { return s.form == Form::linear; }
int64_t network_scratch(const NetworkShape& s) { return one_matrix(s) ? linear_scratch<L>(s) : mlp_scratch<L>(s); }
int64_t network_gradient_scratch(const NetworkShape& s) { return one_matrix(s) ? linear_gradient_scratch<L>(s) : mlp_gradient_scratch<L>(s); }
void network(const NetworkShape& s, const NetworkTask& task, float* scratch) { one_matrix(s) ? linear<L>(s, task, scratch) : mlp<L>(s, task, scratch); }
void network_gradient(const NetworkShape& s, const NetworkGradientTask& task, float* scratch) {
  one_matrix(s) ? linear_gradient<L>(s, task, scratch) : mlp_gradient<L>(s, task, scratch);
}

}  // namespace

extern const Engine MNEME_TABLE(MNEME_ENGINE);
constexpr Engine MNEME_TABLE(MNEME_ENGINE) = {
    MNEME_QUOTED(MNEME_ENGINE),
    network_scratch,
    network_gradient_scratch,
    NetworkSlot::floats,
    network,
    network_gradient,
    attention_scratch<L>,
    attention_gradient_scratch<L>,
    attention<L>,
    attention_gradient<L>,
    plain_product,
    loops_of<float>(),
    loops_of<double>(),
};

}  // namespace mneme::kernels
