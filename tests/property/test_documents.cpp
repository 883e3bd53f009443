// Documents and padding inside rows, for every registered block with every registered memory: documents packed into a row
// are as if each stood alone, exactly; padding leaves no trace, bit by bit.
#include "tests/property/model_runs.h"

using namespace mneme;
using namespace mneme::test;

namespace {

constexpr int64_t kRows = 3, kTokens = 65;

const char* const kDocumentHint = "a row that is reset is a fresh one: start() (of a block: reset()) sets everything that the state holds, nothing is kept outside it";
const char* const kPaddingHint = "a token with input.step = false (of a block: context.mask) changes nothing: use at::where or masked_fill, which no content gets through";

struct Document {
  int64_t row, first, end;
};

// Document starts that differ between rows, fall inside and on refresh intervals and segments, and come twice at one token.
const std::vector<Document> kDocuments{{0, 0, 20}, {0, 20, 65}, {1, 0, 20}, {1, 20, 21}, {1, 21, 48}, {1, 48, 65}, {2, 0, 65}};

at::Tensor starts() {
  at::Tensor reset = at::zeros({kRows, kTokens}, at::kBool);
  for (const Document& d : kDocuments)
    if (d.first > 0) reset[d.row][d.first] = true;
  return reset;
}

struct Flags {
  at::Tensor reset, mask;
};

at::Tensor read(SequenceModel& model, const at::Tensor& x, const Flags& flags, State& state, std::vector<int64_t> cuts = {kTokens}) {
  std::vector<at::Tensor> parts;
  int64_t first = 0;
  for (int64_t end : cuts) {
    ForwardContext context;
    if (flags.reset.defined()) context.reset = flags.reset.narrow(1, first, end - first);
    if (flags.mask.defined()) context.mask = flags.mask.narrow(1, first, end - first);
    parts.push_back(model.forward(x.narrow(1, first, end - first), state, context));
    first = end;
  }
  return at::cat(parts, 1);
}

/// What each document says when it stands alone, and goes on for `more` tokens after the end of its row.
at::Tensor separately(SequenceModel& model, const at::Tensor& x, const at::Tensor& mask, const at::Tensor& more, at::Tensor& continued) {
  at::Tensor y;
  std::vector<at::Tensor> further(kRows);
  for (const Document& d : kDocuments) {
    State state;
    ForwardContext context;
    auto part = [&](const at::Tensor& of) { return of.narrow(0, d.row, 1).narrow(1, d.first, d.end - d.first); };
    if (mask.defined()) context.mask = part(mask);
    const at::Tensor own = model.forward(part(x), state, context);
    if (!y.defined()) y = at::zeros({kRows, kTokens, own.size(2)}, own.options());
    part(y).copy_(own);
    if (d.end == kTokens) further[d.row] = run(model, more.narrow(0, d.row, 1), state);
  }
  continued = at::cat(further);
  return y;
}

at::Tensor some_padding() {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(4);
  at::Tensor mask = at::empty({kRows, kTokens}, at::kFloat).uniform_(0, 1, generator) > 0.2;
  mask[1].narrow(0, 55, 10).fill_(false);  // the end of a row
  mask[2].narrow(0, 0, 9).fill_(false);    // the start of one
  return mask;
}

}  // namespace

TEST_CASE("documents: packed into rows they are as if each stood alone, in one call or several", "[models][property][conformance]") {
  INFO(kDocumentHint);
  at::NoGradGuard no_grad;
  const at::Tensor x = tokens(kRows, kTokens), more = tokens(kRows, 11, 7), reset = starts();
  size_t number = 0;
  for (const Variant& v : variants()) {
    INFO(v.name);
    const auto model = make(v, at::kDouble);
    const at::Tensor mask = number++ % 3 ? at::Tensor() : some_padding();
    INFO((mask.defined() ? "with padding" : "no padding"));
    at::Tensor alone_continued;
    const at::Tensor alone = separately(*model, x, mask, more, alone_continued);
    for (const std::vector<int64_t>& cuts : {std::vector<int64_t>{kTokens}, {7, 20, 30, 49, kTokens}}) {
      State state;
      REQUIRE(relative_error(read(*model, x, {reset, mask}, state, cuts), alone) < kExact);
      REQUIRE(relative_error(run(*model, more, state), alone_continued) < kExact);
    }
  }
}

TEST_CASE("documents: gradients of packed documents are those of separate ones", "[models][property][conformance]") {
  INFO(kDocumentHint);
  const at::Tensor x = tokens(kRows, kTokens), more = tokens(kRows, 2, 7);
  size_t number = 0;
  for (const Variant& v : variants()) {
    if (!in_turn(number++, 5)) continue;
    INFO(v.name);
    const auto model = make(v, at::kDouble);
    auto of = [&](const at::Tensor& y) { return gradients(*model, y.square().mean()); };
    State state;
    at::Tensor ignored;
    const auto packed = of(read(*model, x, {starts(), {}}, state)), alone = of(separately(*model, x, {}, more, ignored));
    REQUIRE(packed.size() == alone.size());
    for (const auto& [name, gradient] : alone) {
      INFO(name);
      REQUIRE(relative_error(packed.at(name), gradient) < kExactGradient);
    }
  }
}

TEST_CASE("documents: rows that are reset between calls start again, the others go on", "[models][property][conformance]") {
  INFO(kDocumentHint);
  at::NoGradGuard no_grad;
  const at::Tensor x = tokens(kRows, 40), rows = at::tensor({0, 1, 0}).to(at::kBool);
  for (const Variant& v : variants()) {
    INFO(v.name);
    const auto model = make(v, at::kDouble);
    State state, on;
    run(*model, x.narrow(1, 0, 19), state);
    run(*model, x.narrow(1, 0, 19), on);
    const int64_t bytes = state.bytes_per_row();
    model->reset(state, rows);
    REQUIRE(state.bytes_per_row() >= bytes);
    const at::Tensor y = run(*model, x.narrow(1, 19, 21), state), went_on = run(*model, x.narrow(1, 19, 21), on);
    REQUIRE(relative_error(y[0], went_on[0]) < kExact);
    REQUIRE(relative_error(y[2], went_on[2]) < kExact);
    REQUIRE(relative_error(y.narrow(0, 1, 1), run(*model, x.narrow(0, 1, 1).narrow(1, 19, 21))) < kExact);
    model->reset(state, at::ones({kRows}, at::kBool));
    REQUIRE(state.empty());
  }
}

TEST_CASE("padding: what a masked token says leaves no bit changed, in other outputs or in the state", "[models][property][conformance]") {
  INFO(kPaddingHint);
  at::NoGradGuard no_grad;
  const at::Tensor mask = some_padding(), x = tokens(kRows, kTokens);
  const at::Tensor other = at::where(mask, x, tokens(kRows, kTokens, 8));
  REQUIRE_FALSE(at::equal(x, other));
  for (const Variant& v : variants()) {
    INFO(v.name);
    const auto model = make(v, at::kFloat);
    State one, two;
    const at::Tensor a = read(*model, x, {{}, mask}, one), b = read(*model, other, {{}, mask}, two);
    REQUIRE(a.isfinite().all().item<bool>());
    REQUIRE(at::equal(a.masked_fill(~mask.unsqueeze(2), 0), b.masked_fill(~mask.unsqueeze(2), 0)));
    const auto left = one.flatten(), right = two.flatten();
    REQUIRE(left.size() == right.size());
    for (size_t i = 0; i < left.size(); ++i) {
      INFO(left[i].first);
      REQUIRE(at::equal(left[i].second, right[i].second));
    }
  }
}

TEST_CASE("padding: a call may be cut anywhere", "[models][property][conformance]") {
  INFO(kPaddingHint);
  at::NoGradGuard no_grad;
  const at::Tensor mask = some_padding(), x = tokens(kRows, kTokens);
  for (const Variant& v : variants()) {
    INFO(v.name);
    const auto model = make(v, at::kDouble);
    State one, many;
    const at::Tensor whole = read(*model, x, {{}, mask}, one), parts = read(*model, x, {{}, mask}, many, {5, 30, 31, kTokens});
    REQUIRE(relative_error(parts.masked_fill(~mask.unsqueeze(2), 0), whole.masked_fill(~mask.unsqueeze(2), 0)) < kExact);
  }
}

TEST_CASE("padding: nothing masked is no mask, and the end of a row may be padded", "[models][property][conformance]") {
  INFO(kPaddingHint);
  at::NoGradGuard no_grad;
  const at::Tensor x = tokens(kRows, kTokens);
  for (const Variant& v : variants()) {
    INFO(v.name);
    const auto model = make(v, at::kDouble);
    at::Tensor mask = at::ones({kRows, kTokens}, at::kBool);
    State all, none, short_row;
    const at::Tensor plain = run(*model, x, none);
    REQUIRE(relative_error(read(*model, x, {{}, mask}, all), plain) < kExact);
    mask.narrow(1, 50, 15).fill_(false);
    State padded;
    REQUIRE(relative_error(read(*model, x, {{}, mask}, padded).narrow(1, 0, 50), plain.narrow(1, 0, 50)) < kExact);
  }
}

TEST_CASE("documents: flags of another shape are refused", "[models]") {
  const Variant v = variants().front();
  const auto model = make(v, at::kFloat);
  State state;
  ForwardContext context;
  context.reset = at::zeros({2, 5}, at::kBool);
  REQUIRE_THROWS_AS(model->forward(tokens(2, 6), state, context), UsageError);
  context.reset = at::Tensor();
  context.mask = at::ones({2, 6}, at::kLong);
  REQUIRE_THROWS_AS(model->forward(tokens(2, 6), state, context), UsageError);
}
