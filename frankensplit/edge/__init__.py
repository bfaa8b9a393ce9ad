# SPDX-License-Identifier: Apache-2.0
"""The robot's side: camera image to packet. Needs numpy, OpenCV and one inference runtime; never torch."""

from __future__ import annotations

import os

# ONNX Runtime keeps a number of the device in the user's cache and reports to its maker, unless this is set before it
# is imported; where the cache cannot be written, it complains at each start.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
