# SPDX-License-Identifier: Apache-2.0
"""Write bundles whole or not at all: new ones, and ones that differ from another in some parts of the server only."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from frankensplit.bundle import Bundle, write_manifest
from frankensplit.evaluation.card import HEADING
from frankensplit.models.from_bundle import MEDIANS


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of ``out`` when the block ends well, and goes when it does not.

    Where ``out`` exists, at no moment is a half one there.
    """
    partial, old = (out.with_name(f".{out.name}.{word}") for word in ("partial", "old"))
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    partial.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def derive_bundle(
    source: Bundle,
    out: Path,
    name: str,
    note: str,
    *,
    server: Mapping[str, Any],
    weights: Mapping[str, Mapping[str, Tensor]],
    labels: Mapping[str, Any] | None = None,
) -> None:
    """Write a bundle that is another but for the parts given; the codec and its id stay.

    Args:
        source: the bundle that it derives from.
        out: folder of the new bundle; replaced if it exists, even where it is the source's.
        name: of the new bundle.
        note: paragraph for its card: what was changed, and by which data.
        server: entries of the manifest's ``server`` that are new.
        weights: state of each part that is new: ``blueprint`` (its medians included), ``backbone`` or ``heads``.
        labels: ``labels.json`` where it is new.
    """
    with new_folder(out) as partial:
        shutil.copytree(source.path, partial, dirs_exist_ok=True)
        for part, state in weights.items():
            save_file(as_stored(state), partial / "server" / f"{part}.safetensors")
        if labels is not None:
            write_labels(partial, labels)
        card = (partial / "card.md").read_text(encoding="utf-8").partition(HEADING)[0]
        derived = f"## Derived from `{source.name}`\n{note}\n\n"
        (partial / "card.md").write_text(card + derived + HEADING, encoding="utf-8")
        manifest = {"name": name, "codec_id": source.codec.id_hex, "server": {**source.server, **server}}
        write_manifest(partial, manifest)


def write_labels(folder: Path, labels: Mapping[str, Any]) -> None:
    """Write ``labels.json`` of a bundle, or of the run that one comes from."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "labels.json").write_text(json.dumps(labels, indent=1) + "\n", encoding="utf-8")


def as_stored(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights as bundles store them: half precision, medians and integers as they are, on the CPU."""
    return {
        name: (value.half() if value.is_floating_point() and name != MEDIANS else value).cpu().contiguous()
        for name, value in state.items()
    }
