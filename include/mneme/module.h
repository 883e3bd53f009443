// Modules whose parameters say what they are: what follows from it (weight decay) then holds for every plug-in.
#pragma once

#include <torch/nn/module.h>

#include <map>
#include <string>

namespace mneme {

enum class Role {
  projection,    ///< a matrix between channels: the only one that weight decay shrinks
  gate,          ///< what makes gates
  norm,          ///< gains of normalisations
  convolution,   ///< taps
  embedding,     ///< of tokens, positions, persistent tokens
  memory_start,  ///< what a memory's state starts from, and its other slow parameters
};

class Module : public torch::nn::Module {
 public:
  /// What a parameter of this module is. One registered by torch's register_parameter is a projection where it is a matrix, else a gain.
  Role role(const std::string& name) const {
    const auto said = roles_.find(name);
    if (said != roles_.end()) return said->second;
    const auto own = named_parameters(false);
    const at::Tensor* found = own.find(name);
    return found && found->dim() == 2 ? Role::projection : Role::norm;
  }

 protected:
  at::Tensor parameter(const std::string& name, at::Tensor initial, Role role) {
    roles_[name] = role;
    return register_parameter(name, std::move(initial));
  }

 private:
  std::map<std::string, Role> roles_;
};

}  // namespace mneme
