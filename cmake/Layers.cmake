set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
# One OpenMP runtime only: the folder of LibTorch's own libgomp comes first in the search path of our programs.
get_filename_component(MNEME_TORCH_LIB_DIR "${TORCH_LIBRARY}" DIRECTORY)
set(CMAKE_BUILD_RPATH ${MNEME_TORCH_LIB_DIR})

# Code version for provenance, made anew whenever the commit changes.
add_custom_target(mneme_version_header
  COMMAND ${CMAKE_COMMAND} -DSOURCE=${CMAKE_SOURCE_DIR} -DOUTPUT=${CMAKE_BINARY_DIR}/generated/mneme_version.h
          -DVERSION=${PROJECT_VERSION} -P ${CMAKE_SOURCE_DIR}/cmake/Version.cmake
  BYPRODUCTS ${CMAKE_BINARY_DIR}/generated/mneme_version.h VERBATIM)

# What a plug-in must have been built with: the release, and a digest of every header that it may include.
file(GLOB_RECURSE MNEME_ABI_HEADERS CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/include/*.h ${CMAKE_SOURCE_DIR}/src/*.h)
set_property(DIRECTORY ${CMAKE_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${MNEME_ABI_HEADERS})
set(digests)
foreach(header ${MNEME_ABI_HEADERS})
  file(SHA256 ${header} digest)
  string(APPEND digests ${digest})
endforeach()
string(SHA256 MNEME_ABI_DIGEST "${digests}")
string(SUBSTRING ${MNEME_ABI_DIGEST} 0 12 MNEME_ABI_DIGEST)
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/include/mneme/abi.h CONTENT
     "// Written by cmake/Layers.cmake.\n#pragma once\n#define MNEME_ABI \"${PROJECT_VERSION}+${MNEME_ABI_DIGEST}\"\n")

# Warnings and sanitizers for our own targets only.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  set(MNEME_COMPILER_WARNINGS -Wno-restrict -Wno-stringop-overflow)
else()  # Clang knows not all names that GCC does, and tells of every loop it could not vectorise
  set(MNEME_COMPILER_WARNINGS -Wno-unknown-warning-option -Wno-pass-failed)
endif()
function(mneme_target name)
  target_compile_options(${name} PRIVATE -Wall -Wextra -Wshadow -fopenmp ${MNEME_COMPILER_WARNINGS})
  if(MNEME_WERROR)
    # GCC 12 warns falsely of inlined standard strings: those stay warnings.
    target_compile_options(${name} PRIVATE -Werror -Wno-error=array-bounds -Wno-error=stringop-overread
                           -Wno-error=maybe-uninitialized)
  endif()
  if(MNEME_SANITIZE)
    target_compile_options(${name} PRIVATE -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
    target_link_options(${name} PRIVATE -fsanitize=address,undefined)
  endif()
  if(MNEME_FUZZ)
    target_compile_options(${name} PRIVATE -fsanitize=fuzzer-no-link)
  endif()
endfunction()

# One precompiled header of LibTorch, shared by every target that needs it: what our sources use of it (torch/torch.h would
# double the time of each file). Position-independent everywhere, as the PyTorch operators must be, so that it fits them too.
add_compile_options(-fPIC)
add_library(mneme_torch INTERFACE)
target_include_directories(mneme_torch SYSTEM INTERFACE ${CMAKE_SOURCE_DIR}/cmake/lean ${TORCH_INCLUDE_DIRS})
target_link_libraries(mneme_torch INTERFACE ${TORCH_LIBRARIES})
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  target_link_options(mneme_torch INTERFACE -fopenmp)  # its own runtime has the names of GNU's too, and comes first
endif()
if(EXISTS ${MNEME_TORCH_LIB_DIR}/libgomp.so.1)
  target_link_libraries(mneme_torch INTERFACE ${MNEME_TORCH_LIB_DIR}/libgomp.so.1)
else()
  target_link_libraries(mneme_torch INTERFACE gomp)
endif()
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/pch.cpp CONTENT "// Carries the precompiled header.\n")
add_library(mneme_pch OBJECT ${CMAKE_BINARY_DIR}/generated/pch.cpp)
target_link_libraries(mneme_pch PUBLIC mneme_torch)
target_precompile_headers(mneme_pch PRIVATE <ATen/ATen.h> <ATen/CPUGeneratorImpl.h> <ATen/Parallel.h>
                          <torch/csrc/autograd/custom_function.h> <torch/nn/module.h>)
mneme_target(mneme_pch)

# What the precompiled header holds takes seconds in every source that has it (templates it leaves to be made), so only those get it
# that reach LibTorch's large headers, by themselves or through ours (looked up once, at configuration; a wrong answer costs time, never
# correctness).
function(mneme_reaches_torch file result)
  get_property(known GLOBAL PROPERTY "mneme_torch:${file}")
  if("${known}" STREQUAL "")
    set_property(GLOBAL PROPERTY "mneme_torch:${file}" NO)  # ends cycles
    set(known NO)
    file(STRINGS ${file} includes REGEX "^#include")
    if(includes MATCHES "<(ATen/ATen\\.h|torch/)")
      set(known YES)
    else()
      string(REGEX MATCHALL "\"[^\"]+\"" names "${includes}")
      foreach(name ${names})
        string(REPLACE "\"" "" name ${name})
        foreach(folder include src .)
          if(NOT known AND EXISTS ${CMAKE_SOURCE_DIR}/${folder}/${name})
            mneme_reaches_torch(${CMAKE_SOURCE_DIR}/${folder}/${name} known)
          endif()
        endforeach()
      endforeach()
    endif()
    set_property(GLOBAL PROPERTY "mneme_torch:${file}" ${known})
  endif()
  set(${result} ${known} PARENT_SCOPE)
endfunction()

function(mneme_torch_pch target)
  target_precompile_headers(${target} REUSE_FROM mneme_pch)
  get_target_property(sources ${target} SOURCES)
  list(FILTER sources INCLUDE REGEX "\\.cpp$")
  foreach(source ${sources})
    mneme_reaches_torch(${source} torch)
    if(NOT torch)
      set_source_files_properties(${source} PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
    endif()
  endforeach()
endfunction()

# Several sources in one compilation: LibTorch's headers cost seconds in each. Sources of a folder therefore share their unnamed namespaces,
# and what stands in these needs a name of its own. -DMNEME_UNITY=OFF compiles every source alone, for who works on a few.
option(MNEME_UNITY "Compile several sources together" ON)
function(mneme_unity target together)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ${MNEME_UNITY} UNITY_BUILD_BATCH_SIZE ${together})
endfunction()

# mneme_layer(NAME folder… [TORCH] USES target…): a static library of the folders' sources, without their subfolders.
function(mneme_layer name)
  cmake_parse_arguments(ARG "TORCH" "" "USES" ${ARGN})
  set(sources)
  foreach(folder ${ARG_UNPARSED_ARGUMENTS})
    file(GLOB found CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${folder}/*.cpp)
    list(APPEND sources ${found})
  endforeach()
  add_library(mneme_${name} STATIC ${sources})
  mneme_unity(mneme_${name} 6)
  target_include_directories(mneme_${name} PUBLIC ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}/generated/include)
  target_link_libraries(mneme_${name} PUBLIC ${ARG_USES})
  mneme_target(mneme_${name})
  if(ARG_TORCH)
    target_link_libraries(mneme_${name} PUBLIC mneme_torch)
    mneme_torch_pch(mneme_${name})
  endif()
  set_property(GLOBAL APPEND PROPERTY MNEME_LAYERS mneme_${name})
  # What tests/unit/base/test_layers.cpp holds the sources to: "name torch|plain; folders; layers used".
  set(uses ${ARG_USES})
  list(FILTER uses INCLUDE REGEX "^mneme_")
  list(JOIN ARG_UNPARSED_ARGUMENTS " " folders)
  list(JOIN uses " " uses)
  string(REPLACE "mneme_" "" uses "${uses}")
  set_property(GLOBAL APPEND_STRING PROPERTY MNEME_LAYER_GRAPH "${name} $<IF:$<BOOL:${ARG_TORCH}>,torch,plain> | ${folders} | ${uses}\n")
endfunction()

# mneme_engine(NAME lanes flags…): src/kernels/engine compiled for one instruction set, an object file of the kernels. Which processor
# may run it is asked in src/kernels/dispatch.cpp.
function(mneme_engine name lanes)
  add_library(mneme_engine_${name} OBJECT ${CMAKE_SOURCE_DIR}/src/kernels/engine/table.cpp)
  target_include_directories(mneme_engine_${name} PRIVATE ${CMAKE_SOURCE_DIR}/src)
  target_compile_definitions(mneme_engine_${name} PRIVATE MNEME_ENGINE=${name} MNEME_LANES=${lanes})
  mneme_target(mneme_engine_${name})
  target_compile_options(mneme_engine_${name} PRIVATE ${ARGN})
  if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")  # vectors lie anywhere: Clang forgets in templates that their type says so
    target_compile_options(mneme_engine_${name} PRIVATE -fmax-type-align=4)
  endif()
  target_sources(mneme_kernels PRIVATE $<TARGET_OBJECTS:mneme_engine_${name}>)
  set_property(GLOBAL APPEND PROPERTY MNEME_ENGINES mneme_engine_${name})
endfunction()

# mneme_plugins(KIND KINDS folder TARGET t TYPE registry HEADER h): writes `register_<kinds>()`, which h declares; it calls
# `register_<kind>_<file>(registry)` of every file in the folder.
function(mneme_plugins kind kinds folder)
  cmake_parse_arguments(ARG "" "TARGET;TYPE;HEADER" "" ${ARGN})
  file(GLOB found CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${folder}/*.cpp)
  set(declarations)
  set(calls)
  foreach(source ${found})
    get_filename_component(stem ${source} NAME_WE)
    string(APPEND declarations "void register_${kind}_${stem}(${ARG_TYPE}&);\n")
    string(APPEND calls "  register_${kind}_${stem}(${ARG_TYPE}::instance());\n")
  endforeach()
  set(output ${CMAKE_BINARY_DIR}/generated/register_${kinds}.cpp)
  if(NOT found)
    return()
  endif()
  file(CONFIGURE OUTPUT ${output} CONTENT
"// Written by cmake/Layers.cmake from the files of ${folder}/.
#include \"${ARG_HEADER}\"
namespace mneme {
${declarations}
void register_${kinds}() {
  static const bool done = [] {
${calls}    return true;
  }();
  static_cast<void>(done);
}
}  // namespace mneme
")
  target_sources(${ARG_TARGET} PRIVATE ${output})
  set(header ${CMAKE_SOURCE_DIR}/include/${ARG_HEADER})
  if(NOT EXISTS ${header})
    set(header ${CMAKE_SOURCE_DIR}/src/${ARG_HEADER})
  endif()
  mneme_reaches_torch(${header} torch)
  if(NOT torch)
    set_source_files_properties(${output} PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
  endif()
endfunction()
