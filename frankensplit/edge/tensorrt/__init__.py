# SPDX-License-Identifier: Apache-2.0
"""What the runtime ``tensorrt`` is made of: building, keeping and executing engines of TensorRT 10.3 to 11.4.

Engines are built ahead by ``frankensplit export BUNDLE --tensorrt`` and never on the way of a frame. All that is used
of TensorRT's Python module stands in :mod:`.surface`, and of CUDA in :mod:`.cudart`; no other CUDA package is needed.
"""
