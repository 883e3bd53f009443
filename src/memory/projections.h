// Query, key and value projections with their short convolution: the same initial values in every kind of layer.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <array>

#include "mneme/model_options.h"
#include "mneme/probe.h"

namespace mneme {

/// [q + k + v, C]. `tied`: the key rows start as the query rows (with a shifted key convolution, a token then asks for what
/// followed its last occurrence).
at::Tensor qkv_weight(int64_t width, int64_t q, int64_t k, int64_t v, bool tied, at::Generator generator);

/// [taps, q + k + v]; conv_init = shift: queries and values start at the current token, keys at the previous one.
at::Tensor qkv_taps(const ModelOptions& options, int64_t q, int64_t k, int64_t v, at::Generator generator);

/// Frobenius norms of the three maps, whose rows follow one another in qkv, for a probe.
void measure_maps(const at::Tensor& qkv, const std::array<int64_t, 3>& rows, Probe& probe);

}  // namespace mneme
