# SPDX-License-Identifier: Apache-2.0
"""What the runtime ``tensorrt`` is made of: building, keeping and executing engines of TensorRT 10.3 to 11.4.

Engines are built ahead by ``frankensplit export BUNDLE --tensorrt`` and never between frames. All that is used
of CUDA stands in :mod:`.cudart`, of TensorRT in a table of the tests; no other CUDA package is needed.
"""
