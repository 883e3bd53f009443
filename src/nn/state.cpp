#include "mneme/state.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <set>

#include "base/assert.h"
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

// Where rows hold different amounts of a tensor, `name#` [B,2] says of each row along which dimension (0 = none) and how much of it is real
// (−1 = the row has no such tensor).
std::string extent_of(const std::string& name) { return name + "#"; }

at::Tensor extents(int64_t rows, int64_t dimension, int64_t size) {
  return at::tensor({dimension, size}, at::kLong).expand({rows, 2});
}

// The one dimension in which shapes differ, 0 = none.
int64_t ragged_dimension(const std::vector<at::Tensor>& tensors) {
  int64_t found = 0;
  for (const at::Tensor& x : tensors) {
    MNEME_ASSERT(x.dim() == tensors[0].dim());
    for (int64_t d = 1; d < x.dim(); ++d)
      if (x.size(d) != tensors[0].size(d)) {
        MNEME_ASSERT(found == 0 || found == d);  // a state tensor grows along one dimension
        found = d;
      }
  }
  return found;
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

// Rows in and out of a state.

void State::select(State& into, const std::string& name, const at::Tensor& index) const {
  const at::Tensor picked = tensors_.at(name).index_select(0, index);
  if (!has(extent_of(name))) {
    into.tensors_[name] = picked;
    return;
  }
  const at::Tensor extent = tensors_.at(extent_of(name)).index_select(0, index.cpu());
  const auto [dimension, size] = std::pair{extent.select(1, 0).max().item<int64_t>(), extent.select(1, 1).max().item<int64_t>()};
  if (size < 0) return;
  into.tensors_[name] = dimension > 0 ? picked.narrow(dimension, 0, size) : picked;
  if (extent.select(1, 1).min().item<int64_t>() != size) into.tensors_[extent_of(name)] = extent;
}

State State::rows(const at::Tensor& index) const {
  State result;
  for (const auto& [name, tensor] : tensors_)
    if (tensor.defined() && name != kClock && name.back() != '#') select(result, name, index);
  for (const auto& [name, child] : children_) result.children_[name] = child.rows(index);
  result.position = position;
  if (has(kClock)) result.set_clock(tensors_.at(kClock).index_select(0, index.cpu()));
  return result;
}

void State::join_tensor(State& into, const std::string& name, const std::vector<State>& parts, const std::vector<int64_t>& counts) {
  std::vector<at::Tensor> there;
  bool plain = true;
  for (const State& part : parts) {
    if (part.has(name)) there.push_back(part.tensors_.at(name));
    plain = plain && part.has(name) && !part.has(extent_of(name));
  }
  const int64_t dimension = ragged_dimension(there);
  if (plain && dimension == 0) {
    into.tensors_[name] = at::cat(there);
    return;
  }
  std::vector<int64_t> shape = there[0].sizes().vec();
  for (const at::Tensor& x : there) shape[dimension] = std::max(shape[dimension], x.size(dimension));
  std::vector<at::Tensor> filled, extent;
  for (size_t i = 0; i < parts.size(); ++i) {
    shape[0] = counts[i];
    at::Tensor values = at::zeros(shape, there[0].options());
    const bool has = parts[i].has(name);
    const int64_t size = !has ? -1 : dimension == 0 ? 0 : parts[i].tensors_.at(name).size(dimension);
    if (has) {
      const at::Tensor& x = parts[i].tensors_.at(name);
      values = dimension == 0 ? x : at::cat({x, values.narrow(dimension, 0, shape[dimension] - size)}, dimension);
    }
    filled.push_back(values);
    extent.push_back(parts[i].has(extent_of(name)) ? parts[i].tensors_.at(extent_of(name)) : extents(counts[i], dimension, size));
  }
  into.tensors_[name] = at::cat(filled);
  into.tensors_[extent_of(name)] = at::cat(extent);
}

State State::join(const std::vector<State>& parts, const std::vector<int64_t>& counts) {
  State result;
  std::set<std::string> names, children;
  std::vector<at::Tensor> clocks;
  for (size_t i = 0; i < parts.size(); ++i) {
    for (const auto& [name, tensor] : parts[i].tensors_)
      if (tensor.defined() && name != kClock && name.back() != '#') names.insert(name);
    for (const auto& [name, child] : parts[i].children_) children.insert(name);
    clocks.push_back(parts[i].clock(counts[i]));
  }
  for (const std::string& name : names) join_tensor(result, name, parts, counts);
  for (const std::string& name : children) {
    std::vector<State> below;
    for (const State& part : parts) below.push_back(part.has_child(name) ? part.children_.at(name) : State());
    result.children_[name] = join(below, counts);
  }
  result.set_clock(at::cat(clocks));
  return result;
}

}  // namespace mneme
