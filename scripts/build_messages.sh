#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Build the interface packages with colcon: build_messages.sh VENV wheels|sourced
#   wheels   fs_msgs and the stand-in vision_msgs, installed into the environment: nothing to source afterwards
#   sourced  fs_msgs, as an overlay of the sourced ROS 2 in VENV/ros/install
set -eu
venv=$(cd "$1" && pwd)
work=$venv/messages

build() {
    colcon --log-base "$work/log" --log-level error build --build-base "$work/build" "$@" \
        --event-handlers console_direct- --cmake-args -DBUILD_TESTING=OFF
}

if [ "$2" = wheels ]; then
    # Not by bin/activate: that of some Pythons reads variables that this shell need not have.
    export VIRTUAL_ENV="$venv" PATH="$venv/bin:$PATH"
    unset PYTHONHOME ROS_DISTRO AMENT_CURRENT_PREFIX || true
    export AMENT_PREFIX_PATH="$venv" CMAKE_PREFIX_PATH="$venv" CMAKE_GENERATOR=Ninja
    build --base-paths fs_msgs interfaces/vision_msgs --merge-install --install-base "$venv"
else
    build --base-paths fs_msgs --install-base "$venv/ros/install"
fi
