# SPDX-License-Identifier: Apache-2.0
"""EfficientNet and its kin of one builder in timm (EfficientNet-Lite, MobileNet V2 and V3): cut at stride 8.

The shallow features are the output of the last stage of stride 8, after its projection, which no activation follows.
The tail is all stages of stride 16, then those of stride 32. Padding stays as trained: TensorFlow's networks pad one
side more than the other, depending on the size of the image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from frankensplit.models.arguments import CLASSES, RATE
from frankensplit.models.backbone import Parts

TIMM_FILE = ("efficientnet", "mobilenetv3")
STRIDE = 8
ARGUMENTS = {"num_classes": CLASSES, "drop_rate": RATE, "drop_path_rate": RATE}
STRIDES = (8, 16, 32)
FOREIGN = (
    "_conv_stem.weight"  # the first weights of PyTorch's ports of Google's release; their other names follow
)
OUTSIDE = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
NOT_EXPANDING = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_se_reduce": "se.conv_reduce",
    "_se_expand": "se.conv_expand",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
EXPANDING = NOT_EXPANDING | {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def cut(network: Any) -> Parts:
    """Cut; the network's own classifier begins with the convolution behind its last stage."""
    last_of = {info["reduction"]: info for info in network.feature_info}
    kept = [last_of[stride] for stride in STRIDES if stride in last_of]
    first, second, _ = (info["stage"] for info in kept)
    blocks = network.blocks
    return Parts(
        shallow=nn.Sequential(network.conv_stem, network.bn1, *blocks[:first]),
        tail=[blocks[first:second], blocks[second:]],
        channels=[info["num_chs"] for info in kept],
        strides=[info["reduction"] for info in kept],
        classifier=_after(network, "blocks"),
    )


def convert(weights: Mapping[str, Tensor], network: Any) -> dict[str, Tensor]:
    """Return weights under timm's names, also those of a PyTorch port of Google's release."""
    if FOREIGN not in weights:
        return dict(weights)
    places = [f"blocks.{i}.{j}" for i, stage in enumerate(network.blocks) for j in range(len(stage))]
    return {_renamed(name, places, weights): value for name, value in weights.items()}


def _renamed(name: str, places: Sequence[str], weights: Mapping[str, Tensor]) -> str:
    """Translate a port's name. Its blocks are numbered through all stages: ``places`` are timm's, in that order."""
    first, _, rest = name.partition(".")
    if first != "_blocks":
        return f"{OUTSIDE.get(first, first)}.{rest}"
    number, _, rest = rest.partition(".")
    part, _, rest = rest.partition(".")
    expands = f"_blocks.{number}._expand_conv.weight" in weights
    inside = EXPANDING if expands else NOT_EXPANDING
    place = places[int(number)] if int(number) < len(places) else f"_blocks.{number}"
    return f"{place}.{inside.get(part, part)}.{rest}"


def _after(network: nn.Module, name: str) -> nn.Sequential:
    """Return a network's parts behind the one of this name, in the order in which they run."""
    names, parts = zip(*network.named_children(), strict=True)
    return nn.Sequential(*parts[names.index(name) + 1 :])
