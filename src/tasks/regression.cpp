// In-context regression (Garg et al., arXiv 2208.01066): each row has a function f of its own; pairs (x, f(x)) come one after the other,
// and at every x the model says f(x) from the pairs before it. Real numbers in and out, squared error.
//
//   position   0     1     2     3     …  2P            P = pairs
//   channels   x_1   y_1   x_2   y_2   …  x_{P+1}       padded with 0 to max(d, outputs)
//   last one    1    −1     1    −1    …   1            which of both it is
//   answer     y_1    -    y_2    -    …  y_{P+1}       tests: only the last, the answer after P pairs
//
// x ~ N(0, I_d); y = (f(x) + noise · ε) / √(1 + noise²), and f(x) has variance 1 over the rows:
//   linear     f = w·x, w ~ N(0, I/d)                                   sparse   `nonzero` weights at random places, ~ N(0, 1/nonzero)
//   relu       f = Σ_i a_i relu(w_i·x) over `hidden` units, w_i ~ N(0, I/d), a_i ~ N(0, 2/hidden); outputs share the w_i
//   sinusoid   f = √2 sin(ω x + φ), ω uniform in [lowest, highest], φ in [0, 2π)
// Garg's numbers are of w ~ N(0, I) and divided by the variance, which is the same.
#include <algorithm>
#include <cmath>
#include <numbers>

#include <fmt/format.h>

#include "mneme/errors.h"
#include "tasks/support/regression_reference.h"
#include "tasks/support/seeded_task.h"

namespace mneme {
namespace {

constexpr int64_t kMostOfProcess = 2048;  // pairs

struct RegressionOptions : Options {
  std::string function = "linear";
  int64_t dimension = 8;
  int64_t outputs = 1;
  int64_t hidden = 16;
  int64_t nonzero = 2;
  double lowest = 0.5, highest = 3;
  double noise = 0;
  std::vector<Setting> train = {{64}};
  std::vector<Setting> test = {{1}, {2}, {4}, {8}, {16}, {32}, {64}};
  bool references = true;

  void describe(OptionVisitor& v) override {
    v.option("function", function, {"linear", "sparse", "relu", "sinusoid"}, "what maps x to y, another one in every row");
    v.option("dimension", dimension, {1, 64}, "numbers in x; sinusoid: 1");
    v.option("outputs", outputs, {1, 64}, "numbers in y; sinusoid: 1");
    v.option("hidden", hidden, {1, 4096}, "units of function = relu");
    v.option("nonzero", nonzero, {1, 64}, "weights of function = sparse that are not 0");
    v.option("lowest", lowest, {0, 1000}, "frequency of function = sinusoid, radians per unit of x");
    v.option("highest", highest, {0, 1000}, "the same");
    v.option("noise", noise, {0, 100}, "of the answers, as a multiple of what f varies by");
    v.settings("train", train, 1, {1, 1 << 20}, "pairs in a row, each of which is asked before it is seen");
    v.settings("test", test, 1, {1, 1 << 20}, "pairs seen before the one that is asked");
    v.option("references", references, "tests also score predictors without training: ridge regression, nearest neighbours, …", Hashed::no);
  }

  void check(const std::string& prefix, Problems& problems) const override {
    if (train.empty()) problems.add(prefix + "train", "no setting given; write numbers of pairs, e.g. 64");
    if (test.empty()) problems.add(prefix + "test", "no setting given; write numbers of pairs, e.g. 1, 8, 64");
    if (function == "sinusoid" && dimension != 1)
      problems.add(prefix + "dimension", fmt::format("a sinusoid is of one number, not {}; set {}dimension = 1", dimension, prefix));
    if (function == "sinusoid" && outputs != 1)
      problems.add(prefix + "outputs", fmt::format("a sinusoid has one value, not {}; set {}outputs = 1", outputs, prefix));
    if (function == "sinusoid" && lowest > highest)
      problems.add(prefix + "lowest", fmt::format("{} is above {}highest = {}", lowest, prefix, highest));
    if (references && !problems.stored && (function == "relu" || function == "sinusoid"))
      for (const Setting& setting : test)
        if (setting.at(0) > kMostOfProcess)
          problems.add(prefix + "references",
                       fmt::format("{} pairs are too many for the reference gaussian_process, which solves a system of that size for every row; "
                                   "at most {}, or {}references = false", setting.at(0), kMostOfProcess, prefix));
    if (function == "sparse" && nonzero > dimension)
      problems.add(prefix + "nonzero", fmt::format("{} of {} weights cannot be other than 0; at most {}dimension", nonzero, dimension, prefix));
  }
};

/// One function x [d] → f(x) [outputs].
using Function = std::function<std::vector<double>(const std::vector<double>& x)>;

std::vector<double> normals(Random& random, int64_t count, double variance) {
  const double deviation = std::sqrt(variance);
  std::vector<double> numbers;
  for (int64_t i = 0; i < count; ++i) numbers.push_back(deviation * random.normal());
  return numbers;
}

/// W [n,m] row-major: W x, [n].
std::vector<double> times(const std::vector<double>& W, const std::vector<double>& x) {
  std::vector<double> result(W.size() / x.size());
  for (size_t i = 0; i < result.size(); ++i)
    for (size_t j = 0; j < x.size(); ++j) result[i] += W[i * x.size() + j] * x[j];
  return result;
}

Function draw_function(const RegressionOptions& o, Random& random) {
  const int64_t d = o.dimension;
  if (o.function == "sinusoid") {
    const double frequency = o.lowest + (o.highest - o.lowest) * random.uniform(), phase = 2 * std::numbers::pi * random.uniform();
    return [=](const std::vector<double>& x) { return std::vector<double>{std::numbers::sqrt2 * std::sin(frequency * x[0] + phase)}; };
  }
  if (o.function == "relu") {
    const std::vector<double> in = normals(random, o.hidden * d, 1 / static_cast<double>(d));
    const std::vector<double> out = normals(random, o.outputs * o.hidden, 2 / static_cast<double>(o.hidden));
    return [=](const std::vector<double>& x) {
      std::vector<double> units = times(in, x);
      for (double& unit : units) unit = std::max(unit, 0.0);
      return times(out, units);
    };
  }
  std::vector<double> w = normals(random, o.outputs * d, 1 / static_cast<double>(o.function == "sparse" ? o.nonzero : d));
  for (int64_t row = 0; o.function == "sparse" && row < o.outputs; ++row) {
    const std::vector<int64_t> kept = random.distinct(o.nonzero, d);
    for (int64_t i = 0; i < d; ++i)
      if (!std::count(kept.begin(), kept.end(), i)) w[static_cast<size_t>(row * d + i)] = 0;
  }
  return [=](const std::vector<double>& x) { return times(w, x); };
}

/// E f(x) f(x') over networks of function = relu (Cho & Saul 2009, arc-cosine kernel of order 1).
double relu_covariance(const double* x, const double* z, int64_t d) {
  double xx = 0, zz = 0, xz = 0;
  for (int64_t i = 0; i < d; ++i) xx += x[i] * x[i], zz += z[i] * z[i], xz += x[i] * z[i];
  const double lengths = std::sqrt(xx * zz);
  if (lengths == 0) return 0;
  const double cosine = std::clamp(xz / lengths, -1.0, 1.0), angle = std::acos(cosine);
  return lengths / static_cast<double>(d) * (std::sqrt(1 - cosine * cosine) + (std::numbers::pi - angle) * cosine) / std::numbers::pi;
}

/// E f(x) f(x') over the frequencies of function = sinusoid: the mean of cos ω (x − x').
double sinusoid_covariance(double apart, double lowest, double highest) {
  const double width = (highest - lowest) * apart;
  if (std::abs(width) < 1e-6) return std::cos(0.5 * (lowest + highest) * apart);
  return (std::sin(highest * apart) - std::sin(lowest * apart)) / width;
}

class Regression : public SeededTask {
 public:
  Regression(const TaskContext& context, const RegressionOptions& options) : SeededTask("regression", context.common), options_(options) {}

  Objective objective() const override { return Objective::vectors(std::max(options_.dimension, options_.outputs) + 1, options_.outputs); }
  Metric metric() const override { return Metric::error; }
  double chance() const override { return 1; }
  std::vector<std::string> axes() const override { return {"pairs"}; }
  std::vector<Setting> train_settings() const override { return options_.train; }
  std::vector<Setting> test_settings() const override { return options_.test; }
  int64_t length(const Setting& setting) const override { return 2 * setting.at(0) + 1; }

  std::vector<Reference> references() const override {
    std::vector<Reference> all;
    if (!options_.references) return all;
    const double noise = options_.noise * options_.noise;
    const auto add = [&](const char* name, std::function<std::vector<double>(const ShownPairs&)> predict) {
      all.push_back({name, [this, predict = std::move(predict)](const Sample& past) { return predict(shown(past)); }});
    };
    const int64_t d = options_.dimension;
    if (options_.function == "linear") {  // the Bayes optimum
      add("bayes", [=](const ShownPairs& pairs) { return ridge(pairs, 1, noise); });
    } else if (options_.function == "sparse") {
      add("ridge", [=](const ShownPairs& pairs) { return ridge(pairs, 1, noise); });
    } else if (options_.function == "relu") {  // half of f's variance is linear in x, and to a line the rest is noise
      add("ridge", [=](const ShownPairs& pairs) { return ridge(pairs, 0.5, noise + 0.5); });
      add("gaussian_process", [=](const ShownPairs& pairs) {
        return gaussian_process(pairs, [d](const double* x, const double* z) { return relu_covariance(x, z, d); }, noise);
      });
    } else {
      add("gaussian_process", [=, low = options_.lowest, high = options_.highest](const ShownPairs& pairs) {
        return gaussian_process(pairs, [=](const double* x, const double* z) { return sinusoid_covariance(*x - *z, low, high); }, noise);
      });
    }
    add("nearest", [](const ShownPairs& pairs) { return nearest(pairs, 3); });
    return all;
  }

 protected:
  Sample make(Random& random, Split split, const Setting& setting) const override {
    const int64_t pairs = setting.at(0), width = objective().inputs;
    const double scale = 1 / std::sqrt(1 + options_.noise * options_.noise);
    const Function f = draw_function(options_, random);
    Sample row;
    row.targets.assign(static_cast<size_t>(length(setting)), -1);
    row.inputs.assign(row.targets.size() * static_cast<size_t>(width), 0);
    row.answers.assign(row.targets.size() * static_cast<size_t>(options_.outputs), 0);
    const auto write = [&](int64_t position, const std::vector<double>& numbers, float which) {
      float* channels = row.inputs.data() + position * width;
      for (size_t i = 0; i < numbers.size(); ++i) channels[i] = static_cast<float>(numbers[i]);
      channels[width - 1] = which;
    };
    std::vector<std::vector<double>> asked;
    for (int64_t pair = 0; pair <= pairs; ++pair) {
      asked.push_back(normals(random, options_.dimension, 1));
      write(2 * pair, asked.back(), 1);
      const std::vector<double> y = noisy(random, f(asked.back()), scale);
      if (pair < pairs) write(2 * pair + 1, y, -1);
      if (split != Split::test || pair == pairs) answer(row, 2 * pair, y);
    }
    if (!impossible()) return row;
    const Function other = draw_function(options_, random);  // of which the row shows nothing
    for (int64_t pair = 0; pair <= pairs; ++pair)
      if (row.targets[static_cast<size_t>(2 * pair)] >= 0) answer(row, 2 * pair, noisy(random, other(asked[static_cast<size_t>(pair)]), scale));
    return row;
  }

 private:
  std::vector<double> noisy(Random& random, std::vector<double> y, double scale) const {
    if (options_.noise == 0) return y;
    for (double& number : y) number = scale * (number + options_.noise * random.normal());
    return y;
  }

  static void answer(Sample& row, int64_t position, const std::vector<double>& y) {
    row.targets[static_cast<size_t>(position)] = 0;
    std::copy(y.begin(), y.end(), row.answers.begin() + position * static_cast<int64_t>(y.size()));
  }

  ShownPairs shown(const Sample& past) const {
    const int64_t width = objective().inputs, positions = static_cast<int64_t>(past.inputs.size()) / width;
    ShownPairs pairs{positions / 2, options_.dimension, options_.outputs, {}, {}, {}};
    for (int64_t t = 0; t < positions; ++t) {
      const float* channels = past.inputs.data() + t * width;
      std::vector<double>& into = t + 1 == positions ? pairs.asked : t % 2 == 0 ? pairs.x : pairs.y;
      into.insert(into.end(), channels, channels + (t % 2 == 0 ? options_.dimension : options_.outputs));
    }
    return pairs;
  }

  RegressionOptions options_;
};

}  // namespace

void register_task_regression(TaskRegistry& registry) {
  registry.add({"regression", "in-context regression: a function of real numbers from pairs (x, y) of it, another one in every row",
                [] { return std::make_unique<RegressionOptions>(); },
                [](const TaskContext& context) {
                  return std::make_unique<Regression>(context, dynamic_cast<const RegressionOptions&>(context.options));
                }});
}

}  // namespace mneme
