// mneme generate: a trained model goes on from a prompt.
#include "infer/generate.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdint>
#include <cstdio>

#include "base/outputs.h"
#include "cli/program.h"
#include "mneme/errors.h"
#include "eval/checkpoint.h"
#include "eval/objective.h"
#include "base/signals.h"
#include "eval/runtime.h"
#include "eval/state_file.h"
#include "tasks/support/text_source.h"

namespace mneme {
namespace {

constexpr int64_t kBytes = 256;

double temperature_of(const CommandLine& line) {
  const std::string text = line.text_or("temperature", "1");
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(value >= 0 && value <= 100))
    throw UsageError(fmt::format("--temperature {}: a number from 0 (always the most likely) to 100", text));
  return value;
}

std::vector<int64_t> bytes_of(const std::string& text) {
  std::vector<int64_t> tokens;
  for (const char c : text) tokens.push_back(static_cast<unsigned char>(c));
  return tokens;
}

/// "5 9 2", also with commas and line ends.
std::vector<int64_t> ids_of(const std::string& text) {
  constexpr const char* kBetween = " ,\t\r\n";
  std::vector<int64_t> tokens;
  for (size_t first = text.find_first_not_of(kBetween); first != std::string::npos;) {
    const size_t end = std::min(text.find_first_of(kBetween, first), text.size());
    int64_t token = 0;
    const auto [stop, error] = std::from_chars(text.data() + first, text.data() + end, token);
    if (error != std::errc() || stop != text.data() + end)
      throw UsageError(fmt::format("'{}' in the prompt is not a token: this model reads numbers, as in --prompt \"5 9 2\"",
                                   text.substr(first, end - first)));
    tokens.push_back(token);
    first = text.find_first_not_of(kBetween, end);
  }
  return tokens;
}

std::string prompt_text(const CommandLine& line) {
  if (line.has("prompt") == line.has("prompt-file"))
    throw UsageError("give what the model goes on from: either --prompt TEXT or --prompt-file FILE");
  if (line.has("prompt")) return clean_text(line.text("prompt"));
  std::string text = read_text(line.text("prompt-file"));
  if (text.ends_with('\n')) text.pop_back();  // an editor's, not the writer's
  return text;
}

/// Writes tokens to standard output as they come.
class Printer {
 public:
  explicit Printer(bool bytes) : bytes_(bytes) {}
  void operator()(int64_t token) {
    throw_if_interrupted("stopped");
    if (bytes_)
      std::fputc(static_cast<int>(token), stdout);
    else
      fmt::print("{}{}", first_ ? "" : " ", token);
    first_ = false;
    std::fflush(stdout);
  }

 private:
  bool bytes_, first_ = true;
};

int generate_main(const CommandLine& line) {
  line.refuse_overrides();
  GenerateOptions options;
  options.tokens = line.integer_or("tokens", 200, 0, INT64_MAX);
  options.temperature = temperature_of(line);
  options.top_k = line.integer_or("top-k", 0, 0, INT64_MAX);
  options.seed = static_cast<uint64_t>(line.integer_or("seed", 1, 0, INT64_MAX));
  const std::string text = prompt_text(line);
  check_outputs({{"--save-memory", line.file_or("save-memory", "")}},
                {{"--memory", line.file_or("memory", "")}, {"--prompt-file", line.file_or("prompt-file", "")}});
  RuntimeOptions runtime;
  runtime.threads = line.integer_or("threads", 0, 1, 4096);
  set_up_runtime(runtime);
  const LoadedModel loaded = load_model(line.only_name("CHECKPOINT or RUN_FOLDER"));
  require_tokens(*loaded.model, "mneme generate");
  loaded.model->eval();
  options.segment = loaded.config.eval.segment;

  const bool bytes = loaded.model->shape().vocab == kBytes && !line.has("ids");
  const std::vector<int64_t> prompt = bytes ? bytes_of(text) : ids_of(text);
  options.written = Printer(bytes);
  State state;
  if (line.has("memory")) state = StoredMemories(line.text("memory"), loaded, 1).rows(0, 1);
  const InterruptGuard guard;
  generate(*loaded.model, state, prompt, options);
  if (options.tokens > 0) fmt::print("\n");
  if (line.has("save-memory")) save_memories(line.text("save-memory"), state, loaded);
  return 0;
}

}  // namespace

Command generate_command() {
  namespace po = boost::program_options;
  const auto text = [](const char* name) { return po::value<std::string>()->value_name(name); };
  Command command;
  command.name = "generate";
  command.summary = "a trained model goes on from a prompt";
  command.usage = "CHECKPOINT|RUN_FOLDER --prompt TEXT";
  command.details =
      "The prompt is text for a model of 256 tokens, which are bytes, and token numbers for any other; a text is cleaned as training texts are, and the line "
      "end of a file's last line is no part of it. What the model says is drawn "
      "from its distribution, by --seed, or the most likely with --temperature 0. --save-memory keeps what the memories hold "
      "after the last token read; --memory starts from it: the model then knows what was read there, without its text.";
  command.example = "mneme generate results/runs/mag-lm-1a2b3c4d --prompt \"It is a truth\" --tokens 200 --top-k 40";
  command.options.add_options()("prompt,p", text("TEXT"), "what to go on from")("prompt-file", text("FILE"), "the same, from a file")(
      "tokens,n", text("N"), "how many tokens to write (200); 0 = only read the prompt")(
      "temperature", text("X"), "1 = as learned (default), less = surer, 0 = the most likely")(
      "top-k", text("K"), "draw from the K most likely (all)")("seed", text("N"), "of the draws (1)")(
      "ids", "the prompt is token numbers, whatever the model")("memory", text("FILE"), "memories to start from")(
      "save-memory", text("FILE"), "write the memories at the end")("threads", text("N"), "threads (all cores)");
  command.run = generate_main;
  return command;
}

}  // namespace mneme
