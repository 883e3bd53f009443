#include "eval/eval_overrides.h"

#include <algorithm>

#include "config/plugins.h"
#include "base/text.h"
#include "mneme/errors.h"

namespace mneme {

namespace {

/// Of memory.: what changes how a memory learns from what it reads, but no parameter.
const std::vector<std::string> kAtTestTime{"gradient", "refresh", "clip", "guard", "kernel", "tile", "off", "frozen"};
/// Of run.: how a stored result is filed.
const std::vector<std::string> kFiling{"name", "labels"};
const std::vector<std::string> kTrainingOnly{"eval.every", "task.loss"};

bool among(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool known(const std::string& key) {
  const std::vector<OptionHelp> options = option_help(key);
  return std::any_of(options.begin(), options.end(), [&](const OptionHelp& option) { return option.key == key; });
}

/// The same of one kind's own options: "neural_mlp.sweeps".
bool own_at_test_time(const std::string& name) {
  const size_t dot = name.find('.');
  const KnownPlugin* memory = dot == std::string::npos ? nullptr : known_plugin(known_memories(), name.substr(0, dot));
  return memory && among(memory->at_test_time, name.substr(dot + 1));
}

/// Why an evaluation cannot take the option; "" where it can.
std::string refusal(const std::string& key) {
  const std::string section = key.substr(0, key.find('.')), name = key.substr(section.size() + 1);
  if (section == "model" || (section == "memory" && !among(kAtTestTime, name) && !own_at_test_time(name)))
    return "the checkpoint's weights belong to its own model and memory options; leave this out (of the memory's, " +
           join(kAtTestTime, ", ") + " may be changed)";
  if (key == "runtime.dtype") return "the weights have their element type, in which they are evaluated; leave this out";
  if (section == "train" || among(kTrainingOnly, key)) return "only training reads this; leave it out";
  if (section == "run" && !among(kFiling, name))
    return "it belongs to the training of these weights; leave it out (of run, " + join(kFiling, " and ") +
           " may be changed; the seed of the rows is eval.seed)";
  return "";
}

}  // namespace

void check_eval_overrides(const std::vector<std::string>& overrides) {
  std::vector<std::string> problems;
  for (const std::string& assignment : overrides) {
    const std::string key = trim(assignment.substr(0, assignment.find('=')));
    if (!known(key)) continue;
    if (const std::string why = refusal(key); !why.empty()) problems.push_back(assignment + ": " + why);
  }
  if (!problems.empty()) throw ConfigError(join(problems, "\n"));
}

}  // namespace mneme
