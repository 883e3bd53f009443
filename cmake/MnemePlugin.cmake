# mneme_add_plugin(my_rule my_rule.cpp …): builds my_rule.so of sources that define register_memory_<x>(MemoryRegistry&),
# register_block_<x>(BlockRegistry&) or register_task_<x>(TaskRegistry&), as files of Mneme's own memory/, src/models/blocks/ and
# src/tasks/ do. `mneme run x.ini --plugin my_rule.so` loads it.
function(mneme_add_plugin name)
  set(declarations)
  set(calls)
  foreach(source ${ARGN})
    get_filename_component(path ${source} ABSOLUTE)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${path})
    file(STRINGS ${path} lines REGEX "void register_(memory|block|task)_[A-Za-z0-9_]+")
    foreach(line ${lines})
      string(REGEX MATCH "register_(memory|block|task)_[A-Za-z0-9_]+" function "${line}")
      string(REGEX REPLACE "register_(memory|block|task)_.*" "\\1" kind "${function}")
      set(memory Memory)
      set(block Block)
      set(task Task)
      string(APPEND declarations "void ${function}(${${kind}}Registry&);\n")
      string(APPEND calls "mneme::${function}(mneme::${${kind}}Registry::instance()); ")
    endforeach()
  endforeach()
  if(NOT calls)
    message(FATAL_ERROR "mneme_add_plugin(${name}): none of its sources defines register_memory_…, register_block_… or register_task_…")
  endif()
  set(entry ${CMAKE_CURRENT_BINARY_DIR}/${name}_plugin.cpp)
  file(CONFIGURE OUTPUT ${entry} @ONLY CONTENT
"// Written by mneme_add_plugin.
#include \"mneme/model.h\"
#include \"mneme/plugin.h\"
#include \"mneme/task.h\"
namespace mneme {
@declarations@}
MNEME_PLUGIN(@calls@)
")
  add_library(${name} MODULE ${ARGN} ${entry})
  set_target_properties(${name} PROPERTIES PREFIX "" CXX_STANDARD 20 CXX_STANDARD_REQUIRED ON CXX_EXTENSIONS OFF)
  target_link_libraries(${name} PRIVATE mneme::mneme)
endfunction()
