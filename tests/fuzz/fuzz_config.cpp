// INI text as a config, as overrides and as a sweep.
#include "config/config.h"
#include "config/settings.h"
#include "config/sweep.h"
#include "mneme/task.h"
#include "tests/fuzz/fuzz.h"

using namespace mneme;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  static const bool ready = (register_tasks(), true);
  static_cast<void>(ready);
  const std::string text(reinterpret_cast<const char*>(bytes), size);
  fuzz::read_or_refuse([&] {
    const Settings settings = Settings::from_text(text, "fuzz.ini");
    const Resolution resolution = try_resolve(settings, DataFiles::may_be_missing);
    if (!resolution.problems.empty()) return;
    // What was understood is written so that it is understood again.
    const std::string ini = canonical_ini(resolution.config);
    if (canonical_ini(resolve(Settings::from_text(ini, "again.ini"), DataFiles::may_be_missing)) != ini) std::abort();
  });
  fuzz::read_or_refuse([&] {
    Settings settings;
    settings.override_with(text);
    try_resolve(settings, DataFiles::may_be_missing);
  });
  fuzz::read_or_refuse([&] { read_sweep(fuzz::file_of(bytes, size, "sweep.ini"), {}); });
  return 0;
}
