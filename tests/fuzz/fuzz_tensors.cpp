// Safetensors (weights, states, memories) and trainer.json.
#include "eval/safetensors.h"
#include "eval/trainer_file.h"
#include "mneme/state.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  mneme::fuzz::read_or_refuse([&] {
    const mneme::TensorFile file = mneme::read_safetensors(mneme::fuzz::file_of(bytes, size, "x.safetensors"));
    mneme::State::unflatten(file.tensors).flatten();
  });
  mneme::fuzz::read_or_refuse([&] {
    const std::string path = mneme::fuzz::file_of(bytes, size, "trainer.json"), folder = path.substr(0, path.rfind('/'));
    const mneme::TrainerState state = mneme::trainer_state(mneme::read_trainer_json(folder), folder);
    const nlohmann::json again = mneme::trainer_json(state);
    if (mneme::trainer_json(mneme::trainer_state(again, folder)) != again) std::abort();
  });
  return 0;
}
