# SPDX-License-Identifier: Apache-2.0
"""A trained backbone with its heads, from a bundle or from the run that trained it, as saliency maps need it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from frankensplit.bundle import Bundle, canonical_json
from frankensplit.geometry import MULTIPLE, Geometry
from frankensplit.models.backbone import Backbone, freeze
from frankensplit.models.encoder import STRIDE
from frankensplit.models.from_bundle import load_backbone, load_heads
from frankensplit.models.placement import place
from frankensplit.places import user_path
from frankensplit.training.loop.checkpoint import CHECKPOINT
from frankensplit.training.tasks.teacher import Teacher, teacher_of_run

METHOD = "xgradcam-1"  # changes when maps of the same model and image would


@dataclass(frozen=True)
class SaliencyModel:
    """Backbone and heads, frozen.

    Args:
        name: names the model's folder in a cache, beside its key.
        backbone: the trained backbone.
        heads: modules that map its features to raw output, with ``kind``, ``threshold`` and ``labels``.
        spec: what the backbone was built from.
        nominal: height and width of the box that frames are scaled to fit; None leaves them as they are.
        multiple: the padded sides are multiples of this many pixels.
        device: torch device.
    """

    name: str
    backbone: Backbone
    heads: Mapping[str, Any]
    spec: Mapping[str, Any]
    nominal: tuple[int, int] | None = None
    multiple: int = MULTIPLE
    device: str = "cpu"

    def __post_init__(self) -> None:
        for module in (self.backbone, *self.heads.values()):
            place(freeze(module), self.device)

    @classmethod
    def of_bundle(cls, bundle: Bundle, device: str = "cpu") -> SaliencyModel:
        """Take a bundle's backbone and heads.

        Raises:
            BundleError: the weights do not fit the networks that the manifest names.
        """
        backbone = load_backbone(bundle)
        codec, spec = bundle.codec, bundle.server["backbone"]
        nominal = codec.nominal_height, codec.nominal_width
        multiple = int(codec.manifest["multiple"])
        return cls(bundle.name, backbone, load_heads(bundle, backbone), spec, nominal, multiple, device)

    @classmethod
    def of_teacher(cls, teacher: Teacher, device: str = "cpu") -> SaliencyModel:
        """Take the networks of a teacher; frames keep their size."""
        spec = teacher.backbone.as_built
        heads = dict(teacher.task.heads.items())
        return cls(teacher.name, teacher.task.backbone, heads, spec, device=device)

    @cached_property
    def key(self) -> str:
        """What maps depend on besides the image, as 64 hex digits: method, weights, heads, sizes."""
        about = {
            "method": METHOD,
            "spec": dict(self.spec),
            "heads": {
                name: [head.kind, head.threshold, bool(head.labels.get("exclusive"))]
                for name, head in self.heads.items()
            },
            "nominal": self.nominal,
            "multiple": self.multiple,
        }
        digest = hashlib.sha256(canonical_json(about))
        for module in (self.backbone, *self.heads.values()):
            for name, value in sorted(module.state_dict().items()):
                digest.update(f"{name} {value.dtype} {tuple(value.shape)};".encode())
                digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def geometry(self, height: int, width: int) -> Geometry:
        """Return how a frame of this size is scaled and padded for the backbone."""
        return Geometry(height, width, *(self.nominal or (height, width)), self.multiple)

    def map_size(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of the map of a frame of this size: those of its latent."""
        geometry = self.geometry(height, width)
        return geometry.padded_height // STRIDE, geometry.padded_width // STRIDE

    def map_extent(self, height: int, width: int) -> tuple[float, float]:
        """Return how many rows and columns of the map cover the frame; the others cover its padding."""
        geometry = self.geometry(height, width)
        return geometry.scaled_height / STRIDE, geometry.scaled_width / STRIDE


def open_model(bundle_or_run: str, device: str = "cpu") -> SaliencyModel:
    """Open a bundle by folder or installed name, or a backbone run by its folder.

    Raises:
        BundleError: there is neither.
        RecipeError: the run is not a backbone run.
    """
    folder = user_path(bundle_or_run)
    if (folder / CHECKPOINT).is_file():
        return SaliencyModel.of_teacher(teacher_of_run(folder), device)
    return SaliencyModel.of_bundle(Bundle.open(bundle_or_run), device)
