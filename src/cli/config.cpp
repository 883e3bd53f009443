// mneme config: the resolved config, as it is stored in every result.
#include "config/config.h"

#include <fmt/format.h>

#include "cli/program.h"

namespace mneme {

Command config_command() {
  Command command;
  command.name = "config";
  command.summary = "print the resolved config of a file and overrides";
  command.usage = "CONFIG [key=value ...]";
  command.details =
      "Prints every option as it would be used, in canonical form, after the files it extends and the "
      "overrides. What it prints is itself a config file. The run id and the hash are comment lines.";
  command.example = "mneme config configs/smoke/mqar_mag.ini run.seed=2 model.width=32";
  command.run = [](const CommandLine& line) {
    const Config config = read_config(line.only_name("CONFIG"), line.overrides());
    fmt::print("# run id {}\n# hash {}\n{}", run_id(config), config_hash(config), canonical_ini(config));
    return 0;
  };
  return command;
}

}  // namespace mneme
