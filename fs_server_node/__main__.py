# SPDX-License-Identifier: Apache-2.0
"""Run the server node: ``python -m fs_server_node``."""

from __future__ import annotations

import sys

from fs_common.ending import take_signals

take_signals()  # before the imports that take time

from fs_server_node.node import main  # noqa: E402

sys.exit(main())
