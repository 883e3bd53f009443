// The layer around a memory for one row, written out token by token: projections, convolution, norms, gates, persistent tokens.
//
//   q, k, v = SiLU(conv(W_qkv x));  [s, a, e] = gate_scale · W_g [x_t, x_{t−1}] + bias;  θ = theta_max σ(s), α = σ(a), η = σ(e)
//   y = W_o (RMSNorm_head(read + cache) ⊙ SiLU(W_z x))
#pragma once

#include <algorithm>

#include "tests/unit/models/by_hand_memory.h"
#include "tests/support/memory_options.h"

namespace mneme::test::by_hand {

class MemoryLayer {
 public:
  /// p: of the layer. Begins with the persistent tokens, which a layer that does not write has seen all the same.
  MemoryLayer(const ModelOptions& model, const AnyMemory& o, const Parameters& p, bool writes)
      : o_(o), p_(p), writes_(writes), conv_(of(p, "conv")) {
    H_ = o.heads, D_ = o.head_width ? o.head_width : model.width / o.heads, n_ = o.keys_per_token;
    AnyMemory per_step = o;
    per_step.refresh *= n_;
    if (o.group > 1) per_step.group *= n_;
    if (o.kind == "linear" && o.gradient != "refresh") per_step.refresh = int64_t{1} << 40;  // its exact gradients need no refresh point
    fast_ = o.kind == "linear" ? 1 : o.depth + o.fast_gain;
    for (int64_t h = 0; h < H_; ++h) heads_.emplace_back(per_step, under(p, "memory"), h);
    pairs_.resize(H_);
    previous_ = at::zeros({model.width}, p.at("qkv").options());
    if (model.persistent_tokens > 0)
      for (const at::Tensor& token : p.at("persistent").unbind()) this->token(token, true);
    written_.clear();  // the penalty is on the row's own tokens
  }

  /// x [C] → [C]
  at::Tensor token(const at::Tensor& x, bool active) {
    const at::Tensor qkv = swish(conv_(applied(p_.at("qkv"), x)));
    std::vector<at::Tensor> reads;
    if (writes_) gates(x, active);
    for (int64_t h = 0; h < H_; ++h) {
      const at::Tensor query = normed(part(qkv, h, D_), "query_gain", h);
      at::Tensor read;
      for (int64_t j = 0; j < n_ && writes_; ++j) {
        const at::Tensor key = normed(part(qkv, H_ + j * H_ + h, D_), "key_gain", h), value = part(qkv, H_ + (n_ + j) * H_ + h, D_);
        const Gates gates = gates_of(j, h);
        const at::Tensor loss = o_.cache > 0 ? heads_[h].inner_loss(key, value, gates.alpha) : at::Tensor(), before = recalled(query, h);
        at::Tensor y = heads_[h].step(query, key, value, gates, active);
        if (o_.cache > 0 && active) pairs_[h].push_back({rms(key), value, (at::stack(gates.theta).mean() * loss.sqrt()).item<double>()});
        if (o_.cache > 0) y = y + (o_.read == "before" ? before : recalled(query, h));
        if (j == 0 || o_.read == "after") read = y;  // before the token's first step, or after its last
      }
      reads.push_back(writes_ ? read : heads_[h].read(query));
    }
    return output(reads, x);
  }

  /// What the query of x reads from `frozen` weights of the heads; a convolution of its own goes over the x it is asked for.
  at::Tensor retrieve(const at::Tensor& x, Convolution& conv, const std::vector<std::vector<at::Tensor>>& frozen) const {
    const at::Tensor q = swish(conv(applied(p_.at("qkv").narrow(0, 0, H_ * D_), x)));
    std::vector<at::Tensor> reads;
    for (int64_t h = 0; h < H_; ++h) reads.push_back(heads_[h].read(normed(part(q, h, D_), "query_gain", h), frozen[h]));
    return output(reads, x);
  }
  Convolution query_convolution() const { return Convolution(p_.count("conv") ? p_.at("conv").narrow(1, 0, H_ * D_) : at::Tensor()); }
  std::vector<std::vector<at::Tensor>> weights() const {
    std::vector<std::vector<at::Tensor>> all;
    for (const Memory& head : heads_) all.push_back(head.weights());
    return all;
  }

  /// σ(s) of the row's tokens, of which the write penalty takes the mean.
  const std::vector<at::Tensor>& written() const { return written_; }

 private:
  at::Tensor normed(const at::Tensor& x, const char* gain, int64_t h) const {
    if (o_.qk_norm == "none") return x;
    return o_.qk_norm == "rms" ? unit(x) * std::sqrt(double(D_)) * p_.at(gain)[h][0] : unit(x);
  }

  at::Tensor output(std::vector<at::Tensor> reads, const at::Tensor& x) const {
    for (at::Tensor& read : reads) read = rms_normed(read, p_.at("norm"));
    return applied(p_.at("out"), at::cat(reads) * swish(applied(p_.at("out_gate"), x)));
  }

  // Logits of the token; those of α and η from a mean over the running group's tokens so far, each logit with a weight of its own.
  void gates(const at::Tensor& x, bool active) {
    const at::Tensor learned = o_.gate_scale * applied(p_.at("gates.gate"), at::cat({x, previous_}));
    auto fixed = [&](const std::string& name) { return (", " + o_.fixed_gates + ",").find(", " + name + ",") != std::string::npos; };
    std::vector<bool> looks{!fixed("theta")};
    if (o_.forgetting) looks.push_back(!fixed("alpha"));
    if (o_.momentum) looks.push_back(!fixed("eta"));
    const int64_t each = learned.size(0) / std::count(looks.begin(), looks.end(), true);
    std::vector<at::Tensor> each_gate;
    int64_t next = 0;
    for (const bool look : looks) each_gate.push_back(look ? learned.narrow(0, each * next++, each) : at::zeros({each}, learned.options()));
    const at::Tensor all = at::cat(each_gate);
    previous_ = x;
    write_ = logistic(all.narrow(0, 0, each) + o_.theta_bias);
    written_.push_back(write_);
    slow_ = all.narrow(0, each, all.size(0) - each);
    if (o_.group == 1) return;
    if (tokens_++ % o_.group == 0) group_.clear();
    const at::Tensor weight = p_.count("gates.pool") ? (8 * at::tanh(applied(p_.at("gates.pool"), x) / 8)).exp() : at::ones_like(slow_);
    if (active) group_.push_back({weight, slow_});
    at::Tensor sum = at::zeros_like(slow_), total = at::zeros_like(slow_);
    for (const auto& [w, logits] : group_) sum = sum + w * logits, total = total + w;
    if (!group_.empty()) slow_ = sum / total;
  }

  static at::Tensor rms(const at::Tensor& x) { return x / (x.square().mean() + 1e-6).sqrt(); }

  // What the exact cache says: of all pairs so far those of largest priority, of equal ones the older.
  at::Tensor recalled(const at::Tensor& query, int64_t h) const {
    std::vector<Pair> best = pairs_[h];
    if (o_.cache == 0 || best.empty()) return at::zeros({D_}, query.options());
    std::stable_sort(best.begin(), best.end(), [](const Pair& a, const Pair& b) { return a.priority > b.priority; });
    at::Tensor sum = at::zeros({D_}, query.options()), total = at::zeros({}, query.options());
    for (size_t i = 0; i < best.size() && int64_t(i) < o_.cache; ++i) {
      const at::Tensor weight = ((p_.at("cache.scale")[h] * rms(query) * best[i].key).sum() / std::sqrt(double(D_))).exp();
      sum = sum + weight * best[i].value, total = total + weight;
    }
    return logistic(p_.at("cache.gate")[h]) * sum / total;
  }

  Gates gates_of(int64_t j, int64_t h) const {
    const int64_t each = write_.size(0), G = o_.gate_per_matrix ? fast_ : 1;
    Gates g;
    for (int64_t l = 0; l < fast_; ++l) {
      const int64_t at = o_.gate_per_head ? (j * H_ + h) * G : j * G, i = at + (o_.gate_per_matrix ? l : 0);
      const at::Tensor zero = at::zeros({}, write_.options());
      g.theta.push_back(o_.theta_max * write_[i]);
      g.alpha.push_back(o_.forgetting ? logistic(slow_[i] + o_.alpha_bias) : zero);
      if (o_.step_cap > 0) {
        const at::Tensor most = g.alpha.back() / o_.step_cap;
        g.theta.back() = most * (1 - (-g.theta.back() / most).exp());
      }
      g.eta.push_back(o_.momentum ? logistic(slow_[(o_.forgetting ? each : 0) + i] + o_.eta_bias) : zero);
    }
    return g;
  }

  struct Pair {
    at::Tensor key, value;
    double priority;
  };

  const AnyMemory o_;
  const Parameters p_;
  const bool writes_;
  int64_t H_, D_, n_, fast_, tokens_ = 0;
  Convolution conv_;
  std::vector<Memory> heads_;
  std::vector<std::vector<Pair>> pairs_;  // all that a head's memory was asked to write
  at::Tensor previous_, write_, slow_;
  std::vector<std::pair<at::Tensor, at::Tensor>> group_;
  std::vector<at::Tensor> written_;
};

struct LayerOutput {
  at::Tensor y;        ///< [B,T,C]
  at::Tensor penalty;  ///< write_penalty · mean σ(s); undefined where nothing is written
};

/// x [B,T,C], mask bool [B,T] or undefined.
inline LayerOutput memory_layer(const ModelOptions& model, const AnyMemory& o, const Parameters& p, const at::Tensor& x,
                                const at::Tensor& mask = {}, bool writes = true) {
  std::vector<at::Tensor> rows, written;
  for (int64_t b = 0; b < x.size(0); ++b) {
    MemoryLayer layer(model, o, p, writes);
    std::vector<at::Tensor> y;
    for (int64_t t = 0; t < x.size(1); ++t) y.push_back(layer.token(x[b][t], !mask.defined() || mask[b][t].item<bool>()));
    rows.push_back(at::stack(y));
    written.insert(written.end(), layer.written().begin(), layer.written().end());
  }
  return {at::stack(rows), written.empty() ? at::Tensor() : o.write_penalty * at::stack(written).mean()};
}

}  // namespace mneme::test::by_hand
