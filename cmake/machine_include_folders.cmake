# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0

# rosidl exports the include folders of Python and NumPy as absolute paths of the machine that built an interface package.

# The ROS wheels of PyPI therefore name folders that exist nowhere else, and CMake refuses them. Forget those. On a ROS
# installed from apt every folder exists, and nothing changes.
function(drop_missing_include_folders)
  get_property(imported_targets DIRECTORY PROPERTY IMPORTED_TARGETS)
  foreach(target ${imported_targets})
    get_target_property(folders ${target} INTERFACE_INCLUDE_DIRECTORIES)
    if(folders)
      set(existing "")
      foreach(folder ${folders})
        if(NOT IS_ABSOLUTE "${folder}" OR EXISTS "${folder}")
          list(APPEND existing "${folder}")
        endif()
      endforeach()
      set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${existing}")
    endif()
  endforeach()
endfunction()

# Ours would name a virtual environment that may lie in this very checkout, which CMake refuses too: use them, export none.
function(keep_include_folders_private target)
  get_target_property(folders ${target} INTERFACE_INCLUDE_DIRECTORIES)
  set(private "")
  foreach(folder ${folders})
    if(folder MATCHES "^\\$<")
      list(APPEND private "${folder}")
    else()
      list(APPEND private "$<BUILD_INTERFACE:${folder}>")
    endif()
  endforeach()
  set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${private}")
endfunction()
