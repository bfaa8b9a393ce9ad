# SPDX-License-Identifier: Apache-2.0
"""Run the server node: ``python -m fs_server_node``."""

from __future__ import annotations

import sys

from fs_server_node.node import main

sys.exit(main())
