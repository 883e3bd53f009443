// What a plug-in file (my_rule.so) shows to the program that loads it. Written by `mneme_add_plugin` of the CMake package; nobody includes
// this by hand.
//
// The tag is read from the file before any of its code runs: a plug-in of another Mneme, LibTorch or compiler is refused by it.
#pragma once

#include <torch/version.h>

#include "mneme/abi.h"  // MNEME_ABI: release and a digest of the headers that plug-ins compile against

#define MNEME_TEXT_OF(x) MNEME_TEXT_OF_(x)
#define MNEME_TEXT_OF_(x) #x
#if defined(__clang__)
#define MNEME_COMPILER "Clang " MNEME_TEXT_OF(__clang_major__)
#else
#define MNEME_COMPILER "GCC " MNEME_TEXT_OF(__GNUC__)
#endif

#define MNEME_PLUGIN_TAG "Mneme " MNEME_ABI ", LibTorch " TORCH_VERSION ", " MNEME_COMPILER
#define MNEME_PLUGIN_MARK "MNEME-PLUGIN-BUILT-FOR{"

#define MNEME_PLUGIN(statements)                                                                                                     \
  extern "C" __attribute__((visibility("default"), used)) const char mneme_plugin_tag[] = MNEME_PLUGIN_MARK MNEME_PLUGIN_TAG "}";   \
  extern "C" __attribute__((visibility("default"))) void mneme_plugin_register() { statements }
