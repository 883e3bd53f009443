// Rows of different age in one batch. A memory's refresh points and groups, and the segments of MAC, come at fixed distances
// from a document's start, and kernels see one position for all rows; so rows run together only where their clocks agree.
#pragma once

#include <functional>

#include "mneme/forward_context.h"
#include "mneme/state.h"

namespace mneme {

using PhaseRun = std::function<at::Tensor(const at::Tensor& x, State& state, ForwardContext& context)>;

/// run(x, state, context) for x [B,T,C]; once for all rows where they are of one age, else once for each set of rows whose
/// clocks, in every node of the state, agree modulo `period` (0 = agree). Exactly what each row alone would give.
at::Tensor by_phase(const at::Tensor& x, State& state, ForwardContext& context, int64_t period, const PhaseRun& run);

/// `state` with the flagged rows (bool [B]) replaced by those of `fresh`, which has one row or B.
State with_rows(const State& state, const at::Tensor& flagged, const State& fresh, int64_t fresh_rows);

}  // namespace mneme
