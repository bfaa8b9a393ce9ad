# SPDX-License-Identifier: Apache-2.0
"""The limits that the robot's path must keep. The worst row decides each aim; missed ones are reported."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]
NATURAL = "480x360"  # a camera of this size needs no scaling


@dataclass(frozen=True)
class Aim:
    """A limit for a figure of some rows; ``at_most`` says on which side it has to stay."""

    name: str
    limit: float
    figure: Callable[[Row], float | None]
    at_most: bool = True
    where: Callable[[Row], bool] = lambda row: True

    def judge(self, rows: Iterable[Row]) -> dict[str, Any]:
        """Return aim, limit, the worst that was measured and whether it is met; None where nothing was measured."""
        figures = [value for row in rows if self.where(row) and (value := self.figure(row)) is not None]
        worst = (max if self.at_most else min)(figures, default=None)
        met = None if worst is None else worst <= self.limit if self.at_most else worst >= self.limit
        return {
            "aim": self.name,
            "limit": self.limit,
            "at_most": self.at_most,
            "measured": worst,
            "met": met,
        }


def judge(rows: list[Row]) -> list[dict[str, Any]]:
    """Return the verdict of every aim."""
    return [aim.judge(rows) for aim in AIMS]


def _key(name: str) -> Callable[[Row], float | None]:
    return lambda row: row[name]


def _speedup(name: str) -> Callable[[Row], float | None]:
    return lambda row: row["coding_speedup"] and row["coding_speedup"][name]


def _int8(encoder: str) -> Callable[[Row], bool]:
    """Take the encoder's int8 rows of raw frames that need no scaling."""
    return lambda row: (
        row["encoder"] == encoder
        and row["precision"] == "int8"
        and row["size"] == NATURAL
        and row["input"] != "jpeg"
    )


AIMS = (
    Aim("frame to packet over WebP q80, S in int8, 480x360", 1.3, _key("over_webp_q80"), where=_int8("s")),
    Aim(
        "frame to packet over WebP q80, nano in int8, 480x360",
        0.5,
        _key("over_webp_q80"),
        where=_int8("nano"),
    ),
    Aim("entropy coding, times CompressAI's speed", 12, _speedup("encode"), at_most=False),
    Aim("entropy decoding, times CompressAI's speed", 8, _speedup("decode"), at_most=False),
    Aim("entropy coding, share of frame to packet", 0.10, _key("entropy_share")),
    Aim(
        "scaling and colour of raw frames, share of frame to packet",
        0.15,
        _key("convert_and_scale_share"),
        where=lambda row: row["input"] != "jpeg",
    ),
    Aim("resident memory of the edge process, MB", 200, _key("rss_mb")),
    Aim("first packet after process start, s", 3, _key("first_packet_s")),
    Aim("CPU of a core with no subscriber, %", 1, _key("idle_cpu_percent")),
    Aim("frames until a new subscriber's first packet", 1, _key("wake_frames")),
    Aim("worst 5 s under target_kbps, % off the target", 5, _key("budget_off_percent")),
)
