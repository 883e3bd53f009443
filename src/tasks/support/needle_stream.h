// Needles in endless prose: a text read again and again from its beginning, sentences hidden in it at random places, each asked
// for later, once or more often.
//
//   …had been glad The code of xyz is 12345. to have seen … ever⏎The code of xyz is 12345. so well as that…
//   target                                                                        12345
//
// Needle and question have the form of the task's rows. The sentence of the question is ended, value and all, before the prose goes
// on: what is asked for again was last read there, and its next distance counts from there. Needles that wait for their questions at
// the same time have different names; a name that waits no more may come again with another value.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "tasks/support/needle_sentence.h"
#include "tasks/support/token_stream.h"

namespace mneme {

struct NeedleStreamOptions : StreamOptions {
  std::string_view prose;    ///< not empty; must outlive the stream
  size_t waiting = 1;        ///< most needles that wait for their questions at a time; fewer than there are names
  size_t names = 0;          ///< names that come again and again, drawn at the start, > waiting; 0 = any name
  int64_t least_asks = 1, most_asks = 1;  ///< questions of a needle
  bool impossible = false;   ///< the value that is asked for was never read
};

class NeedleStream : public TokenStream {
 public:
  NeedleStream(const NeedleSentence& sentence, const NeedleStreamOptions& options);

  Sample next() override;
  /// "time": the first, second, … question of a needle; only where there can be two.
  std::vector<std::string> axes() const override {
    return options_.most_asks > 1 ? std::vector<std::string>{"distance", "time"} : std::vector<std::string>{"distance"};
  }

 private:
  struct Waiting {
    std::string name, value;
    int64_t distance, asks, time;
  };

  std::string prose(int64_t tokens);
  std::string needle();
  Sample question(const Waiting& asked) const;
  std::string new_name();
  /// Its next question, `distance` tokens after `end`.
  void wait(Waiting waiting, int64_t end);
  bool waits(const std::string& name) const;
  int64_t draw_distance();
  int64_t draw_gap();

  NeedleSentence sentence_;
  NeedleStreamOptions options_;
  Random random_;
  std::vector<std::string> names_;
  size_t place_ = 0;          // in the prose
  int64_t position_ = 0;      // in the stream
  int64_t next_needle_ = 0;   // at the first start of a word from here on
  std::vector<int64_t> distances_;             // those still to come, before all come again
  std::multimap<int64_t, Waiting> waiting_;    // by the position of their questions
};

}  // namespace mneme
