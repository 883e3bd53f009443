#include "config/fields.h"

#include <charconv>
#include <cmath>
#include <optional>
#include <utility>

#include "base/text.h"

namespace mneme {
namespace {

template <class T>
std::optional<T> number_from(const std::string& text) {
  const bool plus = text.size() > 1 && text[0] == '+' && text[1] != '-';
  const char* begin = text.data() + plus;
  T value{};
  const auto [end, error] = std::from_chars(begin, text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string number_text(int64_t value) { return std::to_string(value); }
std::string number_text(double value) { return format_number(value); }

template <class Range>
std::string range_text(Range range, const char* any) {
  const Range all;
  if (range.min == all.min && range.max == all.max) return any;
  if (range.max == all.max) return "≥ " + number_text(range.min);
  if (range.min == all.min) return "≤ " + number_text(range.max);
  if (range.min == range.max) return number_text(range.min);
  return number_text(range.min) + " … " + number_text(range.max);
}

std::string text_of(IntRange range) { return range_text(range, "any integer"); }
std::string text_of(RealRange range) { return range_text(range, "any number"); }

// "" and the value, or what is wrong.
std::string take_integer(const std::string& text, IntRange range, int64_t& value) {
  const auto number = number_from<int64_t>(text);
  if (!number) return "'" + text + "' is not an integer; allowed: " + text_of(range);
  if (*number < range.min || *number > range.max) return text + " is out of range; allowed: " + text_of(range);
  value = *number;
  return "";
}

std::string take_real(const std::string& text, RealRange range, double& value) {
  const auto number = number_from<double>(text);
  if (!number || !std::isfinite(*number)) return "'" + text + "' is not a number; allowed: " + text_of(range);
  if (*number < range.min || *number > range.max) return text + " is out of range; allowed: " + text_of(range);
  value = *number + 0.0;  // -0 is 0
  return "";
}

std::string take_bool(const std::string& text, bool& value) {
  for (const char* yes : {"true", "yes", "on", "1"})
    if (text == yes) return value = true, "";
  for (const char* no : {"false", "no", "off", "0"})
    if (text == no) return value = false, "";
  return "'" + text + "' is neither true nor false; allowed: true | false";
}

// Every part through `take(part)`, which answers "" or what is wrong with it.
template <class Take>
std::string take_list(const std::vector<std::string>& parts, Take take) {
  for (const std::string& part : parts) {
    if (part.empty()) return "an element between the commas is empty";
    if (const std::string wrong = take(part); !wrong.empty()) return wrong;
  }
  return "";
}

std::string take_setting(const std::string& text, int64_t arity, IntRange range, Setting& setting) {
  const std::vector<std::string> parts = split(text, 'x');
  if (static_cast<int64_t>(parts.size()) != arity)
    return "'" + text + "' is not " + std::to_string(arity) +
           (arity == 1 ? " number" : " numbers joined by x, like 8x64");
  for (const std::string& part : parts)
    if (const std::string wrong = take_integer(part, range, setting.emplace_back()); !wrong.empty()) return wrong;
  return "";
}

std::string text_of(const Setting& setting, const char* separator) {
  std::vector<std::string> parts;
  for (const int64_t number : setting) parts.push_back(std::to_string(number));
  return join(parts, separator);
}

class Collector : public OptionVisitor {
 public:
  explicit Collector(std::string prefix) : prefix_(std::move(prefix)) {}
  std::vector<Field> take() { return std::move(fields_); }

  void option(const char* name, int64_t& value, IntRange range, const char* help, Hashed hashed) override {
    Field& field = add(name, "integer", text_of(range), help, hashed);
    field.text = [&value] { return std::to_string(value); };
    field.parse = [&value, range](const std::string& text) { return take_integer(unquoted(text), range, value); };
  }

  void option(const char* name, double& value, RealRange range, const char* help, Hashed hashed) override {
    Field& field = add(name, "number", text_of(range), help, hashed);
    field.text = [&value] { return format_number(value); };
    field.parse = [&value, range](const std::string& text) { return take_real(unquoted(text), range, value); };
  }

  void option(const char* name, bool& value, const char* help, Hashed hashed) override {
    Field& field = add(name, "truth value", "true | false", help, hashed);
    field.text = [&value] { return value ? "true" : "false"; };
    field.parse = [&value](const std::string& text) { return take_bool(unquoted(text), value); };
  }

  void option(const char* name, std::string& value, Choices choices, const char* help, Hashed hashed) override {
    Field& field = add(name, choices.empty() ? "text" : "choice", join(choices, " | "), help, hashed);
    field.text = [&value] { return value; };
    field.parse = [&value, choices](const std::string& written) -> std::string {
      const std::string text = unquoted(written);
      if (text == trim(written) && text.starts_with('"')) return "is several parts in quotes; one is needed";
      bool known = choices.empty();
      for (const std::string& choice : choices) known = known || choice == text;
      if (!known) return "unknown choice; allowed: " + join(choices, " | ") + did_you_mean(text, choices);
      value = text;
      return "";
    };
  }

  void option(const char* name, std::vector<int64_t>& value, IntRange range, const char* help, Hashed hashed) override {
    Field& field = add(name, "list of integers", text_of(range), help, hashed);
    field.text = [&value] { return text_of(value, ", "); };
    field.parse = [&value, range](const std::string& text) {
      std::vector<int64_t> list;
      std::string wrong =
          take_list(split(unquoted(text), ','), [&](const std::string& part) { return take_integer(part, range, list.emplace_back()); });
      if (wrong.empty()) value = std::move(list);
      return wrong;
    };
  }

  void settings(const char* name, std::vector<Setting>& value, int64_t arity, IntRange range,
                const char* help) override {
    std::string type = "list of A";
    for (int64_t i = 1; i < arity; ++i) type += std::string("x") + static_cast<char>('A' + i);
    Field& field = add(name, type, text_of(range), help, Hashed::yes);
    field.text = [&value] {
      std::vector<std::string> parts;
      for (const Setting& setting : value) parts.push_back(text_of(setting, "x"));
      return join(parts, ", ");
    };
    field.parse = [&value, arity, range](const std::string& text) {
      std::vector<Setting> list;
      std::string wrong = take_list(
          split(unquoted(text), ','), [&](const std::string& part) { return take_setting(part, arity, range, list.emplace_back()); });
      if (wrong.empty()) value = std::move(list);
      return wrong;
    };
  }

  void files(const char* name, std::vector<std::string>& value, const char* help) override {
    Field& field = add(name, "list of files", "files or folders", help, Hashed::yes);
    field.files = &value;
    field.text = [&value] {
      std::vector<std::string> elements;
      for (const std::string& path : value) elements.push_back(quoted_element(path));
      return join(elements, ", ");
    };
    field.parse = [&value](const std::string& text) {
      std::vector<std::string> list;
      std::string wrong = take_list(split_values(text, ','), [&](const std::string& part) {
        list.push_back(unquoted(part));
        return std::string();
      });
      if (wrong.empty()) value = std::move(list);
      return wrong;
    };
  }

 private:
  Field& add(const char* name, std::string type, std::string range, const char* help, Hashed hashed) {
    Field& field = fields_.emplace_back();
    field.key = prefix_ + name;
    field.type = std::move(type);
    field.range = std::move(range);
    field.help = help;
    field.hashed = hashed == Hashed::yes;
    return field;
  }

  std::string prefix_;
  std::vector<Field> fields_;
};

}  // namespace

std::optional<double> read_number(const std::string& text) {
  const auto number = number_from<double>(text);
  return number && std::isfinite(*number) ? number : std::nullopt;
}

std::vector<Field> fields_of(Options& options, const std::string& prefix) {
  Collector collector(prefix);
  options.describe(collector);
  return collector.take();
}

}  // namespace mneme
