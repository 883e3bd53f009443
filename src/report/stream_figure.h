// One figure of a stream: what was answered, by position in the stream and by distance, and what reading it cost.
#pragma once

#include <string>

#include "results/stream_record.h"

namespace mneme {

/// SVG; "" where nothing was read. Positions are logarithmic, at the end of each doubling.
std::string stream_figure(const StreamRecord& record);

}  // namespace mneme
