# SPDX-License-Identifier: Apache-2.0
"""Camera images become the right pixels, whatever their encoding, row padding and byte order."""

from __future__ import annotations

import array
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frankensplit.edge.image import ENCODINGS, decode_compressed, to_rgb
from frankensplit.errors import ImageError

HEIGHT, WIDTH = 6, 10
CHANNELS = {"rgb": 3, "bgr": 3, "rgba": 4, "bgra": 4, "mono": 1}
PLACES = {"rgb": (0, 1, 2), "bgr": (2, 1, 0), "rgba": (0, 1, 2), "bgra": (2, 1, 0), "mono": (0, 0, 0)}
YUV = {"uyvy": (1, 0, 2), "yuv422": (1, 0, 2), "yuyv": (0, 1, 3), "yuv422_yuy2": (0, 1, 3)}
BAYER = ["rggb", "bggr", "gbrg", "grbg"]


def random_bytes(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)


def scaled(pixels: np.ndarray) -> np.ndarray:
    """0..65535 to 0..255: 65535 / 255 is 257 exactly, an odd number, so rounding has no ties."""
    return ((pixels.astype(int) + 128) // 257).astype(np.uint8) if pixels.itemsize == 2 else pixels


def yuv_to_rgb(y: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """BT.601, limited range; luma below black counts as black."""
    y, u, v = 1.164 * np.maximum(y.astype(float) - 16, 0), u.astype(float) - 128, v.astype(float) - 128
    rgb = np.stack([y + 1.596 * v, y - 0.813 * v - 0.391 * u, y + 2.018 * u], axis=-1)
    return np.clip(rgb, 0, 255)


def demosaic(raw: np.ndarray, pattern: str) -> np.ndarray:
    """Bilinear: a missing colour is the rounded mean of its neighbours in a 3x3 window; inner pixels only."""
    height, width = raw.shape
    colours = np.array(
        [["rgb".index(pattern[2 * (y % 2) + x % 2]) for x in range(width)] for y in range(height)]
    )
    rgb = np.zeros((height, width, 3), raw.dtype)
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            for colour in range(3):
                window = (slice(y - 1, y + 2), slice(x - 1, x + 2))
                known = raw[window][colours[window] == colour].astype(int)
                own = colours[y, x] == colour
                rgb[y, x, colour] = raw[y, x] if own else (2 * known.sum() + len(known)) // (2 * len(known))
    return rgb[1:-1, 1:-1]


def layout(encoding: str) -> tuple[int, np.dtype]:
    """Channels and dtype, from the encoding's name alone."""
    if encoding in YUV:
        return 2, np.dtype(np.uint8)
    dtype = np.dtype(np.uint16 if encoding.endswith("16") else np.uint8)
    return CHANNELS.get(encoding.rstrip("0123456789"), 1), dtype


def sent(encoding: str, padding: int = 0, big: bool = False) -> tuple[np.ndarray, bytes, int]:
    """Random pixels of an encoding, the message's data with padded rows of rubbish, and its step."""
    channels, dtype = layout(encoding)
    pixels = (
        random_bytes(HEIGHT, WIDTH * channels * dtype.itemsize).view(dtype).reshape(HEIGHT, WIDTH, channels)
    )
    rows = pixels.astype(dtype.newbyteorder(">" if big else "<")).view(np.uint8).reshape(HEIGHT, -1)
    padded = np.concatenate([rows, random_bytes(HEIGHT, padding)], axis=1)
    return pixels, padded.tobytes(), padded.shape[1]


def converted(data, encoding: str, step: int, **more) -> np.ndarray:
    return to_rgb(data, **{"height": HEIGHT, "width": WIDTH, "encoding": encoding, "step": step, **more})


def test_every_encoding_that_a_camera_driver_may_send_is_known():
    plain = {f"{name}{bits}" for name in CHANNELS for bits in (8, 16)}
    bayer = {f"bayer_{name}{bits}" for name in BAYER for bits in (8, 16)}
    assert set(ENCODINGS) == plain | bayer | set(YUV)


@pytest.mark.parametrize("encoding", [f"{name}{bits}" for name in CHANNELS for bits in (8, 16)])
def test_plain_encodings(encoding):
    pixels, data, step = sent(encoding)
    places = PLACES[encoding.rstrip("0123456789")]
    np.testing.assert_array_equal(converted(data, encoding, step), scaled(pixels)[..., places])


with np.load(Path(__file__).parents[1] / "fixtures" / "cv_bridge.npz") as archive:
    CV_BRIDGE = dict(archive)  # made by make_cv_bridge.py beside it


@pytest.mark.parametrize("encoding", sorted({name.partition(".")[0] for name in CV_BRIDGE}))
def test_values_are_those_of_cv_bridge(encoding):
    data, expected = CV_BRIDGE[f"{encoding}.data"], CV_BRIDGE[f"{encoding}.rgb"]
    height, width = expected.shape[:2]
    found = to_rgb(data, height=height, width=width, encoding=encoding, step=data.size // height)
    np.testing.assert_array_equal(found, expected)


def test_cv_bridge_was_asked_for_every_encoding_that_it_knows():
    assert set(ENCODINGS) - {name.partition(".")[0] for name in CV_BRIDGE} == {"uyvy", "yuyv", "yuv422_yuy2"}


@pytest.mark.parametrize("encoding", YUV)
def test_yuv_encodings(encoding):
    pixels, data, step = sent(encoding)
    pairs = pixels.reshape(HEIGHT, WIDTH // 2, 4)
    y, u, v = YUV[encoding]
    luma = pairs[..., [y, y + 2]].reshape(HEIGHT, WIDTH)
    expected = yuv_to_rgb(luma, pairs[..., u].repeat(2, axis=1), pairs[..., v].repeat(2, axis=1))
    np.testing.assert_allclose(converted(data, encoding, step), expected, atol=1.01)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("pattern", BAYER)
def test_bayer_encodings(pattern, bits):
    encoding = f"bayer_{pattern}{bits}"
    pixels, data, step = sent(encoding)
    expected = scaled(demosaic(pixels[..., 0], pattern))
    np.testing.assert_array_equal(converted(data, encoding, step)[1:-1, 1:-1], expected)


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
@pytest.mark.parametrize("padding", [1, 2, 7, 54])
def test_row_padding_changes_nothing(encoding, padding):
    _, plain, step = sent(encoding)
    _, padded, wide_step = sent(encoding, padding)
    assert wide_step == step + padding
    np.testing.assert_array_equal(converted(padded, encoding, wide_step), converted(plain, encoding, step))


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
@pytest.mark.parametrize("padding", [0, 3])
def test_byte_order_changes_nothing(encoding, padding):
    _, little, step = sent(encoding, padding)
    _, big, _ = sent(encoding, padding, big=True)
    assert (little == big) == (not encoding.endswith("16"))
    np.testing.assert_array_equal(
        converted(big, encoding, step, is_bigendian=True),
        converted(little, encoding, step, is_bigendian=False),
    )


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
def test_result_is_rgb_bytes_from_any_buffer(encoding):
    _, data, step = sent(encoding, 5)
    results = [
        converted(kind(data), encoding, step)
        for kind in (bytes, bytearray, memoryview, lambda d: array.array("B", d))
    ]
    for result in results:
        assert result.shape == (HEIGHT, WIDTH, 3) and result.dtype == np.uint8
        np.testing.assert_array_equal(result, results[0])


def test_colours_by_hand():
    def pixel(encoding, *values):
        return to_rgb(bytes(values), height=1, width=1, encoding=encoding, step=len(values))[0, 0].tolist()

    assert pixel("bgr8", 1, 2, 3) == [3, 2, 1]
    assert pixel("bgra8", 1, 2, 3, 4) == [3, 2, 1]
    assert pixel("rgba8", 1, 2, 3, 4) == [1, 2, 3]
    assert pixel("mono8", 9) == [9, 9, 9]
    assert pixel("mono16", 0x80, 0x01) == [1, 1, 1]  # 384 / 257 = 1.49
    assert pixel("mono16", 0x81, 0x01) == [1, 1, 1]  # 385 / 257 = 1.498
    assert pixel("mono16", 0x82, 0x01) == [2, 2, 2]  # 386 / 257 = 1.502
    red = to_rgb(bytes([90, 81, 240, 81]), height=1, width=2, encoding="uyvy", step=4)
    np.testing.assert_allclose(red, [[[255, 0, 0]] * 2], atol=2)


def test_rgb8_is_not_copied():
    data = bytearray(random_bytes(HEIGHT * WIDTH * 3).tobytes())
    result = converted(data, "rgb8", WIDTH * 3)
    data[0] ^= 0xFF
    assert result[0, 0, 0] == data[0]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"encoding": "32FC1"}, "'32FC1'.*known are.*bayer_bggr16.*rgb8"),
        ({"encoding": ""}, "known are"),
        ({"step": 29}, "step is 29.*at least 30"),
        ({"step": 0}, "step is 0"),
        ({"step": 31}, r"180 bytes.*6 \* 31 = 186"),
        ({"height": 5}, r"180 bytes.*5 \* 30 = 150"),
        ({"height": 0}, "10x0"),
        ({"width": 0}, "0x6"),
        ({"width": 65536}, "65536x6"),
        ({"height": 2**32 - 1}, "10x4294967295"),
    ],
)
def test_images_that_make_no_sense(change, text):
    with pytest.raises(ImageError, match=text):
        converted(bytes(180), **{"encoding": "rgb8", "step": 30, **change})


def test_empty_data():
    with pytest.raises(ImageError, match="0 bytes"):
        converted(b"", "rgb8", 30)


@pytest.mark.parametrize("encoding", YUV)
def test_yuv_of_odd_width(encoding):
    with pytest.raises(ImageError, match="even"):
        to_rgb(bytes(2 * 5 * 4), height=4, width=5, encoding=encoding, step=10)


@pytest.mark.parametrize("size", [(2, 5), (5, 2)])
def test_bayer_smaller_than_its_window(size):
    with pytest.raises(ImageError, match="3x3"):
        to_rgb(bytes(10), height=size[0], width=size[1], encoding="bayer_rggb8", step=size[1])


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=300),
    st.integers(-1, 12),
    st.integers(-1, 12),
    st.sampled_from(sorted(ENCODINGS)),
    st.integers(-1, 40),
    st.booleans(),
)
def test_any_message_gives_pixels_or_an_image_error(data, height, width, encoding, step, big):
    try:
        rgb = to_rgb(data, height=height, width=width, encoding=encoding, step=step, is_bigendian=big)
    except ImageError:
        return
    assert rgb.shape == (height, width, 3) and rgb.dtype == np.uint8 and len(data) == height * step


def smooth(height: int = 48, width: int = 64) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([4 * x, 5 * y, 255 - 4 * x], axis=-1).astype(np.uint8)


def file_of(rgb: np.ndarray, extension: str, *options: int) -> bytes:
    bgr = rgb[..., ::-1] if rgb.ndim == 3 else rgb
    return cv2.imencode(extension, bgr, options)[1].tobytes()


FORMATS = [
    (".png", "png", 0),
    (".png", "bgr8; png compressed bgr8", 0),
    (".jpg", "jpeg", 12),
    (".jpg", "rgb8; jpeg compressed bgr8", 12),
    (".jpg", "", 12),
    (".webp", "webp", 25),
]


@pytest.mark.parametrize(("extension", "file_format", "tolerance"), FORMATS)
def test_compressed_files(extension, file_format, tolerance):
    rgb = decode_compressed(array.array("B", file_of(smooth(), extension)), file_format)
    assert rgb.shape == (48, 64, 3) and rgb.dtype == np.uint8
    np.testing.assert_allclose(rgb.astype(int), smooth().astype(int), atol=tolerance)


def test_lossless_and_extended_webp_and_progressive_jpeg():
    np.testing.assert_array_equal(
        decode_compressed(file_of(smooth(), ".webp", cv2.IMWRITE_WEBP_QUALITY, 101)), smooth()
    )
    with_alpha = np.dstack([smooth(), np.full((48, 64), 128, np.uint8)])
    assert decode_compressed(cv2.imencode(".webp", with_alpha)[1].tobytes()).shape == (48, 64, 3)
    progressive = file_of(smooth(), ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    np.testing.assert_allclose(decode_compressed(progressive).astype(int), smooth().astype(int), atol=12)


def test_grey_sixteen_bit_and_alpha_files():
    grey = smooth()[..., 0]
    np.testing.assert_array_equal(decode_compressed(file_of(grey, ".png")), np.dstack([grey] * 3))
    deep = smooth().astype(np.uint16) * 200 + 77
    np.testing.assert_array_equal(decode_compressed(file_of(deep, ".png")), scaled(deep))
    with_alpha = np.dstack([smooth()[..., ::-1], np.zeros((48, 64), np.uint8)])
    np.testing.assert_array_equal(decode_compressed(cv2.imencode(".png", with_alpha)[1].tobytes()), smooth())


@pytest.mark.parametrize("bits", [8, 16])
def test_compressed_bayer_mosaic_is_interpolated(bits):
    raw = random_bytes(8, 10 * bits // 8).view(np.uint8 if bits == 8 else np.uint16)
    encoding = f"bayer_gbrg{bits}"
    expected = to_rgb(raw.tobytes(), height=8, width=10, encoding=encoding, step=10 * bits // 8)
    np.testing.assert_array_equal(
        decode_compressed(file_of(raw, ".png"), f"{encoding}; png compressed "), expected
    )


@pytest.mark.parametrize("extension", [".png", ".jpg", ".webp"])
def test_every_truncation_is_an_error(extension):
    data = file_of(smooth(), extension)
    for length in [*range(40), *range(40, len(data) - 1, max(1, len(data) // 40))]:
        with pytest.raises(ImageError):
            decode_compressed(data[:length], "jpeg")


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([".png", ".jpg", ".webp"]), st.integers(0, 10**6), st.integers(1, 255))
def test_a_damaged_byte_gives_pixels_or_an_image_error(extension, place, flip):
    data = bytearray(file_of(smooth(16, 24), extension))
    data[place % len(data)] ^= flip
    try:
        rgb = decode_compressed(data)
    except ImageError:
        return
    assert rgb.ndim == 3 and rgb.shape[2] == 3 and rgb.dtype == np.uint8


def test_png_that_declares_gigabytes_is_refused_before_decoding():
    data = bytearray(file_of(smooth(), ".png"))
    data[16:24] = (60000).to_bytes(4, "big") * 2
    with pytest.raises(ImageError, match="60000x60000"):
        decode_compressed(data)


@pytest.mark.parametrize(
    "data", [b"", b"GIF89a" + bytes(50), b"\xff\xd8\xff", bytes(12) + b"\x89PNG\r\n\x1a\n"]
)
def test_other_files_are_named(data):
    with pytest.raises(ImageError, match="'16UC1; compressedDepth png'"):
        decode_compressed(data, "16UC1; compressedDepth png")
