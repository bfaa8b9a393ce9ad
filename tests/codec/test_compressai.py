# SPDX-License-Identifier: Apache-2.0
"""Byte equality with CompressAI's coder and tables; its crash cases (fewer than 3 symbols, bad tables) never run."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from codec_cases import Ints, limits, random_contexts, random_latent, random_symbols, random_tables

from frankensplit.codec import (
    Contexts,
    Tables,
    decode,
    decode_in_context,
    encode,
    encode_in_context,
    pmf_to_quantized_cdf,
)


def load_extension(name: str) -> ModuleType:
    """Import one compiled module of CompressAI without the package, which would pull in torch and torchvision."""
    full_name = f"compressai.{name}"
    if full_name not in sys.modules:  # the package's own name: pybind11 refuses to load a module twice
        package = importlib.util.find_spec("compressai")
        if package is None or package.submodule_search_locations is None:
            pytest.skip("compressai is not installed: pip install --no-deps compressai")
        folder = Path(package.submodule_search_locations[0])
        loader = ExtensionFileLoader(full_name, str(next(folder.glob(f"{name}.*.so"))))
        spec = importlib.util.spec_from_loader(full_name, loader)
        assert spec is not None
        sys.modules[full_name] = importlib.util.module_from_spec(spec)
        loader.exec_module(sys.modules[full_name])
    return sys.modules[full_name]


@pytest.fixture(scope="module")
def ans() -> ModuleType:
    return load_extension("ans")


@pytest.fixture(scope="module")
def cxx() -> ModuleType:
    return load_extension("_CXX")


def reference_arguments(symbols: Ints, tables: Tables) -> list[list[int]]:
    channels = np.repeat(np.arange(tables.channels), symbols[0].size)
    return [channels.tolist(), tables.cdf.tolist(), tables.sizes.tolist(), tables.offsets.tolist()]


def assert_equal_both_ways(ans: ModuleType, symbols: Ints, tables: Tables) -> None:
    arguments = reference_arguments(symbols, tables)
    payload = ans.RansEncoder().encode_with_indexes(symbols.ravel().tolist(), *arguments)
    assert encode(symbols, tables) == payload
    np.testing.assert_array_equal(decode(payload, symbols.shape, tables), symbols)


@pytest.mark.usefixtures("each_coder")
@pytest.mark.parametrize("seed", range(60))
def test_bytes_equal_compressai(ans: ModuleType, seed: int) -> None:
    rng = np.random.default_rng(seed)
    channels, widest = int(rng.integers(1, 20)), int(rng.choice([1, 8, 60, 400]))
    tables = random_tables(rng, channels, widest)
    height, width = rng.integers(3, 12, 2)
    assert_equal_both_ways(ans, random_symbols(rng, tables, int(height), int(width)), tables)


def test_bytes_equal_compressai_at_the_size_of_a_frame(ans: ModuleType) -> None:
    rng = np.random.default_rng(1)
    tables = random_tables(rng, 48, 60)
    assert_equal_both_ways(ans, random_symbols(rng, tables, 48, 60), tables)


@pytest.mark.usefixtures("each_coder")
def test_bytes_equal_compressai_at_the_limits(ans: ModuleType) -> None:
    tables = random_tables(np.random.default_rng(2), 1, 9)
    low, high = limits(tables, 0)
    offset, top = int(tables.offsets[0]), int(tables.sizes[0]) - 2
    edges = [
        low,
        low + 1,
        offset - 1,
        offset,
        offset + top - 1,
        offset + top,
        offset + top + 8,
        high - 1,
        high,
    ]
    assert_equal_both_ways(ans, np.array([[edges]], np.int32), tables)


def tables_by_the_rules(symbols: Ints, contexts: Contexts) -> Ints:
    """Which table codes each symbol, straight from docs/formats.md and far from our coders."""
    channels, height, width = symbols.shape
    size = np.pad(np.minimum(np.abs(symbols.astype(np.int64)), 15), ((0, 0), (1, 1), (1, 1)))
    chosen = np.empty(symbols.shape, np.int32)
    for c, y, x in np.ndindex(channels, height, width):
        at = size[c, y : y + 3, x : x + 3]
        near = 2 * at[1, 0] + 2 * at[0, 1] + at[0, 0] + at[0, 2]
        around = size[:c, y : y + 3, x : x + 3].sum(axis=0)
        activity = 2 * around[1, 1] + around[1, 0] + around[1, 2] + around[0, 1] + around[2, 1]
        near_class = sum(limit <= near for limit in contexts.near_limits)
        activity_class = sum(limit <= activity for limit in contexts.activity_limits[c])
        chosen[c, y, x] = contexts.map[
            c, near_class * (contexts.activity_limits.shape[1] + 1) + activity_class
        ]
    return chosen


@pytest.mark.usefixtures("each_coder")
@pytest.mark.parametrize("seed", range(60))
def test_context_coded_bytes_equal_compressai_told_the_tables(ans: ModuleType, seed: int) -> None:
    rng = np.random.default_rng(seed)
    channels, height, width = (int(size) for size in rng.integers(3, 10, 3))
    contexts = random_contexts(rng, channels, int(rng.choice([1, 8, 60])))
    symbols = random_latent(rng, channels, height, width)
    tables = contexts.tables
    payload = ans.RansEncoder().encode_with_indexes(
        symbols.ravel().tolist(),
        tables_by_the_rules(symbols, contexts).ravel().tolist(),
        tables.cdf.tolist(),
        tables.sizes.tolist(),
        tables.offsets.tolist(),
    )
    assert encode_in_context(symbols, contexts) == payload
    np.testing.assert_array_equal(decode_in_context(payload, symbols.shape, contexts), symbols)


def test_tables_equal_compressai(cxx: ModuleType) -> None:
    rng = np.random.default_rng(0)
    for case in range(400):
        length = int(rng.integers(2, 300))
        shapes = [rng.random(length), rng.random(length) ** 30, np.eye(length)[0], rng.random(length) * 5]
        pmf = shapes[case % 4] / (1 if case % 4 == 3 else shapes[case % 4].sum())
        pmf = pmf.astype(np.float32)
        assert pmf_to_quantized_cdf(pmf).tolist() == cxx.pmf_to_quantized_cdf(pmf.tolist(), 16)
