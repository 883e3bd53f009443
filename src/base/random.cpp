#include "mneme/random.h"

#include <bit>
#include <unordered_map>

#include "base/assert.h"

namespace mneme {
namespace {

constexpr uint64_t kGolden = 0x9e3779b97f4a7c15ull;

// One step of SplitMix64 (Steele, Lea, Flood 2014): a bijection whose output bits all depend on all input bits.
uint64_t split_mix(uint64_t x) {
  x += kGolden;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

uint64_t fnv1a(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325ull;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  return hash;
}

}  // namespace

uint64_t mix_seed(uint64_t seed, std::string_view stream, uint64_t index) {
  return split_mix(split_mix(split_mix(seed) ^ fnv1a(stream)) ^ index);
}

Random::Random(uint64_t seed, std::string_view stream, uint64_t index) {
  uint64_t x = mix_seed(seed, stream, index);
  for (uint64_t& word : state_) {
    word = split_mix(x);
    x += kGolden;
  }
}

uint64_t Random::next() {
  const uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const uint64_t shifted = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

uint64_t Random::below(uint64_t bound) {
  MNEME_ASSERT(bound >= 1);
  unsigned __int128 product = static_cast<unsigned __int128>(next()) * bound;
  if (static_cast<uint64_t>(product) < bound) {
    const uint64_t rejected = -bound % bound;  // 2^64 mod bound: low halves below it would be drawn too often
    while (static_cast<uint64_t>(product) < rejected) product = static_cast<unsigned __int128>(next()) * bound;
  }
  return static_cast<uint64_t>(product >> 64);
}

int64_t Random::between(int64_t first, int64_t last) {
  MNEME_ASSERT(first <= last);
  const uint64_t span = static_cast<uint64_t>(last) - static_cast<uint64_t>(first) + 1;
  const uint64_t offset = span == 0 ? next() : below(span);  // 0: the range is all of int64
  return static_cast<int64_t>(static_cast<uint64_t>(first) + offset);
}

double Random::uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

// True with probability exp(−1/2): the longest falling run 1/2 > U_1 > U_2 > … has an even length. P(run ≥ n) = (1/2)^n / n!.
bool Random::half_exponential() {
  bool even = true;
  for (double last = 0.5, u = uniform(); u < last; u = uniform()) last = u, even = !even;
  return even;
}

// True with probability exp(−x (2k + x) / (2k + 2)): the same, where each place of the run from x on also has to pass a coin.
bool Random::accept_fraction(int64_t k, double x) {
  const double twice = 2 * static_cast<double>(k), coin = (twice + x) / (twice + 2);
  bool even = true;
  for (double last = x; ; even = !even) {
    const double u = uniform();
    if (u >= last || uniform() >= coin) return even;
    last = u;
  }
}

double Random::normal() {
  while (true) {
    int64_t k = 0;  // of weight exp(−k/2), then exp(−k²/2)
    while (half_exponential()) ++k;
    bool kept = true;
    for (int64_t i = 0; kept && i < k * (k - 1); ++i) kept = half_exponential();
    if (!kept) continue;
    const double x = uniform();  // k + x of density exp(−(k + x)²/2)
    for (int64_t i = 0; kept && i <= k; ++i) kept = accept_fraction(k, x);
    if (!kept) continue;
    const double size = static_cast<double>(k) + x;
    return next() >> 63 ? -size : size;
  }
}

// Fisher–Yates over 0 … bound−1 of which only the moved places are stored, so that cost follows `count`, not `bound`.
std::vector<int64_t> Random::distinct(int64_t count, int64_t bound) {
  MNEME_ASSERT(0 <= count && count <= bound);
  std::unordered_map<int64_t, int64_t> moved;
  const auto at = [&](int64_t place) {
    const auto found = moved.find(place);
    return found == moved.end() ? place : found->second;
  };
  std::vector<int64_t> result;
  result.reserve(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    const int64_t chosen = between(i, bound - 1);
    result.push_back(at(chosen));
    moved[chosen] = at(i);
  }
  return result;
}

}  // namespace mneme
