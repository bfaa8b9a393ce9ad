# SPDX-License-Identifier: Apache-2.0
"""Write config/*.param.yaml from the nodes' parameter tables."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from fs_common.parameters import to_yaml  # noqa: E402
from fs_demo.launch_table import CAMERA  # noqa: E402
from fs_edge_node.launch_table import EDGE  # noqa: E402
from fs_server_node.launch_table import SERVER  # noqa: E402


def main() -> None:
    """Write one file a node."""
    for node in (EDGE, SERVER, CAMERA):
        (ROOT / "config" / node.config_file).write_text(
            to_yaml(node.table, node.executable), encoding="utf-8"
        )


if __name__ == "__main__":
    main()
