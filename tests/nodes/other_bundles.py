# SPDX-License-Identifier: Apache-2.0
"""Bundles made of the one under test, whose answers differ from its own in a known way."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from node_process import ROOT
from safetensors.torch import load_file, save_file

from frankensplit.bundle import Bundle, codec_id, write_manifest

STREET = ROOT / "bundles" / "street"
CLASSES = 11


def write_twin(folder: Path, name: str) -> Path:
    """Write a bundle of the same codec with masks only, in which class k is called k + 1."""
    shutil.copytree(STREET, folder)
    weights = load_file(STREET / "server" / "heads.safetensors")
    masks = {key: value for key, value in weights.items() if key.startswith("segmentation.")}
    for key in ("segmentation.classify.weight", "segmentation.classify.bias"):
        masks[key] = masks[key].roll(1, 0)
    save_file(masks, folder / "server" / "heads.safetensors")
    _rename(folder, name, heads=["segmentation"])
    return folder


def write_foreign(folder: Path, name: str) -> Path:
    """Write a bundle with the same networks whose codec has another id."""
    shutil.copytree(STREET, folder)
    file = folder / "codec" / "codec.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "encoder": "another"}), encoding="utf-8")
    _rename(folder, name)
    return folder


def _rename(folder: Path, name: str, **server: object) -> None:
    street = Bundle.open(STREET)
    codec = json.loads((folder / "codec" / "codec.json").read_text())
    manifest = {"name": name, "codec_id": codec_id(codec).hex(), "server": {**street.server, **server}}
    write_manifest(folder, manifest)
