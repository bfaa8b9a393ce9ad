# SPDX-License-Identifier: Apache-2.0
"""A bundle whose frames are small, so that tests that train it on are short."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from frankensplit.bundle import Bundle, codec_id, write_manifest


def write_small(source: Path, folder: Path, size: tuple[int, int]) -> Bundle:
    """Copy a bundle for frames of this height and width; the folder's name is its name."""
    shutil.copytree(source, folder)
    path = folder / "codec" / "codec.json"
    codec = json.loads(path.read_text()) | {"nominal_height": size[0], "nominal_width": size[1]}
    path.write_text(json.dumps(codec))
    server = Bundle.open(source).server
    write_manifest(folder, {"name": folder.name, "codec_id": codec_id(codec).hex(), "server": server})
    return Bundle.open(folder)
