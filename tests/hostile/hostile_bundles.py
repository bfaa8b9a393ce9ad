# SPDX-License-Identifier: Apache-2.0
"""A small whole bundle, and ways to change it that keep every hash right."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tiny_codec import write_codec

from frankensplit.bundle import Codec, sha256_of, write_manifest

LABELS = {
    "segmentation": {"classes": ["Sky", "Road"], "colors": [[0, 0, 255], [9, 9, 9]], "ignore": 255},
    "detections": {"classes": ["car"], "mask_indices": [1]},
}
SERVER = {
    "backbone": {"model": "convnext_atto", "arguments": {"ls_init_value": 0.5}},
    "blueprint": {"family": "convnext", "arguments": {"widths": [64]}, "adapter": 8},
    "heads": list(LABELS),
}


def write_bundle(folder: Path) -> Path:
    """Write a bundle whose server parts are small files of any content."""
    write_codec(folder / "codec")
    (folder / "server").mkdir()
    for part in ("blueprint", "backbone", "heads"):
        (folder / "server" / f"{part}.safetensors").write_bytes(part.encode())
    (folder / "labels.json").write_text(json.dumps(LABELS), encoding="utf-8")
    (folder / "card.md").write_text("# toy\n", encoding="utf-8")
    sign(folder)
    return folder


def sign(folder: Path, **changed: Any) -> None:
    """List every file with the hash that it has now, as somebody who wants the bundle to open would."""
    try:
        codec_id = Codec.open(folder / "codec").id_hex
    except Exception:  # what is wrong with the codec is what a test is about
        codec_id = "0" * 16
    write_manifest(folder, {"name": "toy", "codec_id": codec_id, "server": SERVER, **changed})


def change_json(file: Path, change: Callable[[Any], None]) -> None:
    """Change the content of a JSON file in place."""
    value = json.loads(file.read_text(encoding="utf-8"))
    change(value)
    file.write_text(json.dumps(value), encoding="utf-8")


def replace_file(codec: Path, name: str, key: str, data: bytes) -> None:
    """Replace a file of a codec, and its hash in ``codec.json``."""
    (codec / name).write_bytes(data)
    change_json(codec / "codec.json", lambda value: value.update({key: sha256_of(codec / name)}))
