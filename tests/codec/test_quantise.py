# SPDX-License-Identifier: Apache-2.0
"""Rounding of latents: exact where it can be, an error where a cast would lie."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from frankensplit.codec import quantise
from frankensplit.errors import SymbolError

GREATEST_FLOAT32 = 2.0**31 - 128  # the last float32 below 2**31


def test_halves_go_to_even() -> None:
    latent = np.array([-2.5, -1.5, -0.5, -0.2, 0.5, 1.5, 2.5, 2.51], np.float32)
    assert quantise(latent).tolist() == [-2, -2, 0, 0, 0, 2, 2, 3]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_shape_is_kept_and_dtype_is_int32(dtype: type) -> None:
    for shape in [(2, 3, 4), (2, 0, 4), ()]:
        symbols = quantise(np.zeros(shape, dtype))
        assert symbols.dtype == np.int32
        assert symbols.shape == shape


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 2.0**31, -(2.0**31) - 256, 3e9, -3e38])
def test_one_bad_value_raises(bad: float) -> None:
    latent = np.zeros((2, 3, 4), np.float32)
    latent[1, 2, 3] = bad
    with pytest.raises(SymbolError, match="expected finite int32"):
        quantise(latent)


def test_half_precision_infinity_raises() -> None:
    with pytest.raises(SymbolError, match="expected finite int32"):
        quantise(np.array([np.inf], np.float16))


def test_ends_of_the_range_pass() -> None:
    latent = np.array([-(2.0**31), GREATEST_FLOAT32], np.float32)
    assert quantise(latent).tolist() == [-(2**31), int(GREATEST_FLOAT32)]


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.bool_, np.complex64, object])
def test_other_dtypes_raise(dtype: type) -> None:
    with pytest.raises(SymbolError, match="expected floating point"):
        quantise(np.zeros(3, dtype))


@given(arrays.arrays(np.float32, st.integers(0, 20), elements=st.floats(width=32)))
def test_any_latent_is_rounded_exactly_or_refused(latent: np.ndarray) -> None:
    fits = bool(np.all(np.isfinite(latent) & (latent >= -(2.0**31)) & (latent < 2.0**31)))
    if fits:
        assert quantise(latent).tolist() == [round(value) for value in latent.tolist()]
    else:
        with pytest.raises(SymbolError):
            quantise(latent)
