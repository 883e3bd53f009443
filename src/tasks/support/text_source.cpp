#include "tasks/support/text_source.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <map>
#include <unordered_map>

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

/// "D.TXT" → ".txt"
std::string ending_of(const std::string& file) {
  std::string ending = fs::path(file).extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(), [](unsigned char c) { return std::tolower(c); });
  return ending;
}

/// A file itself; of a folder its texts: those called .txt, or all where none is. `left_out`: the others.
std::vector<std::string> files_of(const std::string& path, std::vector<std::string>* left_out = nullptr) {
  std::error_code none;
  if (!fs::is_directory(path, none)) return {path};
  std::vector<std::string> texts, others;
  for (std::string& file : files_below(path)) (ending_of(file) == ".txt" ? texts : others).push_back(std::move(file));
  if (texts.empty()) return others;
  if (left_out) *left_out = others;
  return texts;
}

/// "a, b, c and 4 more"
std::string some_of(const std::vector<std::string>& names) {
  constexpr size_t kNamed = 3;
  const std::string first = join({names.begin(), names.begin() + static_cast<std::ptrdiff_t>(std::min(names.size(), kNamed))}, ", ");
  return names.size() > kNamed ? fmt::format("{} and {} more", first, names.size() - kNamed) : first;
}

/// Files of folders that are not read, a line for each folder.
std::vector<std::string> left_out_notes(const std::string& key, const std::vector<std::string>& paths) {
  std::vector<std::string> notes;
  for (const std::string& path : paths) {
    std::vector<std::string> others;
    files_of(path, &others);
    if (others.empty()) continue;
    notes.push_back(fmt::format("{} = {}: {} files are not called .txt and are not read: {} (name a file itself to read it)", key, path, others.size(),
                                some_of(others)));
  }
  return notes;
}

constexpr size_t kBlock = 256;  // bytes of a passage that is no chance

/// How many passages of kBlock bytes `text` has, and how many of them stand in `training` too: by rolling hashes, then byte by byte.
std::pair<size_t, size_t> repeated_blocks(std::string_view text, std::string_view training) {
  constexpr uint64_t kBase = 0x9E3779B97F4A7C15;
  const auto byte = [](char c) { return static_cast<uint64_t>(static_cast<unsigned char>(c)) + 1; };
  const size_t blocks = text.size() / kBlock;
  if (blocks == 0 || training.size() < kBlock) return {blocks, 0};
  std::unordered_multimap<uint64_t, size_t> places;
  std::vector<bool> seen(size_t{1} << 20);  // by the upper bits of hashes: nearly all places of the training text stop here
  for (size_t block = 0; block < blocks; ++block) {
    uint64_t hash = 0;
    for (const char c : text.substr(block * kBlock, kBlock)) hash = hash * kBase + byte(c);
    places.emplace(hash, block * kBlock);
    seen[hash >> 44] = true;
  }
  uint64_t leaving = 1, hash = 0;  // kBase^kBlock
  for (size_t i = 0; i < kBlock; ++i) leaving *= kBase;
  for (size_t end = 0; end < training.size(); ++end) {
    hash = hash * kBase + byte(training[end]);
    if (end >= kBlock) hash -= leaving * byte(training[end - kBlock]);
    if (end + 1 < kBlock || !seen[hash >> 44]) continue;
    const auto [first, last] = places.equal_range(hash);
    for (auto place = first; place != last;)
      if (text.substr(place->second, kBlock) == training.substr(end + 1 - kBlock, kBlock)) place = places.erase(place);
      else ++place;
  }
  return {blocks, blocks - places.size()};
}

std::string repeated_note(const std::string& what, std::string_view text, std::string_view training) {
  const auto [blocks, repeated] = repeated_blocks(text, training);
  if (repeated == 0) return "";
  return fmt::format("{}: {} of {} passages of {} bytes stand in the training text too: what is tested there was trained on", what, repeated, blocks, kBlock);
}

/// Each file once in both lists, by whatever path: what is read twice is in training and in the tests.
void refuse_overlaps(const std::string& prefix, const TextOptions& options) {
  std::map<fs::path, std::string> named;  // where the file was named before
  std::error_code none;                   // what cannot be read is said by who reads it
  const auto look = [&](const std::string& key, const std::vector<std::string>& paths) {
    for (const std::string& path : paths)
      for (const std::string& file : files_of(path)) {
        const std::string here = fmt::format("{}{} = {}", prefix, key, path);
        const auto [before, first] = named.try_emplace(fs::exists(file, none) ? fs::canonical(file, none) : fs::path(file), here);
        if (!first)
          throw DataError(fmt::format("{}: {} is there already by {}, and a text that is read twice leaks from training into tests; name each "
                                      "file once", here, file, before->second));
      }
  };
  look("train_text", options.train_text);
  look("test_text", options.test_text);
}

}  // namespace

std::string clean_text(std::string_view bytes) {
  const std::string plain = with_plain_lines(bytes);
  std::string_view raw = plain;
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
      text += line;
    }
  }
  return text;
}

std::string read_text(const std::string& path) {
  const std::string bytes = read_file(path);
  if (const std::string encoding = foreign_encoding(bytes); !encoding.empty())
    throw DataError(fmt::format("{} is text in {}; write it in UTF-8 (iconv -f UTF-16 -t UTF-8)", path, encoding));
  return clean_text(bytes);
}

std::string load_text(const std::string& key, const std::vector<std::string>& paths) {
  std::string text;
  try {
    for (const std::string& path : paths)
      for (const std::string& file : files_of(path)) {
        if (!text.empty() && text.back() != '\n') text += '\n';
        text += read_text(file);
      }
  } catch (const fs::filesystem_error& error) {
    throw DataError(fmt::format("{} = {}: cannot be read: {}", key, error.path1().string(), error.code().message()));
  } catch (const DataError& error) {
    throw DataError(fmt::format("{}: {}", key, error.what()));
  }
  if (text.find_first_not_of('\n') == std::string::npos)
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
    std::error_code error;
    for (const std::string& path : paths)
      if (!fs::exists(path, error))
        problems.add(prefix + key,
                     fmt::format("'{}' {}{}", path, error ? "cannot be read: " + error.message() : "does not exist",
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
  look_over(options);
}

void TextSplits::look_over(const TextOptions& options) {
  notes_ = left_out_notes(prefix_ + "train_text", options.train_text);
  for (std::string& note : left_out_notes(prefix_ + "test_text", options.test_text)) notes_.push_back(std::move(note));
  const auto look = [&](const std::string& what, std::string_view text) {
    if (std::string note = repeated_note(what, text, part(Split::train)); !note.empty()) notes_.push_back(std::move(note));
  };
  if (!own_test_) return look(prefix_ + "train_text, its end, which is held out for tests", part(Split::test));
  for (const std::string& path : options.test_text)
    for (const std::string& file : files_of(path)) look(fmt::format("{}test_text: {}", prefix_, file), read_text(file));
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
