// What names out of other people's files may do to those who read a table or a page: nothing.
#include <algorithm>

#include "base/text.h"
#include "report/report.h"
#include "report/table.h"
#include "report/text_escape.h"
#include "tests/support/sample_run.h"
#include "tests/support/test.h"

using namespace mneme;
using Catch::Contains;

namespace {

const std::string kName = "<script>alert(1)</script>\x1b[31m\xff^~\\x_%{}[a](javascript:b)";

std::vector<RunRecord> runs_named(const std::string& name) {
  std::vector<RunRecord> runs;
  for (const int64_t seed : {1, 2}) {
    RunRecord run = test::sample_run("mag", seed);
    run.info.run_id += name;
    run.info.command_line = name;
    run.error = name;
    run.info.values.emplace_back("model.kind", name);
    run.evaluations[0].row_names["depth_percent"] = {name};
    runs.push_back(run);
  }
  return runs;
}

bool plain(const std::string& text) {
  return printable(text) == text && text.find('\x1b') == std::string::npos && text.find("<script>") == std::string::npos;
}

}  // namespace

TEST_CASE("names steer neither terminals nor browsers, spreadsheets nor TeX", "[report][hostile]") {
  TableOptions options;
  options.rows = {"model.kind"};
  options.title = kName;
  const Table table = make_table(runs_named(kName), options);
  const std::string md = table_text(table, "md"), tex = table_text(table, "tex");
  CHECK(plain(md));
  CHECK_THAT(md, Contains("&lt;script>") && Contains("\\x1b[31m") && Contains("\\xff") && Contains("[a\\](javascript:b)"));
  CHECK(printable(tex) == tex);
  CHECK_THAT(tex, Contains("\\textasciicircum{}\\textasciitilde{}\\textbackslash{}x\\_\\%\\{\\}"));
  ReportOptions page;
  page.rows = "model.kind";
  page.introduction = kName;
  CHECK(plain(report_html(runs_named(kName), page)));
}

TEST_CASE("no cell of a CSV table is computed", "[report][hostile]") {
  TableOptions options;
  options.rows = {"model.kind"};
  for (const std::string name : {"=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)"}) {
    const std::string csv = table_text(make_table(runs_named(name), options), "csv");
    CHECK_THAT(csv, Contains("\n'" + name) && !Contains("\n" + name));
  }
  for (const std::string number : {"-0.5", "+4", "1e-3"})
    CHECK_THAT(table_text(make_table(runs_named(number), options), "csv"), Contains("\n" + number + ","));
}

TEST_CASE("printable text has no control bytes and is UTF-8", "[report][hostile]") {
  CHECK(printable("wörter ±, 漢字 🙂\tx\n") == "wörter ±, 漢字 🙂\tx\n");
  CHECK(printable("a\x1b[0m\r\x7f") == "a\\x1b[0m\\x0d\\x7f");
  CHECK(printable("\xc2\x9b") == "\\xc2\\x9b");                  // C1: CSI
  CHECK(printable("\xff\xc3") == "\\xff\\xc3");                  // no UTF-8, and cut
  CHECK(printable("\xc0\xaf\xed\xa0\x80") == "\\xc0\\xaf\\xed\\xa0\\x80");  // overlong, surrogate
  CHECK(escaped("<a href='x'>&\"\x01") == "&lt;a href=&#39;x&#39;&gt;&amp;&quot;\\x01");
}
