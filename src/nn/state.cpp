#include "mneme/state.h"

#include <ATen/ATen.h>

#include "mneme/errors.h"

namespace mneme {

namespace {

constexpr const char* kClock = "clock";

bool bookkeeping(const std::string& name) { return name == kClock || name.back() == '#'; }

template <class F>
State transformed(const State& from, const F& change) {
  std::vector<std::pair<std::string, at::Tensor>> all;
  for (auto& [name, tensor] : from.flatten())
    all.emplace_back(name, tensor.dim() == 0 ? tensor : change(tensor));  // scalars are positions
  return State::unflatten(all);
}

}  // namespace

void State::detach() {
  for (auto& [name, tensor] : tensors_)
    if (tensor.defined()) tensor = tensor.detach();
  for (auto& [name, child] : children_) child.detach();
}

bool State::empty() const {
  for (const auto& [name, tensor] : tensors_)
    if (tensor.defined()) return false;
  for (const auto& [name, child] : children_)
    if (!child.empty()) return false;
  return true;
}

State State::clone() const {
  return transformed(*this, [](const at::Tensor& x) { return x.clone(); });
}

int64_t State::bytes_per_row() const {
  int64_t bytes = 0;
  for (const auto& [name, tensor] : tensors_)
    if (tensor.defined() && tensor.dim() > 0 && name[0] != '_' && !bookkeeping(name))
      bytes += 4 * tensor.numel() / std::max<int64_t>(tensor.size(0), 1);
  for (const auto& [name, child] : children_) bytes += child.bytes_per_row();
  return bytes;
}

at::Tensor State::clock(int64_t rows) const {
  return has(kClock) ? tensors_.at(kClock) : at::full({rows}, position, at::kLong);
}

void State::set_clock(const at::Tensor& clock) {
  position = clock.max().item<int64_t>();
  if (clock.min().item<int64_t>() == position)
    tensors_.erase(kClock);
  else
    tensors_[kClock] = clock;
}

void State::advance(int64_t tokens) {
  position += tokens;
  if (has(kClock)) tensors_[kClock] = tensors_[kClock] + tokens;
}

at::Tensor State::differing_clocks() const {
  std::vector<at::Tensor> clocks;
  if (has(kClock)) clocks.push_back(tensors_.at(kClock).unsqueeze(0));
  for (const auto& [name, child] : children_)
    if (const at::Tensor below = child.differing_clocks(); below.defined()) clocks.push_back(below);
  return clocks.empty() ? at::Tensor() : at::cat(clocks);
}

State State::aligned() const {
  State result = *this;
  if (has(kClock)) result.set_clock(tensors_.at(kClock).narrow(0, 0, 1));
  std::erase_if(result.tensors_, [](const auto& entry) { return entry.first.back() == '#'; });
  for (auto& [name, child] : result.children_) child = child.aligned();
  return result;
}

void State::unalign(const State& before) {
  if (before.has(kClock)) {
    const at::Tensor& clock = before.tensors_.at(kClock);
    set_clock(clock - clock[0] + position);
  }
  for (auto& [name, child] : children_)
    if (before.has_child(name)) child.unalign(before.children_.at(name));
}

std::vector<std::pair<std::string, at::Tensor>> State::flatten() const {
  std::vector<std::pair<std::string, at::Tensor>> all;
  all.emplace_back("position", at::scalar_tensor(position, at::kLong));
  for (const auto& [name, tensor] : tensors_)
    if (tensor.defined()) all.emplace_back(name, tensor);
  for (const auto& [name, child] : children_)
    for (auto& [inner, tensor] : child.flatten()) all.emplace_back(name + "/" + inner, tensor);
  return all;
}

State State::unflatten(const std::vector<std::pair<std::string, at::Tensor>>& tensors) {
  State root;
  for (const auto& [path, tensor] : tensors) {
    State* node = &root;
    size_t first = 0;
    for (size_t slash; (slash = path.find('/', first)) != std::string::npos; first = slash + 1)
      node = &node->child(path.substr(first, slash - first));
    const std::string name = path.substr(first);
    if (name == "position" && tensor.dim() == 0)
      node->position = tensor.item<int64_t>();
    else
      node->tensor(name) = tensor;
  }
  return root;
}

}  // namespace mneme
