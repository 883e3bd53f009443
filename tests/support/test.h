// The one way to include Catch. LibTorch defines CHECK and friends too; where it comes later than Catch, tests "pass"
// without asserting anything, so it comes first here and its macros are removed.
#pragma once

#ifdef MNEME_TEST_TORCH
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/utils.h>
#undef CHECK
#undef CHECK_EQ
#undef CHECK_NE
#undef CHECK_LT
#undef CHECK_LE
#undef CHECK_GT
#undef CHECK_GE
#undef FAIL
#undef WARN
#undef INFO
#undef REQUIRE
#endif

#if __has_include(<catch2/catch_all.hpp>)  // Catch2 3, by the names that version 2 has for what the tests use
#ifdef CATCH_CONFIG_EXTERNAL_INTERFACES
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#endif

namespace Catch {
#ifdef CATCH_CONFIG_EXTERNAL_INTERFACES
using TestEventListenerBase = EventListenerBase;
#endif
using Matchers::StartsWith;
inline auto Contains(const std::string& text) { return Matchers::ContainsSubstring(text); }
}  // namespace Catch
using Catch::Approx;
#else
#include <catch2/catch.hpp>
#endif
