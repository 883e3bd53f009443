#include "mneme/state.h"

#include <ATen/ATen.h>

#include "mneme/errors.h"

namespace mneme {

void State::detach() {
  for (auto& [name, tensor] : tensors_)
    if (tensor.defined()) tensor = tensor.detach();
  for (auto& [name, child] : children_) child.detach();
}

namespace {
template <class F>
State transformed(const State& from, const F& change) {
  std::vector<std::pair<std::string, at::Tensor>> all;
  for (auto& [name, tensor] : from.flatten())
    all.emplace_back(name, tensor.dim() == 0 ? tensor : change(tensor));  // scalars are positions
  return State::unflatten(all);
}
}  // namespace

State State::clone() const {
  return transformed(*this, [](const at::Tensor& x) { return x.clone(); });
}

State State::rows(const at::Tensor& index) const {
  return transformed(*this, [&](const at::Tensor& x) { return x.index_select(0, index); });
}

int64_t State::bytes_per_row() const {
  int64_t bytes = 0;
  for (const auto& [name, tensor] : tensors_)
    if (tensor.defined() && tensor.dim() > 0 && name[0] != '_') bytes += 4 * tensor.numel() / std::max<int64_t>(tensor.size(0), 1);
  for (const auto& [name, child] : children_) bytes += child.bytes_per_row();
  return bytes;
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
