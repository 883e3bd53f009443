# Everything Mneme links. Nothing is downloaded here; scripts/setup.sh installs what is missing.
# A CUDA build of LibTorch has what it needs at run time beside it, but its package file asks for a CUDA toolkit, without which what we
# compile does very well: then its libraries are named here.
find_library(MNEME_TORCH_CUDA torch_cuda HINTS ${CMAKE_PREFIX_PATH} PATH_SUFFIXES lib ../../lib NO_DEFAULT_PATH)
find_program(NVCC nvcc PATHS /usr/local/cuda/bin)
if(MNEME_TORCH_CUDA AND NOT NVCC)
  get_filename_component(lib ${MNEME_TORCH_CUDA} DIRECTORY)
  get_filename_component(root ${lib} DIRECTORY)
  set(TORCH_LIBRARY ${lib}/libtorch.so)
  set(TORCH_LIBRARIES -Wl,--no-as-needed,--allow-shlib-undefined ${TORCH_LIBRARY} ${lib}/libtorch_cpu.so ${lib}/libc10.so -Wl,--as-needed)
  set(TORCH_INCLUDE_DIRS ${root}/include ${root}/include/torch/csrc/api/include)
else()
  find_package(Torch REQUIRED)
endif()
find_package(Boost 1.74 REQUIRED COMPONENTS program_options)
# Boost.Math, the distributions of src/report/statistics.cpp: headers alone. Debian has them in libboost1.74-dev, which
# libboost-program-options-dev brings; where Boost comes in parts, its maths part is needed too.
get_target_property(boost_folders Boost::headers INTERFACE_INCLUDE_DIRECTORIES)
find_file(MNEME_BOOST_MATH boost/math/distributions/hypergeometric.hpp HINTS ${boost_folders} NO_CACHE)
if(NOT MNEME_BOOST_MATH)
  message(FATAL_ERROR "Boost is there without Boost.Math (boost/math/distributions/hypergeometric.hpp, looked for in ${boost_folders}): "
                      "install its headers (Debian: libboost-math-dev)")
endif()
find_package(HDF5 REQUIRED COMPONENTS C HL)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(Threads REQUIRED)
if(MNEME_TESTS)
  find_package(Catch2 REQUIRED)
endif()

# fmt is used header-only: LibTorch's include folder carries its own fmt, and compiling against one version while linking
# another fails. HDF5's variables become a target.
add_library(hdf5 INTERFACE)
target_include_directories(hdf5 SYSTEM INTERFACE ${HDF5_INCLUDE_DIRS})
target_link_libraries(hdf5 INTERFACE ${HDF5_C_HL_LIBRARIES} ${HDF5_C_LIBRARIES})
target_compile_definitions(hdf5 INTERFACE H5_USE_110_API)

# Optional: the program's allocator (src/base/allocator.h); not under sanitizers, which bring their own.
find_library(JEMALLOC_LIBRARY jemalloc)

# Optional: what bench measures the machine's peak with, beside the BLAS.
find_path(LIBXSMM_INCLUDE_DIR libxsmm.h)
find_library(LIBXSMM_LIBRARY xsmm)

find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_DEPEND=1 CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${CCACHE})
endif()
