#include "kernels/dispatch.h"

#include <atomic>
#include <cstdlib>

#include "mneme/errors.h"

namespace mneme::kernels {

// Tables without code of their own, each in an object file compiled for its instruction set (src/kernels/engine/table.cpp).
extern const Engine engine_generic;
#if defined(__x86_64__)
extern const Engine engine_avx2, engine_avx512;
#endif

namespace {

struct Candidate {
  const Engine* engine;
  bool runs;
};

// The features asked for are those that CMakeLists.txt compiles the engine with; the C library's answer includes the system's.
std::vector<Candidate> candidates() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  return {{&engine_avx512, avx512}, {&engine_avx2, avx2}, {&engine_generic, true}};
#else
  return {{&engine_generic, true}};
#endif
}

const Engine* find(const std::string& name) {
  for (const Engine* e : engines())
    if (name == e->name) return e;
  return nullptr;
}

const Engine* at_start() {
  const char* asked = std::getenv("MNEME_ISA");
  if (!asked || !*asked) return engines().front();
  if (const Engine* e = find(asked)) return e;
  std::string here;
  for (const Engine* e : engines()) here += std::string(here.empty() ? "" : ", ") + e->name;
  for (const Candidate& c : candidates())
    if (std::string(asked) == c.engine->name)
      throw ConfigError("MNEME_ISA = " + std::string(asked) + ": this processor does not run that engine; leave it unset, or say one of " + here);
  throw ConfigError("MNEME_ISA = " + std::string(asked) + ": there is no such engine; leave it unset, or say one of " + here);
}

std::atomic<const Engine*>& chosen() {
  static std::atomic<const Engine*> engine = at_start();
  return engine;
}

}  // namespace

const Engine& engine() { return *chosen(); }

bool use_engine(const std::string& name) {
  const Engine* e = find(name);
  if (e) chosen() = e;
  return e != nullptr;
}

std::vector<const Engine*> engines() {
  std::vector<const Engine*> list;
  for (const Candidate& c : candidates())
    if (c.runs) list.push_back(c.engine);
  return list;
}

}  // namespace mneme::kernels
