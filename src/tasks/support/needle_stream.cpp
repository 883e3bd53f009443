#include "tasks/support/needle_stream.h"

#include <algorithm>

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
    : sentence_(sentence), options_(options), random_(options.seed, "needle/stream") {}

Sample NeedleStream::next() {
  const int64_t due = waiting_.empty() ? INT64_MAX : waiting_.begin()->first;
  const int64_t hidden = waiting_.size() < options_.waiting ? next_needle_ : INT64_MAX;
  Sample piece;
  if (position_ >= due) {
    piece = question(waiting_.begin()->second);
    waiting_.erase(waiting_.begin());
    next_needle_ = position_ + static_cast<int64_t>(piece.tokens.size()) + draw_gap();
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
  std::string name;
  do name = sentence_.random_name(random_);
  while (waits(name));
  const std::string value = sentence_.random_value(random_), text = sentence_.text(name, value) + " ";
  const int64_t end = position_ + static_cast<int64_t>(text.size()), distance = draw_distance();
  const std::string answer = options_.impossible ? sentence_.random_value(random_) : value;
  waiting_.emplace(end + distance, Waiting{name, answer, distance});
  next_needle_ = end + draw_gap();
  return text;
}

Sample NeedleStream::question(const Waiting& asked) const {
  Sample piece = unscored("\n" + sentence_.text(asked.name, asked.value) + " ");
  const size_t first = sentence_.question_bytes();  // of the newline and the question, the last byte
  for (size_t i = first; i < first + asked.value.size(); ++i) piece.targets[i] = piece.tokens[i + 1];
  piece.slice = {asked.distance};
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
