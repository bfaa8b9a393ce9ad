# SPDX-License-Identifier: Apache-2.0
"""Rivals that code pictures: what goes in comes out, more bytes make fewer errors, and streams keep their promises."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from frankensplit.data.street import Street
from frankensplit.errors import DataError, ImageError, RuntimeUnavailable
from frankensplit.evaluation.rivals import Options, load_rival, rival_names

LOSSY_STILLS = ["jpeg", "webp", "avif", "jxl"]
LOSSLESS = ["webp-lossless", "png"]
CODECS = ["h264", "h265", "av1"]
INTRA = [f"{codec}-intra" for codec in CODECS]
VIDEOS = [f"{codec}-{keys}" for codec in CODECS for keys in ("intra", "gop10", "p")]
ALL = LOSSY_STILLS + LOSSLESS + VIDEOS


@pytest.fixture(scope="module")
def frames():
    street = Street(2, 96, 128, fps=15.0)
    return [np.ascontiguousarray(street.frame(index).rgb) for index in range(13)]


def _open(name, quality="middle", threads=1):
    rival = load_rival(name)
    chosen = {"middle": len(rival.qualities) // 2, "best": -1}.get(quality)
    return rival.open_coder(quality if chosen is None else rival.qualities[chosen], Options(threads=threads))


def _error(decoded, rgb):
    return np.abs(decoded.astype(int) - rgb).mean()


def test_all_are_found():
    assert set(ALL) <= set(rival_names())
    for name in ALL:
        rival = load_rival(name)
        assert rival.signal == "image" and name.startswith(("h26", "av1")) == rival.sequence
        assert rival.qualities == (None,) if name in LOSSLESS else 7 <= len(rival.qualities) <= 10


def test_unknown_rival_is_named():
    with pytest.raises(DataError, match=r"gif.*jpeg"):
        load_rival("gif")


@pytest.mark.parametrize("size", [(95, 127), (96, 127), (95, 128)])
@pytest.mark.parametrize("name", ALL)
def test_odd_sizes_come_back_from_the_bytes_alone(name, size, frames):
    rgb = np.ascontiguousarray(frames[0][: size[0], : size[1]])
    decoded = _open(name, "best").decode(_open(name, "best").encode(rgb))
    assert decoded.shape == rgb.shape and decoded.dtype == np.uint8 and decoded.flags.c_contiguous
    assert _error(decoded, rgb) < 6
    # A border of another color, or a crop at the wrong side, shows on one color.
    red = np.full_like(rgb, (230, 60, 40))
    assert np.abs(_open(name, "best").decode(_open(name, "best").encode(red)).astype(int) - red).max() < 12


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_is_exact(name, frames):
    noise = np.random.default_rng(1).integers(0, 256, frames[0].shape, np.uint8)
    for rgb in (frames[0], noise):
        assert np.array_equal(_open(name).decode(_open(name).encode(rgb)), rgb)


@pytest.mark.parametrize("name", LOSSY_STILLS + VIDEOS)
def test_more_bytes_make_fewer_errors(name, frames):
    sizes, errors = [], []
    for quality in load_rival(name).qualities:
        coder = _open(name, quality)
        packets = [coder.encode(rgb) for rgb in frames[:6]]
        decoded = [coder.decode(packet) for packet in packets]
        sizes.append(sum(map(len, packets)))
        errors.append(np.mean([_error(*pair) for pair in zip(decoded, frames, strict=False)]))
    assert sizes == sorted(sizes) and sizes[-1] > 7 * sizes[0]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.6 * errors[0]


@pytest.mark.parametrize("name", ALL)
def test_colors_use_one_matrix_and_one_range_both_ways(name):
    bars = np.array(
        [[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0]], np.uint8
    )
    rgb = np.ascontiguousarray(np.broadcast_to(np.repeat(bars, 32, axis=0), (64, 192, 3)))
    coder = _open(name, "best")
    decoded = coder.decode(coder.encode(rgb))
    assert _error(decoded, rgb) < 3
    inside = decoded[16:48].reshape(32, 6, 32, 3)[:, :, 12:20].mean((0, 2))
    # BT.709 for BT.601 would be off by 30, full for limited range by 16.
    assert np.abs(inside - bars).max() < 6


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", VIDEOS)
def test_no_frame_waits_for_the_next(name, threads, frames):
    coder = _open(name, "best", threads)
    for index, rgb in enumerate(frames):
        shaded = (rgb // 2 + 100 * (index % 2)).astype(np.uint8)  # the frame before would be off by 100
        assert _error(coder.decode(coder.encode(shaded)), shaded) < 8


@pytest.mark.parametrize("name", INTRA)
def test_intra_frames_decode_alone(name, frames):
    coder = _open(name)
    packets = [coder.encode(rgb) for rgb in frames[:4]]
    for packet in packets:
        assert np.array_equal(_open(name).decode(packet), coder.decode(packet))


@pytest.mark.parametrize("codec", CODECS)
def test_key_frames_come_at_the_interval_and_nowhere_else(codec, frames):
    for keys, expected in (("gop10", {0, 10}), ("p", {0})):
        coder = _open(f"{codec}-{keys}")
        cut = [*frames[:5], *(255 - rgb for rgb in frames[5:])]  # a scene cut must not start a new key frame
        alone = [_open(f"{codec}-{keys}").decode(coder.encode(rgb)) for rgb in cut]
        assert {index for index, rgb in enumerate(alone) if rgb is not None} == expected


@pytest.mark.parametrize("codec", CODECS)
def test_loss_is_healed_by_the_next_key_frame(codec, frames):
    coder = _open(f"{codec}-gop10")
    packets = [coder.encode(rgb) for rgb in frames]
    whole, broken = [_open(f"{codec}-gop10") for _ in range(2)]
    for index, packet in enumerate(packets):
        expected = whole.decode(packet)
        if index in (2, 3, 4):
            continue
        shown = broken.decode(packet)
        assert shown is None or shown.shape == frames[0].shape
        if index < 2 or index >= 10:
            assert np.array_equal(shown, expected)
        if index == 9:
            assert shown is None or not np.array_equal(shown, expected)


@pytest.mark.parametrize("codec", CODECS)
def test_a_stream_without_its_beginning_shows_nothing(codec, frames):
    coder, late = _open(f"{codec}-p"), _open(f"{codec}-p")
    packets = [coder.encode(rgb) for rgb in frames[:4]]
    noise = np.random.default_rng(3).bytes(200)
    assert [late.decode(data) for data in (*packets[1:], b"", noise)] == [None] * 5
    assert late.decode(packets[0]) is not None


@pytest.mark.parametrize("codec", CODECS)
def test_fewer_key_frames_cost_fewer_bytes(codec, frames):
    def coded(name, quality):
        coder = _open(name, quality)
        packets = [coder.encode(rgb) for rgb in frames]
        errors = [_error(coder.decode(packet), rgb) for packet, rgb in zip(packets, frames, strict=True)]
        return sum(map(len, packets)), np.mean(errors)

    # AV1's scale is another one without P-frames.
    quality, intra_quality = (39, 32) if codec == "av1" else (34, 31)
    endless, gop10, intra = (
        coded(f"{codec}-{keys}", crf)
        for keys, crf in (("p", quality), ("gop10", quality), ("intra", intra_quality))
    )
    assert endless[0] < gop10[0] < intra[0]
    assert abs(endless[1] - intra[1]) < 0.6  # for about the same picture


@pytest.mark.parametrize("name", ALL)
def test_streams_are_independent(name, frames):
    alone = _open(name)
    expected = [alone.encode(rgb) for rgb in frames[:4]]
    busy, second = _open(name), _open(name)
    for rgb in frames[4:7]:
        busy.decode(busy.encode(rgb))
    found = []
    for rgb in frames[:4]:
        busy.encode(rgb[::-1].copy())
        found.append(second.encode(rgb))
    assert found == expected
    assert [alone.decode(data) is not None for data in expected] == [True] * 4


@pytest.mark.parametrize("name", ["h264-p", "h265-p"])
def test_notes_about_the_encoder_are_not_sent(name, frames):
    coder = _open(name)
    first = coder.encode(np.zeros_like(frames[0]))
    assert b"x26" not in first and b"http" not in first and len(first) < 200


@pytest.mark.parametrize("name", LOSSY_STILLS + LOSSLESS)
def test_damaged_still_is_named(name):
    with pytest.raises(ImageError, match="12 bytes"):
        _open(name).decode(b"not a photo!")


@pytest.mark.parametrize(
    ("name", "module", "command"),
    [("jxl", "pillow_jxl", "pillow-jxl-plugin"), ("avif", "PIL.Image", "pillow"), ("h264-p", "av", "av")],
)
def test_missing_wheel_is_named(name, module, command, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(RuntimeUnavailable, match=f"pip install .*{command}"):
        _open(name)


def test_no_codec_takes_real_time_priority():
    """SVT-AV1 would, as root, and all that runs beside it would stand still."""
    coder = load_rival("av1-p").open_coder(50, Options())
    coder.encode(np.zeros((96, 128, 3), np.uint8))
    policies = {os.sched_getscheduler(int(task.name)) for task in Path("/proc/self/task").iterdir()}
    assert policies == {os.SCHED_OTHER}
