// Initial weights, each from an explicit generator.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string_view>

namespace mneme::nn {

/// A generator of its own for (seed, stream): the order in which streams are used never matters.
at::Generator make_generator(uint64_t seed, std::string_view stream);

/// [out, in], uniform ±gain/√in (the usual linear-layer init for gain 1).
at::Tensor linear_weight(int64_t out, int64_t in, at::Generator generator, double gain = 1);

/// [rows, columns] with orthonormal columns (rows ≥ columns) or rows, times gain.
at::Tensor orthogonal_weight(int64_t rows, int64_t columns, at::Generator generator, double gain = 1);

}  // namespace mneme::nn
