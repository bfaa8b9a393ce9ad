# SPDX-License-Identifier: Apache-2.0
"""The robot's side: camera image to packet. Needs numpy, OpenCV and one inference runtime; never torch."""

from __future__ import annotations

import os

# This must be set before the import: otherwise ONNX Runtime stores a device id in the user's cache and sends reports to
# its maker, and it warns at each start if the cache cannot be written.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
