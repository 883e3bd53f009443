#include "mneme/errors.h"
#include "results/run_fields.h"
#include "results/stream_record.h"

namespace mneme {
namespace {

using Columns = std::vector<h5::Column>;

/// The inverse of add_sums in stream_record.cpp.
std::vector<EvalSums> read_sums(const Columns& columns, const std::string& where) {
  std::vector<EvalSums> sums;
  for (const CountField& field : kCountFields)
    fill(sums, field.member, columns, field.member == &EvalSums::rows ? "questions" : field.name, where);
  const std::vector<double>& loss = values_of<double>(columns, "loss", where);
  for (size_t i = 0; i < sums.size(); ++i) sums[i].loss = sums[i].scored > 0 ? loss[i] * double(sums[i].scored) : 0;
  return sums;
}

void read_bins(const h5::Group& file, std::vector<StreamBin>& bins) {
  const Columns columns = file.read_table("bins");
  const std::string where = file.where() + "/bins";
  fill(bins, &StreamBin::first, columns, "first", where);
  fill(bins, &StreamBin::end, columns, "end", where);
  fill(bins, &StreamBin::seconds, columns, "seconds", where);
  fill(bins, &StreamBin::processor_seconds, columns, "processor_seconds", where);
  fill(bins, &StreamBin::rss_mib, columns, "rss_mib", where);
  fill(bins, &StreamBin::state_bytes, columns, "state_bytes", where);
  const std::vector<EvalSums> sums = read_sums(columns, where);
  for (size_t i = 0; i < bins.size(); ++i) bins[i].questions = sums[i];
}

/// Between the bin's `first`, `end` and the sums stand the axes.
void read_slices(const h5::Group& file, StreamRecord& record) {
  const Columns columns = file.read_table("slices");
  const std::string where = file.where() + "/slices";
  for (size_t i = 2; i < columns.size() && columns[i].name != "questions"; ++i) record.axes.push_back(columns[i].name);
  const std::vector<int64_t>& first = values_of<int64_t>(columns, "first", where);
  const std::vector<EvalSums> sums = read_sums(columns, where);
  size_t bin = 0;
  for (size_t i = 0; i < sums.size(); ++i) {
    while (bin < record.bins.size() && record.bins[bin].first != first[i]) ++bin;
    if (bin == record.bins.size()) throw StoreError(where + ": row " + std::to_string(i) + " belongs to no row of /bins; the file is damaged");
    std::vector<int64_t> values;
    for (const std::string& axis : record.axes) values.push_back(values_of<int64_t>(columns, axis, where)[i]);
    record.bins[bin].slices[values] = sums[i];
  }
}

}  // namespace

std::optional<StreamRecord> read_stream_file(const std::string& path) {
  const h5::File file = h5::File::open(path);
  if (!file.has_attribute("schema") || file.text("schema") != "mneme.stream") return std::nullopt;
  if (const int64_t version = file.integer("schema_version"); version < 1 || version > kStreamSchema)
    throw StoreError(path + ": has schema mneme.stream version " + std::to_string(version) + "; this program reads up to version " +
                     std::to_string(kStreamSchema) + "; read it with the version of Mneme that wrote it (" + file.text("code_version") + ")");
  StreamRecord record;
  each_run_field(record, [&](const char* name, auto& value) {
    if (recorded_later(name) && !file.has_attribute(name)) return;
    if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::string>) value = file.text(name);
    else value = file.integer(name);
  });
  record.checkpoint = file.text("checkpoint"), record.step = file.integer("step");
  record.task = file.text("task"), record.metric = file.text("metric"), record.chance = file.real("chance");
  const h5::Group config = file.group("config");
  for (const std::string& key : config.attributes()) record.info.values.emplace_back(key, config.text(key));
  read_bins(file, record.bins);
  read_slices(file, record);
  return record;
}

}  // namespace mneme
