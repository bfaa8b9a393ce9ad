# SPDX-License-Identifier: Apache-2.0
"""Pictures side by side: JPEG at our bytes, and maps of what compression changed."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from frankensplit.bundle import Bundle
from frankensplit.data.street import Street
from frankensplit.edge.encoder import FrameEncoder
from frankensplit.errors import DataError
from frankensplit.report.pictures import GAIN, HARM, compare, error_map, nearest_jpeg


@pytest.fixture(scope="module")
def rgb():
    return Street(500, 120, 160).frame(0).rgb


def opened(source):
    return Image.open(io.BytesIO(base64.b64decode(source.partition("base64,")[2])))


def test_jpeg_is_the_nearest_of_all_qualities(rgb):
    quality, file, decoded = nearest_jpeg(rgb, 2000)
    assert 1 < quality < 100
    assert Image.open(io.BytesIO(file)).size == (160, 120)
    assert decoded.shape == rgb.shape
    for other in (quality - 1, quality + 1):
        buffer = io.BytesIO()
        Image.fromarray(rgb).save(buffer, "JPEG", quality=other, optimize=True, subsampling="4:2:0")
        assert abs(len(file) - 2000) <= abs(buffer.tell() - 2000)


def test_error_map_marks_harm_and_gain():
    truth = np.array([[0, 0, 0, 0, 9]], np.uint8)
    unmodified = np.array([[0, 1, 0, 1, 0]], np.uint8)
    mask = np.array([[0, 1, 1, 0, 1]], np.uint8)
    picture, words = error_map(np.zeros((1, 5, 3), np.uint8), mask, unmodified, truth, ignore=9)
    assert tuple(picture[0, 2]) == HARM
    assert tuple(picture[0, 3]) == GAIN
    assert len({tuple(picture[0, x]) for x in (0, 1, 4)}) == 1  # right twice, wrong twice, not counted
    assert words == "25.0 % made wrong, 25.0 % made right"


def test_error_map_without_truth_marks_differences():
    masks = np.array([[0, 1]], np.uint8), np.array([[0, 0]], np.uint8)
    picture, words = error_map(np.zeros((1, 2, 3), np.uint8), *masks, None, ignore=9)
    assert (tuple(picture[0, 1]), words) == (HARM, "50.0 % differ")


def test_a_street_is_compared(bundle_path, tmp_path):
    bundle = Bundle.open(bundle_path)
    shown = compare(bundle, "street:val", tmp_path, 1)
    [frame] = shown.frames
    assert shown.truth
    titles = [tile.title for tile in frame.tiles]
    packet = FrameEncoder(bundle.codec).encode(Street(500).frame(0).rgb).data
    assert titles[0] == "Camera"
    assert titles[6] == f"Our packet, {len(packet):,} bytes"
    file = base64.b64decode(frame.tiles[1].source.partition("base64,")[2])
    assert titles[1] == f"JPEG, {len(file):,} bytes"
    assert abs(len(file) - len(packet)) < 300
    assert {opened(tile.source).size for tile in frame.tiles} == {(480, 360)}
    assert [name for name, _ in shown.classes] == bundle.labels["segmentation"]["classes"]


def test_data_that_are_not_there(bundle_path, tmp_path):
    with pytest.raises(DataError):
        compare(Bundle.open(bundle_path), "nothing:val", tmp_path, 1)
