#include "cli/program.h"

#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <sstream>

#include "config/config.h"
#include "base/provenance.h"
#include "base/text.h"
#include "cli/text_table.h"
#include "mneme/errors.h"
#include "mneme/memory.h"
#include "mneme/model.h"
#include "mneme/task.h"
#include "eval/out_of_memory.h"
#include "eval/plugin_file.h"

namespace mneme {

namespace {

constexpr size_t kHelpWidth = 110;

std::vector<Command> all_commands() {
  return {run_command(),  eval_command(), sweep_command(),   table_command(),  report_command(),  predict_command(),
          generate_command(), stream_command(), show_command(), list_command(), options_command(), config_command(),
          inspect_command(), doctor_command(), bench_command(), new_command()};
}

std::string program_help(const std::vector<Command>& commands) {
  std::vector<std::vector<std::string>> rows;
  for (const Command& command : commands) rows.push_back({"  " + command.name, command.summary});
  return "mneme: memory-augmented sequence models, measured fairly\n\nusage: mneme COMMAND [arguments]\n\n" +
         text_table(rows) +
         "\n--plugin FILE.so (any command; or MNEME_PLUGINS, run.plugins) loads memories, models and tasks of your own.\n"
         "mneme COMMAND --help describes one of them, mneme --version this program. Exit status: 0 done, 1 failed,\n"
         "2 wrong command line or config, 75 interrupted (the same command resumes).\n";
}

std::string command_help(const Command& command) {
  std::ostringstream options;
  options << command.options;
  return fmt::format("mneme {}: {}\n\nusage: mneme {} {}\n\n{}\n\n{}\nexample:\n  {}\n", command.name, command.summary,
                     command.name, command.usage, wrap(command.details, kHelpWidth, 0), options.str(), command.example);
}

void register_plugins() {
  register_tasks();
  make_plugins_known();
  load_plugins_of_environment();
}

/// Takes --plugin FILE out of the arguments of any command into MNEME_PLUGINS, which the processes of a sweep inherit.
std::vector<std::string> without_plugins(const std::vector<std::string>& arguments) {
  std::vector<std::string> rest, files;
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i].rfind("--plugin=", 0) == 0) {
      files.push_back(arguments[i].substr(9));
    } else if (arguments[i] == "--plugin") {
      if (++i == arguments.size()) throw UsageError("--plugin: which file? e.g. --plugin build/my_rule.so");
      files.push_back(arguments[i]);
    } else {
      rest.push_back(arguments[i]);
    }
  }
  const char* before = std::getenv("MNEME_PLUGINS");
  if (before && *before) files.insert(files.begin(), before);
  if (!files.empty()) ::setenv("MNEME_PLUGINS", join(files, ":").c_str(), 1);
  return rest;
}

int dispatch(const std::vector<std::string>& given) {
  const std::vector<std::string> arguments = without_plugins(given);
  std::vector<Command> commands = all_commands();
  if (arguments.empty()) throw UsageError("which command? There are: run, eval, sweep, …; see mneme --help");
  const std::string& name = arguments.front();
  if (name == "--help" || name == "-h" || name == "help") {
    fmt::print("{}", program_help(commands));
    return 0;
  }
  if (name == "--version") {
    fmt::print("mneme {}{}\n", code_version(), code_dirty() ? " with uncommitted changes" : "");
    return 0;
  }
  std::vector<std::string> names;
  for (const Command& command : commands) names.push_back(command.name);
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end())
    throw UsageError(
        fmt::format("there is no command '{}'{} (mneme --help lists them)", name, did_you_mean(name, names)));

  Command& command = commands[static_cast<size_t>(found - names.begin())];
  command.options.add_options()("help,h", "this text")("quiet,q", "no progress on stderr");
  const CommandLine line(command.name, command.options, {arguments.begin() + 1, arguments.end()});
  if (line.has("help")) {
    fmt::print("{}", command_help(command));
    return 0;
  }
  register_plugins();
  return command.run(line);
}

/// A full disk behind `mneme … > file` is a failure, not silence.
void flush_results() {
  if (std::fflush(stdout) != 0 || std::ferror(stdout))
    throw StoreError(fmt::format("cannot write to standard output: {}", std::strerror(errno)));
}

int fail(const std::string& message, int status) {
  std::fflush(stdout);
  std::fprintf(stderr, "mneme: %s\n", printable(message).c_str());  // no exception where stderr is gone
  return status;
}

/// Of the exception being handled, which is none of ours.
std::string message_of(const std::exception& error) {
  if (const auto text = out_of_memory_text([](int64_t times) {
        return fmt::format("make what this command holds {} times smaller: eval.batch_tokens, eval.segment, train.batch, model.width, or fewer "
                           "--jobs of a sweep",
                           times);
      }))
    return *text;
  if (const auto* torch = dynamic_cast<const c10::Error*>(&error)) return torch->what_without_backtrace();
  if (const auto* file = dynamic_cast<const std::filesystem::filesystem_error*>(&error))
    return fmt::format("cannot use {}: {}; check the path and its permissions", file->path1().string(), file->code().message());
  return error.what();
}

}  // namespace

int run_program(const std::vector<std::string>& arguments) {
  try {
    const int status = dispatch(arguments);
    flush_results();
    return status;
  } catch (const Error& error) {
    return fail(error.what(), error.exit_code());
  } catch (const std::exception& error) {
    return fail(message_of(error), 1);
  }
}

}  // namespace mneme
