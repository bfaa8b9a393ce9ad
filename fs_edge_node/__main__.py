# SPDX-License-Identifier: Apache-2.0
"""Run the edge node: ``python -m fs_edge_node``."""

from __future__ import annotations

from frankensplit.import_order import forget_current_folder

forget_current_folder()  # must precede all other imports
from fs_common.ending import end_now, take_signals  # noqa: E402
from fs_common.importing import imports_for  # noqa: E402

take_signals()  # must precede the imports that take time
with imports_for("edge"):
    from fs_edge_node.node import main

end_now(main())
