# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0

# `. ./env.sh` gives this shell ROS 2 (from apt where it is installed, else from the wheels in .venv), the built package
# and the `mmllm` command. bash and zsh find the checkout from the path of this file, other shells use the current folder.
# It works under `set -eu` too: the setup files of ROS and colcon do not, so -e and -u are off while they run.

if [ -n "${BASH_VERSION:-}" ]; then
  _mmllm_shell=bash
  eval '_mmllm_root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)'
elif [ -n "${ZSH_VERSION:-}" ]; then
  _mmllm_shell=zsh
  eval '_mmllm_root=${${(%):-%x}:A:h}'
else
  _mmllm_shell=sh
  _mmllm_root=$PWD
fi

if [ ! -f "$_mmllm_root/.venv/bin/activate" ] || [ ! -f "$_mmllm_root/install/local_setup.sh" ]; then
  echo "env.sh: nothing is built in $_mmllm_root, run \`make build\` there first" >&2
  unset _mmllm_shell _mmllm_root
  return 1
fi

_mmllm_options=$-
set +eu
if [ -z "${ROS_DISTRO:-}" ]; then
  for _mmllm_distro in jazzy kilted; do
    if [ -f "/opt/ros/$_mmllm_distro/setup.$_mmllm_shell" ]; then
      . "/opt/ros/$_mmllm_distro/setup.$_mmllm_shell"
      break
    fi
  done
  unset _mmllm_distro
fi
. "$_mmllm_root/.venv/bin/activate"
if [ -z "${ROS_DISTRO:-}" ]; then
  export AMENT_PREFIX_PATH="$VIRTUAL_ENV" CMAKE_PREFIX_PATH="$VIRTUAL_ENV"
fi
COLCON_CURRENT_PREFIX="$_mmllm_root/install"
. "$_mmllm_root/install/local_setup.$_mmllm_shell"
case $_mmllm_options in *e*) set -e ;; esac
case $_mmllm_options in *u*) set -u ;; esac
unset _mmllm_shell _mmllm_root _mmllm_options COLCON_CURRENT_PREFIX
