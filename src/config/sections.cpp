// Every option of the fixed sections: key, range, one line of help, and the rules between options of one section. Defaults stand in the
// headers; rules across sections are in resolve.cpp.
#include "config/sections.h"

#include <fmt/format.h>

#include <set>

#include "config/plugins.h"
#include "base/text.h"

namespace mneme {
namespace {

constexpr int64_t kMaxWidth = 65536;
constexpr int64_t kMaxLength = int64_t{1} << 30;  // tokens in a row
constexpr int64_t kMaxCount = int64_t{1} << 40;

std::string divisors(int64_t number) {
  std::vector<std::string> list;
  for (int64_t i = 1; i <= number && list.size() < 16; ++i)
    if (number % i == 0) list.push_back(std::to_string(i));
  return join(list, ", ");
}

void check_attention(const ModelOptions& model, const std::string& prefix, Problems& problems) {
  if (model.width % model.heads != 0) {
    problems.add(prefix + "heads",
                 fmt::format("does not divide {}width = {}; allowed: {}", prefix, model.width, divisors(model.width)));
    return;
  }
  if (model.kv_heads > 0 && model.heads % model.kv_heads != 0)
    problems.add(prefix + "kv_heads", fmt::format("does not divide {}heads = {}; allowed: 0, {}", prefix, model.heads,
                                                  divisors(model.heads)));
}

}  // namespace

std::vector<Section> sections_of(Config& config) {
  std::vector<Section> sections = {{"run", &config.run}, {"model", &config.model}};
  if (config.model.own) sections.push_back({"model." + config.model.kind, config.model.own.get()});
  sections.push_back({"memory", &config.memory});
  if (config.memory.own) sections.push_back({"memory." + config.memory.kind, config.memory.own.get()});
  sections.push_back({"task", &config.task});
  if (config.task_options) sections.push_back({"task." + config.task.kind, config.task_options.get()});
  sections.insert(sections.end(), {{"train", &config.train}, {"eval", &config.eval}, {"runtime", &config.runtime}});
  return sections;
}

std::vector<Field> fields_of(const Section& section) { return fields_of(*section.options, section.name + "."); }

void RunOptions::describe(OptionVisitor& v) {
  v.option("seed", seed, {0, kMaxCount}, "seed of initialisation, training rows and dropout");
  v.option("name", name, Choices{}, "readable part of the run id; empty = model and task kind", Hashed::no);
  v.option("folder", folder, Choices{}, "run folders are made below it", Hashed::no);
  v.option("labels", labels, Choices{}, "axis:value pairs by which tables group runs; written by sweeps", Hashed::no);
  v.option("plugins", plugins, Choices{}, "files of plug-ins to load, separated by commas; those that are used are filled in", Hashed::no);
}

void ModelOptions::describe(OptionVisitor& v) {
  v.option("kind", kind, known_names(known_blocks()), "block of every layer, see `mneme list models`");
  v.option("layers", layers, {1, 1024}, "blocks in sequence");
  v.option("width", width, {1, kMaxWidth}, "channels of the residual stream");
  v.option("heads", heads, {1, kMaxWidth}, "query heads of attention; divides width");
  v.option("kv_heads", kv_heads, {0, kMaxWidth}, "key and value heads, shared by groups of query heads; 0 = heads");
  v.option("ffn", ffn, {"swiglu", "none"}, "feed-forward layer after each block");
  v.option("ffn_width", ffn_width, {0, 8 * kMaxWidth}, "hidden channels of it; 0 = 8/3 width, up to a multiple of 64");
  v.option("positions", positions, {"rope", "none", "learned", "sinusoidal"}, "how attention knows positions");
  v.option("rope_base", rope_base, {1, 1e12}, "base of the rotary frequencies");
  v.option("attention", attention, {"full", "window"}, "all earlier tokens, or the last `window` of them");
  v.option("window", window, {1, kMaxLength}, "tokens a query sees with attention = window, itself included");
  v.option("persistent_tokens", persistent_tokens, {0, 65536}, "learned tokens that every position sees");
  v.option("conv_width", conv_width, {0, 64}, "taps of the causal convolution on q, k, v; 0 = none");
  v.option("conv_init", conv_init, {"random", "identity", "shift"},
           "its start; shift: keys come from the previous token, and W_q = W_k");
  v.option("embedding_init", embedding_init, {"normal", "zero"},
           "start of the token embedding; zero: a token that training never meets adds nothing of its own");
  v.option("tie_embeddings", tie_embeddings, "the head reuses the token embedding");
  v.option("combine", combine, {"product", "product+sum", "sum"}, "how attention and memory are joined; product: as published");
  v.option("memory_layers", memory_layers, {0, 1023}, "layers (from 0) whose block has a memory; empty = all");
  v.option("dropout", dropout, {0, 0.9}, "on embeddings and block outputs, in training");
}

void MemoryOptions::describe(OptionVisitor& v) {
  v.option("kind", kind, known_names(known_memories()), "the memory, see `mneme list memories`");
  v.option("heads", heads, {1, kMaxWidth}, "memories side by side");
  v.option("head_width", head_width, {0, kMaxWidth}, "channels of a key; 0 = model.width / memory.heads");
  v.option("expand_v", expand_v, {0.125, 16}, "channels of a value as a multiple of head_width");
  v.option("inner_loss", inner_loss, {"l2", "l2_mean", "dot", "huber"}, "what the memory descends: ‖M(k) − v‖², its mean over channels, −⟨M(k), v⟩, Huber");
  v.option("huber_delta", huber_delta, {1e-6, 1e6}, "error length beyond which Huber's loss is linear");
  v.option("gradient", gradient, {"auto", "exact", "refresh", "exact_last", "sweeps"},
           "where gradients are taken: each token's own weights (exact), the refresh point's, exact in the last layer");
  v.option("gradient_at", gradient_at, {"previous", "decayed"}, "of exact: at M_{t−1}, or after its forgetting (Gated DeltaNet)");
  v.option("refresh", refresh, {1, 65536}, "tokens between refresh points, where stale gradients are taken anew");
  v.option("group", group, {1, 65536}, "tokens that form one step of the recurrence; reads see completed groups");
  v.option("read", read, {"after", "before"}, "a token reads after or before its own write");
  v.option("momentum", momentum, "past gradients carry on (η)");
  v.option("momentum_damping", momentum_damping, "θ → (1−η) θ: how much is written does not depend on η");
  v.option("forgetting", forgetting, "weights decay towards the retention target (α)");
  v.option("retention_target", retention_target, {"auto", "zero", "init"}, "what forgetting decays to; auto: as the kind has it (zero for a matrix, init for an MLP)");
  v.option("clip", clip, {0, 1e9}, "of refresh: largest norm of a token's gradient over a head's layers; 0 = off");
  v.option("guard", guard, "of refresh: bounds what one refresh interval writes in any one direction");
  v.option("qk_norm", qk_norm, {"l2", "rms", "none"}, "of queries and keys per head: unit length, √width with a learned gain, none");
  v.option("keys_per_token", keys_per_token, {1, 16}, "key-value pairs a token writes, one step after the other");
  v.option("gate_pooling", gate_pooling, {"mean", "attention"}, "with group > 1: how α and η of a group come from its tokens");
  v.option("gate_per_head", gate_per_head, "each head has gates of its own");
  v.option("theta_max", theta_max, {1e-6, 100}, "largest step size θ");
  v.option("gate_scale", gate_scale, {0, 1000}, "factor on the gates' linear layer");
  v.option("fixed_gates", fixed_gates, {}, "gates that do not look at the tokens but stay where their bias puts them, e.g. alpha, eta; empty = none");
  v.option("theta_bias", theta_bias, {-100, 100}, "logit of θ at the start: how much is written");
  v.option("alpha_bias", alpha_bias, {-100, 100}, "logit of α at the start: how fast is forgotten");
  v.option("eta_bias", eta_bias, {-100, 100}, "logit of η at the start: how long past gradients last");
  v.option("write_penalty", write_penalty, {0, 1000}, "× mean(θ)/θ_max per layer in the training loss: write little");
  v.option("step_cap", step_cap, {0, 1e6}, "r > 0: no step is longer than (1 − a)/r, where a is what the token's forgetting keeps; 0 = off");
  v.option("cache", cache, {0, kMaxLength}, "key-value pairs kept exactly beside the memory: those of the largest writes, read by softmax; 0 = none");
  v.option("kernel", kernel, {"auto", "reference", "chunked", "fused"}, "token loop, tiles of matrix products, hand-written CPU kernel; auto: the fastest that fits");
  v.option("tile", tile, {1, 4096}, "tokens of a tile of the chunked kernel; never changes results");
  v.option("off", off, "ablation: θ = α = 0; same parameters, no state");
  v.option("frozen", frozen, "control: no writes in evaluation, reads come from the learned initial weights");
}

void TaskOptions::describe(OptionVisitor& v) {
  v.option("kind", kind, TaskRegistry::instance().names(), "the task, see `mneme list tasks`");
  v.option("length", length, {2, kMaxLength}, "tokens of a training row, for tasks whose setting is a length");
  v.option("loss", loss, {"answers", "all"}, "train on the scored positions only, or on every next token");
  v.option("control", control, {"none", "impossible"}, "impossible: the answer is not in the row; must score chance");
}

void TrainOptions::describe(OptionVisitor& v) {
  v.option("steps", steps, {0, kMaxCount}, "optimizer steps");
  v.option("batch", batch, {1, 1 << 20}, "rows of a step");
  v.option("batch_tokens", batch_tokens, {0, kMaxLength}, "> 0: rows = batch_tokens / row length instead");
  v.option("accumulate", accumulate, {1, 65536}, "parts a step's rows are worked through in");
  v.option("lr", lr, {0, 100}, "learning rate of AdamW at its highest");
  v.option("lr_min", lr_min, {0, 1}, "where the cosine ends, as a share of lr");
  v.option("warmup", warmup, {0, kMaxCount}, "steps of linear rise to lr");
  v.option("schedule", schedule, {"cosine", "constant"}, "learning rate after warm-up");
  v.option("penalty_from", penalty_from, {0, 1}, "share of the steps before which memory.write_penalty is 0: writing is learned untaxed");
  v.option("penalty_full", penalty_full, {0, 1}, "share of the steps from which it counts in full; between the two it rises linearly");
  v.option("weight_decay", weight_decay, {0, 100}, "on matrices only; not on memories, gates, norms");
  v.option("beta1", beta1, {0, 0.999999}, "AdamW decay of the mean gradient");
  v.option("beta2", beta2, {0, 0.999999}, "AdamW decay of the mean squared gradient");
  v.option("segment", segment, {0, kMaxLength}, "> 0: truncated backpropagation over segments of so many tokens");
  v.option("clip", clip, {0, 1e9}, "largest gradient norm; 0 = off");
  v.option("stop_accuracy", stop_accuracy, {0, 1}, "> 0: stop once a validation reaches it; not in comparisons");
  v.option("log_every", log_every, {1, kMaxCount}, "steps between rows of the training log", Hashed::no);
  v.option("checkpoint_every", checkpoint_every, {1, kMaxCount}, "steps between checkpoints", Hashed::no);
  v.option("keep", keep, {1, 1000}, "checkpoints kept beside the best one", Hashed::no);
  v.option("init_from", init_from, Choices{}, "start from the weights of a run folder, checkpoint or .safetensors file; empty = fresh ones",
           Hashed::no);
  v.option("init_sha256", init_sha256, Choices{}, "digest of those weights, by which they count; filled in");
}

void EvalOptions::describe(OptionVisitor& v) {
  v.option("lengths", lengths, {1, kMaxLength},
           "tokens of test rows, for tasks whose setting is a length; empty = task.length");
  v.option("samples", samples, {1, 1 << 24}, "test rows of a setting");
  v.option("tokens", tokens, {0, kMaxCount}, "> 0: rows of a setting = tokens / row length, from 16 to samples");
  v.option("every", every, {0, kMaxCount}, "steps between validations; 0 = only at the end");
  v.option("segment", segment, {1, kMaxLength}, "tokens read at a time; longer rows carry state on");
  v.option("batch_tokens", batch_tokens, {1, kMaxLength}, "tokens held at once: segments, or whole rows with full attention");
  v.option("seed", seed, {0, kMaxCount}, "seed of the test rows, the same for every arm");
  v.option("per_seed", per_seed, "draw validation and test rows anew for every run.seed, so that seeds tell of other rows too; streams not");
  v.option("reset", reset, {0, kMaxLength},
           "> 0: validation and test rows are read as if each so many tokens were a row; what that costs is what a longer past is worth");
}

void RuntimeOptions::describe(OptionVisitor& v) {
  v.option("threads", threads, {0, 4096}, "threads of this process; 0 = all cores", Hashed::no);
  v.option("device", device, {"cpu", "cuda"}, "where tensors live");
  v.option("dtype", dtype, {"float32", "float64"}, "precision of parameters and activations");
}

void ModelOptions::check(const std::string& prefix, Problems& problems) const {
  check_attention(*this, prefix, problems);
  if (conv_init == "shift" && conv_width == 1)
    problems.add(prefix + "conv_width",
                 fmt::format("has no previous token for {}conv_init = shift; allowed: 0 (none) or ≥ 2", prefix));
  if (embedding_init == "zero" && tie_embeddings)
    problems.add(prefix + "embedding_init", fmt::format("a tied head would be zero too, and neither could learn; set {}tie_embeddings = false", prefix));
  std::set<int64_t> seen;
  for (const int64_t layer : memory_layers) {
    if (layer >= layers)
      problems.add(prefix + "memory_layers",
                   fmt::format("has layer {}, but {}layers = {}; allowed: 0 … {}", layer, prefix, layers, layers - 1));
    if (!seen.insert(layer).second)
      problems.add(prefix + "memory_layers", fmt::format("has layer {} twice; keep one", layer));
  }
}

void TrainOptions::check(const std::string& prefix, Problems& problems) const {
  if (warmup > steps)
    problems.add(prefix + "warmup",
                 fmt::format("is longer than the training; allowed: 0 … {} ({}steps)", steps, prefix));
  if (penalty_full < penalty_from)
    problems.add(prefix + "penalty_full", fmt::format("comes before {}penalty_from = {}; set it to {} … 1", prefix, penalty_from, penalty_from));
  if (batch_tokens == 0 && batch % accumulate != 0)
    problems.add(prefix + "accumulate",
                 fmt::format("does not divide {}batch = {}; allowed: {}", prefix, batch, divisors(batch)));
  if (init_from.empty() && !init_sha256.empty())
    problems.add(prefix + "init_sha256", fmt::format("is the digest of weights that {}init_from names; name them, or leave this out", prefix));
}

}  // namespace mneme
