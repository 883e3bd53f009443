#include <cstdio>

#include "base/files.h"
#include "base/log.h"
#include "base/provenance.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test.h"

using namespace mneme;
using Catch::Contains;

TEST_CASE("progress says step, loss, speed and time left", "[log]") {
  CHECK(progress_line({120, 500, 1.23456, 8312, ""}, 65) == "step 120/500  loss 1.2346  8.3k tokens/s  ETA 1:05");
  CHECK(progress_line({500, 500, 0.5, 100, "validation 93.1 %"}, 0) == "step 500/500  loss 0.5000  100 tokens/s  validation 93.1 %");
  CHECK(duration_text(7384) == "2:03:04");
}

TEST_CASE("in a file progress is throttled plain lines; quiet keeps warnings only", "[log]") {
  test::TemporaryFolder folder;
  const bool quiet = GENERATE(false, true);
  std::FILE* stream = std::fopen((folder / "log").c_str(), "w");
  {
    Log log(quiet, stream);
    log.info("start");
    log.warn("careful");
    for (int64_t step = 1; step <= 1000; ++step) log.progress({step, 1000, 1, 1, ""});
  }
  std::fclose(stream);
  const std::string text = read_file(folder / "log");
  CHECK_THAT(text, Contains("warning: careful"));
  CHECK_THAT(text, !Contains("\x1b"));
  CHECK((text.find("start") == std::string::npos) == quiet);
  CHECK((text.find("step 1000/1000") == std::string::npos) == quiet);
  CHECK(text.find("step 500/1000") == std::string::npos);
}

TEST_CASE("provenance is filled in", "[provenance]") {
  const char* arguments[] = {"/some/where/mneme", "run", "a b.ini", "task.kind=mqar", "it's"};
  CHECK(command_line(5, arguments) == "mneme run 'a b.ini' task.kind=mqar 'it'\\''s'");
  CHECK(code_version().find('+') != std::string::npos);
  CHECK(rss_mib() > 1);
  CHECK(peak_rss_mib() >= rss_mib() * 0.9);
  CHECK(utc_now().size() == 20);
}
