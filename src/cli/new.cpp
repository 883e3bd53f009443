// mneme new: a plug-in of one's own to start from. What it writes is cmake/templates/, with the name put in; tests/build/test_install.py
// builds, tests and runs each.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <map>

#include "base/files.h"
#include "base/text.h"
#include "cli/program.h"
#include "mneme/errors.h"
#include "mneme/model.h"
#include "mneme/task.h"

namespace mneme {
namespace {

constexpr const char* kName = "my_rule";  // what the templates are called, and their types
constexpr const char* kType = "MyRule";

std::string replaced(std::string text, const std::string& old, const std::string& by) {
  for (size_t at = 0; (at = text.find(old, at)) != std::string::npos; at += by.size()) text.replace(at, old.size(), by);
  return text;
}

/// my_rule → MyRule
std::string type_name(const std::string& name) {
  std::string type;
  for (const std::string& word : split(name, '_'))
    if (!word.empty()) type += static_cast<char>(std::toupper(static_cast<unsigned char>(word[0]))) + word.substr(1);
  return type;
}

void check_name(const std::string& kind, const std::string& name) {
  const bool identifier = !name.empty() && name.size() <= 64 && std::islower(static_cast<unsigned char>(name[0])) &&
                          name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == std::string::npos;
  if (!identifier)
    throw UsageError(fmt::format("'{}' is no name for a {}: lower-case letters, digits and _, a letter first, at most 64; e.g. my_rule", name, kind));
  // Targets that CMake has already, and the bases of a task, which the type of that name would hide.
  for (const char* reserved : {"all", "clean", "help", "install", "preinstall", "test", "package", "depend", "edit_cache", "rebuild_cache", "length", "seeded"})
    if (name == reserved) throw UsageError(fmt::format("'{}' is a name that CMake or Mneme needs: choose another one, e.g. my_{}", name, name));
  const bool taken = kind == "memory"  ? MemoryRegistry::instance().find(name) != nullptr
                     : kind == "block" ? BlockRegistry::instance().find(name) != nullptr
                                       : TaskRegistry::instance().find(name) != nullptr;
  if (taken) throw UsageError(fmt::format("there is a {} '{}' already (mneme list): choose another name, e.g. my_{}", kind, name, name));
}

/// The template of the source: of a memory, what it derives from.
std::string source_template(const std::string& kind, const CommandLine& line) {
  std::vector<std::string> bases;
  for (const char* base : {"linear", "network", "loop"})
    if (line.has(base)) bases.push_back(base);
  if (kind != "memory") {
    if (!bases.empty()) throw UsageError(fmt::format("--{} is for a memory, not for a {}", bases[0], kind));
    return kind + ".cpp";
  }
  if (bases.size() > 1) throw UsageError(fmt::format("--{} and --{}: choose one", bases[0], bases[1]));
  return "memory_" + (bases.empty() ? "linear" : bases[0]) + ".cpp";
}

std::map<std::string, std::string> files_of(const std::string& kind, const std::string& source, const std::string& name) {
  const std::string section = kind == "block" ? "model." : kind + ".", a = kind == "block" ? "block (model.kind)" : kind;
  std::map<std::string, std::string> files;
  for (const auto& [file, as] : std::map<std::string, std::string>{
           {source, name + ".cpp"}, {"CMakeLists.txt", "CMakeLists.txt"}, {kind + ".ini", name + ".ini"}, {"README.md", "README.md"}})
    files[as] = replaced(replaced(replaced(replaced(template_text(file), "OPTIONS", section + name), "KIND", a), kName, name), kType, type_name(name));
  return files;
}

/// The folder appears whole or not at all.
void write_folder(const std::string& folder, const std::map<std::string, std::string>& files) {
  namespace fs = std::filesystem;
  const std::string unfinished = temporary_name(folder);
  try {
    make_folders(unfinished);
    for (const auto& [name, text] : files) atomic_write(unfinished + "/" + name, text);
    fs::rename(unfinished, folder);
  } catch (const fs::filesystem_error& error) {
    std::error_code ignored;
    fs::remove_all(unfinished, ignored);
    throw StoreError(fmt::format("cannot make the folder {}: {}", folder, error.code().message()));
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(unfinished, ignored);
    throw;
  }
}

int make_new(const CommandLine& line) {
  line.refuse_overrides();
  const std::vector<std::string> kinds{"memory", "task", "block"};
  if (line.names().size() != 2) throw UsageError("mneme new needs a kind and a name, e.g. mneme new memory my_rule");
  const std::string &kind = line.names()[0], &name = line.names()[1];
  if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end())
    throw UsageError(fmt::format("mneme new makes a memory, a task or a block, not a '{}'{}", kind, did_you_mean(kind, kinds)));
  const std::string source = source_template(kind, line);
  check_name(kind, name);
  if (std::filesystem::exists(std::filesystem::symlink_status(name)))
    throw UsageError(fmt::format("{} is there already: choose another name, or another folder to work in", name));
  write_folder(name, files_of(kind, source, name));
  fmt::print("{0}/ has {0}.cpp, a config, and a CMakeLists.txt with the conformance test. Next:\n"
             "  cd {0} && cmake -B build -DCMAKE_PREFIX_PATH=PREFIX && cmake --build build && ctest --test-dir build && mneme run {0}.ini\n"
             "PREFIX: where Mneme is installed (cmake --install BUILD --prefix PREFIX).\n",
             name);
  return 0;
}

}  // namespace

Command new_command() {
  Command command;
  command.name = "new";
  command.summary = "write a memory, a task or a block of your own to start from, with build and test";
  command.usage = "memory|task|block NAME [--linear|--network|--loop]";
  command.details =
      "Makes the folder NAME: a source that works and that you change, a CMakeLists.txt that builds it as a plug-in and tests it "
      "(mneme_conformance), a config, a README. A memory derives from what its state is.";
  command.example = "mneme new memory my_rule --loop";
  command.options.add_options()("linear", "a memory whose state is a matrix that every step changes linearly (the default)")(
      "network", "a memory whose state is the weights of a network with Titans' rule")(
      "loop", "a memory of any state, by its step for one token");
  command.run = make_new;
  return command;
}

}  // namespace mneme
