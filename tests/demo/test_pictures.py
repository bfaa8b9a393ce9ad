# SPDX-License-Identifier: Apache-2.0
"""Contact sheet and video hold the pictures that were put in."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from fs_demo.frames import DemoFrame, FrameCost
from fs_demo.gallery import Gallery, caption
from fs_demo.sheet import GAP, Chosen, SheetRow, contact_sheet, fitted, legend_of, side_by_side
from fs_demo.video import OverlayVideo


def flat(value: int, height: int = 60, width: int = 80) -> NDArray[np.uint8]:
    return np.full((height, width, 3), value, np.uint8)


def test_a_sheet_holds_each_picture_whole():
    rows = [SheetRow((flat(10 * row), flat(10 * row + 5)), f"frame {row}") for row in range(1, 4)]
    sheet = contact_sheet("title", ["one", "two"], ("camera", "predicted"), rows, {"Sky": (1, 2, 250)})
    assert sheet.shape[1] == 2 * 80 + 3 * GAP
    for row in range(1, 4):
        for value in (10 * row, 10 * row + 5):
            assert (sheet == value).all(axis=2).sum() >= 60 * 80
    assert (sheet == (1, 2, 250)).all(axis=2).sum() >= 200


def test_a_sheet_takes_pictures_of_other_sizes_and_missing_ones():
    rows = [SheetRow((flat(50), flat(60), flat(70)), "a"), SheetRow((flat(80, 30, 40),), "b")]
    sheet = contact_sheet("t", [], ("camera", "predicted", "truth"), rows, {})
    assert (sheet == 80).all(axis=2).sum() >= 60 * 80


def test_legend_takes_the_first_colours():
    labels = {
        "presence": {"classes": ["x"]},
        "segmentation": {"classes": ["a", "b"], "colors": [[1, 2, 3], [4, 5, 6]]},
    }
    assert legend_of(labels) == {"a": (1, 2, 3), "b": (4, 5, 6)}
    assert legend_of({"presence": {"classes": ["x"]}}) == {}


def test_side_by_side_keeps_both_pictures():
    both = side_by_side(flat(10), flat(20), "caption")
    np.testing.assert_array_equal(both[:60, :80], flat(10))
    np.testing.assert_array_equal(both[:60, 80:], flat(20))
    assert (both[60:] > 100).any()


def test_chosen_items_are_spread_evenly_over_any_length():
    for length in (1, 5, 6, 13, 100, 997):
        chosen = Chosen(6)
        for index in range(length):
            chosen.offer(index if chosen.wants_next() else None)
        items = chosen.items()
        assert None not in items and items == sorted(set(items))
        assert len(items) == min(6, length) and items[0] == 0
        assert items[-1] >= 0.7 * (length - 1)


def test_a_video_shows_each_picture_at_its_time(tmp_path: Path):
    times_ms = [0, 100, 150, 400]
    with OverlayVideo(tmp_path / "v.mp4") as video:
        for number, at_ms in enumerate(times_ms):
            video.add(flat(40 * number + 40, 61, 81), 5_000_000_000 + at_ms * 1_000_000)
        video.add(flat(255, 61, 81), 5_000_000_000)  # out of order
        video.add(flat(255, 200, 200), 6_000_000_000)  # another size
        assert video.frames == 4
    with av.open(str(tmp_path / "v.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.height, stream.width) == ("h264", 60, 80)
        frames = list(container.decode(video=0))
    assert [round(1000 * frame.time) for frame in frames] == times_ms
    for number, frame in enumerate(frames):
        assert abs(frame.to_ndarray(format="rgb24").mean() - (40 * number + 40)) < 4


def test_a_video_without_pictures_is_no_file(tmp_path: Path):
    with OverlayVideo(tmp_path / "v.mp4"):
        pass
    assert not (tmp_path / "v.mp4").exists()


def demo_frame(index: int, height: int, width: int) -> DemoFrame:
    frame = DemoFrame(index * 100_000_000, rgb=flat(200, height, width))
    frame.cost = FrameCost(index, 100, {}, 20.0, 0, 0, 0)
    return frame


def test_pictures_of_every_size_are_in_the_video(tmp_path: Path):
    sizes = [(60, 80), (80, 60), (30, 40), (200, 90)]
    with Gallery(tmp_path, {}) as gallery:
        for index, size in enumerate(sizes):
            gallery.add(demo_frame(index, *size), {}, {})
    with av.open(str(tmp_path / "overlay.mp4")) as container:
        frames = [one.to_ndarray(format="rgb24")[:60, :80] for one in container.decode(video=0)]
    assert len(frames) == len(sizes)
    bright = [(frame > 150).all(axis=2) for frame in frames]
    assert bright[0].mean() > 0.97 and bright[2].mean() > 0.97  # of the same shape: the whole of it
    assert 0.5 < bright[1].mean() < 0.62 and 0.3 < bright[3].mean() < 0.38  # with margins
    assert bright[1][:, 30:50].mean() > 0.95 and not bright[1][:, :8].any()


def test_a_sheet_does_not_stretch():
    tall = fitted(flat(80, 80, 60), (60, 80))
    assert tall.shape == (60, 80, 3) and (tall == 80).all(axis=2).sum() == 60 * 45
    assert (tall[:, :17] != 80).all() and (tall[:, -17:] != 80).all()
    rows = [SheetRow((flat(50),), "a"), SheetRow((flat(80, 80, 60),), "b")]
    assert (contact_sheet("t", [], ("camera",), rows, {}) == 80).all(axis=2).sum() == 60 * 45


def test_a_long_title_is_wrapped():
    rows = [SheetRow((flat(50),), "a")]
    one, long, path = (
        contact_sheet(title, [], ("camera",), rows, {})
        for title in ("t", "a title of words " * 3, "/a/path" * 9)
    )
    assert long.shape[0] >= one.shape[0] + 3 * 50 and path.shape[0] >= one.shape[0] + 3 * 50
    assert (long[:, -4:] < 100).all() and (path[:, -4:] < 100).all()  # nothing is cut off at the edge


def test_the_cameras_own_bytes_are_counted():
    frame = demo_frame(0, 60, 80)
    assert frame.raw_bytes() == 3 * 60 * 80 and "144 times less" in caption(frame)
    frame.image_bytes = 60 * 80  # mono8
    assert "48 times less" in caption(frame)
