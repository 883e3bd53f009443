// mneme_conformance: the property tests of this tree on the kinds of a plug-in. Installed beside mneme; nothing of the tree is needed.
#if __has_include(<catch2/catch_all.hpp>)
#define CATCH_CONFIG_EXTERNAL_INTERFACES
#else
#define CATCH_CONFIG_RUNNER
#endif
#include "tests/property/model_variants.h"

#include <fmt/format.h>

#include <ATen/Parallel.h>
#include <c10/util/Exception.h>

#include "eval/plugin_file.h"
#include "mneme/task.h"
#include "tests/unit/tasks/task_fixture.h"

namespace mneme::test {

int broken_properties();  // report.cpp

namespace {

constexpr const char* kHelp = R"(mneme_conformance: does a plug-in hold what every memory, block and task of Mneme holds?

usage: mneme_conformance --plugin FILE.so [--plugin FILE.so ...] [kind ...] [section.key=value ...]

Runs the property tests on the kinds that the plug-in registers, or on those that are named: any split of a sequence into calls is one
call, later tokens and other rows change no bit, documents and padding inside rows leave no trace, gradients are those of finite
differences, states survive a file, of tasks: rows are pure and splits share none. A memory is tested alone, beside a window and
before one, in every choice of its own options; a block with both of Titans' memories. key=value: where the settings start from, e.g.
memory.my_rule.order=3, memory.head_width=8, task.my_task.train=rows.jsonl. Exit status: 0 all holds, 1 something is broken, 2 wrong
command line or no plug-in.

example:
  mneme_conformance --plugin build/my_rule.so
)";

struct Arguments {
  std::vector<std::string> plugins, kinds;
  bool help = false;
};

Arguments parse(const std::vector<std::string>& given) {
  Arguments result;
  for (size_t i = 0; i < given.size(); ++i) {
    const std::string& word = given[i];
    const size_t equals = word.find('=');
    if (word == "--help" || word == "-h") result.help = true;
    else if (word == "--plugin" && i + 1 < given.size()) result.plugins.push_back(given[++i]);
    else if (word.rfind("--plugin=", 0) == 0) result.plugins.push_back(word.substr(9));
    else if (word.rfind('-', 0) == 0) throw UsageError(word == "--plugin" ? "--plugin: which file? e.g. --plugin build/my_rule.so" : "there is no option " + word + "; see --help");
    else if (equals != std::string::npos) subjects().settings.push_back({word.substr(0, equals), word.substr(equals + 1)});
    else result.kinds.push_back(word);
  }
  return result;
}

/// Settings that nothing of what is tested would read.
void check_settings() {
  for (const auto& [key, text] : subjects().settings) {
    const std::string section = key.substr(0, key.find('.'));
    if (section != "memory" && section != "model" && section != "task" && section != "eval")
      throw UsageError(key + "=" + text + ": keys here are of the sections memory, model, task and eval");
    const auto dots = std::count(key.begin(), key.end(), '.');
    if (dots < 1 || dots > 2) throw UsageError(key + "=" + text + ": a key is section.option or section.kind.option");
    if (key == section + ".kind")
      throw UsageError(key + "=" + text + ": kinds are named alone, e.g. mneme_conformance --plugin my_rule.so my_rule");
    const auto has = [](const std::vector<std::string>& list, const std::string& name) { return std::find(list.begin(), list.end(), name) != list.end(); };
    const Subjects& s = subjects();
    const bool of_tasks = section == "task" || section == "eval";
    if (of_tasks ? s.tasks.empty() : s.memories.empty() && s.blocks.empty())
      throw UsageError(key + "=" + text + ": there is no " + (of_tasks ? "task" : "memory or block") + " to test that could read it");
    if (dots < 2) continue;
    const std::string kind = split(key, '.').at(1);
    const bool tested = section == "memory"  ? has(s.memories, kind) || (!s.blocks.empty() && has({"linear", "neural_mlp"}, kind))
                        : section == "model" ? has(s.blocks, kind) || (!s.memories.empty() && has({"lmm", "mag", "mac"}, kind))
                                             : has(s.tasks, kind);
    if (!tested) throw UsageError(key + "=" + text + ": no " + section + " '" + kind + "' is tested");
  }
}

/// The kinds of the plug-ins become the subjects: all of them, or those named, "my_rule" or "memory.my_rule".
void choose(const Arguments& arguments) {
  std::vector<std::string> there, names;
  for (const PluginFile& file : plugin_files()) there.insert(there.end(), file.kinds.begin(), file.kinds.end());
  for (const std::string& kind : there) names.push_back(kind.substr(kind.find('.') + 1));
  for (const std::string& wanted : arguments.kinds)
    if (std::find(there.begin(), there.end(), wanted) == there.end() && std::find(names.begin(), names.end(), wanted) == names.end())
      throw UsageError("the plug-in has no kind '" + wanted + "' (" + join(there, ", ") + ")" + did_you_mean(wanted, names));
  Subjects& s = subjects();
  s.chosen = true;
  for (size_t i = 0; i < there.size(); ++i) {
    const auto asked = [&](const std::string& name) { return std::find(arguments.kinds.begin(), arguments.kinds.end(), name) != arguments.kinds.end(); };
    if (!arguments.kinds.empty() && !asked(there[i]) && !asked(names[i])) continue;
    const std::string section = there[i].substr(0, there[i].find('.'));
    (section == "memory" ? s.memories : section == "model" ? s.blocks : s.tasks).push_back(names[i]);
  }
}

/// Says what will be tested. Error: nothing can be, or a setting is none of an option.
void announce() {
  const Subjects& s = subjects();
  for (const std::string& name : s.memories) fmt::print("memory {}: {}\n", name, MemoryRegistry::instance().get(name).summary);
  for (const std::string& name : s.blocks) fmt::print("model {}: {}\n", name, BlockRegistry::instance().get(name).summary);
  for (const std::string& name : s.tasks) fmt::print("task {}: {}\n", name, TaskRegistry::instance().get(name).summary);
  std::vector<std::string> left_out;
  const std::vector<Variant> all = variants(&left_out);
  for (const Variant& v : all) fmt::print("  with {}\n", v.name);
  for (const std::string& line : left_out) fmt::print("  left out by its own rules: {}\n", line);
  for (const auto* kinds : {&s.memories, &s.blocks})
    for (const std::string& name : *kinds)
      if (std::none_of(all.begin(), all.end(), [&](const Variant& v) { return v.memory.kind == name || v.model.kind == name; }))
        throw ConfigError("its own rules refuse " + name + " in every setting there is; give one that they take, e.g. memory.head_width=8");
  for (const std::string& lines : every_task(TemporaryFolder())) make_task(lines);
}

int fail(const std::string& message, int status) {
  std::fflush(stdout);
  fmt::print(stderr, "mneme_conformance: {}\n", message);
  return status;
}

int run(const std::vector<std::string>& given) {
  const Arguments arguments = parse(given);
  if (arguments.help) {
    fmt::print("{}", kHelp);
    return 0;
  }
  if (arguments.plugins.empty()) throw UsageError("which plug-in? e.g. mneme_conformance --plugin build/my_rule.so");
  register_tasks();
  make_plugins_known();
  for (const std::string& file : arguments.plugins) load_plugin(file);
  choose(arguments);
  check_settings();
  at::set_num_threads(1);  // small sizes: more would only wait for each other
  announce();
  const bool models = !subjects().memories.empty() || !subjects().blocks.empty(), tasks = !subjects().tasks.empty();
  const std::string wanted = models && tasks ? "[conformance]" : models ? "[conformance][models]" : "[conformance][tasks]";
  const char* catch_arguments[] = {"mneme_conformance", wanted.c_str(), "--out", "/dev/null"};  // report.cpp says what there is to say
  Catch::Session session;
  if (session.applyCommandLine(4, catch_arguments) != 0) throw Error("the tests cannot be started");
  session.run();
  const int broken = broken_properties();
  if (broken) fmt::print("{} of the properties do not hold\n", broken == 1 ? "one" : std::to_string(broken));
  else fmt::print("all properties hold\n");
  return broken ? 1 : 0;
}

}  // namespace
}  // namespace mneme::test

int main(int argc, char** argv) {
  using namespace mneme;
  try {
    return test::run({argv + 1, argv + argc});
  } catch (const Error& error) {
    return test::fail(error.what(), error.exit_code());
  } catch (const c10::Error& error) {
    return test::fail(error.what_without_backtrace(), 1);
  } catch (const std::exception& error) {
    return test::fail(error.what(), 1);
  }
}
