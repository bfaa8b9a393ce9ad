# SPDX-License-Identifier: Apache-2.0
"""The paper's Table 5 for the default blueprints: parameters added, and decoder time over the replaced layers' time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from frankensplit.evaluation.network_cost import parameters_of
from frankensplit.evaluation.provenance import provenance
from frankensplit.models.backbone import Backbone, build_backbone
from frankensplit.models.blueprints import build_blueprint, complete_arguments
from frankensplit.models.encoder import STRIDE, Encoder
from frankensplit.models.placement import place
from frankensplit.progress import track

PAPER_PERCENT = {
    "swin_s3_tiny_224": 2.51,
    "swin_s3_small_224": 1.41,
    "swin_s3_base_224": 1.00,
    "convnext_tiny": 3.46,
    "convnext_small": 1.97,
    "convnext_base": 0.90,
    "resnet50": 3.50,
    "resnet101": 2.01,
    "resnet152": 1.48,
}
BACKBONES: dict[str, float | None] = PAPER_PERCENT | dict.fromkeys(
    # The paper does not list these.
    ("tf_efficientnet_lite0", "tf_efficientnet_lite2", "mobilenetv3_large_100")
)
CLASSES = 1000  # the paper counts the whole classifier of ImageNet
SIZE = 224
ROUNDS = 24
PRIOR_PARAMETERS = 61  # a factorized prior's per latent channel: 58 of its density, 3 quantiles


def measure_table5(rounds: int = ROUNDS) -> dict[str, Any]:
    """Build the paper's backbones and some others without weights, with default blueprints, and measure both.

    Args:
        rounds: how often decoder and replaced layers take turns.

    Returns:
        ``rows``, one a backbone, the paper's first and in its order; what was measured on, and by which command.
    """
    with _one_thread():
        rows = [_row(model, rounds) for model in BACKBONES]
    measured = {"size": SIZE, "batch": 1, "threads": 1, "rounds": rounds, "time": "median CPU time"}
    return {"rows": rows, **measured, **provenance()}


def keeps_to_paper(row: dict[str, Any]) -> bool:
    """Return whether a row adds no more than the paper's percentage, as printed, where it has one, and no time."""
    added, paper = round(row["overhead_percent"], 2), row["paper_overhead_percent"]
    return bool((paper is None or added <= paper) and row["decoder_over_head_time"] <= 1)


def default_blueprint(backbone: Backbone, latent_channels: int) -> nn.Module:
    """Build the blueprint of the backbone's own family with its default arguments."""
    return build_blueprint(
        backbone.family,
        latent_channels=latent_channels,
        target_channels=backbone.channels[0],
        **complete_arguments(backbone.family, backbone, {}),
    )


def overhead_percent(backbone: Backbone, encoder: Encoder, blueprint: nn.Module) -> float:
    """Return the parameters that the split adds, in percent of the unmodified backbone's.

    Added are encoder, entropy model and blueprint; taken away are the layers that the blueprint replaces.
    """
    added = parameters_of(encoder, blueprint) + PRIOR_PARAMETERS * encoder.channels
    return 100 * (added - parameters_of(backbone.shallow)) / parameters_of(backbone)


def _row(model: str, rounds: int) -> dict[str, Any]:
    backbone, encoder = build_backbone(model, num_classes=CLASSES), Encoder("s")
    blueprint = default_blueprint(backbone, encoder.channels)
    decoder_ms, head_ms = _times(blueprint, backbone.shallow, encoder.channels, rounds, model)
    return {
        "backbone": model,
        "overhead_percent": round(overhead_percent(backbone, encoder, blueprint), 4),
        "paper_overhead_percent": BACKBONES[model],
        "decoder_over_head_time": round(decoder_ms / head_ms, 3),
        "decoder_ms": round(decoder_ms, 2),
        "head_ms": round(head_ms, 2),
        "decoder_parameters": parameters_of(blueprint),
        "head_parameters": parameters_of(backbone.shallow),
        "backbone_parameters": parameters_of(backbone),
    }


def _times(
    blueprint: nn.Module, shallow: nn.Module, channels: int, rounds: int, what: str
) -> tuple[float, float]:
    """Return the median milliseconds of both on the processor, for one image and its latent."""
    latent, image = torch.randn(1, channels, SIZE // STRIDE, SIZE // STRIDE), torch.randn(1, 3, SIZE, SIZE)
    for module in (blueprint, shallow):
        place(module.eval(), "cpu")
    pairs = [
        (_milliseconds(blueprint, latent), _milliseconds(shallow, image))
        for _ in track(range(rounds + 1), what, rounds + 1)
    ]
    decoder, head = zip(*pairs[1:], strict=True)  # the first warms up
    return median(decoder), median(head)


@torch.inference_mode()
def _milliseconds(module: nn.Module, x: Tensor) -> float:
    x = x.contiguous(memory_format=torch.channels_last)
    start = time.thread_time()  # CPU time: other processes do not count
    module(x)
    return (time.thread_time() - start) * 1e3


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
