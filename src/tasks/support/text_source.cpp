#include "tasks/support/text_source.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include <fmt/format.h>

#include "base/files.h"
#include "base/text.h"
#include "mneme/errors.h"

namespace fs = std::filesystem;

namespace mneme {
namespace {

constexpr size_t kLongestWord = 64;  // bytes looked back for a word start: text without spaces has none

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t'; }

// "*** START OF THE PROJECT GUTENBERG EBOOK …", also "***START OF", "THIS PROJECT …".
bool is_marker(std::string_view line, std::string_view word) {
  if (!line.starts_with("***") || line.find("PROJECT GUTENBERG") == std::string_view::npos) return false;
  line.remove_prefix(std::min(line.find_first_not_of("* "), line.size()));
  return line.starts_with(word);
}

std::vector<fs::path> files_of(const fs::path& path) {
  if (!fs::is_directory(path)) return {path};
  std::vector<fs::path> texts, all;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(path)) {
    if (!entry.is_regular_file()) continue;
    all.push_back(entry.path());
    if (entry.path().extension() == ".txt") texts.push_back(entry.path());
  }
  std::vector<fs::path>& chosen = texts.empty() ? all : texts;
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

/// Each file once in both lists, by whatever path: what is read twice is in training and in the tests.
void refuse_overlaps(const std::string& prefix, const TextOptions& options) {
  std::map<fs::path, std::string> named;  // where the file was named before
  const auto look = [&](const std::string& key, const std::vector<std::string>& paths) {
    for (const std::string& path : paths)
      for (const fs::path& file : files_of(path)) {
        const std::string here = fmt::format("{}{} = {}", prefix, key, path);
        const auto [before, first] = named.try_emplace(fs::weakly_canonical(file), here);
        if (!first)
          throw DataError(fmt::format("{}: {} is there already by {}, and a text that is read twice leaks from training into tests; name each "
                                      "file once", here, file.string(), before->second));
      }
  };
  look("train_text", options.train_text);
  look("test_text", options.test_text);
}

}  // namespace

std::string clean_text(std::string_view raw) {
  if (raw.starts_with("\xef\xbb\xbf")) raw.remove_prefix(3);
  std::string text;
  text.reserve(raw.size());
  size_t book = 0;  // where the book being read starts in `text`; markers cut back to it
  bool inside = false, copying = true;
  while (!raw.empty()) {
    const size_t end = std::min(raw.find('\n'), raw.size() - 1) + 1;
    const std::string_view line = raw.substr(0, end);
    raw.remove_prefix(end);
    if (is_marker(line, "START OF") && !inside) {
      text.resize(book);
      inside = copying = true;
    } else if (is_marker(line, "END OF") && inside) {
      book = text.size();
      inside = copying = false;
    } else if (copying) {
      std::copy_if(line.begin(), line.end(), std::back_inserter(text), [](char c) { return c != '\r'; });
    }
  }
  return text;
}

std::string load_text(const std::string& key, const std::vector<std::string>& paths) {
  std::string text;
  try {
    for (const std::string& path : paths)
      for (const fs::path& file : files_of(path)) {
        if (!text.empty() && text.back() != '\n') text += '\n';
        text += clean_text(read_file(file.string()));
      }
  } catch (const fs::filesystem_error& error) {
    throw DataError(fmt::format("{} = {}: cannot be read: {}", key, error.path1().string(), error.code().message()));
  } catch (const DataError& error) {
    throw DataError(fmt::format("{}: {}", key, error.what()));
  }
  if (text.empty())
    throw DataError(fmt::format("{} = {}: no text in it; give a file that is not empty", key, join(paths, ", ")));
  return text;
}

void TextOptions::describe(OptionVisitor& v) {
  v.files("train_text", train_text, "text to train on: files or folders (of a folder, its .txt files), any bytes");
  v.files("test_text", test_text, "text of the tests, better another book; empty = held out from train_text");
  v.option("validation_share", validation_share, {0.001, 0.5},
           "last part of train_text that is held out from training");
  v.option("text_weights", weights, {"bytes", "equal"},
           "of several texts: every byte alike, or every file or folder of the list equally often");
}

void TextOptions::check(const std::string& prefix, Problems& problems) const {
  if (train_text.empty())
    problems.add(prefix + "train_text",
                 "no text given; name a file or folder, e.g. data/books/austen "
                 "(made by scripts/get-books.sh)");
  const auto exist = [&](const char* key, const std::vector<std::string>& paths) {
    std::error_code ignored;
    for (const std::string& path : paths)
      if (!fs::exists(path, ignored))
        problems.add(prefix + key,
                     fmt::format("'{}' does not exist{}", path,
                                 path.starts_with("data/books")   ? "; make it by scripts/get-books.sh"
                                 : path.starts_with("data/kinds") ? "; make it by scripts/get-books.sh --kinds"
                                                                  : ""));
  };
  exist("train_text", train_text);
  exist("test_text", test_text);
}

TextSplits::TextSplits(const std::string& prefix, const TextOptions& options)
    : prefix_(prefix), own_test_(!options.test_text.empty()) {
  Part& train = parts_[0];
  Part& validation = parts_[1];
  Part& test = parts_[2];
  const auto each = [&](const std::string& key, const std::vector<std::string>& paths, auto take) {
    if (options.weights != "equal") return take("", load_text(key, paths));
    for (const std::string& path : paths) take(path, load_text(key, {path}));
  };
  try {
    refuse_overlaps(prefix, options);
  } catch (const fs::filesystem_error&) {  // load_text says which key it is
  }
  each(prefix + "train_text", options.train_text, [&](const std::string& name, const std::string& text) {
    const std::string_view all = text;
    const size_t held = static_cast<size_t>(options.validation_share * static_cast<double>(all.size()));
    const std::string_view out = all.substr(all.size() - held);
    train.add(name, all.substr(0, all.size() - held));
    validation.add(name, own_test_ ? out : out.substr(0, held / 2));
    if (!own_test_) test.add(name, out.substr(held / 2));
  });
  if (own_test_)
    each(prefix + "test_text", options.test_text, [&](const std::string& name, const std::string& text) { test.add(name, text); });
}

void TextSplits::Part::add(const std::string& name, std::string_view more) {
  sources.push_back({name, text.size(), more.size()});
  text += more;
}

std::string_view TextSplits::passage(Random& random, Split split, size_t bytes, int64_t* source) const {
  const Part& from = of(split);
  const size_t drawn = from.sources.size() == 1 ? 0 : random.below(from.sources.size());
  if (source) *source = static_cast<int64_t>(drawn);
  return random_passage(random, std::string_view(from.text).substr(from.sources[drawn].first, from.sources[drawn].size), bytes);
}

std::vector<std::string> TextSplits::names(Split split) const {
  if (std::all_of(std::begin(parts_), std::end(parts_), [](const Part& part) { return part.sources.size() == 1; })) return {};
  std::vector<std::string> paths, stems;
  for (const Source& source : of(split).sources) {
    paths.push_back(source.name);
    stems.push_back(fs::path(source.name).lexically_normal().stem().string());
  }
  std::vector<std::string> sorted = stems;
  std::sort(sorted.begin(), sorted.end());
  const bool told_apart = std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end() && sorted.front() != "";
  return told_apart ? stems : paths;
}

void TextSplits::require(Split split, int64_t bytes, int64_t length) const {
  for (const Source& source : of(split).sources) {
    if (source.size >= static_cast<size_t>(bytes)) continue;
    throw DataError(fmt::format("{}{}_text: the {} text{} has {} bytes, rows of {} tokens need {}; give more text, shorter rows{}", prefix_,
                                split == Split::test && own_test_ ? "test" : "train", to_string(split),
                                source.name.empty() ? "" : " of " + source.name, source.size, length, bytes,
                                split == Split::train || (split == Split::test && own_test_) ? "" : " or a larger validation_share"));
  }
}

std::string_view random_passage(Random& random, std::string_view text, size_t bytes) {
  return text.substr(word_start(text, random.below(text.size() - bytes + 1)), bytes);
}

size_t word_start(std::string_view text, size_t place) {
  for (size_t back = 0; back <= std::min(place, kLongestWord); ++back)
    if (place == back || is_space(text[place - back - 1])) return place - back;
  return place;
}

std::string byte_text(int64_t byte) {
  if (byte == '\n') return "⏎";
  if (byte == '\t') return "⇥";
  if (byte < 0x20 || byte == 0x7f) return fmt::format("\\x{:02x}", byte);
  return std::string(1, static_cast<char>(byte));
}

}  // namespace mneme
