#include "kernels/engine.h"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>

#include "mneme/errors.h"

namespace mneme::kernels {
namespace {

const Engine* find(const char* name) {
  for (const Engine* e : {avx512_engine(), avx2_engine(), generic_engine()})
    if (e && (!name || std::strcmp(name, e->name) == 0)) return e;
  return nullptr;
}

const Engine* at_start() {
  const char* asked = std::getenv("MNEME_ISA");
  if (const Engine* e = find(asked)) return e;
  throw ConfigError("MNEME_ISA = " + std::string(asked) +
                    ": this processor runs no such engine; leave it unset, or say generic, avx2 or avx512");
}

std::atomic<const Engine*>& chosen() {
  static std::atomic<const Engine*> engine = at_start();
  return engine;
}

}  // namespace

const Engine& engine() { return *chosen(); }

bool use_engine(const char* name) {
  const Engine* e = find(name);
  if (e) chosen() = e;
  return e != nullptr;
}

}  // namespace mneme::kernels
