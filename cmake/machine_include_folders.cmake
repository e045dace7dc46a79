# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0

# rosidl exports the include folders of Python and NumPy as absolute paths of the machine that built an interface package.

# The ROS wheels of PyPI therefore name folders that do not exist here, which CMake rejects. This function removes them. With
# ROS from apt every folder exists, and nothing changes.
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

# The include folders of this package may lie in a virtual environment inside the checkout, which CMake rejects for export: they are
# used for the build and not exported.
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
