// What a user can do wrong, as exceptions. Each message is one clear statement that names the cause and the fix
// (key, value, allowed range, file and line, nearest name); the program prints it and exits with `exit_code()`.
// Mistakes of ours are assertions (MNEME_ASSERT in src/base/assert.h), never these.
#pragma once

#include <stdexcept>
#include <string>

namespace mneme {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
  virtual int exit_code() const { return 1; }
};

/// The command line cannot be understood.
class UsageError : public Error {
 public:
  using Error::Error;
  int exit_code() const override { return 2; }
};

/// One or more problems in a config; the message lists all of them, one a line.
class ConfigError : public Error {
 public:
  using Error::Error;
  int exit_code() const override { return 2; }
};

/// A text, row file or HDF5 input that is missing, unreadable, empty or of another form than asked for.
class DataError : public Error {
 public:
  using Error::Error;
};

/// A checkpoint that is missing, damaged or made for another model.
class CheckpointError : public Error {
 public:
  using Error::Error;
};

/// A run folder, run file or output that cannot be used: in use by another process, disk full, another schema.
class StoreError : public Error {
 public:
  using Error::Error;
};

/// Loss or state stopped being finite; names layer, head, step and the largest gates.
class DivergedError : public Error {
 public:
  using Error::Error;
};

/// A request to stop (SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 or SIGXCPU) was honoured; the work can be resumed by the same command.
class Interrupted : public Error {
 public:
  using Error::Error;
  int exit_code() const override { return 75; }
};

}  // namespace mneme
