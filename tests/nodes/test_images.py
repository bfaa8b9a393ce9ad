# SPDX-License-Identifier: Apache-2.0
"""Arrays to messages and back, and the choice of the converter."""

from __future__ import annotations

import array
import importlib.util

import numpy as np
import pytest
from std_msgs.msg import Header

from frankensplit.errors import ImageError, RuntimeUnavailable
from fs_common.images import CV_BRIDGE_PIXEL_BYTES, Converter, builtin_to_rgb, image_message, open_converter

HAS_CV_BRIDGE = importlib.util.find_spec("cv_bridge") is not None


def test_pixels_survive_a_message() -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    for view, encoding in ((rgb, "rgb8"), (rgb[:, ::2], "rgb8"), (rgb[..., 0], "mono8")):
        message = image_message(Header(frame_id="x"), view, encoding)
        assert isinstance(message.data, array.array)
        assert message.step * message.height == len(message.data)
        expected = view if view.ndim == 3 else view[..., None].repeat(3, 2)
        np.testing.assert_array_equal(builtin_to_rgb(message), expected)


@pytest.mark.skipif(HAS_CV_BRIDGE, reason="cv_bridge is installed here")
def test_without_cv_bridge_auto_is_ours_and_asking_for_it_is_an_error() -> None:
    assert open_converter("auto") is builtin_to_rgb
    with pytest.raises(RuntimeUnavailable, match="set converter to builtin"):
        open_converter("cv_bridge")


@pytest.mark.skipif(not HAS_CV_BRIDGE, reason="cv_bridge is not installed: no wheel of it exists")
def test_cv_bridge_gives_what_we_give() -> None:
    for encoding in CV_BRIDGE_PIXEL_BYTES:
        assert_same_as_ours(open_converter("cv_bridge"), encoding)


def assert_same_as_ours(convert: Converter, encoding: str) -> None:
    """Hold a converter to our pixels, and to our error on an image that is cut off."""
    step = 16 * CV_BRIDGE_PIXEL_BYTES[encoding]
    pixels = np.random.default_rng(2).integers(0, 256, (16, step), dtype=np.uint8)
    message = image_message(Header(), pixels, "mono8")
    message.encoding, message.width = encoding, 16
    np.testing.assert_array_equal(convert(message), builtin_to_rgb(message))
    message.data = message.data[:-1]
    with pytest.raises(ImageError):
        convert(message)
