// Rows of the task `file`: JSON lines, and what begins as HDF5.
#include "tasks/support/row_file.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  mneme::fuzz::read_or_refuse([&] { mneme::read_row_file("task.file.train", mneme::fuzz::file_of(bytes, size, "rows")); });
  return 0;
}
