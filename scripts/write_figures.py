# SPDX-License-Identifier: Apache-2.0
"""Write measured figures from docs/results/*.json into README.md, between their marks."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from frankensplit.evaluation.card import summary_markdown  # noqa: E402

BLOCK = re.compile(r"(<!-- figures of (\S+\.json) -->\n).*?(<!-- end of figures -->)", re.DOTALL)


def with_figures(text: str) -> str:
    """Return the text with each block replaced by the table of its JSON file."""

    def table(block: re.Match[str]) -> str:
        result = json.loads((ROOT / block[2]).read_text(encoding="utf-8"))
        return block[1] + summary_markdown(result) + block[3]

    return BLOCK.sub(table, text)


def main() -> None:
    """Rewrite README.md."""
    readme = ROOT / "README.md"
    readme.write_text(with_figures(readme.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
