#include "io/sha256.h"
#include "base/text.h"

#include <cstdlib>
#include <string>

#include "tests/support/test.h"

using namespace mneme;

TEST_CASE("nearest finds the slip of a finger and stays silent when nothing is near", "[core][text]") {
  const std::vector<std::string> keys{"memory.refresh", "memory.momentum", "model.width", "train.lr"};
  CHECK(nearest("memory.refersh", keys) == "memory.refresh");
  CHECK(nearest("memory.momentun", keys) == "memory.momentum");
  CHECK(nearest("quite.different", keys).empty());
  CHECK(nearest("lineer", {"none", "linear", "neural_mlp"}) == "linear");
  CHECK(nearest("x", {}).empty());
}

TEST_CASE("split keeps empty parts, so that a stray comma can be reported", "[core][text]") {
  CHECK(split("a, b ,c", ',') == std::vector<std::string>{"a", "b", "c"});
  CHECK(split("a,,b", ',') == std::vector<std::string>{"a", "", "b"});
  CHECK(split("a,", ',') == std::vector<std::string>{"a", ""});
  CHECK(split("  ", ',').empty());
}

TEST_CASE("format_number is the shortest text that reads back exactly", "[core][text]") {
  CHECK(format_number(0.1) == "0.1");
  CHECK(format_number(3e-3) == "0.003");
  CHECK(format_number(10000) == "10000");
  CHECK(format_number(-2) == "-2");
  for (const double value : {1.0 / 3, 1e-300, 5e-324, 1.7976931348623157e308, 123456789.123})
    CHECK(std::strtod(format_number(value).c_str(), nullptr) == value);
}

TEST_CASE("SHA-256 agrees with the standard's examples", "[core][sha256]") {
  CHECK(sha256_hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  Sha256 pieces;
  for (int i = 0; i < 1000; ++i) pieces.add(std::string(1000, 'a'));
  CHECK(pieces.hex() == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("what stands in quotes is not cut, and says what stands in them", "[core][text]") {
  using Parts = std::vector<std::string>;
  CHECK(split_values("\"a, b.txt\", c ,\"d\"", ',') == Parts{"\"a, b.txt\"", "c", "\"d\""});
  CHECK(split_values("key=\"a, b\",other", ',') == Parts{"key=\"a, b\"", "other"});
  CHECK(split_values("a \"b, c\"", ',') == Parts{"a \"b", "c\""});  // a quote inside a part is a letter
  CHECK(split_values("\"a, b", ',') == Parts{"\"a", "b"});            // and one that nothing closes
  CHECK(split_values("a,,b", ',') == split("a,,b", ','));
  CHECK(unquoted(" \"a, \\\"b\\\" \\\\ \\n\" ") == "a, \"b\" \\ \n");
  for (const std::string text : {"plain", "a, b", " edge ", "\"", "a|b", "# no comment", "lone\rreturn", "back\\", "\"a\", \"b\""}) {
    CHECK(unquoted(quoted_value(text)) == text);
    CHECK(unquoted(quoted_element(text)) == text);
    for (const char separator : {',', '|'}) CHECK(split_values(quoted_element(text) + separator + quoted_element("x"), separator).size() == 2);
  }
}

TEST_CASE("bytes that are no UTF-8 are found", "[core][text]") {
  CHECK(not_utf8("plain, ü, €, 😀") == std::string::npos);
  CHECK(not_utf8("caf\xe9") == 3);       // Latin-1
  CHECK(not_utf8("\xc3") == 0);          // cut off
  CHECK(not_utf8("\xc0\xaf") == 0);      // longer than needed
  CHECK(not_utf8("\xed\xa0\x80") == 0);  // a surrogate
  CHECK(not_utf8("a\xf5\x80\x80\x80") == 1);
}
