// Measurements inside a model: what its parts report while rows go through a pass that has a Probe (ForwardContext::probe), by
// name ("layer0/memory/theta_mean"). At each evaluation they become the series /probe/<name> of run.h5 (src/eval/measure.h).
#pragma once

#include <map>
#include <string>

namespace mneme {

class Probe {
 public:
  struct Quantity {
    std::string name, unit, help;  ///< unit "1": a plain number
  };
  enum class Kind { mean, sum, largest };
  struct Entry {
    Quantity quantity;
    Kind kind = Kind::mean;
    double total = 0, weight = 0;  ///< of a mean: Σ weight · value, Σ weight; else the sum or the largest value, and 1
    double value() const { return total / weight; }
  };

  /// Of all calls together: the mean, each call with its weight (tokens, say); the sum; the largest value.
  void mean(const Quantity& quantity, double value, double weight = 1) { merge({quantity, Kind::mean, value * weight, weight}); }
  void sum(const Quantity& quantity, double value) { merge({quantity, Kind::sum, value, 1}); }
  void largest(const Quantity& quantity, double value) { merge({quantity, Kind::largest, value, 1}); }

  /// Takes over what a part reported, its names behind `prefix`.
  void add(const std::string& prefix, const Probe& part) {
    for (const auto& named : part.entries_) {
      Entry entry = named.second;
      entry.quantity.name = prefix + entry.quantity.name;
      merge(entry);
    }
  }

  /// By full name.
  const std::map<std::string, Entry>& entries() const { return entries_; }

 private:
  void merge(const Entry& more) {
    const auto [place, is_new] = entries_.emplace(more.quantity.name, more);
    if (is_new) return;
    Entry& entry = place->second;
    if (entry.kind == Kind::largest) {
      if (!(entry.total >= more.total)) entry.total = more.total;
      return;
    }
    entry.total += more.total;
    if (entry.kind == Kind::mean) entry.weight += more.weight;
  }

  std::map<std::string, Entry> entries_;
};

}  // namespace mneme
