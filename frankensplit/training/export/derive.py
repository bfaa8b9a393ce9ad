# SPDX-License-Identifier: Apache-2.0
"""Write bundles whole or not at all: new ones, and ones that differ from another in some parts only."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from frankensplit.bundle import BUNDLE, Bundle, Codec, copy_files, write_manifest
from frankensplit.evaluation.card import HEADING
from frankensplit.models.from_bundle import MEDIANS
from frankensplit.writing import new_folder, write_file


def derive_bundle(
    source: Bundle,
    out: Path,
    name: str,
    note: str,
    *,
    server: Mapping[str, Any] = {},
    weights: Mapping[str, Mapping[str, Tensor]] = {},
    labels: Mapping[str, Any] | None = None,
    parts: Callable[[Path], None] | None = None,
) -> None:
    """Write a bundle that is another but for the parts given.

    Args:
        source: the bundle that it derives from.
        out: folder of the new bundle; a bundle there is replaced, even where it is the source.
        name: of the new bundle.
        note: paragraph for its card: what was changed, and by which data.
        server: entries of the manifest's ``server`` that are new.
        weights: state of each part that is new: ``blueprint`` (its medians included), ``backbone`` or ``heads``.
        labels: ``labels.json`` where it is new.
        parts: writes whatever else is new into the folder of the new bundle, which holds the files of the other.
    """
    with new_folder(out, BUNDLE) as partial:
        copy_files(source, partial)
        for part, state in weights.items():
            write_weights(partial, part, state)
        if labels is not None:
            write_labels(partial, labels)
        if parts:
            parts(partial)
        card = (partial / "card.md").read_text(encoding="utf-8").partition(HEADING)[0]
        derived = f"## Derived from `{source.name}`\n{note}\n\n"
        (partial / "card.md").write_text(card + derived + HEADING, encoding="utf-8")
        manifest = {
            "name": name,
            "codec_id": Codec.open(partial).id_hex,
            "server": {**source.server, **server},
        }
        write_manifest(partial, manifest)


def write_labels(folder: Path, labels: Mapping[str, Any]) -> None:
    """Write ``labels.json`` of a bundle, or of the run that one comes from."""
    write_file(folder / "labels.json", json.dumps(labels, indent=1) + "\n")


def write_weights(folder: Path, part: str, state: Mapping[str, Tensor]) -> None:
    """Write the weights of ``blueprint``, ``backbone`` or ``heads`` into a bundle's folder."""
    write_file(folder / "server" / f"{part}.safetensors", save(as_stored(state)))


def as_stored(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights as bundles store them: half precision, medians and integers as they are, on the CPU."""
    return {
        name: (value.half() if value.is_floating_point() and name != MEDIANS else value).cpu().contiguous()
        for name, value in state.items()
    }
