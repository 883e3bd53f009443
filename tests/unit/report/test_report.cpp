#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "mneme/errors.h"
#include "report/axis.h"
#include "report/plot.h"
#include "report/report.h"
#include "tests/support/sample_run.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test.h"

using namespace mneme;
using Catch::Contains;

namespace {

/// Whether every tag that is opened is closed in order: enough XML for what we write ourselves.
bool well_formed(const std::string& text) {
  std::vector<std::string> open;
  for (size_t at = text.find('<'); at != std::string::npos; at = text.find('<', at + 1)) {
    const size_t end = text.find('>', at);
    if (end == std::string::npos) return false;
    const std::string tag = text.substr(at + 1, end - at - 1);
    const std::string name = tag.substr(tag[0] == '/', tag.find_first_of(" /", 1) - (tag[0] == '/'));
    if (tag[0] == '/') {
      if (open.empty() || open.back() != name) return false;
      open.pop_back();
    } else if (tag.back() != '/') {
      open.push_back(name);
    }
  }
  return open.empty();
}

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

std::vector<RunRecord> runs() {
  std::vector<RunRecord> all;
  for (int64_t seed : {1, 2, 3}) {
    all.push_back(test::sample_run("mag & <co>", seed, {100, 95 - seed, 90}));
    all.push_back(test::sample_run("rope", seed, {98, 20 + 5 * seed, 0}));
  }
  all[1].status = "diverged";
  all[1].error = "loss > limit";
  return all;
}

}  // namespace

TEST_CASE("a plot is well-formed SVG with one labelled line per series", "[plot]") {
  const std::vector<PlotSeries> series{{"a < b", {256, 1024, 4096}, {1, 0.9, std::nan("")}, {1, 0.8, 0}, {1, 0.95, 0}, 0},
                                       {"flat", {256, 1024, 4096}, {0.5, 0.5, 0.5}, {}, {}, 1},
                                       {"nothing", {256}, {std::nan("")}, {}, {}, 2}};
  PlotOptions options;
  options.title = "needle & thread";
  options.log2_x = true;
  options.percent = true;
  options.chance = 0.1;
  const std::string svg = line_plot(series, options);
  CHECK(well_formed(svg));
  CHECK(count(svg, "<polyline") == 2);
  CHECK(count(svg, "<polygon") == 1);
  CHECK_THAT(svg, Contains("a &lt; b") && Contains("needle &amp; thread") && Contains(">4096<") && Contains("chance"));
  CHECK_THAT(svg, !Contains("nan") && !Contains("nothing"));
  CHECK(line_plot({}, options).empty());
}

TEST_CASE("one point, equal values and logarithms make a plot without infinities", "[plot]") {
  PlotOptions options;
  options.log_y = true;
  options.log2_x = true;
  const std::string svg = line_plot({{"x", {64}, {2}, {}, {}, 0}, {"zero", {64}, {0}, {}, {}, 1}}, options);
  CHECK(well_formed(svg));
  CHECK_THAT(svg, !Contains("nan") && !Contains("inf"));
}

TEST_CASE("ticks are round", "[plot]") {
  std::vector<std::string> texts;
  for (const Tick& tick : Axis(256, 16384, Scale::log2).ticks(8)) texts.push_back(tick.text);
  CHECK(texts == std::vector<std::string>{"256", "512", "1024", "2048", "4096", "8192", "16k"});
  texts.clear();
  for (const Tick& tick : Axis(0, 500, Scale::linear).ticks(5)) texts.push_back(tick.text);
  for (const double near : {std::nextafter(4.0, 5.0), 4 * (1 + 1e-12)}) CHECK(Axis(4, near, Scale::linear).ticks(5).size() < 12);
  CHECK(Axis(1e300, 1e300 * (1 + 2e-16), Scale::linear).ticks(5).size() < 12);
  CHECK(texts == std::vector<std::string>{"0", "100", "200", "300", "400", "500"});
}

TEST_CASE("the page stands alone and shows results, costs, failures and provenance", "[report]") {
  ReportOptions options;
  options.title = "Needle <test>";
  const std::string page = report_html(runs(), options);
  CHECK_THAT(page, Contains("Needle &lt;test&gt;") && Contains("mag &amp; &lt;co&gt;"));
  CHECK_THAT(page, Contains("diverged 1 of 3") && Contains("loss &gt; limit"));
  CHECK_THAT(page, Contains("demo-rope-3") && Contains("0.1.0+aaaa") && Contains("mneme run demo.ini"));
  CHECK_THAT(page, Contains("parameters") && Contains("70,000"));
  CHECK(count(page, "<svg") == 3);
  CHECK_THAT(page, Contains("needle 4096, by depth percent"));
  for (const std::string outside : {"src=", "href=", "@import", "url("}) CHECK_THAT(page, !Contains(outside));
  CHECK_THROWS_AS(report_html({}, options), UsageError);
}

TEST_CASE("the page has the intervals, the tests and the bold rule of tables", "[report]") {
  ReportOptions options;
  options.against = "rope";
  const std::string page = report_html(runs(), options);
  CHECK_THAT(page, Contains("93.0<span class=interval> ± 2.5") && Contains("rows per seed") && Contains("Run on a CPU, avx2, 2 threads"));
  CHECK_THAT(page, Contains("Difference to rope, seed by seed") && Contains("Fewer than 5 seeds."));
  CHECK(count(page, "<td><b>") + count(page, "\"><b>") == 0);  // 90 of 100 rows and none, but of three seeds
  CHECK(count(page, "rows per seed") == 1);                    // not among costs
  options.against = "none";
  CHECK_THROWS_AS(report_html(runs(), options), UsageError);
}

TEST_CASE("every figure is a file that an XML parser accepts", "[report]") {
  test::TemporaryFolder folder;
  const auto figures = task_figures(runs(), "needle", "arm");
  REQUIRE(figures.size() == 3);
  CHECK(figures[0].first == "needle");
  CHECK(figures[1].first == "needle-depth-percent");
  CHECK(figures[2].first == "needle-training");
  for (const auto& [name, svg] : figures) {
    CHECK(well_formed(svg));
    std::ofstream(folder / (name + ".svg")) << svg;
  }
  const std::string python = std::string(MNEME_SOURCE_DIR) + "/.venv/bin/python";
  if (!std::filesystem::exists(python)) return;
  const std::string command = "'" + python + "' -c \"import sys, xml.dom.minidom as x; [x.parse(f) for f in sys.argv[1:]]\" '" +
                              (folder / "needle.svg") + "' '" + (folder / "needle-training.svg") + "'";
  CHECK(std::system(command.c_str()) == 0);
}
