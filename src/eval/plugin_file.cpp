#include "eval/plugin_file.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "config/config.h"
#include "base/provenance.h"
#include "io/sha256.h"
#include "base/text.h"
#include "mneme/errors.h"
#include "mneme/model.h"
#include "mneme/plugin.h"
#include "mneme/task.h"

namespace mneme {
namespace {

namespace fs = std::filesystem;

std::vector<PluginFile>& loaded() {
  static std::vector<PluginFile> files;
  return files;
}

[[noreturn]] void refuse(const std::string& path, const std::string& why) { throw ConfigError("plug-in " + path + ": " + why); }

std::string bytes_of(const std::string& path) {
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) refuse(path, "there is no such file; name the .so that mneme_add_plugin builds");
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  if (!file) refuse(path, "cannot be read");
  return content.str();
}

// What the file says it was built for; found in its bytes, so that none of its code has run.
void check_tag(const std::string& path, const std::string& bytes) {
  if (bytes.compare(0, 4, "\x7f" "ELF") != 0) refuse(path, "is no shared library; name the .so that mneme_add_plugin builds");
  const size_t mark = bytes.find(std::string(MNEME_PLUGIN_MARK) + "Mneme ");  // put together here, so that our own library does not hold it
  if (mark == std::string::npos) refuse(path, "is a shared library, but no plug-in; build it with mneme_add_plugin of this Mneme's CMake package");
  const size_t begin = mark + std::string(MNEME_PLUGIN_MARK).size(), end = bytes.find('}', begin);
  const std::string tag = end == std::string::npos || end - begin > 500 ? "" : bytes.substr(begin, end - begin);
  if (tag != MNEME_PLUGIN_TAG)
    refuse(path, "was built for " + (tag.empty() ? "an unknown program" : tag) + ", this is " MNEME_PLUGIN_TAG "; build it again with this Mneme's CMake package");
}

std::vector<std::string> known_kinds() {
  std::vector<std::string> kinds;
  for (const std::string& name : MemoryRegistry::instance().names()) kinds.push_back("memory." + name);
  for (const std::string& name : BlockRegistry::instance().names()) kinds.push_back("model." + name);
  for (const std::string& name : TaskRegistry::instance().names()) kinds.push_back("task." + name);
  return kinds;
}

}  // namespace

void load_plugin(const std::string& path) {
  const std::string bytes = bytes_of(path), digest = sha256_hex(bytes);
  for (const PluginFile& file : loaded()) {
    if (file.digest == digest) return;
    if (fs::weakly_canonical(file.path) == fs::weakly_canonical(path)) refuse(path, "changed while this program runs; start it again");
  }
  check_tag(path, bytes);
  void* library = ::dlopen(fs::absolute(path).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) refuse(path, std::string("cannot be loaded: ") + ::dlerror());
  const auto enter = reinterpret_cast<void (*)()>(::dlsym(library, "mneme_plugin_register"));
  if (!enter) refuse(path, "has no mneme_plugin_register; build it with mneme_add_plugin of this Mneme's CMake package");
  const std::vector<std::string> before = known_kinds();
  try {
    enter();
  } catch (const std::exception& error) {
    refuse(path, std::string("failed while it was registered: ") + error.what());
  } catch (...) {
    refuse(path, "failed while it was registered, with an exception of an unknown kind");
  }
  PluginFile file{path, digest, {}};
  for (const std::string& kind : known_kinds())
    if (std::find(before.begin(), before.end(), kind) == before.end()) file.kinds.push_back(kind);
  loaded().push_back(file);
  add_code(fs::path(path).filename().string() + ":" + digest.substr(0, 8));
  make_plugins_known();
}

const std::vector<PluginFile>& plugin_files() { return loaded(); }

void load_plugins_of_environment() {
  set_plugin_loader(load_plugin, [](const std::string& kind) {
    for (const PluginFile& file : loaded())
      if (std::find(file.kinds.begin(), file.kinds.end(), kind) != file.kinds.end()) return file.path;
    return std::string();
  });
  const char* given = std::getenv("MNEME_PLUGINS");
  for (const std::string& path : split(given ? given : "", ':'))
    if (!path.empty()) load_plugin(path);
}

}  // namespace mneme
