#include "benchmarks/result_file.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "io/hdf5.h"
#include "base/text.h"
#include "cli/text_table.h"
#include "mneme/errors.h"

namespace mneme {
namespace {

constexpr const char* kSchema = "mneme.bench";
constexpr int64_t kSchemaVersion = 1;

template <class T>
bool holds(const BenchTable& table, size_t column) {
  return std::holds_alternative<T>(table.rows()[0][column]);
}

template <class T>
std::vector<T> values(const BenchTable& table, size_t column) {
  std::vector<T> all;
  for (const auto& row : table.rows()) all.push_back(std::get<T>(row[column]));
  return all;
}

/// A column as cells, whatever its type.
std::vector<BenchTable::Cell> cells(const h5::Dataset& column) {
  const auto as_cells = [](const auto& list) { return std::vector<BenchTable::Cell>(list.begin(), list.end()); };
  switch (column.kind()) {
    case h5::Kind::integer: return as_cells(column.read<int64_t>());
    case h5::Kind::real: return as_cells(column.read<double>());
    default: return as_cells(column.read_text());
  }
}

std::string markdown_row(const std::vector<std::string>& cells) { return "| " + join(cells, " | ") + " |\n"; }

}  // namespace

std::string bench_text(const BenchFile& file) {
  std::vector<std::vector<std::string>> rows;
  for (const auto& [key, value] : file.header) rows.push_back({key, value});
  return text_table(rows) + "\n" + text_table(file.table.lines());
}

std::string bench_markdown(const BenchFile& file) {
  const std::vector<std::vector<std::string>> lines = file.table.lines();
  std::string text = fmt::format("**mneme bench {}**\n\n{}|", file.benchmark, markdown_row(lines[0]));
  for (size_t i = 0; i < lines[0].size(); ++i) text += holds<std::string>(file.table, i) ? "---|" : "---:|";
  text += "\n";
  for (size_t i = 1; i < lines.size(); ++i) text += markdown_row(lines[i]);
  std::vector<std::string> notes;
  for (const auto& [key, value] : file.header) notes.push_back(key + ": " + value);
  return text + "\n" + join(notes, "; ") + ".\n";
}

std::string bench_json(const BenchFile& file) {
  nlohmann::ordered_json json{{"benchmark", file.benchmark}};
  for (const auto& [key, value] : file.header) json["machine"][key] = value;
  json["rows"] = nlohmann::ordered_json::array();
  for (const auto& row : file.table.rows()) {
    nlohmann::ordered_json object;
    for (size_t i = 0; i < row.size(); ++i) std::visit([&](const auto& value) { object[file.table.columns()[i]] = value; }, row[i]);
    json["rows"].push_back(object);
  }
  return json.dump(1) + "\n";
}

std::string bench_h5(const std::string& path, const BenchFile& file) {
  h5::File out = h5::File::in_memory(path);
  out.set("schema", kSchema);
  out.set("schema_version", kSchemaVersion);
  out.set("benchmark", file.benchmark);
  std::vector<std::string> keys, texts;
  for (const auto& [key, value] : file.header) keys.push_back(key), texts.push_back(value);
  out.write_text("header/names", keys);
  out.write_text("header/values", texts);
  out.write_text("columns", file.table.columns());  // their order
  for (size_t i = 0; i < file.table.columns().size(); ++i) {
    const std::string name = "rows/" + file.table.columns()[i];
    if (holds<std::string>(file.table, i)) out.write_text(name, values<std::string>(file.table, i));
    else if (holds<int64_t>(file.table, i)) out.write(name, values<int64_t>(file.table, i));
    else out.write(name, values<double>(file.table, i));
  }
  return out.image();
}

std::optional<BenchFile> read_bench_file(const std::string& path) {
  const h5::File file = h5::File::load(path);
  if (!file.has_attribute("schema") || file.text("schema") != kSchema) return std::nullopt;
  if (const int64_t version = file.integer("schema_version"); version != kSchemaVersion)
    throw DataError(fmt::format("{} has schema version {} of benchmarks; this program reads {}: make it again with mneme bench --output", path,
                                version, kSchemaVersion));
  BenchFile result{file.text("benchmark"), {}, BenchTable(file.dataset("columns").read_text())};
  const std::vector<std::string> keys = file.dataset("header/names").read_text(), texts = file.dataset("header/values").read_text();
  for (size_t i = 0; i < keys.size(); ++i) result.header.push_back({keys[i], texts.at(i)});
  std::vector<std::vector<BenchTable::Cell>> columns;
  for (const std::string& name : result.table.columns()) columns.push_back(cells(file.dataset("rows/" + name)));
  for (size_t row = 0; row < columns.at(0).size(); ++row) {
    std::vector<BenchTable::Cell> line;
    for (const auto& column : columns) line.push_back(column.at(row));
    result.table.add(line);
  }
  return result;
}

}  // namespace mneme
