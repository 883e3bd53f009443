// A memory given by a point on four axes (MIRAS, Behrouz et al., arXiv 2504.13173): network × inner loss × retention × optimizer.
//
//   G_t = Σ θ_i ∇l(M(·; W_{t−1}); k_i, v_i)             over the tokens i of a step: one, or a group (memory.group); of a window, window.h
//   state_t = retention(state_{t−1}, α_t, optimizer(G_t)),   W_t = weights(state_t)
//   y_t = M(q_t; W_t)
//
// A group of g tokens is one step: all gradients at the weights before it, in one batch; α, η of its last token; reads see completed groups,
// an unfinished one waits in the state. T/g steps instead of T, and about as much faster. A direction that g tokens share is stepped g times
// as far: what bounds a stable θ falls by up to g.
//
// State per row and head: each matrix as its retention holds it ("weights", "steps_out"), what the optimizer keeps of it, the window. Outer
// gradients: closed inner gradients, autograd through the steps.
#pragma once

#include "memory/loop_memory.h"
#include "memory/rule/loss.h"
#include "memory/rule/network.h"
#include "memory/rule/optimizer.h"
#include "memory/rule/retention.h"

namespace mneme::memory {

struct RulePoint {
  std::string network = "linear", loss = "l2", retention = "l2", optimizer = "sgd";
  bool windowed = false;      ///< has an option `window`
  int64_t window = 1;         ///< its default
  bool learned_start = true;  ///< the initial weights are parameters
  bool open = false;          ///< the four are options, and options of parts stand behind their names: `lp.p`
};

/// The own options of a memory at a point: those of its parts.
class RuleOptions : public Options {
 public:
  explicit RuleOptions(const RulePoint& at = {});
  void describe(OptionVisitor& v) override;
  void check(const std::string& prefix, Problems& problems) const override;
  /// Of the part that is chosen on an axis: "network", "loss", "retention", "optimizer".
  const std::shared_ptr<Options>& part(const std::string& axis) const;

  RulePoint point;

 private:
  struct Part {
    std::string axis, name;
    std::shared_ptr<Options> own;
  };
  bool chosen(const Part& part) const;
  std::vector<Part> parts_;
};

class RuleMemory : public LoopMemory {
 public:
  RuleMemory(const MemoryContext& context, const RuleOptions& own);
  std::vector<Gate> gates() const override;

 private:
  Tensors begin(int64_t rows, const at::TensorOptions& options) const override;
  at::Tensor step(const Tokens& tokens, Tensors& state) const override;
  at::Tensor read_of(const at::Tensor& queries, const Tensors& state) const override;
  bool is_read(const std::string& name) const override;
  std::string equation() const override;
  rule::Matrices weights(const Tensors& state) const;
  at::Tensor initial(size_t l, const at::TensorOptions& options) const;
  std::string state_name(const std::string& what, size_t l) const { return names_[l].empty() ? what : what + "_" + names_[l]; }

  int64_t window_;
  std::string equation_;  // the point, in words
  std::shared_ptr<rule::Network> network_;
  std::shared_ptr<rule::Loss> loss_;
  std::shared_ptr<rule::Retention> retention_;
  std::shared_ptr<rule::Optimizer> optimizer_;
  std::vector<std::string> names_;   // of the matrices
  std::vector<at::Tensor> start_;    // [H,in,out] what their states start from
};

/// The plug-in of a memory at a point.
MemoryPlugin rule_plugin(const std::string& name, const std::string& summary, const RulePoint& point);

}  // namespace mneme::memory
