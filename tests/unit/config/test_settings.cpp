#include "config/settings.h"

#include "tests/support/test.h"
#include "tests/unit/config/config_fixture.h"

using namespace mneme;
using namespace mneme::test;
using Catch::Contains;

namespace {

std::string value(const Settings& settings, const std::string& key) {
  const SettingValue* found = settings.find(key);
  return found == nullptr ? "(none)" : unquoted(found->text);
}

std::vector<std::string> text_problems(const std::string& text) {
  return problems_of([&] { Settings::from_text(text, "x.ini"); });
}

}  // namespace

TEST_CASE("INI: comments, quotes, white space and line ends", "[config][settings]") {
  const Settings settings = Settings::from_text(
      "\xEF\xBB\xBF; a comment\r\n[run]\r\n  name = a#b;c   # the rest\r\n\tfolder =\"a # b \" ; quoted\r\n"
      "labels=\"say \\\"hi\\\" \\\\ \\n\"\n[task.sample]\nnote = The code of {name} is {value}.\nkeys =\n",
      "x.ini");
  CHECK(value(settings, "run.name") == "a#b;c");
  CHECK(value(settings, "run.folder") == "a # b ");
  CHECK(value(settings, "run.labels") == "say \"hi\" \\ \n");
  CHECK(value(settings, "task.sample.note") == "The code of {name} is {value}.");
  CHECK(value(settings, "task.sample.keys").empty());
  CHECK(settings.find("run.name")->origin == "x.ini:3");
  CHECK(settings.section_names() == std::vector<std::string>{"run", "task.sample"});
}

TEST_CASE("INI: any text survives being written and read", "[config][settings]") {
  for (const std::string text : {"", "plain", " ends with space ", "a # b", "\"quoted\"", "back\\slash", "a;b",
                                 "new\nline", "# first", "\"", "a \"b\" c", "ü → x"})
    CHECK(value(Settings::from_text("[a]\nb = " + quoted_value(text) + " # comment", "x"), "a.b") == text);
}

TEST_CASE("INI: every malformed line is reported, with file and line", "[config][settings]") {
  const auto problems =
      text_problems("lonely = 1\n[run\n[model]\nwidth 64\nwidth = 1\n= 5\nwidth = 2\n[a b]\nname = \"x\n");
  REQUIRE(problems.size() == 7);
  CHECK_THAT(problems[0], Contains("x.ini:1") && Contains("before the first section"));
  CHECK_THAT(problems[1], Contains("x.ini:2") && Contains("not a section"));
  CHECK_THAT(problems[2], Contains("x.ini:4") && Contains("not 'key = value'"));
  CHECK_THAT(problems[3], Contains("x.ini:6"));
  CHECK_THAT(problems[4], Contains("x.ini:7") && Contains("model.width is given twice, first at x.ini:5"));
  CHECK_THAT(problems[5], Contains("x.ini:8"));
  CHECK_THAT(problems[6], Contains("x.ini:9") && Contains("quote"));
}

TEST_CASE("extends: in order, the file itself last, a shared base once", "[config][settings]") {
  TemporaryFolder folder;
  folder.write("base.ini", "[model]\nwidth = 1\nlayers = 1\nheads = 1\n");
  folder.write("models/a.ini", "extends = ../base.ini\n[model]\nwidth = 2\nlayers = 2\n");
  folder.write("models/b.ini", "extends = ../base.ini\n[model]\nlayers = 3\n");
  const std::string run = folder.write("run.ini", "extends = models/a.ini, models/b.ini\n[model]\nheads = 4\n");
  Settings settings = Settings::from_file(run);
  CHECK(value(settings, "model.width") == "2");  // base, extended again by b, does not undo a
  CHECK(value(settings, "model.layers") == "3");
  CHECK(value(settings, "model.heads") == "4");
  CHECK(settings.find("model.layers")->origin == folder.path("models/b.ini") + ":3");

  settings.override_with("model.layers = 7");
  CHECK(value(settings, "model.layers") == "7");
  CHECK(settings.find("model.layers")->origin == "command line");
}

TEST_CASE("extends: cycles, missing files and wrong places are errors that name the file", "[config][settings]") {
  TemporaryFolder folder;
  folder.write("a.ini", "extends = b.ini\n");
  folder.write("b.ini", "# x\nextends = a.ini\n");
  auto problems = problems_of([&] { Settings::from_file(folder.path("a.ini")); });
  REQUIRE(problems.size() == 1);
  CHECK_THAT(problems[0], Contains("b.ini:2") && Contains("circle: a.ini → b.ini → a.ini"));

  folder.write("base.ini", "");
  folder.write("run.ini", "extends = bsae.ini, nothing_like_it.ini\n[model]\nextends = base.ini\n");
  problems = problems_of([&] { Settings::from_file(folder.path("run.ini")); });
  REQUIRE(problems.size() == 3);
  CHECK_THAT(problems[0], Contains("run.ini:1: cannot read config") && Contains("did you mean 'base.ini'?"));
  CHECK_THAT(problems[1], Contains("No such file") && !Contains("did you mean"));
  CHECK_THAT(problems[2], Contains("run.ini:3") && Contains("before the first section"));

  std::filesystem::create_symlink("circle.ini", folder.path("circle.ini"));
  folder.write("names.ini", "extends = " + std::string(300, 'n') + ".ini, circle.ini\n");
  problems = problems_of([&] { Settings::from_file(folder.path("names.ini")); });
  REQUIRE(problems.size() == 2);
  CHECK_THAT(problems[0], Contains("names.ini:1: cannot read config") && Contains("File name too long"));
  CHECK_THAT(problems[1], Contains("names.ini:1: cannot read config") && Contains("levels of symbolic links"));

  problems = problems_of([&] { Settings::from_file(folder.path()); });
  REQUIRE(problems.size() == 1);
  CHECK_THAT(problems[0], Contains("it is a folder; name a file in it, e.g. " + folder.path("a.ini")) && !Contains("did you mean"));
}

TEST_CASE("a file that is no config is told in a few lines, without its bytes", "[config][settings]") {
  TemporaryFolder folder;
  auto problems = problems_of([&] { Settings::from_file(folder.write("x.ini", std::string("\x7f" "ELF\0\x01\x1b[2J = 3", 13))); });
  REQUIRE(problems.size() == 1);
  CHECK_THAT(problems[0], Contains("x.ini: it is not a text file; name an INI file"));

  std::string book;
  for (int i = 0; i < 500; ++i) book += std::string(200, 'n') + "é a sentence\n";
  problems = problems_of([&] { Settings::from_file(folder.write("book.txt", book)); });
  REQUIRE(problems.size() == 21);
  CHECK_THAT(problems[0], Contains("book.txt:1: 'nnn") && Contains("n…' is not 'key = value'"));
  CHECK(problems[0].size() < folder.path().size() + 200);
  CHECK_THAT(problems[20], Contains("and 480 more"));
}

TEST_CASE("overrides without key, section or '=' are usage errors", "[config][settings]") {
  Settings settings;
  CHECK_THROWS_AS(settings.override_with("train.steps"), UsageError);
  CHECK_THROWS_WITH(settings.override_with("steps=5"), Contains("'steps' has no section"));
  settings.override_with("task.needle.sentence=a=b # c");
  CHECK(value(settings, "task.needle.sentence") == "a=b # c");
}

TEST_CASE("INI: lines end in LF, CR LF or CR", "[config][settings]") {
  const Settings settings = Settings::from_text("# one\r[train]\rsteps = 7\r\n# two\rwarmup = 1\n", "x.ini");
  CHECK(value(settings, "train.steps") == "7");
  CHECK(value(settings, "train.warmup") == "1");
  CHECK(settings.find("train.warmup")->origin == "x.ini:5");
}

TEST_CASE("INI: what follows ' ;' belongs to a value, but after quotes and sections it is a comment", "[config][settings]") {
  const Settings settings = Settings::from_text("; one\n  ; two\n[a] ; three\nb = x ; y\nc = \"x ; y # z\" ; four\nd = x # y ; z\n", "x.ini");
  CHECK(value(settings, "a.b") == "x ; y");
  CHECK(value(settings, "a.c") == "x ; y # z");
  CHECK(value(settings, "a.d") == "x");
}

TEST_CASE("INI: parts of lists in quotes stand as they are; extends too", "[config][settings]") {
  TemporaryFolder folder;
  folder.write("a, b.ini", "[model]\nwidth = 2\n");
  folder.write("c.ini", "[model]\nheads = 3\n");
  const Settings settings = Settings::from_file(folder.write("run.ini", "extends = \"a, b.ini\", c.ini\n[a]\nb = \"x, y\", z # comment\n"));
  CHECK(value(settings, "model.width") == "2");
  CHECK(value(settings, "model.heads") == "3");
  CHECK(settings.find("a.b")->text == "\"x, y\", z");
}

TEST_CASE("a config that is not in UTF-8 is refused, with its line", "[config][settings]") {
  TemporaryFolder folder;
  const auto problems = problems_of([&] { Settings::from_file(folder.write("x.ini", "[run]\r\rname = caf\xe9\n")); });
  REQUIRE(problems.size() == 1);
  CHECK_THAT(problems[0], Contains("x.ini:3: is not in UTF-8"));
  const std::string wide("\xff\xfe[\0r\0", 6);
  CHECK_THAT(problems_of([&] { Settings::from_file(folder.write("w.ini", wide)); }).at(0), Contains("text in UTF-16"));
  Settings settings;
  CHECK_THROWS_WITH(settings.override_with("run.name=caf\xe9"), Contains("run.name: its value is not in UTF-8"));
}
