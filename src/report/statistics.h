// Intervals and tests of tables, 95 % and two-sided. Distributions are Boost.Math's. n is the number of seeds.
//
// Seeds are repetitions: a mean over them has Student's t interval, which also covers the chance of the rows where these are drawn anew
// for every seed. Rows are repetitions too: a share of them has Wilson's interval, and two shares Fisher's test. A difference counts where
// both tests say so, which needs no correction (each alone would have to be wrong; Berger, Technometrics 24, 1982). Many comparisons in one
// table are corrected by Holm's step-down. No corrected p is below what a permutation of the seeds can reach, and fewer than five seeds claim
// nothing: where few seeds agree by chance or because values saturate (all 100 %), their spread, and with it t, says nothing. Two arms that are
// alike, each of whose seeds learns all or nothing at even odds, look so different in 1 of 512 comparisons of five seeds.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace mneme {

constexpr double kConfidence = 0.95;
constexpr int64_t kSeedsToClaim = 5;

struct Interval {
  double low, high;
};

double mean(const std::vector<double>& values);
/// Sample standard deviation (n − 1); 0 for one value.
double standard_deviation(const std::vector<double>& values);

/// Half-width of the mean's interval, t(0.975; n − 1) s / √n (Student, Biometrika 6, 1908). Nothing for n < 2; 0 where all are equal.
std::optional<double> half_width(const std::vector<double>& values);

/// Right ones among trials. `right` need not be whole: a mean over seeds that answer the same rows has the trials of one seed.
struct Counts {
  double right = 0, trials = 0;
};

/// Interval of a rate: all p with |p̂ − p| ≤ z √(p (1 − p) / trials), z = 1.96 (Wilson, J. Am. Stat. Assoc. 22, 1927). [0, 1] without trials.
Interval wilson_interval(const Counts& counts);

/// Two-sided p of Fisher's exact test that both rates are equal: the probability, given the margins, of every table that is not more likely
/// than the one seen (Fisher, J. R. Stat. Soc. 98, 1935). Counts are rounded to whole ones. 1 where one side has no trials.
double fisher_p(const Counts& a, const Counts& b);

/// A difference of two means over seeds.
struct Difference {
  double mean = 0;
  std::optional<double> half_width;  // none: too few seeds to say
  std::optional<double> p;           // of the t test that it is 0; 0 without spread
  double least = 1;                  // least_p of its seeds: what the p is raised to that a claim rests on
  int64_t n = 0;                     // pairs; of two means, the smaller n
  bool paired = true;
};

/// The smallest two-sided p that a permutation of two groups of n and m seeds can reach: 2 / C(n + m, n), at most 1. n = m = 2: 0.33,
/// 3: 0.1, 4: 0.029, 5: 0.0079.
double least_p(int64_t n, int64_t m);

/// One mean of differences, seed by seed: one-sample t. With differences all equal, p is 1 where they are 0, else 0.
Difference paired_difference(const std::vector<double>& differences);

/// Two means of other seeds each: Welch's t, degrees of freedom by Satterthwaite (Welch, Biometrika 34, 1947).
Difference welch_difference(const std::vector<double>& a, const std::vector<double>& b);

/// Adjusted p of every test, in their order: the k-th smallest of m times m − k + 1, never less than one before it, at most 1
/// (Holm, Scand. J. Stat. 6, 1979). All claims with adjusted p < 0.05 together are wrong with probability < 0.05.
std::vector<double> holm(const std::vector<double>& p);

}  // namespace mneme
