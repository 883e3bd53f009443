// The command line of one subcommand, parsed by Boost.Program_options and read through checked accessors.
#pragma once

#include <boost/program_options/options_description.hpp>
#include <boost/program_options/variables_map.hpp>
#include <cstdint>
#include <string>
#include <vector>

namespace mneme {

class CommandLine {
 public:
  /// Throws UsageError with the nearest option for an unknown one; option names are never guessed from a prefix.
  CommandLine(std::string command, const boost::program_options::options_description& options,
              const std::vector<std::string>& arguments);

  /// The option was given (a flag: is set).
  bool has(const std::string& name) const { return values_.count(name) > 0; }
  const std::string& text(const std::string& name) const;
  std::string text_or(const std::string& name, const std::string& fallback) const;
  /// The file an option names; throws UsageError for an empty name. With `_or`: `fallback` where it was not given.
  const std::string& file(const std::string& name) const;
  std::string file_or(const std::string& name, const std::string& fallback) const;
  /// A whole number of [min, max]; throws UsageError naming both.
  int64_t integer_or(const std::string& name, int64_t fallback, int64_t min, int64_t max) const;
  /// The whole numbers of an option that may be repeated, checked in the same way.
  std::vector<int64_t> integers(const std::string& name, int64_t min, int64_t max) const;
  /// Every value of an option that may be repeated, each split at commas outside of quotes, which stay.
  std::vector<std::string> list(const std::string& name) const;

  /// Arguments that are neither options nor `key=value`, in order.
  const std::vector<std::string>& names() const { return names_; }
  /// `section.key=value` arguments, in order.
  const std::vector<std::string>& overrides() const { return overrides_; }

  /// The whole command as one shell line, for the record of a run.
  std::string typed() const;

  /// The only name; throws UsageError saying what is wanted when there are none or several.
  const std::string& only_name(const std::string& what) const;
  /// Throws UsageError when there are overrides: this subcommand has no config to change.
  void refuse_overrides() const;
  void refuse_names() const;

 private:
  std::string command_;
  std::vector<std::string> arguments_;
  boost::program_options::variables_map values_;
  std::vector<std::string> names_, overrides_;
};

}  // namespace mneme
