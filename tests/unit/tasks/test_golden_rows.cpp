// Rows that must be the same on every platform and in every later version: published numbers depend on them.
#include "base/text.h"
#include "tests/support/test.h"
#include "tests/unit/tasks/task_fixture.h"

using namespace mneme;
using namespace mneme::test;

namespace {

// The row as `mneme show` reads it: tokens, then the answers.
std::string shown(const std::string& lines, Split split, const Setting& setting) {
  const MadeTask made = make_task(lines);
  const Sample row = made->sample(split, 42, 7, setting);
  std::string text, answers;
  for (size_t t = 0; t < row.tokens.size(); ++t) {
    text += made->token_text(row.tokens[t]);
    if (row.targets[t] >= 0) answers += made->token_text(row.targets[t]);
  }
  return text + "| " + answers;
}

}  // namespace

TEST_CASE("golden rows", "[tasks][golden]") {
  CHECK(shown("task.kind = mqar; task.mqar.filler = zeros", Split::train, {20, 4}) ==
        "k198 v58 k227 v206 k23 v251 k255 v27 k227 · k255 · k198 · k23 · · · · · | v206 v27 v58 v251 ");
  CHECK(shown("task.kind = mqar", Split::test, {16, 2}) ==
        "k230 v20 k41 v208 k107 v68 k41 v220 k230 k171 v214 v104 v91 k120 k14 k107 | v208 v20 ");
  CHECK(shown("task.kind = rewrite", Split::validation, {3, 8}) ==
        "k32 v54 k212 v30 k79 v201 k32 v26 k32 v183 k212 v53 k212 v134 k32 v34 k32 k79 k212 | v34 v201 v134 ");
  CHECK(shown("task.kind = mqar; task.mqar.filler = no_keys; task.mqar.echo = true", Split::test, {16, 2}) ==
        "k230 v20 k41 v208 k107 v68 k41 v208 k230 v20 v220 k171 v214 v104 v91 k120 | v208 v20 ");
  CHECK(shown("task.kind = rewrite; task.rewrite.writes = zipf; task.rewrite.zipf_exponent = 2", Split::train, {4, 10}) ==
        "k91 v4 k133 v58 k130 v99 k161 v242 k133 v89 k133 v44 k161 v222 k133 v71 k161 v110 k133 v70 k133 k161 k130 k91 | v70 v110 v99 v4 ");
  CHECK(shown("task.kind = rewrite; task.rewrite.writes = hot", Split::train, {3, 9}) ==
        "k22 v115 k165 v16 k232 v198 k232 v2 k22 v196 k22 v14 k22 v138 k22 v253 k22 v59 k165 k232 k22 | v16 v2 v59 ");
  CHECK(shown("task.kind = drift; task.drift.marked = true; task.drift.reused = 0.5", Split::train, {2, 3}) ==
        "| ~21 k199 v665 k998 v34 k998 k998 v490 k998 ~61 ~38 k199 | k998 v755 ~14 k580 v503 k580 v269 k998 ~39 k580 ~41 k998 | k580 "
        "v364 ~37 ~4 k455 v133 k580 k580 v999 k455 ~41 k580 | v34 v490 v665 v755 v269 v755 v364 v133 v999 ");
  CHECK(shown("task.kind = drift", Split::test, {3, 2}) ==
        "~34 ~53 ~53 k356 v908 ~18 k286 v703 k356 k134 v980 k134 v839 ~50 k356 v70 k356 k286 k356 k134 ~45 ~55 k886 v368 ~32 k419 "
        "v497 k495 v374 k495 k886 v25 ~2 k419 v157 k886 k419 ~52 k886 k495 | v908 v70 v703 v70 v839 v374 v25 v157 v25 v374 ");
  CHECK(shown("task.kind = cue; task.cue.distance = 3", Split::train, {2, 4}) ==
        "~32 ~48 ~32 k7 v241 ~43 | ~32 k76 v17 ~24 ~25 | k7 v40 ~56 ~12 ~47 k76 v92 k76 k7 | v17 v40 ");
  CHECK(shown("task.kind = cue; task.cue.distance = 2; task.cue.mark = behind", Split::test, {2, 4}) ==
        "k92 v250 ~50 ~49 k92 v44 | ~10 k225 v122 | ~9 k92 v132 ~41 ~7 k225 k92 | v122 v44 ");
  CHECK(shown("task.kind = induction", Split::test, {16}) == "11 6 5 1 13 8 9 6 1 7 5 1 0 * 2 * | 2 ");
  CHECK(shown("task.kind = needle; task.needle.variant = repeated" + kLongSentence, Split::test, {120}) ==
        "The code of qyp is 23881. Here we go. There and back again. The grass is green. The sky is blue.⏎"
        "The code of qyp is 2388| 23881");
  TemporaryFolder folder;
  write_file(folder / "book.txt", prose(3000, 1));
  const std::string book = folder / "book.txt";
  CHECK(shown("task.kind = needle; task.needle.train_text = " + book + kSingleNeedle, Split::train, {100}) ==
        "knopm yr The code of anm is 54687. iqqc ejxlkl⏎ptml aauqif pxiwnwz iysabl kv⏎The code of anm is 5468| 54687");
  const std::string keys = "task.kind = needle; task.needle.train_text = " + book;
  CHECK(shown(keys, Split::train, {100}) ==
        "afxa tg=918. bjjgpkx yn=638. fn=008. ko=211. fp=899. dz=124. wpzwfsoi mu=434. zkposiyec ktkco ⏎dz=12| 124");
  CHECK(shown(keys + "; task.needle.needles = 5; task.needle.repeats = 2; task.needle.min_distance = 30; task.needle.alphabet = both",
              Split::test, {100}) ==
        "xh=371. azmpnu wbmngy tfzkf o j bk=572. bfw bk=267. xh=174. gxhwwpjn ri zn=753. qyts hhoimwhga⏎xh=17| 174");
  CHECK(shown(keys + "; task.length = 512; task.needle.validation_share = 0.2; task.needle.variant = stream; "
                     "task.needle.pending = 2; task.needle.pool = 3; task.needle.asks = 1, 2",
              Split::train, {130}) ==
        "cd=515. dle dp xg=312. v mihcexzm xpmycs ⏎xg=312. a xg=360. gxi⏎qwurrmh ⏎cd=515. bwy v ikimbgff ⏎xg=360. l usd xg=075. htzccmowq r| "
        "312515360");
  const MadeTask renamed = make_task(keys + "; task.needle.renamed = 1");
  uint64_t digest = 0;  // the prose is of any bytes
  for (const int64_t token : renamed->sample(Split::train, 42, 7, {100}).tokens) digest = digest * 257 + static_cast<uint64_t>(token);
  CHECK(digest == 0xa01c55251e1227b);
  CHECK(shown("task.kind = lm; task.lm.train_text = " + book, Split::test, {24}) ==
        "jfnlctjc weht⏎fdexmaya a| fnlctjc weht⏎fdexmaya az");
}
