// Chunked form. Inside a tile no state is built: with P_{t,i} = Π_{i<s<t} a_s (its strictly lower table of products of decays) and
// w_t = e_tᵀ S_{t−1} what token t erases,
//
//   (I + L_d) w = (e ⊙ P_{t,0}) S_0 + L_k u,     L_x[t,i] = Σ_c e_t[c] P_{t,i}[c] x_i[c],  i < t
//   y = (q ⊙ a P_{t,0}) S_0 + R_k u − R_d w,     R_x[t,i] likewise with a_t q_t for e_t, and q_t·x_t at i = t
//   S_C = P_{C+1,0} ⊙ S_0 + Σ_i P_{C+1,i} ⊙ (k_i u_iᵀ − d_i w_iᵀ)
//
// With d = k only δ = u − w is needed: (I + L) δ = u − (e ⊙ P) S_0. All systems are linear in S_0, so those of all tiles are solved in one
// batch; one or two small products a tile remain in the loop that carries the state.
//
// Decays only ever multiply: nothing is divided by one, so nothing overflows, and a decay of 0 is exact. A table of C tokens is made of
// two of C/2: rows (e, q) of the later half take what the earlier half decays in all, columns (k, d) of the earlier half what the later
// half does; the square between them is one product of the rows and columns of before that step, which already reach up to its edge.
#include "memory/linear_recurrence.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <bit>
#include <vector>

#include "memory/unit_lower.h"

namespace mneme::memory {
namespace {

using Tensors = std::vector<at::Tensor>;

// Of M tiles of C = 2^n tokens; W = K, or 1 where a head has one decay.
struct Decayed {
  Tensors rows, columns;  // x_t P_{t,0} and z_i P_{C+1,i}, [M,C,W]
  at::Tensor total;       // P_{C+1,0}, [M,1,W]
  Tensors products;       // Σ_c x_t P_{t,i} z_i for i < t, else 0, [M,C,C]: each of the rows with each of the columns
};

Decayed decayed(Tensors rows, Tensors columns, const at::Tensor& decay) {
  const int64_t M = decay.size(0), C = decay.size(1), W = decay.size(2);
  at::Tensor total = decay;
  Tensors products(rows.size() * columns.size(), at::zeros({M * C, 1, 1}, decay.options()));
  for (int64_t half = 1; half < C; half *= 2) {
    const int64_t pairs = M * C / (2 * half);
    auto halves = [&](const at::Tensor& x) { return x.reshape({pairs, -1, x.size(2)}).chunk(2, 1); };  // {earlier, later}
    const Tensors decays = halves(total);
    const at::Tensor zero = at::zeros({pairs, half, half}, decay.options());
    Tensors earlier, later;
    for (at::Tensor& z : columns) {
      const Tensors part = halves(z);
      earlier.push_back(part[0]);
      z = at::cat({part[0] * decays[1], part[1]}, 1);
    }
    for (at::Tensor& x : rows) {
      const Tensors part = halves(x);
      later.push_back(part[1]);
      x = at::cat({part[0], part[1] * decays[0]}, 1);
    }
    for (size_t r = 0; r < rows.size(); ++r)
      for (size_t c = 0; c < columns.size(); ++c) {
        at::Tensor& product = products[r * columns.size() + c];
        const at::Tensor between = half == 1 ? (later[r] * earlier[c]).sum(2, true) : at::bmm(later[r], earlier[c].transpose(1, 2));
        const Tensors inside = halves(product);
        product = at::cat({at::cat({inside[0], between}, 1), at::cat({zero, inside[1]}, 1)}, 2);
      }
    total = decays[0] * decays[1];
  }
  auto whole = [&](Tensors x) {
    for (at::Tensor& t : x) t = t.reshape({M, C, W});
    return x;
  };
  return {whole(std::move(rows)), whole(std::move(columns)), total.view({M, 1, W}), std::move(products)};
}

// One or more tiles of equal size, flattened to [M,C,·], M = N · count.
struct RecurrenceTiles {
  at::Tensor q, k, u, log_decay, e, d;
};

// What the tile's equations need.
struct System {
  at::Tensor q_start, e_start;    // rows that read S_0, [M,C,K]
  at::Tensor k_end, d_end;        // columns as S_C sees them, [M,C,K]
  at::Tensor total;               // [M,K or 1,1]; undefined = 1
  at::Tensor L_k, L_d, R_k, R_d;  // [M,C,C]; d undefined: as k
};

System make_system(const RecurrenceTiles& x, bool read_before) {
  const int64_t C = x.q.size(1);
  const bool erases = x.e.defined(), apart = x.d.defined();
  System s;
  auto gram = [](const at::Tensor& a, const at::Tensor& b) { return at::bmm(a, b.transpose(1, 2)); };
  if (x.log_decay.defined() && x.log_decay.size(2) > 1) {  // per channel
    const at::Tensor a = x.log_decay.exp();
    Tensors rows{read_before ? x.q : a * x.q}, columns{x.k};
    if (erases) rows.push_back(x.e);
    if (apart) columns.push_back(x.d);
    Decayed t = decayed(rows, columns, a);
    auto read = [&](const at::Tensor& product, const at::Tensor& z) {
      return read_before ? product : product + at::diag_embed((x.q * z).sum(2));
    };
    s.q_start = t.rows[0], s.k_end = t.columns[0], s.total = t.total.transpose(1, 2);
    s.R_k = read(t.products[0], x.k);
    if (apart) s.d_end = t.columns[1], s.R_d = read(t.products[1], x.d);
    if (erases) s.e_start = t.rows[1], s.L_k = t.products[columns.size()];
    if (apart) s.L_d = t.products[3];
    return s;
  }
  if (x.log_decay.defined()) {
    const at::Tensor a = x.log_decay.exp(), one = at::ones_like(a);
    const Decayed t = decayed({one}, {one}, a);
    const at::Tensor &before = t.products[0], &start = t.rows[0], &end = t.columns[0];
    const at::Tensor now = read_before ? before : before * a + at::eye(C, a.options());
    s.q_start = x.q * (read_before ? start : start * a), s.k_end = x.k * end, s.total = t.total;
    s.R_k = now * gram(x.q, x.k);
    if (apart) s.d_end = x.d * end, s.R_d = now * gram(x.q, x.d);
    if (erases) s.e_start = x.e * start, s.L_k = before * gram(x.e, x.k);
    if (apart) s.L_d = before * gram(x.e, x.d);
    return s;
  }
  const int64_t diagonal = read_before ? -1 : 0;
  s.q_start = x.q, s.k_end = x.k, s.R_k = gram(x.q, x.k).tril(diagonal);
  if (apart) s.d_end = x.d, s.R_d = gram(x.q, x.d).tril(diagonal);
  if (erases) s.e_start = x.e, s.L_k = gram(x.e, x.k).tril(-1);
  if (apart) s.L_d = gram(x.e, x.d).tril(-1);
  return s;
}

// `count` tiles of `size` = 2^n tokens.
at::Tensor run_tiles(const RecurrenceTiles& x, at::Tensor& state, int64_t count, bool read_before) {
  const int64_t N = state.size(0), K = state.size(1), V = state.size(2), M = N * count, size = x.q.size(1);
  const bool erases = x.e.defined(), apart = x.d.defined();
  const System s = make_system(x, read_before);
  // By tile; unbound at once, as many selections would each send a gradient of the whole back.
  auto by_tile = [&](const at::Tensor& t) { return t.defined() ? t.reshape({N, count, t.size(1), t.size(2)}).unbind(1) : Tensors(count); };

  Tensors fixed, from_state, end;  // w = fixed + from_state S_0; with d = k: δ = fixed − from_state S_0
  if (erases) {
    const at::Tensor side = apart ? at::bmm(s.L_k, x.u) : x.u;
    const Tensors solved = solve_unit_lower(apart ? s.L_d : s.L_k, at::cat({side, s.e_start}, 2)).split_with_sizes({V, K}, 2);
    fixed = by_tile(solved[0]), from_state = by_tile(solved[1]), end = by_tile((apart ? s.d_end : s.k_end).transpose(1, 2));
  }
  const Tensors total = by_tile(s.total),
                written = by_tile(erases && !apart ? at::Tensor() : at::bmm(s.k_end.transpose(1, 2), x.u));  // what S_0 has no part in
  const double sign = apart ? 1 : -1;

  at::Tensor S = state;
  Tensors starts, moved;  // S_0 and w or δ of each tile
  for (int64_t j = 0; j < count; ++j) {
    starts.push_back(S);
    if (total[j].defined()) S = total[j] * S;
    if (written[j].defined()) S = S + written[j];
    if (erases) {
      moved.push_back(at::baddbmm(fixed[j], from_state[j], starts.back(), 1, sign));
      S = at::baddbmm(S, end[j], moved.back(), 1, -sign);
    }
  }
  state = S;

  const at::Tensor base = at::bmm(s.q_start, at::stack(starts, 1).view({M, K, V}));
  const at::Tensor w = erases ? at::stack(moved, 1).view({M, size, V}) : at::Tensor();
  at::Tensor reads = at::baddbmm(base, s.R_k, erases && !apart ? w : x.u);
  if (apart) reads = at::baddbmm(reads, s.R_d, w, 1, -1);
  return reads.view({N, count * size, V});
}

// The call with one row dimension N = B · H, as batched products want it: [N,T,·].
LinearRecurrence flat(LinearRecurrence call, const at::Tensor& state) {
  const int64_t B = state.size(0), H = state.size(1), T = call.query.size(2);
  for (at::Tensor* x : {&call.query, &call.write_key, &call.write_value, &call.log_decay, &call.erase, &call.along})
    if (x->defined()) *x = x->expand({B, H, T, x->size(3)}).reshape({B * H, T, x->size(3)});
  return call;
}

// `run` on the flat call and state.
template <class F>
at::Tensor with_flat(const LinearRecurrence& call, at::Tensor& state, const F& run) {
  const int64_t B = state.size(0), H = state.size(1), T = call.query.size(2), K = state.size(2), V = state.size(3);
  if (B * H * T == 0) return at::empty({B, H, T, V}, call.write_value.options());
  at::Tensor S = state.reshape({B * H, K, V});
  const at::Tensor reads = run(flat(call, state), S);
  state = S.view({B, H, K, V});
  return reads.view({B, H, T, V});
}

at::Tensor run_chunked(const LinearRecurrence& call, at::Tensor& state) {
  // Tiles are powers of two; what is left over is filled up with tokens that do nothing.
  auto whole_power = [](int64_t n) { return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(n))); };
  const int64_t N = state.size(0), steps = call.query.size(1);
  const int64_t size = whole_power(std::clamp<int64_t>(call.tile, 1, steps)), count = steps / size, rest = steps - count * size;
  auto run = [&](int64_t first, int64_t tokens, int64_t tiles, int64_t each) {
    auto part = [&](const at::Tensor& x) {
      if (!x.defined()) return x;
      at::Tensor t = x.narrow(1, first, tokens);
      if (tiles * each > tokens) t = at::constant_pad_nd(t, {0, 0, 0, tiles * each - tokens});
      return t.reshape({N * tiles, each, x.size(2)});
    };
    const at::Tensor along = call.erase.defined() ? call.along : at::Tensor();
    const RecurrenceTiles x{part(call.query), part(call.write_key), part(call.write_value), part(call.log_decay), part(call.erase), part(along)};
    return run_tiles(x, state, tiles, call.read_before).narrow(1, 0, tokens);
  };
  if (count == 0) return run(0, rest, 1, size);
  const at::Tensor whole = run(0, count * size, count, size);
  return rest ? at::cat({whole, run(count * size, rest, 1, whole_power(rest))}, 1) : whole;
}

at::Tensor run_loop(const LinearRecurrence& call, at::Tensor& state) {
  Tensors reads;
  for (int64_t t = 0; t < call.query.size(1); ++t) {
    auto row = [&](const at::Tensor& x) { return x.narrow(1, t, 1); };
    auto column = [&](const at::Tensor& x) { return row(x).transpose(1, 2); };
    const at::Tensor before = state;
    at::Tensor S = call.log_decay.defined() ? column(call.log_decay).exp() * before : before;
    if (call.erase.defined()) S = S - at::bmm(column(call.along.defined() ? call.along : call.write_key), at::bmm(row(call.erase), before));
    state = S + at::bmm(column(call.write_key), row(call.write_value));
    reads.push_back(at::bmm(row(call.query), call.read_before ? before : state));
  }
  return at::cat(reads, 1);
}

}  // namespace

at::Tensor linear_recurrence_chunked(const LinearRecurrence& call, at::Tensor& state) { return with_flat(call, state, run_chunked); }
at::Tensor linear_recurrence_reference(const LinearRecurrence& call, at::Tensor& state) { return with_flat(call, state, run_loop); }

}  // namespace mneme::memory
