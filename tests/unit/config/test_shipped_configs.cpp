// Every config that comes with Mneme is good (data files need not be there).
#include <filesystem>

#include "config/config.h"
#include "tests/support/test.h"
#include "tests/unit/config/config_fixture.h"

namespace mneme {
void register_tasks();
}

using namespace mneme;

TEST_CASE("every shipped config resolves", "[config][shipped]") {
  register_tasks();
  test::register_samples();
  int count = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(MNEME_SOURCE_DIR "/configs")) {
    const bool sweep = entry.path().string().find("/sweeps/") != std::string::npos;
    if (entry.path().extension() != ".ini" || sweep) continue;
    INFO(entry.path());
    CHECK_NOTHROW(resolve(Settings::from_file(entry.path().string()), DataFiles::may_be_missing));
    ++count;
  }
  CHECK(count >= 10);
}
