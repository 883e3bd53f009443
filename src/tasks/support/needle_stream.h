// Needles in endless prose: a text read again and again from its beginning, sentences hidden in it at random places, each asked
// for once, later.
//
//   …had been glad The code of xyz is 12345. to have seen … ever⏎The code of xyz is 12345. so well as that…
//   target                                                                        12345
//
// Needle and question have the form of the task's rows. The sentence of the question is ended, value and all, before the prose goes
// on. Needles that wait for their questions at the same time have different names.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "tasks/support/needle_sentence.h"
#include "tasks/support/token_stream.h"

namespace mneme {

struct NeedleStreamOptions : StreamOptions {
  std::string_view prose;    ///< not empty; must outlive the stream
  size_t waiting = 1;        ///< most needles that wait for their questions at a time; < 676, the names of two letters
  bool impossible = false;   ///< the value that is asked for was never read
};

class NeedleStream : public TokenStream {
 public:
  NeedleStream(const NeedleSentence& sentence, const NeedleStreamOptions& options);

  Sample next() override;
  std::vector<std::string> axes() const override { return {"distance"}; }

 private:
  struct Waiting {
    std::string name, value;
    int64_t distance;
  };

  std::string prose(int64_t tokens);
  std::string needle();
  Sample question(const Waiting& asked) const;
  bool waits(const std::string& name) const;
  int64_t draw_distance();
  int64_t draw_gap();

  NeedleSentence sentence_;
  NeedleStreamOptions options_;
  Random random_;
  size_t place_ = 0;          // in the prose
  int64_t position_ = 0;      // in the stream
  int64_t next_needle_ = 0;   // at the first start of a word from here on
  std::vector<int64_t> distances_;             // those still to come, before all come again
  std::multimap<int64_t, Waiting> waiting_;    // by the position of their questions
};

}  // namespace mneme
