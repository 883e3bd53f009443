// Stands before LibTorch's header of the same name, which torch/nn/module.h includes for two class names and which brings the whole
// TorchScript library: a second more for each of our sources. Mneme stores safetensors and HDF5, never these archives.
#pragma once

namespace torch::serialize {
class InputArchive;
class OutputArchive;
}  // namespace torch::serialize
