#include "memory/rule_memory.h"

#include <ATen/ATen.h>

#include <cmath>

#include "config/fields.h"
#include "memory/rule/window.h"
#include "memory/unread_options.h"

namespace mneme::memory {
namespace {

void register_rule_parts() {
  register_networks();
  register_losses();
  register_retentions();
  register_optimizers();
}

// Options described as `part.option`.
class BehindName : public OptionVisitor {
 public:
  BehindName(OptionVisitor& inner, const std::string& part) : inner_(inner), part_(part + ".") {}
  void option(const char* name, int64_t& value, IntRange range, const char* help, Hashed hashed) override { inner_.option(full(name).c_str(), value, range, help, hashed); }
  void option(const char* name, double& value, RealRange range, const char* help, Hashed hashed) override { inner_.option(full(name).c_str(), value, range, help, hashed); }
  void option(const char* name, bool& value, const char* help, Hashed hashed) override { inner_.option(full(name).c_str(), value, help, hashed); }
  void option(const char* name, std::string& value, Choices choices, const char* help, Hashed hashed) override { inner_.option(full(name).c_str(), value, choices, help, hashed); }
  void option(const char* name, std::vector<int64_t>& value, IntRange range, const char* help, Hashed hashed) override { inner_.option(full(name).c_str(), value, range, help, hashed); }
  void settings(const char* name, std::vector<Setting>& value, int64_t arity, IntRange range, const char* help) override { inner_.settings(full(name).c_str(), value, arity, range, help); }
  void files(const char* name, std::vector<std::string>& value, const char* help) override { inner_.files(full(name).c_str(), value, help); }

 private:
  std::string full(const char* name) const { return part_ + name; }
  OptionVisitor& inner_;
  std::string part_;
};

// The options of a point where nobody made any.
std::shared_ptr<const RuleOptions> options_at(const RulePoint& point, const std::shared_ptr<Options>& own) {
  if (!own) return std::make_shared<RuleOptions>(point);
  if (const auto options = std::dynamic_pointer_cast<const RuleOptions>(own)) return options;
  throw Error("these are the options of another plug-in: make them by the `options` of the kind that is chosen");
}

void check_rule(const RulePoint& point, const MemoryOptions& options, Problems& problems) {
  const RulePoint at = options_at(point, options.own)->point;
  std::set<std::string> read{"kernel", "read", "group"};
  std::map<std::string, std::string> readers;  // parts that could be chosen
  auto ask = [&](const char* axis, const auto& registry, const std::string& name) {
    for (const auto& part : registry.all()) {
      const bool chosen = part.name == name;
      Problems of_part;
      if (part.check && (chosen || at.open)) part.check(options, chosen ? problems : of_part);
      if (chosen) read.insert(part.reads.begin(), part.reads.end());
      else if (at.open && of_part.empty())
        for (const std::string& option : part.reads) readers.emplace(option, "memory." + options.kind + "." + axis + " = " + part.name);
    }
  };
  ask("network", rule::NetworkRegistry::instance(), at.network), ask("loss", rule::LossRegistry::instance(), at.loss);
  ask("retention", rule::RetentionRegistry::instance(), at.retention), ask("optimizer", rule::OptimizerRegistry::instance(), at.optimizer);
  if (at.loss == "dot" && options.cache > 0)
    problems.add("memory.cache", "keeps the pairs of the largest errors, and loss = dot has none; choose another loss, or leave it out");
  check_unread_options(options, read, problems, readers);
}

}  // namespace

RuleOptions::RuleOptions(const RulePoint& at) : point(at) {
  auto add = [&](const char* axis, const auto& registry, const std::string& chosen_name) {
    for (const auto& part : registry.all())
      if (part.options && (at.open || part.name == chosen_name)) {
        for (const Part& other : parts_)
          if (at.open && other.name == part.name) throw Error("two parts of rules are called '" + part.name + "' and both have options: rename one of them");
        parts_.push_back({axis, part.name, part.options()});
      }
  };
  add("network", rule::NetworkRegistry::instance(), at.network), add("loss", rule::LossRegistry::instance(), at.loss);
  add("retention", rule::RetentionRegistry::instance(), at.retention), add("optimizer", rule::OptimizerRegistry::instance(), at.optimizer);
}

void RuleOptions::describe(OptionVisitor& v) {
  if (point.open) {
    v.option("network", point.network, rule::NetworkRegistry::instance().names(), "what the fast weights make of a key");
    v.option("loss", point.loss, rule::LossRegistry::instance().names(), "what a step goes down");
    v.option("retention", point.retention, rule::RetentionRegistry::instance().names(), "what is kept from step to step, and which weights it stands for");
    v.option("optimizer", point.optimizer, rule::OptimizerRegistry::instance().names(), "how the step follows from the gradient");
  }
  if (point.windowed) v.option("window", point.window, {1, 1024}, "tokens whose losses a step goes down");
  for (const Part& part : parts_) {
    if (!point.open) {
      part.own->describe(v);
      continue;
    }
    BehindName behind(v, part.name);
    part.own->describe(behind);
  }
}

bool RuleOptions::chosen(const Part& part) const {
  const std::map<std::string, const std::string*> on{
      {"network", &point.network}, {"loss", &point.loss}, {"retention", &point.retention}, {"optimizer", &point.optimizer}};
  return *on.at(part.axis) == part.name;
}

const std::shared_ptr<Options>& RuleOptions::part(const std::string& axis) const {
  static const std::shared_ptr<Options> none;
  for (const Part& each : parts_)
    if (each.axis == axis && chosen(each)) return each.own;
  return none;
}

void RuleOptions::check(const std::string& prefix, Problems& problems) const {
  const RuleOptions usual(point);
  for (size_t i = 0; i < parts_.size(); ++i) {
    const Part& part = parts_[i];
    if (chosen(part)) {
      part.own->check(prefix + (point.open ? part.name + "." : ""), problems);
      continue;
    }
    std::vector<Field> set = fields_of(*part.own, ""), unset = fields_of(*usual.parts_[i].own, "");
    for (size_t j = 0; j < set.size(); ++j)
      if (set[j].text() != unset[j].text())
        problems.add(prefix + part.name + "." + set[j].key, "is an option of " + part.axis + " = " + part.name + ", which is not chosen; set " + prefix +
                                                                part.axis + " = " + part.name + " or leave it out");
  }
}

RuleMemory::RuleMemory(const MemoryContext& context, const RuleOptions& own) : LoopMemory(context), window_(own.point.window) {
  auto made = [&](const char* axis, const auto& registry, const std::string& name) {
    const rule::Context parts{options_, own.part(axis), heads_, key_width_, value_width_, context.generator,
                              [this](const std::string& what, const at::Tensor& x) { return parameter(what, x, Role::memory_start); }};
    return registry.get(name).make(parts);
  };
  network_ = made("network", rule::NetworkRegistry::instance(), own.point.network);
  loss_ = made("loss", rule::LossRegistry::instance(), own.point.loss);
  retention_ = made("retention", rule::RetentionRegistry::instance(), own.point.retention);
  optimizer_ = made("optimizer", rule::OptimizerRegistry::instance(), own.point.optimizer);
  equation_ = "network " + own.point.network + ", loss " + own.point.loss + ", retention " + own.point.retention + ", optimizer " + own.point.optimizer;
  if (window_ > 1) equation_ += ", window of " + std::to_string(window_);
  if (options_.group > 1) equation_ += ", groups of " + std::to_string(options_.group);
  for (const rule::Network::Matrix& matrix : network_->matrices()) {
    names_.push_back(matrix.name);
    const at::Tensor start = retention_->parameter(matrix.initial, context.generator);
    start_.push_back(own.point.learned_start ? parameter(state_name("start", names_.size() - 1), start, Role::memory_start) : start);
  }
}

std::vector<Gate> RuleMemory::gates() const {
  const int64_t matrices = int64_t(start_.size());
  const bool groups = options_.group > 1;
  // The window's tokens may be one and the same: the step stays stable.
  const double most = optimizer_->weighs_tokens() ? options_.theta_max / (double(window_) * network_->input_square()) : options_.theta_max;
  std::vector<Gate> all{{.name = "theta", .help = "step size", .copies = matrices, .bias = options_.theta_bias, .scale = most,
                         .pooled = groups && !optimizer_->weighs_tokens(), .writes = true}};
  if (options_.forgetting)
    all.push_back({.name = "alpha", .help = "forgetting", .copies = matrices, .bias = options_.alpha_bias, .pooled = groups});
  for (const Gate& gate : loss_->gates()) all.push_back(gate);
  if (window_ > 1) all.push_back({.name = "gamma", .help = "weights of the window's tokens", .copies = window_});
  for (Gate gate : optimizer_->gates()) {
    gate.copies = matrices, gate.pooled = groups;
    all.push_back(gate);
  }
  return all;
}

std::string RuleMemory::equation() const { return equation_; }

at::Tensor RuleMemory::initial(size_t l, const at::TensorOptions& options) const {
  return retention_->begin(start_[l].to(options).unsqueeze(0));
}

RuleMemory::Tensors RuleMemory::begin(int64_t rows, const at::TensorOptions& options) const {
  Tensors state;
  for (size_t l = 0; l < start_.size(); ++l) {
    const at::Tensor x = initial(l, options).expand({rows, -1, -1, -1});
    state[state_name(retention_->state_name(), l)] = x;
    for (const std::string& own : optimizer_->state()) state[state_name(own, l)] = at::zeros_like(x, at::MemoryFormat::Contiguous);
  }
  if (window_ > 1) rule::begin_window(window_, rows, heads_, key_width_, value_width_, loss_->gates(), options, state);
  return state;
}

rule::Matrices RuleMemory::weights(const Tensors& state) const {
  rule::Matrices all;
  for (size_t l = 0; l < start_.size(); ++l) all.push_back(retention_->weights(state.at(state_name(retention_->state_name(), l))));
  return all;
}

at::Tensor RuleMemory::step(const Tokens& tokens, Tensors& state) const {
  const int64_t B = tokens.key.size(0), n = tokens.key.size(2);
  Tensors last;
  for (const auto& [name, x] : tokens.gates) last[name] = x.narrow(2, n - 1, 1);
  const at::Tensor& theta = tokens.gates.at("theta");
  rule::StepTokens down{tokens.key, tokens.value, {}, optimizer_->weighs_tokens() ? optimizer_->step_sizes(theta, last) : at::ones_like(theta)};
  for (const Gate& gate : loss_->gates()) down.gates[gate.name] = tokens.gates.at(gate.name);
  if (tokens.step.defined()) down.weights = down.weights * tokens.step.view({B, 1, n, 1}).to(theta.scalar_type());
  if (window_ > 1) down = rule::with_window(down, tokens.gates.at("gamma"), tokens.step, state);

  const rule::Matrices W = weights(state);
  const rule::Loss::Value loss = loss_->of(network_->apply(W, down.key), down.value, down.gates);
  const rule::Matrices G = network_->gradient(W, down.key, loss.slope, down.weights);
  for (size_t l = 0; l < W.size(); ++l) {
    auto of_matrix = [&](const std::string& name) {
      const at::Tensor& x = last.at(name);
      return x.size(3) == 1 ? x : x.narrow(3, int64_t(l), 1);
    };
    Tensors gates{{"theta", of_matrix("theta")}}, own;
    for (const Gate& gate : optimizer_->gates()) gates[gate.name] = of_matrix(gate.name);
    for (const std::string& name : optimizer_->state()) own[name] = state.at(state_name(name, l));
    const at::Tensor step = optimizer_->step(G[l], gates, own);
    for (const auto& [name, x] : own) state[state_name(name, l)] = x;
    at::Tensor& x = state.at(state_name(retention_->state_name(), l));
    x = retention_->next(x, options_.forgetting ? of_matrix("alpha") : at::Tensor(), step, retention_->returns_to_start() ? initial(l, x.options()) : at::Tensor());
  }
  return loss.loss.narrow(2, loss.loss.size(2) - n, n);
}

at::Tensor RuleMemory::read_of(const at::Tensor& queries, const Tensors& state) const { return network_->apply(weights(state), queries); }

bool RuleMemory::is_read(const std::string& name) const {
  for (size_t l = 0; l < names_.size(); ++l)
    if (name == state_name(retention_->state_name(), l)) return true;
  return false;
}

MemoryPlugin rule_plugin(const std::string& name, const std::string& summary, const RulePoint& point) {
  register_rule_parts();
  return {.name = name,
          .summary = summary,
          .make = [point](const MemoryContext& context) { return std::make_shared<RuleMemory>(context, *options_at(point, context.options.own)); },
          .options = [point] { return std::make_shared<RuleOptions>(point); },
          .check = [point](const MemoryOptions& options, Problems& problems) { check_rule(point, options, problems); }};
}

}  // namespace mneme::memory
