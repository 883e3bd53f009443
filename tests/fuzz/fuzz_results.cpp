// run.h5, NAME.h5 of tables, stream.h5: with their seal (which a fuzzer does not find by chance) taken out, in a guarded process.
#include "results/run_file.h"
#include "results/stream_file.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string& path = mneme::fuzz::file_of(bytes, size, "run.h5");
  mneme::fuzz::read_or_refuse([&] { mneme::read_runs({path}); });
  mneme::fuzz::read_or_refuse([&] { mneme::read_stream_file(path); });
  return 0;
}
