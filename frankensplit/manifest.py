# SPDX-License-Identifier: Apache-2.0
"""What ``manifest.json`` and ``labels.json`` of a bundle may say: types, ranges, and names fit to be shown.

Arguments of networks are checked by the families that take them, in ``frankensplit.models``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from frankensplit.errors import BundleError
from frankensplit.kinds import (
    NEXT,
    Allowed,
    FileName,
    Matching,
    Name,
    Number,
    Several,
    Switch,
    Whole,
    check_values,
    shown,
)

MAX_CLASSES = 1 << 16  # of a head; ImageNet-22k has 21,841
MASK_CLASSES = 256  # of a head of masks, whose pixels are bytes
MAX_HEADS = 64
WIDTH = Whole(1, 8192)  # channels; the widest stage that timm has is 3072
NAME = Name(200)
BUNDLE_NAME = FileName(100)  # runs, caches and derived bundles are named after it; a file name has 255 bytes
CLASS_NAME = Name(200)  # ImageNet's longest has 121 characters
HEAD_NAME = r"[a-z][a-z0-9_]{0,63}"  # a part of a topic's name
BYTE = Whole(0, 255)
SERVER: Allowed = {"heads": Several(Matching(HEAD_NAME, "'segmentation'"), 0, MAX_HEADS)}
BACKBONE: Allowed = {"model": NAME}
BLUEPRINT: Allowed = {"family": NAME, "adapter": WIDTH}
LABELS: Allowed = {
    "head": NAME,
    "classes": Several(CLASS_NAME, 1, MAX_CLASSES),
    "colors": Several(Several(BYTE, 3, 3), 0, MAX_CLASSES),
    "ignore": BYTE,
    "frequency": Several(Number(0, 1), 1, MASK_CLASSES),
    "mask_indices": Several(BYTE, 1, MASK_CLASSES),
    "exclusive": Switch(),
}


def check_manifest(manifest: Mapping[str, Any], labels: Mapping[str, Any]) -> None:
    """Refuse a manifest or labels that do not say how to build the server's networks, or whose names steer a terminal.

    Raises:
        BundleError: the text names the value and what is expected.
    """
    check_values("the manifest", manifest, {"name": BUNDLE_NAME}, rest=True)
    _require("the manifest", manifest, "name", "server")
    server = manifest["server"]
    check_values("the manifest's server", server, SERVER, rest=True)
    _require("the manifest's server", server, "backbone", "blueprint", "heads")
    for part, allowed, key in (("backbone", BACKBONE, "model"), ("blueprint", BLUEPRINT, "family")):
        check_values(f"the manifest's {part}", server[part], allowed, rest=True)
        _require(f"the manifest's {part}", server[part], key, "arguments")
        check_values(f"the manifest's {part}: arguments", server[part]["arguments"], {}, rest=True)
    _require("labels.json", labels, *server["heads"])
    for name in server["heads"]:
        _check_labels(f"labels.json: head {name}", labels[name])


def _check_labels(what: str, labels: Any) -> None:
    check_values(what, labels, LABELS, rest=True)
    _require(what, labels, "classes")
    count = len(labels["classes"])
    for key in ("frequency", "mask_indices"):
        if len(labels.get(key, labels["classes"])) != count:
            raise BundleError(f"{what} has {len(labels[key])} values of {key} for {count} classes; {NEXT}")
    if "ignore" in labels and count > MASK_CLASSES:
        raise BundleError(f"{what} has {count} classes, masks have {MASK_CLASSES} at most; {NEXT}")


def _require(what: str, values: Mapping[str, Any], *names: str) -> None:
    if missing := [name for name in names if name not in values]:
        raise BundleError(f"{what} lacks {', '.join(map(shown, missing))}; {NEXT}")
