// Which runs a table is made from, and what it refuses.
#pragma once

#include "report/observation.h"
#include "report/table.h"

namespace mneme {

/// Runs that `where` leaves, without learning-rate trials. Refuses unknown keys and metrics, an empty selection and mixed
/// code versions (or notes them, where allowed).
std::vector<const RunRecord*> select_runs(const std::vector<RunRecord>& runs, const TableOptions& options,
                                          std::vector<std::string>& notes);

/// Where the runs ran: "AMD EPYC, avx512, 1 thread"; of several, each with its number of runs. Notes runs of several instruction sets.
std::string machine_text(const std::vector<const RunRecord*>& runs, std::vector<std::string>& notes);

/// Whether the key belongs to settings and slices rather than to whole runs.
bool is_axis(const std::vector<RunRecord>& runs, const std::string& key);

/// Whether an observation has the values asked for.
bool matches(const Observation& observation, const std::vector<std::pair<std::string, std::string>>& where);

/// Runs of one cell are averaged as repetitions. Refuses two of one seed, and two whose configs differ in what a result may depend on:
/// in more than run.*, threads, logging, checkpoints and weights to start from.
void refuse_pooling(const std::vector<std::string>& row, const RunRecord& one, const RunRecord& other, const TableOptions& options);

}  // namespace mneme
