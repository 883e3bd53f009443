// The `mneme` program: a table of subcommands, one file each beside this one, and what they share.
//
// Exit status: 0 done · 1 failed · 2 the command line or config is wrong · 75 interrupted, the same command resumes.
// Results go to stdout, progress and messages to stderr. Every failure ends in one message that begins "mneme: ".
#pragma once

#include <boost/program_options/options_description.hpp>
#include <functional>
#include <string>
#include <vector>

#include "cli/command_line.h"

namespace mneme {

struct Command {
  std::string name;
  std::string summary;  ///< one line of `mneme --help`
  std::string usage;    ///< arguments after "mneme NAME"
  std::string details;  ///< paragraph of `mneme NAME --help`
  std::string example;  ///< a command that works in the checkout
  boost::program_options::options_description options{"Options", 110};
  std::function<int(const CommandLine&)> run;
};

// Each is defined in the file of its name.
Command run_command();
Command eval_command();
Command sweep_command();
Command table_command();
Command report_command();
Command predict_command();
Command generate_command();
Command stream_command();
Command show_command();
Command list_command();
Command options_command();
Command config_command();
Command inspect_command();
Command doctor_command();
Command bench_command();
Command new_command();

/// What `mneme show memory CONFIG` prints: the memory of a config, and which kernel computes which of its calls (show_memory.cpp).
int show_memory(const CommandLine& line);
/// The file of cmake/templates/ of that name, which `mneme new` writes; compiled in by cmake/Install.cmake. Asserts that there is one.
const std::string& template_text(const std::string& file);

/// Registers the plug-ins of the checkout, runs the subcommand, turns exceptions into messages. Returns the exit
/// status.
int run_program(const std::vector<std::string>& arguments);

}  // namespace mneme
