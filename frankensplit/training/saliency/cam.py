# SPDX-License-Identifier: Apache-2.0
"""XGradCAM over the deeper stages of a backbone, by the grad-cam package.

From the package: the hooks that collect activations and gradients, the backward pass, and for each stage the cut at
zero, the scaling to 0..1 and the bilinear resize. Ours is what one stage's map is computed by, in torch, because of
what published maps suffer from:

- *Weights* divide by a spatial sum of activations. The formula presumes activations that are never negative; stage
  outputs of ConvNeXt and Swin are signed, their sums come close to zero, and the few channels where they do decide the
  map. So the positive part of the activations is taken, which for ResNet changes nothing, and the denominator is
  guarded.
- *Smoothing* by the first principal component: its sign is arbitrary, here it is fixed, see :func:`principal_maps`.
  All images at once, by the smaller of the two Gram matrices instead of a singular value decomposition each.
- *Flat maps*, of an image without anything to explain, are 0.5 everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from frankensplit.models.backbone import Backbone
from frankensplit.torchvision_import import import_torchvision
from frankensplit.training.saliency.model import SaliencyModel
from frankensplit.training.saliency.scaling import NOISE, unit_range
from frankensplit.training.saliency.targets import Labels, head_scores

import_torchvision()  # must precede grad-cam's own import; its docstring says why
from pytorch_grad_cam.xgrad_cam import XGradCAM  # type: ignore[import-untyped]  # noqa: E402

EPSILON = 1e-7  # least absolute denominator of a weight, as the package adds
TOP_DECILE = 0.1


class StageCam(XGradCAM):  # type: ignore[misc]
    """Maps of one head, from the output of each of the backbone's last stages."""

    def __init__(self, backbone: Backbone, head: nn.Module) -> None:
        self.scores = _Scores(backbone, head)
        super().__init__(self.scores, list(self.scores.taps))

    def maps(self, shallow: Tensor, labels: Labels, size: tuple[int, int]) -> NDArray[np.float32]:
        """Return one map an image, float32 ``(N, *size)`` in 0..1, always finite.

        Args:
            shallow: output of the backbone's shallow layers, ``(N, C, h, w)``.
            labels: true class of each image, None where there is none.
            size: height and width of the maps.
        """
        self.scores.labels, self._size = labels, size
        leaf = shallow.detach().requires_grad_(True)  # a new one: the package's hooks stay on a tensor
        with torch.enable_grad():
            maps: NDArray[np.float32] = self(leaf, [_itself] * len(leaf), eigen_smooth=True)
        self.outputs = None  # lets go of the graph
        return maps

    def get_cam_image(
        self,
        input_tensor: Any,
        target_layer: Any,
        targets: Any,
        activations: NDArray[np.float32],
        grads: NDArray[np.float32] | None,
        eigen_smooth: bool = False,
    ) -> NDArray[np.float32]:
        """Return the signed map of one stage, float32 ``(N, h, w)``: the principal map, or the sum over channels."""
        if grads is None:  # nothing that is explained depends on this stage
            return np.zeros((len(activations), *activations.shape[2:]), np.float32)
        positive = torch.from_numpy(activations).to(self.device).clamp(min=0)
        weights = channel_weights(positive, torch.from_numpy(grads).to(self.device))
        weighted = (weights[..., None, None] * positive).nan_to_num(0.0, 0.0, 0.0)
        maps = principal_maps(weighted) if eigen_smooth else weighted.sum(1)
        return np.asarray(maps.cpu().numpy())

    def get_target_width_height(self, input_tensor: Any) -> tuple[int, int]:
        """Return the size that the package resizes each stage's map to."""
        return self._size[1], self._size[0]

    def aggregate_multi_layers(self, cam_per_target_layer: Any) -> NDArray[np.float32]:
        """Return the mean of the stages' maps, scaled to 0..1."""
        return unit_range(np.concatenate(cam_per_target_layer, axis=1).mean(axis=1))


class HeadMaps:
    """Maps of all heads of a model."""

    def __init__(self, model: SaliencyModel) -> None:
        self.model = model
        self.cams = [StageCam(model.backbone, head) for head in model.heads.values()]

    def __call__(self, frames: Sequence[NDArray[np.uint8]], labels: Labels) -> NDArray[np.float32]:
        """Return the maps of some frames, float32 ``(N, heads, h, w)`` in 0..1.

        Args:
            frames: uint8 RGB ``(H, W, 3)``, all of one size.
            labels: true class of each frame, None where there is none.
        """
        height, width = frames[0].shape[:2]
        geometry = self.model.geometry(height, width)
        prepared = torch.from_numpy(np.stack([geometry.prepare(frame) for frame in frames]))
        backbone = self.model.backbone
        with torch.no_grad():
            shallow = backbone.shallow(backbone.normalise(prepared.to(self.model.device).permute(0, 3, 1, 2)))
        size = self.model.map_size(height, width)
        return np.stack([cam.maps(shallow, labels, size) for cam in self.cams], axis=1)


class _Scores(nn.Module):
    """Shallow features to what is explained of one head, with a tap on each stage's output for the package's hooks."""

    def __init__(self, backbone: Backbone, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        self.taps = nn.ModuleList(nn.Identity() for _ in backbone.channels)
        self.labels: Labels = ()

    def forward(self, shallow: Tensor) -> Tensor:
        # an Identity returns the very tensor that the next stage reads, so its gradient is the whole one
        features = [tap(f) for tap, f in zip(self.taps, self.backbone.tail(shallow), strict=True)]
        return head_scores(self.head, self.head(features), self.labels)


def _itself(score: Tensor) -> Tensor:
    """Return the score: the package's target of an image picks from the model's output, which is chosen already."""
    return score


def channel_weights(activations: Tensor, gradients: Tensor) -> Tensor:
    """Return XGradCAM's weights: sum(gradient * activation) / sum(activation), sums over space.

    Args:
        activations: float ``(N, C, h, w)``.
        gradients: of what is explained by the activations, likewise.

    Returns:
        float ``(N, C)``; the denominator keeps its sign and is at least 1e-7 in size.
    """
    sums = activations.sum((2, 3))
    guard = torch.where(sums < 0, -EPSILON, EPSILON)
    return (gradients * activations).sum((2, 3)) / torch.where(sums.abs() < EPSILON, guard, sums)


def principal_maps(weighted: Tensor) -> Tensor:
    """Return each image's projection of its weighted activations on their first principal component.

    The sign is the one with which the map correlates positively with the plain sum over the channels; where they do
    not correlate at all, the one with which the tenth of the cells that deviate most have a positive sum.

    Args:
        weighted: float ``(N, C, h, w)``.

    Returns:
        float ``(N, h, w)``, its largest size 1; 0 everywhere for an image without contrast.
    """
    matrix = weighted.flatten(2).transpose(1, 2)  # (N, cells, C)
    peak = matrix.abs().amax((1, 2), keepdim=True)
    matrix = matrix / peak.clamp(min=torch.finfo(peak.dtype).tiny)
    matrix = matrix - matrix.mean(1, keepdim=True)
    projection = _orient(_first_projection(matrix), matrix.sum(2))
    size = projection.abs().amax(1, keepdim=True)
    scaled = torch.where(size > NOISE, projection / size, torch.zeros_like(projection))
    return scaled.view(len(weighted), *weighted.shape[2:])


def _first_projection(matrix: Tensor) -> Tensor:
    """Return ``(N, cells)``: rows of ``(N, cells, C)`` projected on the first right singular vector, of either sign."""
    transposed = matrix.transpose(1, 2)
    if matrix.shape[2] <= matrix.shape[1]:
        _, vectors = torch.linalg.eigh(transposed @ matrix)
        projection: Tensor = (matrix @ vectors[:, :, -1:]).squeeze(2)
    else:  # the first left singular vector, times its singular value
        values, vectors = torch.linalg.eigh(matrix @ transposed)
        projection = vectors[:, :, -1] * values[:, -1:].clamp(min=0).sqrt()
    return projection


def _orient(projection: Tensor, plain: Tensor) -> Tensor:
    """Return the projections ``(N, cells)`` with their sign fixed by the plain maps of the same shape, mean 0."""
    agreement = (projection * plain).sum(1)
    tie = agreement.abs() <= NOISE * projection.norm(dim=1) * plain.norm(dim=1)
    strongest = projection.abs().topk(max(1, round(TOP_DECILE * projection.shape[1])), dim=1).indices
    decided = torch.where(tie, projection.gather(1, strongest).sum(1), agreement)
    return torch.where((decided < 0).unsqueeze(1), -projection, projection)
