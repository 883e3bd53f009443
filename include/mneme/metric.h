// What a task is judged by. A metric knows its name, its unit, how it is made of counts, which way is better and how it is written;
// nothing else asks which metric it has in order to know one of these. An evaluation stores the counts, so that every metric of it can
// be had; the task says which one is its own.
//
// What is not finite is no answer: sums that hold a loss or an output that is NaN or infinite have no value of any metric.
//
// Rows, slices, position bins and questions together: their counts add up, so that each scored position (or row) weighs the same.
// Settings and seeds together: the mean of the values, so that each setting, and each seed, weighs the same.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mneme {

/// What an evaluation counts.
struct EvalSums {
  int64_t rows = 0;     ///< sequences
  int64_t scored = 0;   ///< scored positions
  int64_t correct = 0;  ///< scored positions whose arg max is right
  int64_t exact = 0;    ///< sequences with all scored positions right
  double loss = 0;      ///< sum of the objective's loss over scored positions: nats, or squared errors (mneme/objective.h)
  int64_t not_finite = 0;  ///< sequences (in position bins: positions) where what a model says is not finite; none of them is right
  bool operator==(const EvalSums&) const = default;
  EvalSums& operator+=(const EvalSums& more);

  /// One more scored position: its loss, not finite where what is said there is not, and whether its arg max is right.
  void add_position(double loss_there, bool right);
  /// The positions counted so far as one sequence; as none where there are none.
  EvalSums as_row() const;
  /// From the mean, Metric::training_loss, back to the sum; the other counts are set before.
  void set_mean_loss(double mean);
};

/// What a share is counted from.
struct ShareCounts {
  int64_t right = 0;
  int64_t trials = 0;
};

struct MetricDefinition;

class Metric {
 public:
  static const Metric accuracy;     ///< share of scored positions that are right
  static const Metric exact_match;  ///< share of rows whose scored positions are all right
  static const Metric loss;         ///< mean negative log likelihood of the scored positions, nats
  static const Metric error;        ///< mean squared error over the variance of the answers: 1 = saying their mean

  static const std::vector<Metric>& all();
  /// The metrics of the same objective, in the order in which files hold them: accuracy, exact_match and loss of tokens, error of vectors.
  const std::vector<Metric>& family() const;
  /// The one of them that training minimises: loss or error.
  const Metric& training_loss() const { return family().back(); }
  static std::vector<std::string> names();
  static std::optional<Metric> named(std::string_view name);

  const char* name() const;         ///< in options, files and tables: "exact_match"
  std::string words() const;        ///< "exact match"
  const char* description() const;
  const char* unit() const;         ///< of a value: "1" or "nat"
  /// A share in [0, 1], shown in percent.
  bool is_share() const;

  /// NaN where nothing was counted, or something that is not finite.
  double value(const EvalSums& sums) const;
  /// A share's counts: correct of scored positions, exact of rows; 0 of 0 where it is no share.
  ShareCounts share(const EvalSums& sums) const;

  /// Whether `value` is better than `than`, or as good as `target`; false where one is NaN.
  bool better(double value, double than) const;
  bool reaches(double value, double target) const;

  const char* shown_unit() const;                      ///< of what people read: "%", "nats"; "" of a bare number
  std::string number(double value) const;              ///< in that unit: "98.4", "1.2345"
  std::string difference(double value) const;          ///< with its sign: "+1.3", "-0.0200"
  std::string text(double value) const;                ///< "98.4 %", "1.2345"
  std::string text(const EvalSums& sums) const;        ///< the same of its value; "not finite, 3 of 64 rows"; "-" where nothing was counted
  std::string caption() const;                         ///< "exact match in %", "loss, nats per scored position"

  bool operator==(const Metric&) const = default;

 private:
  constexpr explicit Metric(const MetricDefinition& definition) : definition_(&definition) {}
  const MetricDefinition* definition_;
};

}  // namespace mneme
