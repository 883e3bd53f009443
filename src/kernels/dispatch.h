// Which engine runs: chosen once, by code that any processor runs.
#pragma once

#include <string>
#include <vector>

#include "kernels/engine.h"

namespace mneme::kernels {

/// The widest engine this processor runs, or the one use_engine() or MNEME_ISA in the environment asked for. ConfigError where that
/// does not exist or this processor does not run it.
const Engine& engine();
/// avx512, avx2 or generic; false where the processor does not run it.
bool use_engine(const std::string& name);
/// Those that this processor runs, widest first.
std::vector<const Engine*> engines();

template <class T>
const Loops<T>& loops() {
  if constexpr (sizeof(T) == sizeof(float))
    return engine().of_float;
  else
    return engine().of_double;
}

}  // namespace mneme::kernels
