#include "results/stream_record.h"

#include <bit>

namespace mneme {

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

}  // namespace mneme
