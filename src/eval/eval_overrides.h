// Which options of a trained model's config an evaluation may change.
#pragma once

#include <string>
#include <vector>

namespace mneme {

/// Nothing that belongs to the weights or that only training reads: a result must not name a setting it was not made with.
/// `overrides`: "memory.refresh=8". ConfigError lists all that are refused. Keys that are unknown pass: `resolve` says so.
void check_eval_overrides(const std::vector<std::string>& overrides);

}  // namespace mneme
