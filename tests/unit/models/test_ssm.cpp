// The state space model against its definition, written out token by token and head by head: outputs, state, the gradient of every
// parameter; with several heads what the property tests hold for one: padding, documents inside rows, splits.
#include <set>

#include "config/config.h"
#include "base/text.h"
#include "mneme/model.h"
#include "tests/unit/models/same_by_name.h"

using namespace mneme;
using namespace mneme::test;
using Catch::Contains;

namespace {

constexpr int64_t kSsmRows = 3, kSsmTokens = 75, kSsmWidth = 12;

using Own = std::vector<std::pair<std::string, std::string>>;

ModelOptions options(const Own& own) {
  register_blocks();
  ModelOptions m;
  m.kind = "ssm", m.width = kSsmWidth, m.ffn_width = 16;
  for (const auto& [name, value] : own) set_own(m, name, value);
  return m;
}

void perturb(torch::nn::Module& module) {
  at::NoGradGuard no_grad;
  auto generator = at::make_generator<at::CPUGeneratorImpl>(3);
  for (auto& p : module.parameters()) p.add_(at::empty_like(p).normal_(0, 0.2, generator));
  module.to(at::kDouble);
}

std::shared_ptr<Block> make_block(const Own& own, int seed = 3) {
  const ModelOptions m = options(own);
  return BlockRegistry::instance().get("ssm").make({m, {}, 0, at::make_generator<at::CPUGeneratorImpl>(seed)});
}

struct ByHand {
  at::Tensor y;                            // [T,C]
  std::vector<std::vector<at::Tensor>> h;  // by head and channel of the head, [N]
};

/// One row [T,C]. `mask` undefined = all tokens.
ByHand by_hand_row(const by_hand::Parameters& p, const at::Tensor& x, const at::Tensor& mask = {}) {
  const int64_t inner = p.at("norm").size(0), H = p.at("skip").size(0), P = inner / H, N = (p.at("in").size(0) - 2 * inner - H) / 2;
  by_hand::Convolution conv(by_hand::of(p, "conv"));
  ByHand result{{}, std::vector<std::vector<at::Tensor>>(H, std::vector<at::Tensor>(P, at::zeros({N}, x.options())))};
  std::vector<at::Tensor> outputs;
  for (int64_t t = 0; t < x.size(0); ++t) {
    const at::Tensor all = at::mv(p.at("in"), x[t]), z = all.narrow(0, 0, inner), d = all.narrow(0, 2 * inner + 2 * N, H);
    at::Tensor s = conv(all.narrow(0, inner, inner + 2 * N));
    if (p.count("conv")) s = s + p.at("conv_bias");
    s = by_hand::swish(s);
    const at::Tensor write = s.narrow(0, inner, N), read = s.narrow(0, inner + N, N);
    std::vector<at::Tensor> y;
    for (int64_t i = 0; i < H; ++i) {
      const at::Tensor delta = (1 + (d[i] + p.at("delta_bias")[i]).exp()).log(), a = (-delta * p.at("log_a")[i].exp()).exp();
      for (int64_t c = 0; c < P; ++c) {
        at::Tensor& h = result.h[i][c];
        const at::Tensor input = s[i * P + c];
        if (!mask.defined() || mask[t].item<bool>()) h = a * h + delta * input * write;
        y.push_back((h * read).sum() + p.at("skip")[i] * input);
      }
    }
    const at::Tensor gated = at::stack(y) * by_hand::swish(z);
    outputs.push_back(at::mv(p.at("out"), gated / (gated.square().mean() + 1e-5).sqrt() * p.at("norm")));
  }
  result.y = at::stack(outputs);
  return result;
}

const std::vector<Own>& settings() {
  static const std::vector<Own> all{{{"state", "5"}, {"head_width", "6"}},
                                    {{"state", "7"}, {"expand", "3"}, {"head_width", "4"}, {"conv_width", "0"}},
                                    {{"state", "2"}, {"conv_width", "1"}, {"head_width", "1"}, {"expand", "1"}},
                                    {{"dt_min", "0.5"}, {"dt_max", "2"}}};
  return all;
}

std::string name_of(const Own& own) {
  std::string text;
  for (const auto& [name, value] : own) text += name + " " + value + " ";
  return text;
}

std::shared_ptr<SequenceModel> make_model() {
  auto model = std::make_shared<SequenceModel>(options(settings()[0]), MemoryOptions{}, SequenceModel::Shape{32, 128}, 5);
  perturb(*model);
  return model;
}

at::Tensor tokens(int seed = 1) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  return at::empty({kSsmRows, kSsmTokens}, at::kLong).random_(0, 32, generator);
}

at::Tensor read(SequenceModel& model, const at::Tensor& x, State& state, const at::Tensor& reset, const at::Tensor& mask,
                const std::vector<int64_t>& cuts = {kSsmTokens}) {
  std::vector<at::Tensor> parts;
  int64_t first = 0;
  for (const int64_t end : cuts) {
    auto part = [&](const at::Tensor& of) { return of.defined() ? of.narrow(1, first, end - first) : of; };
    ForwardContext context;
    context.reset = part(reset), context.mask = part(mask);
    parts.push_back(model.forward(part(x), state, context));
    first = end;
  }
  return at::cat(parts, 1);
}

void require_same_state(const State& a, const State& b) {
  const auto x = a.flatten(), y = b.flatten();
  REQUIRE(x.size() == y.size());
  for (size_t i = 0; i < x.size(); ++i) {
    INFO(x[i].first);
    REQUIRE(x[i].first == y[i].first);
    REQUIRE(relative_error(x[i].second, y[i].second) <= kExact);
  }
}

std::vector<std::string> problems(const std::string& ini) {
  make_plugins_known();
  auto found = try_resolve(Settings::from_text("[model]\nkind = ssm\nwidth = 12\n" + ini, "x.ini"), DataFiles::may_be_missing).problems;
  std::erase_if(found, [](const std::string& line) { return line.find("task.kind") != std::string::npos; });  // this program knows none
  return found;
}

std::string problem_of_ssm(const std::string& ini) {
  const auto found = problems(ini);
  return found.size() == 1 ? found[0] : std::to_string(found.size()) + " problems: " + join(found, " / ");
}

}  // namespace

TEST_CASE("ssm: the block is its definition, token by token, gradients too", "[models][ssm]") {
  torch::manual_seed(8);
  for (const Own& own : settings())
    for (const int64_t steps : {int64_t{1}, int64_t{14}, kSsmTokens}) {
      INFO(name_of(own) << steps << " tokens");
      const auto block = make_block(own);
      perturb(*block);
      auto found = [&](const at::Tensor& x) {
        State state;
        ForwardContext context;
        return Computed{block->forward(x, state, context), {}};
      };
      auto expected = [&](const at::Tensor& x) {
        std::vector<at::Tensor> rows;
        for (const at::Tensor& row : x.unbind()) rows.push_back(by_hand_row(by_hand::parameters_of(*block), row).y);
        return Computed{at::stack(rows), {}};
      };
      // The first token finds nothing that could decay.
      require_same_by_name(*block, normal({2, steps, kSsmWidth}), found, expected, [&](const std::string& name) { return steps == 1 && name == "log_a"; });
    }
}

TEST_CASE("ssm: padding changes no state, and no output but its own", "[models][ssm]") {
  at::NoGradGuard no_grad;
  torch::manual_seed(9);
  const auto block = make_block(settings()[0]);
  perturb(*block);
  const at::Tensor mask = at::rand({kSsmRows, kSsmTokens}) > 0.3;
  const at::Tensor x = normal({kSsmRows, kSsmTokens, kSsmWidth}).masked_fill(~mask.unsqueeze(2), 0);  // as the backbone gives it
  State state;
  ForwardContext context;
  context.mask = mask;
  const at::Tensor y = block->forward(x, state, context), h = state.tensor("h");
  for (int64_t row = 0; row < kSsmRows; ++row) {
    const ByHand expected = by_hand_row(by_hand::parameters_of(*block), x[row], mask[row]);
    const at::Tensor padding = ~mask[row].unsqueeze(1);
    REQUIRE(relative_error(y[row].masked_fill(padding, 0), expected.y.masked_fill(padding, 0)) <= kExact);
    for (int64_t head = 0; head < h.size(1); ++head) REQUIRE(relative_error(h[row][head], at::stack(expected.h[head], 1)) <= kExact);
  }
  const auto model = make_model();
  State one, other, fresh, silent;
  const at::Tensor said = read(*model, tokens(), one, {}, mask), otherwise = read(*model, at::where(mask, tokens(), tokens(2)), other, {}, mask);
  REQUIRE(at::equal(said.masked_fill(~mask.unsqueeze(2), 0), otherwise.masked_fill(~mask.unsqueeze(2), 0)));
  for (const char* layer : {"layers_0", "layers_1"})
    for (const char* name : {"h", "conv_tail"}) REQUIRE(at::equal(one.child(layer).tensor(name), other.child(layer).tensor(name)));
  read(*model, tokens(), silent, {}, at::zeros_like(mask));
  REQUIRE(silent.child("layers_0").tensor("h").eq(0).all().item<bool>());
}

TEST_CASE("ssm: documents inside rows are as if each stood alone, in one call or several", "[models][ssm]") {
  at::NoGradGuard no_grad;
  const auto model = make_model();
  const at::Tensor x = tokens(), mask = tokens(4) > 5;
  at::Tensor reset = at::zeros({kSsmRows, kSsmTokens}, at::kBool), alone = at::zeros({kSsmRows, kSsmTokens, 32}, at::kDouble);
  const std::vector<std::vector<int64_t>> ends{{20, kSsmTokens}, {20, 21, 48, kSsmTokens}, {kSsmTokens}};
  std::vector<State> last(kSsmRows);
  for (int64_t row = 0; row < kSsmRows; ++row) {
    int64_t first = 0;
    for (const int64_t end : ends[row]) {
      auto document = [&](const at::Tensor& of) { return of.narrow(0, row, 1).narrow(1, first, end - first); };
      if (first > 0) reset[row][first] = true;
      last[row] = State();
      document(alone).copy_(read(*model, document(x), last[row], {}, document(mask), {end - first}));
      first = end;
    }
  }
  for (const std::vector<int64_t>& cuts : {std::vector<int64_t>{kSsmTokens}, {1, 20, 33, 48, 49, kSsmTokens}}) {
    State state;
    REQUIRE(relative_error(read(*model, x, state, reset, mask, cuts), alone) <= kExact);
    for (int64_t row = 0; row < kSsmRows; ++row) require_same_state(state.rows(at::tensor({row}, at::kLong)), last[row]);
  }
}

TEST_CASE("ssm: any split into calls is one call, down to single tokens", "[models][ssm]") {
  at::NoGradGuard no_grad;
  const auto model = make_model();
  std::vector<int64_t> single(kSsmTokens);
  for (int64_t t = 0; t < kSsmTokens; ++t) single[t] = t + 1;
  State whole;
  const at::Tensor y = read(*model, tokens(), whole, {}, {});
  for (const std::vector<int64_t>& cuts : {single, {1, 3, 4, 64, 65, kSsmTokens}}) {
    State state;
    REQUIRE(relative_error(read(*model, tokens(), state, {}, {}, cuts), y) <= kExact);
    require_same_state(state, whole);
  }
}

TEST_CASE("ssm: it starts as published, and the same from the same generator", "[models][ssm]") {
  const auto block = make_block({{"head_width", "1"}, {"dt_min", "0.01"}, {"dt_max", "0.2"}});
  const auto p = block->named_parameters();
  const at::Tensor step = at::softplus(p["delta_bias"]), a = p["log_a"].exp();
  CHECK((step.min().item<double>() >= 0.0099 && step.max().item<double>() <= 0.201 && step.max().item<double>() > 2 * step.min().item<double>()));
  CHECK((a.min().item<double>() >= 0.999 && a.max().item<double>() <= 16.001 && a.max().item<double>() > 2 * a.min().item<double>()));
  CHECK((p["skip"].eq(1).all().item<bool>() && p["norm"].eq(1).all().item<bool>()));
  const auto again = make_block({{"head_width", "1"}, {"dt_min", "0.01"}, {"dt_max", "0.2"}})->named_parameters();
  REQUIRE(again.keys() == p.keys());
  for (const auto& one : p) CHECK(at::equal(one.value(), again[one.key()]));
  CHECK_FALSE(at::equal(make_block({{"head_width", "1"}}, 4)->named_parameters()["in"], p["in"]));
}

TEST_CASE("ssm: the projections decay, nothing else does", "[models][ssm]") {
  const auto model = make_model();
  std::set<std::string> decayed, rest;
  for (const auto& p : model->named_parameters())
    if (const std::string block = "layers_1.block."; p.key().rfind(block, 0) == 0)
      (model->decays(p.key()) ? decayed : rest).insert(p.key().substr(block.size()));
  CHECK(decayed == std::set<std::string>{"in", "out"});
  CHECK(rest == std::set<std::string>{"conv", "conv_bias", "delta_bias", "log_a", "skip", "norm"});
}

TEST_CASE("ssm: widths that do not fit and what it does not have are refused", "[models][ssm][options]") {
  CHECK(problems("").empty());
  CHECK(problems("heads = 3\nattention = window\n[model.ssm]\nstate = 16\nexpand = 3\nhead_width = 9\nconv_width = 0").empty());
  CHECK(problems("[memory]\nkind = neural_mlp\ngroup = 5").empty());  // it has no memory: nobody's business
  CHECK_THAT(problem_of_ssm("[model.ssm]\nhead_width = 5"), Contains("model.ssm.head_width") && Contains("does not divide the inner width 24"));
  CHECK_THAT(problem_of_ssm("[model.ssm]\ndt_min = 0.2"), Contains("model.ssm.dt_min") && Contains("larger than model.ssm.dt_max"));
  CHECK_THAT(problem_of_ssm("layers = 2\nmemory_layers = 0"), Contains("model.memory_layers") && Contains("leave it out"));
  CHECK_THAT(problem_of_ssm("persistent_tokens = 2"), Contains("model.persistent_tokens") && Contains("allowed: 0"));
  CHECK_THAT(problem_of_ssm("[model.ssm]\nstate = 0"), Contains("model.ssm.state") && Contains("allowed: 1"));
  for (const auto& [width, expected] : std::vector<std::pair<int64_t, int64_t>>{{12, 24}, {64, 64}, {96, 64}, {67, 2}}) {
    ModelOptions m = options({});
    m.width = width;
    const auto block = BlockRegistry::instance().get("ssm").make({m, {}, 0, at::make_generator<at::CPUGeneratorImpl>(3)});
    CHECK(block->named_parameters()["skip"].numel() == 2 * width / expected);
  }
}
