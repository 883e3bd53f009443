// Normalisation of the last dimension, one fused pass forward and one backward; only x and one number a row are kept.
#pragma once

#include <ATen/core/Tensor.h>

namespace mneme::nn {

/// RMSNorm (Zhang, Sennrich 2019): y = x / √(mean x² + eps) · weight.   x [...,D], weight [D] → [...,D]
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps = 1e-6);

/// L2 normalisation: y = x / √(Σ x² + eps).   x [...,D] → [...,D]
at::Tensor l2_normalize(const at::Tensor& x, double eps = 1e-6);

/// The same in plain LibTorch operations: the oracle of the fused form, and the form for other devices.
at::Tensor rms_norm_reference(const at::Tensor& x, const at::Tensor& weight, double eps = 1e-6);
at::Tensor l2_normalize_reference(const at::Tensor& x, double eps = 1e-6);

}  // namespace mneme::nn
