// Text for the byte tasks: files and folders by path, cleaned in memory, cut into parts for the three splits.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "mneme/options.h"
#include "mneme/task.h"

namespace mneme {

/// Without UTF-8 byte order mark and carriage returns, and without what Project Gutenberg puts before its `*** START
/// OF` and after its `*** END OF` lines. Everything else stays as it is: any bytes are a text.
std::string clean_text(std::string_view raw);

/// Files in the order given; of a folder, its `.txt` files (all files where there are none), with subfolders, sorted by
/// path. Each file is cleaned; files are joined by a newline. Throws DataError naming `key`: missing, unreadable,
/// empty.
std::string load_text(const std::string& key, const std::vector<std::string>& paths);

/// Options of a task on text, described and checked with the task's own.
struct TextOptions {
  std::vector<std::string> train_text, test_text;
  double validation_share = 0.05;

  void describe(OptionVisitor& visitor);
  void check(const std::string& prefix, Problems& problems) const;
};

/// Training text without its last `validation_share`; that share for validation; test_text for tests. Without test_text
/// the held-out share is halved: validation first, test second.
class TextSplits {
 public:
  TextSplits(const std::string& prefix, const TextOptions& options);

  std::string_view part(Split split) const { return parts_.at(static_cast<size_t>(split)); }
  /// Throws DataError where `split` has fewer than `bytes`, which a row of `length` tokens needs.
  void require(Split split, int64_t bytes, int64_t length) const;

 private:
  std::string prefix_, train_, test_;
  std::vector<std::string_view> parts_;  // by split, into train_ and test_
};

/// `bytes` consecutive bytes at a random place of `text`, moved to the start of a word where one is near.
std::string_view random_passage(Random& random, std::string_view text, size_t bytes);

/// The nearest place at or before `place` where a word starts; `place` itself when none is near (text without spaces).
size_t word_start(std::string_view text, size_t place);

/// A byte as a person reads it: printable text and UTF-8 as is, newline `⏎`, tab `⇥`, other control bytes `\x07`.
std::string byte_text(int64_t byte);

}  // namespace mneme
