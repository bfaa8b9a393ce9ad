# SPDX-License-Identifier: Apache-2.0
"""Write measured figures from docs/results/*.json into README.md and docs/*.md, between their marks."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from frankensplit.benchmarks import curve, training  # noqa: E402
from frankensplit.evaluation import card  # noqa: E402
from fs_bench import edge  # noqa: E402

BLOCK = re.compile(r"(<!-- figures of (\S+\.json) -->\n).*?(<!-- end of figures -->)", re.DOTALL)


def with_figures(text: str) -> str:
    """Return the text with each block replaced by the table of its JSON file."""

    def table(block: re.Match[str]) -> str:
        result = json.loads((ROOT / block[2]).read_text(encoding="utf-8"))
        return block[1] + _maker(result).summary_markdown(result) + block[3]

    return BLOCK.sub(table, text)


def _maker(result: dict[str, Any]) -> ModuleType:
    if result.get("kind") == "bench edge":
        return edge
    return card if "heads" in result else training if "rows" in result else curve


def main() -> None:
    """Rewrite the pages."""
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        page.write_text(with_figures(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
