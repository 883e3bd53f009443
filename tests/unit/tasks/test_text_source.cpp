// Cleaning, loading and splitting of texts.
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "mneme/errors.h"
#include "tasks/support/text_source.h"
#include "tests/support/test.h"
#include "tests/unit/tasks/task_fixture.h"

using namespace mneme;
using namespace mneme::test;
using Catch::Contains;

TEST_CASE("text: byte order mark and carriage returns go, every other byte stays", "[tasks][text]") {
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte)
    if (byte != '\r') bytes += static_cast<char>(byte);
  CHECK(clean_text(bytes) == bytes);
  CHECK(clean_text("\xef\xbb\xbf"
                   "one\r\ntwo\r\n") == "one\ntwo\n");
  CHECK(clean_text("no newline at the end") == "no newline at the end");
  CHECK(clean_text("") == "");
}

TEST_CASE("text: of a Project Gutenberg file the book stays", "[tasks][text]") {
  const std::string header =
      "The Project Gutenberg EBook of X\r\n\r\n*** START OF THIS PROJECT GUTENBERG EBOOK X ***\r\n";
  const std::string footer =
      "*** END OF THE PROJECT GUTENBERG EBOOK X ***\r\nlicence\r\n*** START: FULL LICENSE ***\r\nlicence\r\n";
  CHECK(clean_text(header + "Count*** is here.\r\n*** a break\r\n" + footer) == "Count*** is here.\n*** a break\n");
  CHECK(clean_text(header + "one\n" + footer + header + "two\n" + footer) == "one\ntwo\n");
  CHECK(clean_text("***START OF THE PROJECT GUTENBERG EBOOK Y***\nbody\n") == "body\n");
  const std::string letter = "*** END OF my letter\nabout PROJECT GUTENBERG\n";
  CHECK(clean_text(letter) == letter);
}

TEST_CASE("text: files in order, folders by name with their .txt files", "[tasks][text]") {
  TemporaryFolder folder;
  std::filesystem::create_directories(folder / "books/more");
  write_file(folder / "books/b.txt", "b");
  write_file(folder / "books/a.txt", "a\n");
  write_file(folder / "books/more/c.txt", "c");
  write_file(folder / "books/SOURCES.md", "not a book");
  std::filesystem::create_directories(folder / "code");
  write_file(folder / "code/x.cpp", "x");
  CHECK(load_text("key", {folder / "books"}) == "a\nb\nc");
  CHECK(load_text("key", {folder / "code", folder / "books/a.txt"}) == "x\na\n");
}

TEST_CASE("text: what cannot be used says which key and file, and what to do", "[tasks][text][errors]") {
  TemporaryFolder folder;
  write_file(folder / "short.txt", "only a few words");
  const std::string lm = "task.kind = lm; task.length = 64; task.lm.train_text = ";
  CHECK_THAT(error_of(lm), Contains("task.lm.train_text") && Contains("no text given"));
  CHECK_THAT(error_of("task.kind = needle; task.needle.train_text = data/books/nowhere.txt"),
             Contains("task.needle.train_text") && Contains("does not exist; make it by scripts/get-books.sh"));
  CHECK_THAT(error_of("task.kind = lm; task.lm.train_text = data/kinds/nowhere.txt"), Contains("scripts/get-books.sh --kinds"));
  CHECK_THAT(error_of(lm + std::string(300, 'n')), Contains("task.lm.train_text") && Contains("cannot be read: File name too long"));
  CHECK_THAT(error_of(lm + folder / "short.txt"),
             Contains("task.lm.train_text: the train text has") && Contains("rows of 64 tokens need 65"));
  std::filesystem::create_directories(folder / "no_files");
  CHECK_THAT(error_of(lm + folder / "no_files"), Contains("no text in it"));
  write_file(folder / "nothing.txt", "\xef\xbb\xbf\r");
  CHECK_THAT(error_of(lm + folder / "nothing.txt"), Contains("no text in it"));
  if (::geteuid() != 0) {  // root reads everything
    write_file(folder / "secret.txt", "secret");
    ::chmod((folder / "secret.txt").c_str(), 0);
    CHECK_THAT(error_of(lm + folder / "secret.txt"), Contains("secret.txt") && Contains("ermission denied"));
  }
}

TEST_CASE("text: validation is the end of train_text, tests another text or the end's second half", "[tasks][text]") {
  TemporaryFolder folder;
  write_file(folder / "train.txt", std::string(800, 'a') + std::string(100, 'b') + std::string(100, 'c'));
  write_file(folder / "test.txt", "test");
  TextOptions options;
  options.train_text = {folder / "train.txt"};
  options.validation_share = 0.2;
  const TextSplits halves("task.lm.", options);
  CHECK(halves.part(Split::train) == std::string(800, 'a'));
  CHECK(halves.part(Split::validation) == std::string(100, 'b'));
  CHECK(halves.part(Split::test) == std::string(100, 'c'));
  options.test_text = {folder / "test.txt"};
  const TextSplits given("task.lm.", options);
  CHECK(given.part(Split::validation).size() == 200);
  CHECK(given.part(Split::test) == "test");
  CHECK_THROWS_WITH(given.require(Split::test, 5, 4),
                    Contains("task.lm.test_text") && Contains("has 4 bytes") && Contains("need 5") && !Contains("validation_share"));
}

TEST_CASE("text: with equal weights every file or folder of the list is read equally often and held out from", "[tasks][text]") {
  TemporaryFolder folder;
  std::filesystem::create_directories(folder / "kind");
  write_file(folder / "long.txt", std::string(8000, 'a'));
  write_file(folder / "kind/one.txt", std::string(300, 'b') + "\n");
  write_file(folder / "kind/two.txt", std::string(199, 'b'));
  TextOptions options;
  options.train_text = {folder / "long.txt", folder / "kind"};
  options.validation_share = 0.2;
  const auto shares = [&](const TextSplits& splits, Split split) {
    Random random(1);
    double second = 0;
    for (int i = 0; i < 2000; ++i) {
      const std::string_view passage = splits.passage(random, split, 20);
      REQUIRE(passage.size() == 20);
      CHECK((passage.find('a') == std::string_view::npos) != (passage.find('b') == std::string_view::npos));
      second += passage.find('b') != std::string_view::npos;
    }
    return second / 2000;
  };
  options.weights = "equal";
  const TextSplits equal("task.lm.", options);
  for (const Split split : {Split::train, Split::validation, Split::test}) CHECK(shares(equal, split) == Approx(0.5).margin(0.05));
  CHECK(equal.part(Split::validation).size() == 850);
  CHECK_THROWS_WITH(equal.require(Split::test, 60, 59), Contains("the test text of " + folder / "kind") && Contains("has 50 bytes") &&
                                                             Contains("validation_share"));
  options.weights = "bytes";
  options.train_text = {folder / "long.txt"};
  write_file(folder / "other.txt", std::string(8000, 'a'));
  options.test_text = {folder / "kind", folder / "other.txt"};
  const TextSplits bytes("task.lm.", options);
  Random one(5), two(5);
  for (int i = 0; i < 20; ++i) CHECK(bytes.passage(one, Split::train, 100).data() == random_passage(two, bytes.part(Split::train), 100).data());
  CHECK(bytes.part(Split::test).size() == 8501);
  options.weights = "equal";
  CHECK(shares(TextSplits("task.lm.", options), Split::test) == Approx(0.5).margin(0.05));
}

TEST_CASE("lm: every position predicts the next byte; the whole text is reached", "[tasks][lm]") {
  TemporaryFolder folder;
  const std::string text = prose(2000, 3);
  write_file(folder / "train.txt", text);
  const MadeTask made = make_task("task.kind = lm; task.length = 50; task.lm.train_text = " + folder / "train.txt");
  size_t lowest = text.size(), highest = 0;
  for (uint64_t index = 0; index < 500; ++index) {
    const Sample row = made->sample(Split::train, 1, index, {50});
    const size_t place = text.find(text_of(row.tokens));
    REQUIRE(place != std::string::npos);
    CHECK(text_of(row.targets) == text.substr(place + 1, 50));
    CHECK((place == 0 || text[place - 1] == ' ' || text[place - 1] == '\n'));
    lowest = std::min(lowest, place);
    highest = std::max(highest, place + 50);
  }
  const size_t training = text.size() - text.size() / 20;
  CHECK(lowest < text.size() / 50);
  CHECK(highest > training - text.size() / 50);
  CHECK(highest <= training);
}

TEST_CASE("bytes are shown as a person reads them", "[tasks][text]") {
  CHECK(byte_text('a') + byte_text('\n') + byte_text('\t') + byte_text(7) + byte_text(0xc3) + byte_text(0xa9) ==
        "a⏎⇥\\x07é");
}

TEST_CASE("text: a file that is named twice is refused, by whatever path", "[tasks][text][leak][errors]") {
  TemporaryFolder folder;
  std::filesystem::create_directories(folder / "books");
  write_file(folder / "books/one.txt", std::string(500, 'a'));
  write_file(folder / "books/two.txt", std::string(500, 'b'));
  write_file(folder / "other.txt", std::string(500, 'c'));
  std::filesystem::create_symlink(folder / "books", folder / "link");
  const auto wrong = [](const std::vector<std::string>& train, const std::vector<std::string>& test) -> std::string {
    TextOptions options;
    options.train_text = train;
    options.test_text = test;
    try {
      TextSplits("task.lm.", options);
    } catch (const DataError& error) {
      return error.what();
    }
    return "";
  };
  const std::string books = folder / "books", one = folder / "books/one.txt", other = folder / "other.txt";
  CHECK_THAT(wrong({books, one}, {}), Contains("task.lm.train_text = " + one) && Contains("there already by task.lm.train_text = " + books) &&
                                          Contains("name each file once"));
  CHECK_THAT(wrong({books}, {folder / "books/../books/two.txt"}), Contains("task.lm.test_text") && Contains("two.txt is there already"));
  CHECK_THAT(wrong({one}, {other, folder / "link"}), Contains("task.lm.test_text = " + folder / "link"));
  CHECK_THAT(wrong({one, one}, {other}), Contains("there already"));
  CHECK(wrong({books}, {other}) == "");
  CHECK(wrong({one}, {folder / "books/two.txt"}) == "");
}

TEST_CASE("text: lone carriage returns end lines; UTF-16 is named, not read", "[tasks][text]") {
  TemporaryFolder folder;
  CHECK(clean_text("one\rtwo\r\nthree\n") == "one\ntwo\nthree\n");
  write_file(folder / "wide.txt", std::string("\xff\xfet\0e\0x\0t\0", 10));
  CHECK_THROWS_WITH(load_text("key", {folder / "wide.txt"}), Contains("key: ") && Contains("wide.txt is text in UTF-16") && Contains("iconv"));
  write_file(folder / "w.txt", "\xef\xbb\xbfthe man\r\n");
  CHECK(read_text(folder / "w.txt") == "the man\n");
}

TEST_CASE("text: of a folder, what links lead to and odd endings are read, what is hidden is not, and the rest is named", "[tasks][text]") {
  TemporaryFolder folder;
  for (const char* name : {"books/.git", "elsewhere"}) std::filesystem::create_directories(folder / name);
  write_file(folder / "books/a.txt", "a");
  write_file(folder / "books/B.TXT", "b");
  write_file(folder / "books/notes.md", "no book");
  write_file(folder / "books/.draft.txt", "hidden");
  write_file(folder / "books/.git/c.txt", "hidden");
  write_file(folder / "elsewhere/d.txt", "d");
  std::filesystem::create_directory_symlink(folder / "elsewhere", folder / "books/more");
  CHECK(load_text("key", {folder / "books"}) == "b\na\nd");
  TextOptions options;
  options.train_text = {folder / "books"};
  const TextSplits splits("task.lm.", options);
  REQUIRE(splits.notes().size() == 1);
  CHECK_THAT(splits.notes()[0], Contains("task.lm.train_text = " + folder / "books") && Contains("1 files are not called .txt") && Contains("notes.md"));
  std::filesystem::create_symlink("nowhere", folder / "books/e.txt");
  CHECK_THROWS_WITH(load_text("key", {folder / "books"}), Contains("e.txt is a link to nothing"));
}

TEST_CASE("text: test text that stands in the training text is named, with its share", "[tasks][text][leak]") {
  TemporaryFolder folder;
  const std::string trained = prose(3000, 1), other = prose(1000, 2);
  write_file(folder / "train.txt", trained);
  write_file(folder / "copy.txt", "a heading of some length\n" + trained.substr(2000, 3000));
  write_file(folder / "other.txt", other);
  write_file(folder / "half.txt", other.substr(0, 2560) + trained.substr(1000, 2560));
  const auto notes = [&](const std::string& test) {
    TextOptions options;
    options.train_text = {folder / "train.txt"};
    options.test_text = {folder / test};
    return join(TextSplits("task.lm.", options).notes(), "; ");
  };
  CHECK(notes("other.txt") == "");
  CHECK_THAT(notes("copy.txt"), Contains("task.lm.test_text: " + folder / "copy.txt") && Contains("10 of 11 passages of 256 bytes"));
  CHECK_THAT(notes("half.txt"), Contains("10 of 20 passages"));
}
