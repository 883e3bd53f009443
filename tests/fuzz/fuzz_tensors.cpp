// Safetensors: weights, states and memories.
#include "eval/safetensors.h"
#include "mneme/state.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  mneme::fuzz::read_or_refuse([&] {
    const mneme::TensorFile file = mneme::read_safetensors(mneme::fuzz::file_of(bytes, size, "x.safetensors"));
    mneme::State::unflatten(file.tensors).flatten();
  });
  return 0;
}
