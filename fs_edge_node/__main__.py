# SPDX-License-Identifier: Apache-2.0
"""Run the edge node: ``python -m fs_edge_node``."""

from __future__ import annotations

import sys

from fs_edge_node.node import main

sys.exit(main())
