// Where a number came from: code, machine, time. Holds no host or user names, so that results can be published as they are.
#pragma once

#include <string>

namespace mneme {

/// "0.1.0+1a2b3c4d5e6f": release and commit of the sources this program was built from; then what was added to it.
std::string code_version();
/// Code that was loaded beside it, "my_rule.so:1a2b3c4d": from now on part of the version.
void add_code(const std::string& part);
/// Whether files that can change a result differed from that commit.
bool code_dirty();

/// As the system names it; "unknown" where it does not.
std::string cpu_model();

/// Resident memory of this process now, and the most it ever was.
double rss_mib();
double peak_rss_mib();
/// Processor time of all threads of this process, seconds: what work costs whatever else the machine does.
double processor_seconds();

/// "2026-01-31T12:00:00Z"
std::string utc_now();

/// The arguments as one shell line, quoted where needed; the program by its file name only.
std::string command_line(int argc, const char* const* argv);

}  // namespace mneme
