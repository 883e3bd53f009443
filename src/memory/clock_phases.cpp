#include "memory/clock_phases.h"

#include <ATen/ATen.h>

namespace mneme {

at::Tensor by_phase(const at::Tensor& x, State& state, ForwardContext& context, int64_t period, const PhaseRun& run) {
  const at::Tensor clocks = state.differing_clocks();  // [nodes,B]
  if (!clocks.defined()) {
    state = state.aligned();
    return run(x, state, context);
  }
  const auto [phases, phase_of_row, ignored] = at::unique_dim(period > 0 ? clocks.remainder(period) : clocks, 1, true, true);
  std::vector<State> parts;
  std::vector<int64_t> counts;
  std::vector<at::Tensor> outputs, order;
  for (int64_t phase = 0; phase < phases.size(1); ++phase) {
    const at::Tensor here = (phase_of_row == phase).nonzero().squeeze(1), index = here.to(x.device());
    const State before = state.rows(index);
    State part = before.aligned();
    ForwardContext inner = context.rows(index);
    outputs.push_back(run(x.index_select(0, index), part, inner));
    context.add_penalty(inner, double(here.numel()) / double(x.size(0)));
    part.unalign(before);
    parts.push_back(part);
    counts.push_back(here.numel());
    order.push_back(index);
  }
  const at::Tensor back = at::cat(order).argsort();
  state = State::join(parts, counts).rows(back);
  return at::cat(outputs).index_select(0, back);
}

State with_rows(const State& state, const at::Tensor& flagged, const State& fresh, int64_t fresh_rows) {
  const int64_t B = flagged.size(0);
  const at::Tensor row = at::arange(B, flagged.options().dtype(at::kLong));
  const at::Tensor from_fresh = fresh_rows == 1 ? at::zeros_like(row) : row;
  return State::join({fresh, state}, {fresh_rows, B}).rows(at::where(flagged, from_fresh, row + fresh_rows));
}

}  // namespace mneme
