# SPDX-License-Identifier: Apache-2.0
"""Rivals of features and symbols: exact or bounded round trips, all bytes counted, damaged bytes refused."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from frankensplit.codec import Tables
from frankensplit.errors import DataError
from frankensplit.evaluation.rivals import Coder, Options, load_rival
from frankensplit.evaluation.rivals import training_free as training_free_module

HEADER_BYTES = 7


def open_coder(name: str, quality: int | None = None) -> Coder:
    return load_rival(name).open_coder(quality, Options())


def smooth_features(channels: int = 6, height: int = 12, width: int = 16) -> np.ndarray:
    """Correlated, off-centre channels, as a backbone's are."""
    rng = np.random.default_rng(3)
    noise = rng.normal(size=(channels, height + 4, width + 4))
    mixed = sum(
        np.roll(noise, (down, right), (1, 2))[:, 2:-2, 2:-2] for down in (-1, 0, 1) for right in (-1, 0, 1)
    )
    return (mixed / 3 + rng.normal(size=(channels, 1, 1))).astype(np.float32)


@pytest.mark.parametrize("name", ["zlib", "zstd"])
@pytest.mark.parametrize(
    "edges", [(-128, 127), (-129, 127), (-128, 128), (-(2**15), 2**15), (-(2**31), 2**31 - 1), (0, 0)]
)
def test_symbols_come_back_exactly(name: str, edges: tuple[int, int]) -> None:
    symbols = np.random.default_rng(0).integers(-3, 4, (5, 6, 7), dtype=np.int32)
    symbols[0, 0, :2] = edges
    coder = open_coder(name)
    decoded = coder.decode(coder.encode(symbols))
    assert decoded is not None and decoded.dtype == np.int32
    np.testing.assert_array_equal(decoded, symbols)


def test_every_byte_of_zlib_is_counted_and_none_is_wasted() -> None:
    symbols = np.random.default_rng(0).integers(-3, 4, (5, 6, 7), dtype=np.int32)
    data = open_coder("zlib").encode(symbols)
    assert len(data) == HEADER_BYTES + len(zlib.compress(symbols.astype(np.int8).tobytes(), 9))


@pytest.mark.parametrize("name", ["zlib", "zstd"])
def test_damaged_symbols_are_refused(name: str) -> None:
    coder = open_coder(name)
    data = coder.encode(np.random.default_rng(0).integers(-3, 4, (2, 6, 7), dtype=np.int32))
    for length in range(len(data)):
        with pytest.raises(DataError):
            coder.decode(data[:length])
    huge, smaller, wide = data[:1] + b"\xff" * 6, bytearray(data), b"\3" + data[1:]
    smaller[5] -= 1  # one column less than there is
    for bad in (huge + data[HEADER_BYTES:], bytes(smaller), wide):
        with pytest.raises(DataError):
            coder.decode(bad)


def test_features_on_the_grid_come_back_exactly() -> None:
    grid = np.array([-2, -1, 0, 1, 2, 0, 0, 0, 1, -1], np.float32)
    features = np.stack([grid, -grid]).reshape(2, 2, 5)
    coder = open_coder("training-free", 599)  # five levels from -2 to 2: a step of 1
    decoded = coder.decode(coder.encode(features))
    np.testing.assert_array_equal(decoded, features)


@pytest.mark.parametrize("quality", [402, 510, 830, 3299])
def test_kept_features_err_by_half_a_step(quality: int) -> None:
    features = smooth_features()
    levels, percent = divmod(quality, 100)
    decoded = open_coder("training-free", quality).decode(
        open_coder("training-free", quality).encode(features)
    )
    assert decoded is not None and decoded.dtype == np.float32 and decoded.shape == features.shape
    zeros = features.mean(axis=(1, 2), keepdims=True)
    rounding = float(np.abs(zeros).max()) / 127  # a zero point is sent in 8 bits
    step = np.ptp(features - zeros) / (levels - 1) + rounding
    distances = np.abs(features - zeros)
    kept = distances > np.quantile(distances, 1 - percent / 100) + rounding
    assert kept.any() and np.abs(decoded - features)[kept].max() <= step / 2 + rounding
    away = np.abs(decoded - zeros) > rounding
    assert away.mean() <= percent / 100 + 1 / features.size


def test_sweep_goes_from_few_bytes_to_small_errors() -> None:
    features = smooth_features(24, 24, 30)
    sizes, errors = [], []
    for quality in load_rival("training-free").qualities:
        coder = open_coder("training-free", quality)
        data = coder.encode(features)
        sizes.append(len(data))
        errors.append(float(np.square(coder.decode(data) - features).sum()))
    assert sizes == sorted(sizes) and errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 4


def test_features_cost_no_less_than_their_entropy() -> None:
    features = smooth_features()
    coder = open_coder("training-free", 1650)
    data = coder.encode(features)
    decoded = coder.decode(data)
    assert decoded is not None
    symbols = np.stack([np.unique(plane, return_inverse=True)[1].reshape(plane.shape) for plane in decoded])
    best = Tables.from_counts([(0, np.bincount(plane.ravel())) for plane in symbols])
    bits = best.ideal_bits(symbols.astype(np.int32))
    assert len(data) > bits / 8 + len(features)  # a zero point a channel besides


def test_features_need_nothing_but_their_bytes() -> None:
    features = smooth_features()
    data = open_coder("training-free", 830).encode(features)
    np.testing.assert_array_equal(
        open_coder("training-free", 402).decode(data), open_coder("training-free", 830).decode(data)
    )


def test_constant_features_come_back() -> None:
    features = np.full((3, 4, 5), 2.5, np.float32)
    coder = open_coder("training-free", 402)
    np.testing.assert_allclose(coder.decode(coder.encode(features)), features, rtol=1e-6)


def test_truncated_features_are_refused() -> None:
    coder = open_coder("training-free", 510)
    data = coder.encode(smooth_features(3, 6, 8))
    for length in range(len(data)):
        with pytest.raises(DataError):
            coder.decode(data[:length])


def test_changed_features_are_refused_or_decode_to_something() -> None:
    coder = open_coder("training-free", 510)
    data = coder.encode(smooth_features(3, 6, 8))
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(data)
        damaged[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        try:
            coder.decode(bytes(damaged))
        except DataError:
            refused += 1
    assert 0 < refused < 300


@pytest.mark.parametrize("bad", [np.float32("nan"), np.float32("inf")])
def test_features_must_be_finite(bad: np.float32) -> None:
    features = smooth_features()
    features[0, 0, 0] = bad
    with pytest.raises(DataError, match="finite"):
        open_coder("training-free", 510).encode(features)


@pytest.mark.parametrize("quality", [None, 0, 500, 299, 25501])
def test_unknown_quality_is_refused(quality: int | None) -> None:
    with pytest.raises(DataError, match="levels"):
        training_free_module.open_coder(quality, Options())
