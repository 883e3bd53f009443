#include "results/stream_record.h"

#include <bit>

#include "results/run_fields.h"

namespace mneme {
namespace {

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
  file.set("metric", record.metric);
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
  for (const MeanField& field : kMeanFields)
    columns.push_back(column<double>(field.name, rows, [&](const auto& row) { return field.value(of(row)); }));
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

}  // namespace

StreamBin& StreamBin::operator+=(const StreamBin& more) {
  end = more.end;
  seconds += more.seconds;
  processor_seconds += more.processor_seconds;
  rss_mib = more.rss_mib;
  state_bytes = more.state_bytes;
  questions += more.questions;
  for (const auto& [values, sums] : more.slices) slices[values] += sums;
  return *this;
}

StreamBin whole_stream(const StreamRecord& record) {
  StreamBin all;
  for (const StreamBin& bin : record.bins) all += bin;
  return all;
}

std::vector<StreamBin> doubling_bins(const StreamRecord& record) {
  const auto power = [](int64_t end) { return std::bit_ceil(static_cast<uint64_t>(end)); };
  std::vector<StreamBin> bins;
  for (const StreamBin& bin : record.bins) {
    if (!bins.empty() && power(bins.back().end) == power(bin.end)) bins.back() += bin;
    else bins.push_back(bin);
  }
  return bins;
}

std::string stream_file_bytes(const StreamRecord& record) {
  h5::File file = h5::File::in_memory("stream.h5");
  write_root(file, record);
  write_bins(file, record.bins);
  write_slices(file, record);
  return file.image();
}

}  // namespace mneme
