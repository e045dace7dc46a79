# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0

# Install an executable NAME, made from a TEMPLATE, that calls main() of a Python MODULE, with the interpreter that built
# the package: a node needs the packages of that virtual environment, whatever `python3` is on the robot.
function(install_command template name module destination)
  set(script ${CMAKE_CURRENT_BINARY_DIR}/commands/${destination}/${name})
  configure_file(${CMAKE_CURRENT_SOURCE_DIR}/cmake/${template}.py.in ${script} @ONLY
    FILE_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
  install(PROGRAMS ${script} DESTINATION ${destination})
endfunction()
