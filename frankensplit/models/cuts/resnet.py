# SPDX-License-Identifier: Apache-2.0
"""ResNet and its kin (ResNeXt, SE-ResNet ...): cut after ``layer2``, whose output is never negative."""

from __future__ import annotations

from typing import Any

from torch import nn

from frankensplit.kinds import Whole
from frankensplit.models.arguments import CLASSES, DEPTH, RATE, WIDTH, each
from frankensplit.models.backbone import Parts

TIMM_FILE = "resnet"
STRIDE = 8
ARGUMENTS = {
    "num_classes": CLASSES,
    "layers": each(DEPTH, 4),
    "channels": each(WIDTH, 4),
    "cardinality": Whole(1, 64),
    "base_width": Whole(1, 512),
    "drop_rate": RATE,
    "drop_path_rate": RATE,
}


def cut(network: Any) -> Parts:
    """Cut; the shallow features are the output of ``layer2``, after its ReLU."""
    stem = (network.conv1, network.bn1, network.act1, network.maxpool)
    kept = network.feature_info[2:]
    return Parts(
        shallow=nn.Sequential(*stem, network.layer1, network.layer2),
        tail=[network.layer3, network.layer4],
        channels=[info["num_chs"] for info in kept],
        strides=[info["reduction"] for info in kept],
        classifier=nn.Sequential(network.global_pool, network.fc),
    )
