# SPDX-License-Identifier: Apache-2.0
"""How each codec is named, grouped and drawn: hue tells the codec, line style the family."""

from __future__ import annotations

from dataclasses import dataclass

from frankensplit.evaluation import OURS

Dashes = tuple[float, ...]
SOLID: Dashes = ()


@dataclass(frozen=True)
class Family:
    """Codecs that share what their packets depend on; ``dashes`` in line widths."""

    name: str
    title: str
    dashes: Dashes
    alone: bool  # each packet decodes alone


@dataclass(frozen=True)
class CodecStyle:
    """A codec on the page: its name, its hue, its marker; only ``main`` ones are drawn boldly."""

    title: str
    family: Family
    hue: str
    marker: str
    main: bool


THIS = Family("this", "This package", SOLID, True)
STILL = Family("still", "Still images", SOLID, True)
INTRA = Family("intra", "Video, key frames only", (4, 1.6), True)
GOP10 = Family("gop10", "Video, a key frame every 10", (5, 1.4, 1.2, 1.4), False)
STREAM = Family("p", "Video, one key frame", (1.2, 1.3), False)
LEARNED = Family("learned", "Learned image codecs", SOLID, True)
FEATURES = Family("features", "The network's own features", SOLID, True)
OTHER = Family("other", "Others", SOLID, True)
FAMILIES = (THIS, STILL, INTRA, GOP10, STREAM, LEARNED, FEATURES, OTHER)

_INK = "#3d444c"
_BLUE = "#0a6ebd"
_PINK = "#b83c82"
_PURPLE = "#7b4bb3"
_GREEN = "#0b7d5c"
_OCHRE = "#a87900"
_EARTH = "#86705c"
_SLATE = "#66728a"
_GREY = "#767e88"


def _video(title: str, name: str, hue: str, marker: str) -> dict[str, CodecStyle]:
    kinds = (("intra", INTRA, "intra"), ("gop10", GOP10, "GOP 10"), ("p", STREAM, "P"))
    return {
        f"{name}-{kind}": CodecStyle(f"{title} {word}", family, hue, marker, True)
        for kind, family, word in kinds
    }


LOOKS = {
    OURS: CodecStyle("frankensplit", THIS, "#c8400a", "D", True),
    "jpeg": CodecStyle("JPEG", STILL, _INK, "o", True),
    "webp": CodecStyle("WebP", STILL, _BLUE, "s", True),
    "avif": CodecStyle("AVIF", STILL, _PURPLE, "d", True),
    "jxl": CodecStyle("JPEG XL", STILL, _PINK, "p", True),
    "webp-lossless": CodecStyle("WebP lossless", STILL, _BLUE, "s", False),
    "png": CodecStyle("PNG", STILL, _INK, "o", False),
    **_video("H.264", "h264", _GREEN, "^"),
    **_video("H.265", "h265", _OCHRE, "v"),
    **_video("AV1", "av1", _PURPLE, "d"),
    "fp": CodecStyle("Factorized prior", LEARNED, _EARTH, "<", False),
    "hyperprior": CodecStyle("Hyperprior", LEARNED, _EARTH, ">", False),
    "mshp": CodecStyle("MSHP", LEARNED, _EARTH, "h", False),
    "cheng": CodecStyle("Cheng 2020", LEARNED, _EARTH, "8", False),
    "training-free": CodecStyle("Training-free", FEATURES, _SLATE, "X", False),
    "entropic-student": CodecStyle("Entropic Student", FEATURES, _SLATE, "P", False),
    "zlib": CodecStyle("Our latent, zlib", FEATURES, _SLATE, "1", False),
    "zstd": CodecStyle("Our latent, zstd", FEATURES, _SLATE, "2", False),
    "raw": CodecStyle("Raw image", OTHER, _GREY, "x", False),
}


def look_of(codec: str) -> CodecStyle:
    """Return how to show a codec; one that is not known here is grey and keeps its name."""
    return LOOKS.get(codec) or CodecStyle(codec, OTHER, _GREY, ".", False)


def in_order(codecs: list[str]) -> list[str]:
    """Return codecs family by family, in the order of LOOKS within one; unknown ones last."""
    known = list(LOOKS)

    def place(codec: str) -> tuple[int, int]:
        return FAMILIES.index(look_of(codec).family), known.index(codec) if codec in LOOKS else len(known)

    return sorted(codecs, key=place)
