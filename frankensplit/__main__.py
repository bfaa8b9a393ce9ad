# SPDX-License-Identifier: Apache-2.0
"""``python -m frankensplit`` is the command ``frankensplit``."""

from __future__ import annotations

import sys

from frankensplit.cli import main

sys.exit(main())
