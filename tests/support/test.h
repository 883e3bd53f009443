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

#include <catch2/catch.hpp>
