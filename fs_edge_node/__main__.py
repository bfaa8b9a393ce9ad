# SPDX-License-Identifier: Apache-2.0
"""Run the edge node: ``python -m fs_edge_node``."""

from __future__ import annotations

import sys

from frankensplit.import_order import forget_current_folder

forget_current_folder()  # before anything else is imported
from fs_edge_node.node import main  # noqa: E402

sys.exit(main())
