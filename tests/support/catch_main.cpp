// Catch's own main, alone in its file because it is slow to compile. Catch2 3 brings a compiled one (tests/CMakeLists.txt).
#if !__has_include(<catch2/catch_all.hpp>)
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
#endif
