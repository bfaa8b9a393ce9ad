# SPDX-License-Identifier: Apache-2.0
"""Frames of the synthetic street and their latents, as an edge node would send them."""

from __future__ import annotations

from functools import cache

from builtin_interfaces.msg import Time
from std_msgs.msg import Header

from frankensplit.bundle import CODEC_FORMAT, Bundle
from frankensplit.data.street import Street, StreetFrame
from frankensplit.edge.encoder import FrameEncoder
from fs_common.images import byte_array
from fs_msgs.msg import CompressedLatent

SEED = 90210  # not among the seeds that bundles are trained on
STEP = 8  # frames between two looks: about half a second of driving


@cache
def street_frame(number: int) -> StreetFrame:
    """Draw the look ``number`` at a street; truth included."""
    return Street(SEED).frame(number * STEP)


@cache
def packet(number: int) -> bytes:
    """Encode a look with the bundle under test."""
    return FrameEncoder(Bundle.open("street").codec, threads=2).encode(street_frame(number).rgb).data


def header(number: int) -> Header:
    """Give a header that tells its frame from every other."""
    return Header(stamp=Time(sec=1000 + number, nanosec=number), frame_id="front_optical")


def latent(number: int, sequence: int, data: bytes | None = None) -> CompressedLatent:
    """Make the message of a look; ``data`` replaces its packet."""
    rgb = street_frame(number).rgb
    return CompressedLatent(
        header=header(number),
        height=rgb.shape[0],
        width=rgb.shape[1],
        format=CODEC_FORMAT,
        sequence=sequence,
        preprocess_ms=1.0,
        encode_ms=2.0,
        entropy_ms=4.0,
        data=byte_array(packet(number) if data is None else data),
    )
