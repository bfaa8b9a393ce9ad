# SPDX-License-Identifier: Apache-2.0
"""Parameters of the edge node."""

from __future__ import annotations

from dataclasses import dataclass

from frankensplit.bundle import PRECISIONS
from frankensplit.edge.runtimes import AUTO, runtime_names
from fs_common.parameters import CommonParameters, parameter, replaced


@dataclass(frozen=True)
class EdgeParameters(CommonParameters):
    """What the edge node takes."""

    image_reliability: str = replaced(CommonParameters, "image_reliability", "auto")
    idle_level: str = parameter(
        "ok",
        "What diagnostics say while nobody subscribes to latents, as when the server is gone",
        choices=("ok", "warn", "error"),
        changeable=True,
    )
    transport: str = parameter(
        "raw",
        "Subscribe to `image` (raw) or `image/compressed` (compressed); an `image` that is renamed to .../compressed "
        "is compressed as well",
        choices=("raw", "compressed"),
    )
    converter: str = parameter(
        "auto",
        "Conversion of raw images: auto takes cv_bridge where it works",
        choices=("auto", "cv_bridge", "builtin"),
    )
    level: int = parameter(
        0,
        "Quality level, 0 the best; the bundle says how many there are. With target_kbps: the best to use",
        limits=(0, 255),
        changeable=True,
    )
    target_kbps: float = parameter(
        0.0,
        "Upper bound of kilobits (1000 bits) a second, on average over 5 s: the bytes of `latent.data`, which are "
        "packets with their headers, and of previews, but not the other fields (about 100 bytes) nor DDS and the "
        "network. Worse levels are taken first; where the last is too much, frames are skipped. 0: no bound",
        limits=(0.0, 100_000.0),
        changeable=True,
    )
    max_fps: float = parameter(
        0.0,
        "Upper bound of frames a second, evenly spaced; the others are skipped. 0: no bound",
        limits=(0.0, 1000.0),
        changeable=True,
    )
    runtime: str = parameter(
        "onnxruntime",
        "Inference runtime of the encoder; auto takes the best that works here and logs which",
        choices=(AUTO, *runtime_names()),
    )
    precision: str = parameter(
        "fp32",
        "Arithmetic of the encoder; the bundle has to hold an encoder of it",
        choices=PRECISIONS,
    )
    engines: str = parameter(
        "",
        "Folder of built engines, for runtimes that build for one device; empty: the user's cache",
    )
    threads: int = parameter(1, "CPU threads of the encoder", limits=(1, 64))
    preview: bool = parameter(
        False,
        "Publish JPEG pictures for people on `preview/compressed`, of frames whose latents have been sent; they are "
        "made only while somebody subscribes",
    )
    preview_fps: float = parameter(
        2.0,
        "Upper bound of previews a second; with target_kbps they take half of it at most, and come less often where "
        "that is too little",
        limits=(0.1, 60.0),
        changeable=True,
    )
    preview_size: int = parameter(
        320,
        "Longer side of previews in pixels; smaller images keep their size",
        limits=(16, 4096),
        changeable=True,
    )
    preview_quality: int = parameter(50, "JPEG quality of previews", limits=(1, 100), changeable=True)
