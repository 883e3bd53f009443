// What a command is to write, looked at before its work begins: no minutes of work for a name that cannot be written, and
// nothing that is read, or that a run keeps, is overwritten.
#pragma once

#include <string>
#include <vector>

namespace mneme {

struct NamedPath {
  std::string name;  ///< as the command line calls it: "--output"
  std::string path;  ///< "" = not asked for
};

/// UsageError: an output that is an input or lies in one that is a folder, that another option writes too, or that a run
/// folder or checkpoint keeps for itself (run.h5, config.ini, …). StoreError: a folder, a device, not writable. Makes the
/// outputs' folders; touches nothing else that is there.
void check_outputs(const std::vector<NamedPath>& outputs, const std::vector<NamedPath>& inputs = {});

}  // namespace mneme
