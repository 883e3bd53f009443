// Text for the byte tasks: files and folders by path, cleaned in memory, cut into parts for the three splits.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "mneme/options.h"
#include "mneme/task.h"

namespace mneme {

/// The one cleaning of texts: training texts, test texts, streams and prompts. Without UTF-8 byte order mark, all line ends as LF, and without what Project Gutenberg puts before its `*** START
/// OF` and after its `*** END OF` lines. Everything else stays as it is: any bytes are a text.
std::string clean_text(std::string_view bytes);

/// A file, cleaned. DataError: missing, unreadable, UTF-16.
std::string read_text(const std::string& path);

/// Files in the order given; of a folder, its `.txt` files (all files where there are none), with subfolders and what links lead to, without
/// what is hidden, sorted by path. Each file is cleaned; files are joined by a newline. Throws DataError naming `key`: missing, unreadable,
/// empty, UTF-16.
std::string load_text(const std::string& key, const std::vector<std::string>& paths);

/// Options of a task on text, described and checked with the task's own.
struct TextOptions {
  std::vector<std::string> train_text, test_text;
  double validation_share = 0.05;
  std::string weights = "bytes";

  void describe(OptionVisitor& visitor);
  void check(const std::string& prefix, Problems& problems) const;
};

/// Training text without its last `validation_share`; that share for validation; test_text for tests. Without test_text
/// the held-out share is halved: validation first, test second. With weights = equal each file or folder of the lists is cut on its
/// own, and passages come from all of them equally often. Throws DataError where a file is named twice, by itself or by its folder, in one
/// list or in both.
class TextSplits {
 public:
  TextSplits(const std::string& prefix, const TextOptions& options);

  std::string_view part(Split split) const { return of(split).text; }
  /// `bytes` consecutive bytes at a random place of `split`, from the start of a word where one is near. `source`: which of `names` it is of.
  std::string_view passage(Random& random, Split split, size_t bytes, int64_t* source = nullptr) const;
  /// Of the texts that are drawn from, as short as tells them apart: "emma" of data/books/emma.txt. Empty where every split has one alone, or
  /// all bytes are alike.
  std::vector<std::string> names(Split split) const;
  /// Throws DataError where `split` has fewer than `bytes`, which a row of `length` tokens needs.
  void require(Split split, int64_t bytes, int64_t length) const;
  /// Files of folders that are not read, and test texts of which passages stand in the training text too.
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  struct Source {
    std::string name;    // the path, where sources are drawn; else empty
    size_t first, size;  // in the text of the split
  };
  struct Part {
    std::string text;
    std::vector<Source> sources;
    void add(const std::string& name, std::string_view more);
  };
  void look_over(const TextOptions& options);
  const Part& of(Split split) const { return parts_[static_cast<size_t>(split)]; }

  std::string prefix_;
  bool own_test_;
  Part parts_[3];  // by split
  std::vector<std::string> notes_;
};

/// `bytes` consecutive bytes at a random place of `text`, moved to the start of a word where one is near.
std::string_view random_passage(Random& random, std::string_view text, size_t bytes);

/// The nearest place at or before `place` where a word starts; `place` itself when none is near (text without spaces).
size_t word_start(std::string_view text, size_t place);

/// A byte as a person reads it: printable text and UTF-8 as is, newline `⏎`, tab `⇥`, other control bytes `\x07`.
std::string byte_text(int64_t byte);

}  // namespace mneme
