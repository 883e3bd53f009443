// Checkpoints: docs/file-formats.md, section "checkpoint".
//
//   checkpoint/  latest (text: "step-200") · best (the same, where there was a validation)
//                step-200/  model.safetensors · optimizer.safetensors · trainer.json · config.ini
//
// A step folder is written under another name, fsynced and renamed; then `latest` is replaced. Whenever the process dies,
// `latest` names a whole checkpoint.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "config/config.h"
#include "base/checkpoint_path.h"
#include "eval/safetensors.h"
#include "mneme/model.h"

namespace mneme {

/// What a run needs beside weights and moments to go on as if it had never stopped.
struct TrainerState {
  int64_t step = 0;         // optimizer steps done
  int64_t tokens = 0;       // training tokens seen
  double wall_seconds = 0;  // training, over all resumptions
  double loss_sum = 0;      // since the last log row
  int64_t loss_steps = 0;
  std::map<std::string, std::vector<uint8_t>> generators;  // state by stream name
  std::string config_hash, code_version;
  std::map<std::string, std::string> data;  // SHA-256 of the files of data that were trained on, by path
};

class CheckpointFolder {
 public:
  /// `keep`: step folders kept beside the best one.
  CheckpointFolder(std::string folder, int64_t keep);

  bool empty() const;
  /// StoreError on a full disk; the previous checkpoint is still there.
  void save(const Config& config, SequenceModel& model, const NamedTensors& optimizer, const TrainerState& state);
  /// The saved checkpoint of this step is the best so far.
  void mark_best(int64_t step);
  /// Restores the model and what the optimizer holds from the latest. CheckpointError: damaged, of another model or config; names the
  /// earlier step that can be used instead, where there is one.
  /// `optimizer` takes its tensors and the name of their file.
  TrainerState load(const Config& config, SequenceModel& model, const std::function<void(const TensorFile&, const std::string&)>& optimizer) const;

 private:
  void remove_old() const;
  void remove_unfinished_steps() const;
  std::string folder_;
  int64_t keep_;
};

/// A model as it was saved, with the config it was made from.
struct LoadedModel {
  Config config;
  std::shared_ptr<SequenceModel> model;
  int64_t step = 0;
  std::string folder;  ///< the step folder that was read
};

/// `path`: a run folder, its checkpoint/ folder, or a step folder. `overrides` ("eval.lengths=4096"): what an evaluation may change
/// (train/eval_overrides.h). Data files named by the config may be missing. On the cpu where this machine lacks the config's
/// device, which set_up_runtime refuses for programs that take it from there.
LoadedModel load_model(const std::string& path, const std::vector<std::string>& overrides = {});

/// In two steps, for programs that set up the runtime by the checkpoint's own config before the first tensor is made.
Config checkpoint_config(const std::string& path, const std::vector<std::string>& overrides);
LoadedModel load_model(const std::string& path, const Config& config);

/// Files of data that `config` names and that are not what the checkpoint at `path` was trained with any more, by path. Those of other names,
/// and of checkpoints of versions before digests were stored, are not known.
std::vector<std::string> changed_data(const std::string& path, const Config& config);

/// Weights from `path`, as above or a .safetensors file, into a model of the same shape (train.init_from). CheckpointError where
/// their digest is not `sha256`, if that is given.
void init_from(SequenceModel& model, const std::string& path, const std::string& sha256 = "");

/// Parameters by name, sorted.
NamedTensors named_tensors(const SequenceModel& model);

}  // namespace mneme
