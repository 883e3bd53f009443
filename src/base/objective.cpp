#include "mneme/objective.h"

#include <fmt/format.h>

namespace mneme {

bool Objective::fits(const Objective& model) const {
  if (of_tokens() != model.of_tokens()) return false;
  return of_tokens() ? vocab <= model.vocab : *this == model;
}

std::string Objective::text() const {
  return of_tokens() ? fmt::format("{} different tokens", vocab) : fmt::format("vectors of {} numbers, answers of {}", inputs, outputs);
}

}  // namespace mneme
