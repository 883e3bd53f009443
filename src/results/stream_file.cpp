#include "results/stream_file.h"

#include <algorithm>
#include <type_traits>

#include "mneme/errors.h"
#include "results/run_fields.h"

namespace mneme {
namespace {

constexpr int64_t kStreamSchema = 1;

void write_root(h5::Group& file, const StreamRecord& record) {
  file.set("schema", "mneme.stream");
  file.set("schema_version", kStreamSchema);
  each_run_field(record, [&](const char* name, const auto& value) {
    if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::string>) file.set(name, value);
    else file.set(name, int64_t{value});
  });
  file.set("checkpoint", record.checkpoint);
  file.set("step", record.step);
  file.set("tokens", record.tokens());
  file.set("task", record.task);
  file.set("metric", record.metric.name());
  file.set("chance", record.chance);
  h5::Group config = file.make_group("config");
  for (const auto& [key, value] : record.info.values) config.set(key, value);
}

template <class T, class Rows, class Value>
h5::Column column(const std::string& name, const Rows& rows, Value value) {
  std::vector<T> values;
  for (const auto& row : rows) values.push_back(value(row));
  return {name, std::move(values)};
}

/// Counts and means of questions, of the sums that `of` finds in a row.
template <class Rows, class Of>
void add_sums(std::vector<h5::Column>& columns, const Rows& rows, Of of) {
  for (const CountField& field : kCountFields) {
    const std::string name = field.member == &EvalSums::rows ? "questions" : field.name;
    columns.push_back(column<int64_t>(name, rows, [&](const auto& row) { return of(row).*field.member; }));
  }
  for (const Metric& metric : Metric::loss.family())  // a stream is of tokens
    columns.push_back(column<double>(metric.name(), rows, [&](const auto& row) { return metric.value(of(row)); }));
}

void write_bins(h5::Group& file, const std::vector<StreamBin>& bins) {
  std::vector<h5::Column> columns{column_of("first", bins, &StreamBin::first),
                                  column_of("end", bins, &StreamBin::end),
                                  column_of("seconds", bins, &StreamBin::seconds),
                                  column_of("processor_seconds", bins, &StreamBin::processor_seconds),
                                  column<double>("tokens_per_s", bins, [](const StreamBin& bin) { return bin.tokens_per_s(); }),
                                  column<double>("tokens_per_processor_s", bins,
                                                 [](const StreamBin& bin) { return bin.tokens_per_processor_s(); }),
                                  column_of("rss_mib", bins, &StreamBin::rss_mib),
                                  column_of("state_bytes", bins, &StreamBin::state_bytes)};
  add_sums(columns, bins, [](const StreamBin& bin) { return bin.questions; });
  h5::Dataset table = file.write_table("bins", columns);
  table.set("description", "the stream from token `first` to `end` - 1; questions are counted where their last scored position lies");
  table.set("units", "seconds, processor_seconds: s, tokens_per_s, tokens_per_processor_s: 1/s, rss_mib: MiB, state_bytes: B, loss: nat");
}

void write_slices(h5::Group& file, const StreamRecord& record) {
  struct Row {
    const StreamBin* bin;
    const std::vector<int64_t>* values;
    const EvalSums* sums;
  };
  std::vector<Row> rows;
  for (const StreamBin& bin : record.bins)
    for (const auto& [values, sums] : bin.slices) rows.push_back({&bin, &values, &sums});
  std::vector<h5::Column> columns{column<int64_t>("first", rows, [](const Row& row) { return row.bin->first; }),
                                  column<int64_t>("end", rows, [](const Row& row) { return row.bin->end; })};
  for (size_t i = 0; i < record.axes.size(); ++i)
    columns.push_back(column<int64_t>(record.axes[i], rows, [i](const Row& row) { return row.values->at(i); }));
  add_sums(columns, rows, [](const Row& row) { return *row.sums; });
  h5::Dataset table = file.write_table("slices", columns);
  table.set("description", "the questions of each bin by " + record.axes.front() + (record.axes.size() > 1 ? ", …" : ""));
}

using Columns = std::vector<h5::Column>;

/// The inverse of add_sums.
std::vector<EvalSums> read_sums(const Columns& columns, const std::string& where) {
  std::vector<EvalSums> sums;
  for (const CountField& field : kCountFields) {
    const std::string name = field.member == &EvalSums::rows ? "questions" : field.name;
    if (field.later && std::none_of(columns.begin(), columns.end(), [&](const h5::Column& column) { return column.name == name; })) continue;
    fill(sums, field.member, columns, name.c_str(), where);
  }
  const std::vector<double>& loss = values_of<double>(columns, Metric::loss.name(), where);
  for (size_t i = 0; i < sums.size(); ++i) sums[i].set_mean_loss(loss[i]);
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
  if (record.axes.empty()) throw StoreError(where + " has no axis between its bins and its sums; the file is damaged");
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

std::string stream_file_bytes(const StreamRecord& record) {
  h5::File file = h5::File::in_memory("stream.h5");
  write_root(file, record);
  write_bins(file, record.bins);
  write_slices(file, record);
  return file.image();
}

std::optional<StreamRecord> read_stream_file(const std::string& path) {
  const h5::File file = h5::File::load(path);
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
  record.checkpoint = file.text("checkpoint");
  record.step = file.integer("step");
  record.task = file.text("task");
  record.metric = metric_named(file.text("metric"), path);
  record.chance = file.real("chance");
  const h5::Group config = file.group("config");
  for (const std::string& key : config.attributes()) record.info.values.emplace_back(key, config.text(key));
  read_bins(file, record.bins);
  read_slices(file, record);
  return record;
}

}  // namespace mneme
