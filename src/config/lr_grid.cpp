#include "config/lr_grid.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

namespace mneme {
namespace {

using State = RateTrial::State;

/// Six digits, as a person would write it: 0.03 · 0.03 / 0.01 is 0.09.
double rounded(double rate) { return std::stod(fmt::format("{:.6g}", rate)); }

bool better_rate(const RateTrial& trial, const RateTrial& than, const Metric& metric) {
  if (better_trial(trial, than, metric)) return true;
  return !better_trial(than, trial, metric) && trial.rate < than.rate;
}

}  // namespace

bool better_trial(const RateTrial& trial, const RateTrial& than, const Metric& metric) {
  if (trial.value != than.value) return metric.better(trial.value, than.value);
  return metric.training_loss().better(trial.loss, than.loss);
}

RateChoice choose_rate(const std::vector<RateTrial>& trials, const Metric& metric, int64_t extensions) {
  RateChoice choice;
  std::vector<size_t> by_rate;
  bool all_diverged = !trials.empty();
  for (size_t i = 0; i < trials.size(); ++i) {
    by_rate.push_back(i);
    choice.open |= trials[i].state == State::open;
    all_diverged &= trials[i].state == State::diverged;
    if (trials[i].state == State::done && (!choice.best || better_rate(trials[i], trials[*choice.best], metric))) choice.best = i;
  }
  if (choice.open || (!choice.best && !all_diverged)) return choice;
  std::sort(by_rate.begin(), by_rate.end(), [&](size_t a, size_t b) { return trials[a].rate < trials[b].rate; });
  const auto place = all_diverged ? by_rate.begin() : std::find(by_rate.begin(), by_rate.end(), *choice.best);
  const auto tried = [&](size_t i) { return trials[i].state != State::failed; };
  choice.at_edge = choice.best && (std::none_of(by_rate.begin(), place, tried) || std::none_of(place + 1, by_rate.end(), tried));
  if (extensions <= 0 || trials.size() < 2) return choice;
  const auto beyond = [&](size_t edge, size_t inner) { return rounded(trials[edge].rate * trials[edge].rate / trials[inner].rate); };
  constexpr double kHighestRate = 100;  // of train.lr
  if (place == by_rate.begin()) choice.next = beyond(by_rate[0], by_rate[1]);
  if (place + 1 == by_rate.end())
    if (const double higher = beyond(by_rate.back(), by_rate[by_rate.size() - 2]); higher <= kHighestRate) choice.next = higher;
  return choice;
}

}  // namespace mneme
