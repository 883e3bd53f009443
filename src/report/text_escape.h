#pragma once

#include <string>

#include "base/text.h"

namespace mneme {

/// Text inside XML and HTML, attributes included. XML has no control bytes and HTML no bytes that are no UTF-8: they are shown as \xNN.
inline std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : printable(text)) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
  return out;
}

}  // namespace mneme
