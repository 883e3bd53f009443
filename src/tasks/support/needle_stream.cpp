#include "tasks/support/needle_stream.h"

#include <algorithm>

#include "base/assert.h"

namespace mneme {
namespace {

constexpr int64_t kLongestPiece = 1024;  // bytes of prose at once
constexpr size_t kStreamLongestWord = 64;      // bytes without a space that count as a word

/// A piece of text, nothing scored.
Sample unscored(const std::string& text) {
  Sample piece;
  for (const char c : text) piece.tokens.push_back(static_cast<unsigned char>(c));
  piece.targets.assign(text.size(), -1);
  return piece;
}

}  // namespace

NeedleStream::NeedleStream(const NeedleSentence& sentence, const NeedleStreamOptions& options)
    : sentence_(sentence), options_(options), random_(options.seed, "needle/stream") {
  MNEME_ASSERT(options.names == 0 || options.names > options.waiting);
  while (names_.size() < options.names)
    if (std::string name = sentence_.random_name(random_); std::find(names_.begin(), names_.end(), name) == names_.end())
      names_.push_back(std::move(name));
}

Sample NeedleStream::next() {
  const int64_t due = waiting_.empty() ? INT64_MAX : waiting_.begin()->first;
  const int64_t hidden = waiting_.size() < options_.waiting ? next_needle_ : INT64_MAX;
  Sample piece;
  if (position_ >= due) {
    Waiting asked = waiting_.begin()->second;
    waiting_.erase(waiting_.begin());
    piece = question(asked);
    const int64_t end = position_ + static_cast<int64_t>(piece.tokens.size());
    if (++asked.time <= asked.asks) wait(std::move(asked), end);
    next_needle_ = end + draw_gap();
  } else if (position_ >= hidden) {
    piece = unscored(needle());
  } else {
    piece = unscored(prose(std::min({due, hidden, position_ + kLongestPiece}) - position_));
  }
  position_ += static_cast<int64_t>(piece.tokens.size());
  return piece;
}

/// Whole words, at least `tokens` bytes.
std::string NeedleStream::prose(int64_t tokens) {
  std::string text;
  while (static_cast<int64_t>(text.size()) < tokens) {
    const std::string_view ahead = options_.prose.substr(place_, kStreamLongestWord);
    const size_t word = std::min(ahead.find_first_of(" \n\t"), ahead.size() - 1) + 1;
    text += ahead.substr(0, word);
    place_ = (place_ + word) % options_.prose.size();
  }
  return text;
}

std::string NeedleStream::needle() {
  const std::string name = new_name(), value = sentence_.random_value(random_), text = sentence_.text(name, value) + " ";
  const int64_t end = position_ + static_cast<int64_t>(text.size());
  Waiting waiting{name, value, 0, options_.least_asks, 1};
  if (options_.most_asks > options_.least_asks) waiting.asks = random_.between(options_.least_asks, options_.most_asks);
  wait(std::move(waiting), end);
  next_needle_ = end + draw_gap();
  return text;
}

std::string NeedleStream::new_name() {
  std::string name;
  do name = names_.empty() ? sentence_.random_name(random_) : names_[random_.below(names_.size())];
  while (waits(name));
  return name;
}

void NeedleStream::wait(Waiting waiting, int64_t end) {
  waiting.distance = draw_distance();
  if (options_.impossible) waiting.value = sentence_.random_value(random_);
  const int64_t due = end + waiting.distance;
  waiting_.emplace(due, std::move(waiting));
}

Sample NeedleStream::question(const Waiting& asked) const {
  Sample piece = unscored("\n" + sentence_.text(asked.name, asked.value) + " ");
  const size_t first = sentence_.question_bytes();  // of the newline and the question, the last byte
  for (size_t i = first; i < first + asked.value.size(); ++i) piece.targets[i] = piece.tokens[i + 1];
  piece.slice = {asked.distance};
  if (options_.most_asks > 1) piece.slice.push_back(asked.time);
  return piece;
}

bool NeedleStream::waits(const std::string& name) const {
  return std::any_of(waiting_.begin(), waiting_.end(), [&](const auto& entry) { return entry.second.name == name; });
}

int64_t NeedleStream::draw_gap() {
  return random_.between(options_.spacing / 2, options_.spacing + (options_.spacing - 1) / 2);
}

int64_t NeedleStream::draw_distance() {
  if (distances_.empty()) {
    distances_ = options_.distances;
    random_.shuffle(distances_);
  }
  const int64_t distance = distances_.back();
  distances_.pop_back();
  return distance;
}

}  // namespace mneme
