#include "mneme/metric.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace mneme {

struct MetricDefinition {
  const char* name;
  const char* unit;
  const char* shown_unit;
  const char* after_name;  // in a caption
  double factor;           // from a value to the number shown
  int digits;
  bool higher_is_better;
  bool of_tokens;          // of the objective of tokens, else of vectors
  const char* description;
  ShareCounts (*share)(const EvalSums&);  // null: no share, but `mean`
  double (*mean)(const EvalSums&);
};

namespace {

template <class Part>
double per(Part part, int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : std::numeric_limits<double>::quiet_NaN();
}

constexpr MetricDefinition kAccuracy{"accuracy", "1", "%", " in %", 100, 1, true, true, "correct / scored",
                                     [](const EvalSums& sums) { return ShareCounts{sums.correct, sums.scored}; }, nullptr};
constexpr MetricDefinition kExactMatch{"exact_match", "1", "%", " in %", 100, 1, true, true, "exact / rows",
                                       [](const EvalSums& sums) { return ShareCounts{sums.exact, sums.rows}; }, nullptr};
constexpr MetricDefinition kLoss{"loss", "nat", "nats", ", nats per scored position", 1, 4, false, true,
                                 "mean negative log likelihood of the scored positions", nullptr,
                                 [](const EvalSums& sums) { return per(sums.loss, sums.scored); }};
constexpr MetricDefinition kError{"error", "1", "", ", mean squared error over the variance of the answers", 1, 4, false, false,
                                  "mean squared error of the scored positions over the variance of the answers", nullptr,
                                  [](const EvalSums& sums) { return per(sums.loss, sums.scored); }};

}  // namespace

constinit const Metric Metric::accuracy(kAccuracy);
constinit const Metric Metric::exact_match(kExactMatch);
constinit const Metric Metric::loss(kLoss);
constinit const Metric Metric::error(kError);

EvalSums& EvalSums::operator+=(const EvalSums& more) {
  rows += more.rows;
  scored += more.scored;
  correct += more.correct;
  exact += more.exact;
  loss += more.loss;
  not_finite += more.not_finite;
  return *this;
}

void EvalSums::add_position(double loss_there, bool right) {
  const bool finite = std::isfinite(loss_there);
  ++scored;
  correct += right && finite;
  not_finite += !finite;
  loss += loss_there;
}

EvalSums EvalSums::as_row() const {
  if (scored == 0) return {};
  return {1, scored, correct, correct == scored, loss, not_finite > 0};
}

void EvalSums::set_mean_loss(double mean) { loss = scored > 0 ? mean * static_cast<double>(scored) : 0; }

const std::vector<Metric>& Metric::all() {
  static const std::vector<Metric> metrics{accuracy, exact_match, loss, error};
  return metrics;
}

const std::vector<Metric>& Metric::family() const {
  static const std::vector<Metric> of_tokens{accuracy, exact_match, loss}, of_vectors{error};
  return definition_->of_tokens ? of_tokens : of_vectors;
}

std::vector<std::string> Metric::names() {
  std::vector<std::string> names;
  for (const Metric& metric : all()) names.emplace_back(metric.name());
  return names;
}

std::optional<Metric> Metric::named(std::string_view name) {
  for (const Metric& metric : all())
    if (metric.name() == name) return metric;
  return std::nullopt;
}

const char* Metric::name() const { return definition_->name; }
const char* Metric::description() const { return definition_->description; }
const char* Metric::unit() const { return definition_->unit; }
const char* Metric::shown_unit() const { return definition_->shown_unit; }
bool Metric::is_share() const { return definition_->share != nullptr; }

std::string Metric::words() const {
  std::string text = name();
  std::replace(text.begin(), text.end(), '_', ' ');
  return text;
}

ShareCounts Metric::share(const EvalSums& sums) const { return definition_->share ? definition_->share(sums) : ShareCounts(); }

double Metric::value(const EvalSums& sums) const {
  if (!std::isfinite(sums.loss) || sums.not_finite > 0) return std::numeric_limits<double>::quiet_NaN();
  if (!definition_->share) return definition_->mean(sums);
  const ShareCounts counts = definition_->share(sums);
  return per(counts.right, counts.trials);
}

bool Metric::better(double value, double than) const { return definition_->higher_is_better ? value > than : value < than; }
bool Metric::reaches(double value, double target) const { return value == target || better(value, target); }

std::string Metric::number(double value) const { return fmt::format("{:.{}f}", definition_->factor * value, definition_->digits); }
std::string Metric::difference(double value) const { return fmt::format("{:+.{}f}", definition_->factor * value, definition_->digits); }
std::string Metric::text(double value) const { return number(value) + (is_share() ? " %" : ""); }
std::string Metric::text(const EvalSums& sums) const {
  if (sums.not_finite > 0) return fmt::format("not finite, {} of {} rows", sums.not_finite, sums.rows);
  if (!std::isfinite(sums.loss)) return "not finite";  // in how many rows: not recorded by earlier versions
  return sums.scored == 0 ? "-" : text(value(sums));
}

std::string Metric::caption() const { return words() + definition_->after_name; }

}  // namespace mneme
