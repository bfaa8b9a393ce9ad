# SPDX-License-Identifier: Apache-2.0
"""Parts of frames find each other by stamp, and no frame waits for ever."""

from __future__ import annotations

import numpy as np

from frankensplit.results import MaskResult
from fs_demo.frames import KEPT, WAIT_NS, FrameBook, FrameCost

RGB = np.zeros((4, 6, 3), np.uint8)
MASK = np.zeros((4, 6), np.uint8)


def cost(sequence: int = 0) -> FrameCost:
    return FrameCost(sequence, 100, {"edge": 1.0}, 2.0, 0, 0, 0)


def fill(
    book: FrameBook, stamp_ns: int, *, truth: bool = True, rgb: bool = True, result: bool = True
) -> None:
    frame = book.frame(stamp_ns)
    frame.packet_bytes, frame.cost, frame.heads = 100, cost(), ("segmentation",)
    frame.rgb = RGB if rgb else None
    if truth:
        book.truth_expected, frame.truth = True, MASK
    if result:
        frame.results["segmentation"] = MaskResult(MASK)


def stamps(book: FrameBook, last: bool = False) -> list[int]:
    return [frame.stamp_ns for frame in book.take(last)]


def test_complete_frames_come_once_and_in_order():
    book = FrameBook()
    for stamp_ns in (30, 10, 20):
        fill(book, stamp_ns)
    assert stamps(book) == [10, 20, 30]
    assert stamps(book) == []


def test_a_frame_waits_for_its_parts_and_then_goes_on_without():
    book = FrameBook()
    fill(book, 10, rgb=False)
    fill(book, 20, truth=False)
    book.truth_expected = True
    assert stamps(book) == []
    fill(book, 30 + WAIT_NS)
    assert stamps(book) == [10, 20, 30 + WAIT_NS]


def test_truth_is_not_waited_for_where_there_is_none():
    book = FrameBook()
    fill(book, 10, truth=False)
    assert stamps(book) == [10]


def test_a_frame_without_prediction_is_forgotten():
    book = FrameBook()
    fill(book, 10, result=False)
    fill(book, 11 + WAIT_NS)
    assert stamps(book) == [11 + WAIT_NS]
    fill(book, 10)
    assert stamps(book, last=True) == [10]


def test_the_last_look_gives_what_is_predicted():
    book = FrameBook()
    fill(book, 10, rgb=False)
    fill(book, 20, result=False)
    assert stamps(book, last=True) == [10]
    assert stamps(book, last=True) == []


def test_memory_is_bounded_when_no_prediction_ever_comes():
    book = FrameBook()
    for stamp_ns in range(3 * KEPT):
        book.frame(stamp_ns).rgb = RGB
        assert stamps(book) == []
    assert len(book._frames) <= KEPT
