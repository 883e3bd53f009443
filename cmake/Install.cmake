# `cmake --install`: the program, the library, the headers that plug-ins compile against, and the CMake package with mneme_add_plugin().
include(GNUInstallDirs)
set(MNEME_TORCH_INCLUDES ${TORCH_INCLUDE_DIRS})
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/package/mneme-config.cmake @ONLY CONTENT
"# find_package(mneme): the library mneme::mneme and mneme_add_plugin(NAME source…). Written by cmake/Install.cmake.
get_filename_component(MNEME_PREFIX \"\${CMAKE_CURRENT_LIST_DIR}/../../..\" ABSOLUTE)
set(MNEME_TORCH_INCLUDE_DIRS \"@MNEME_TORCH_INCLUDES@\")
foreach(folder \${MNEME_TORCH_INCLUDE_DIRS})
  if(NOT EXISTS \${folder})
    message(FATAL_ERROR \"mneme: the LibTorch this Mneme was built with is not there any more (\${folder}): build and install Mneme again\")
  endif()
endforeach()
if(NOT TARGET mneme::mneme)
  add_library(mneme::mneme SHARED IMPORTED)
  set_target_properties(mneme::mneme PROPERTIES IMPORTED_LOCATION \${MNEME_PREFIX}/@CMAKE_INSTALL_LIBDIR@/libmneme.so
    INTERFACE_INCLUDE_DIRECTORIES \"\${MNEME_PREFIX}/include;\${MNEME_PREFIX}/include/mneme/internal\"
    INTERFACE_SYSTEM_INCLUDE_DIRECTORIES \"\${MNEME_PREFIX}/include/mneme/lean;\${MNEME_TORCH_INCLUDE_DIRS}\")
  target_include_directories(mneme::mneme SYSTEM INTERFACE \${MNEME_PREFIX}/include/mneme/lean \${MNEME_TORCH_INCLUDE_DIRS})
  target_compile_features(mneme::mneme INTERFACE cxx_std_20)
endif()
set(MNEME_PROGRAM \${MNEME_PREFIX}/@CMAKE_INSTALL_BINDIR@/mneme)
set(MNEME_CONFORMANCE \${MNEME_PREFIX}/@CMAKE_INSTALL_BINDIR@/mneme_conformance)
include(\${CMAKE_CURRENT_LIST_DIR}/MnemePlugin.cmake)
")

# What `mneme new` writes is compiled in: template_text of src/cli/program.h.
file(GLOB templates CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/cmake/templates/*)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${templates})
set(entries)
foreach(file ${templates})
  get_filename_component(name ${file} NAME)
  file(READ ${file} text)
  string(APPEND entries "      {\"${name}\", R\"mneme(${text})mneme\"},\n")
endforeach()
set(text "// Written by cmake/Install.cmake from the files of cmake/templates/.
#include \"cli/program.h\"

#include <map>

#include \"base/assert.h\"

namespace mneme {

const std::string& template_text(const std::string& file) {
  static const std::map<std::string, std::string> all{
${entries}  };
  MNEME_ASSERT(all.count(file) == 1);
  return all.at(file);
}

}  // namespace mneme
")
set(old)
if(EXISTS ${CMAKE_BINARY_DIR}/generated/templates.cpp)
  file(READ ${CMAKE_BINARY_DIR}/generated/templates.cpp old)
endif()
if(NOT "${old}" STREQUAL "${text}")
  file(WRITE ${CMAKE_BINARY_DIR}/generated/templates.cpp "${text}")
endif()
target_sources(mneme_cli PRIVATE ${CMAKE_BINARY_DIR}/generated/templates.cpp)
set_source_files_properties(${CMAKE_BINARY_DIR}/generated/templates.cpp PROPERTIES SKIP_PRECOMPILE_HEADERS ON SKIP_UNITY_BUILD_INCLUSION ON)

get_property(layers GLOBAL PROPERTY MNEME_LAYERS)
get_property(engines GLOBAL PROPERTY MNEME_ENGINES)
add_library(mneme_shared SHARED)
foreach(objects ${layers} ${engines})
  target_sources(mneme_shared PRIVATE $<TARGET_OBJECTS:${objects}>)
endforeach()
target_link_libraries(mneme_shared PRIVATE mneme_torch hdf5 OpenSSL::Crypto Boost::program_options ${CMAKE_DL_LIBS})
target_link_options(mneme_shared PRIVATE -fopenmp)
set_target_properties(mneme_shared PROPERTIES OUTPUT_NAME mneme LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR} LINKER_LANGUAGE CXX
                      INSTALL_RPATH "$ORIGIN;${MNEME_TORCH_LIB_DIR}")
set_target_properties(mneme PROPERTIES INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR};${MNEME_TORCH_LIB_DIR}")
install(TARGETS mneme mneme_shared RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/ ${CMAKE_BINARY_DIR}/generated/include/ DESTINATION include FILES_MATCHING PATTERN "*.h")
install(DIRECTORY src/ DESTINATION include/mneme/internal FILES_MATCHING PATTERN "*.h" PATTERN "engine" EXCLUDE)
install(DIRECTORY cmake/lean/ DESTINATION include/mneme/lean)
install(FILES ${CMAKE_BINARY_DIR}/package/mneme-config.cmake cmake/MnemePlugin.cmake DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/mneme)
