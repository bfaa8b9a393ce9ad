# SPDX-License-Identifier: Apache-2.0
"""Context coding: rules, files, round trips, both coders alike, and the smaller of both ways."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from codec_cases import Ints, contexts_drawn, random_contexts, random_latent, random_tables
from hypothesis import HealthCheck, given, settings

from frankensplit.codec import (
    Contexts,
    Tables,
    _rans_twin,
    decode_in_context,
    encode,
    encode_in_context,
    encode_smaller,
    rans,
)
from frankensplit.errors import PacketError, SymbolError, TablesError

drawn = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
FLAT = Tables.from_pmfs([[1, 1, 1, 1], [1, 1, 1, 1]], [-1, -1])
ONE_CLASS = Contexts(FLAT, np.zeros((1, 1), np.uint8), np.zeros(0, np.int32), np.zeros((1, 0), np.int32))
PLAIN: dict[str, Any] = {
    "tables": FLAT,
    "map": np.zeros((2, 6), np.uint8),
    "near_limits": np.array([1, 5], np.int32),
    "activity_limits": np.array([[3], [4]], np.int32),
}


def arguments(symbols: Ints, contexts: Contexts) -> tuple[Any, ...]:
    return (symbols, symbols.shape, *rans._arguments(contexts))


@pytest.mark.usefixtures("each_coder")
@drawn
@given(contexts_drawn())
def test_decodes_what_it_encoded(case: tuple[Contexts, Ints]) -> None:
    contexts, symbols = case
    decoded = decode_in_context(encode_in_context(symbols, contexts), symbols.shape, contexts)
    assert decoded.dtype == np.int32
    np.testing.assert_array_equal(decoded, symbols)


@pytest.mark.parametrize("seed", range(40))
def test_c_gives_the_bytes_of_the_twin(c_coder: ModuleType, seed: int) -> None:
    rng = np.random.default_rng(seed)
    channels, height, width = (int(size) for size in rng.integers(1, 12, 3))
    contexts, symbols = random_contexts(rng, channels, 20), random_latent(rng, channels, height, width)
    payload = c_coder.encode_in_context(*arguments(symbols, contexts))
    assert payload == _rans_twin.encode_in_context(*arguments(symbols, contexts))
    np.testing.assert_array_equal(decode_in_context(payload, symbols.shape, contexts), symbols)


@pytest.mark.usefixtures("each_coder")
def test_table_is_chosen_by_the_written_rules() -> None:
    # Tables 0 to 3 are flat over -1, 0, 1; table t codes nothing but by its number, so payloads tell which was used.
    one_hot = [[8.0, 1, 1, 1], [1, 8, 1, 1], [1, 1, 8, 1], [1, 1, 1, 8]]
    shared = Tables.from_pmfs(one_hot, [-1] * 4)
    contexts = Contexts(
        shared,
        np.array([[0, 1, 2, 3], [3, 2, 1, 0]], np.uint8),
        np.array([3], np.int32),
        np.array([[7], [2]], np.int32),
    )
    symbols = np.array([[[1, 1, 0], [-1, 0, 1]], [[0, 1, 0], [0, 0, -1]]], np.int32)
    # near of channel 0: 0, 2, 2 | 3, 2+2+1, 1 (left 0, above 0, above left 1); without activity: classes 0 or 2.
    # Its magnitudes 1 1 0 | 1 0 1 give channel 1 the activity 4, 3, 2 | 3, 3, 2; near: 0, 0, 2 | 1, 2, 1.
    tables = [[0, 0, 0, 2, 2, 0], [2, 2, 2, 2, 2, 2]]
    encoder = _rans_twin._Encoder()
    rows = _rans_twin._rows(shared.cdf, shared.sizes, shared.offsets)
    for channel in (1, 0):
        for symbol, table in zip(symbols[channel].ravel()[::-1], tables[channel][::-1], strict=True):
            rows[table].push(encoder, int(symbol), channel)
    assert encode_in_context(symbols, contexts) == encoder.finish()


@pytest.mark.usefixtures("each_coder")
def test_with_one_table_the_bytes_are_those_of_static_coding() -> None:
    symbols = np.random.default_rng(0).integers(-3, 4, (1, 5, 7), np.int32)
    assert encode_in_context(symbols, ONE_CLASS) == encode(symbols, Tables.from_pmfs([[1, 1, 1, 1]], [-1]))


@pytest.mark.usefixtures("each_coder")
def test_a_symbol_out_of_the_range_of_its_table_is_named() -> None:
    contexts = Contexts(**PLAIN)
    symbols = np.zeros((2, 2, 3), np.int32)
    symbols[1, 1, 2] = 2**30
    with pytest.raises(SymbolError, match=rf"symbol {2**30} of channel 1 is not in {-1 - 2**27} to"):
        encode_in_context(symbols, contexts)
    contexts = Contexts(**PLAIN | {"map": np.array([[0] * 6, [0, 1] * 3], np.uint8)})
    with pytest.raises(SymbolError, match=rf"symbol {2**30} of channel 1 is not in"):
        encode_in_context(symbols, contexts)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(SymbolError, match="expected int32"):
        encode_in_context(np.zeros((2, 2, 2), np.int32), ONE_CLASS)
    for shape in [(2, 1, 1), (1, -1, 1), (1, 1), (1, 65535, 65535)]:
        with pytest.raises(PacketError, match="is refused"):
            decode_in_context(b"", shape, ONE_CLASS)  # type: ignore[arg-type]


@pytest.mark.usefixtures("each_coder")
def test_what_no_encoder_made_is_refused() -> None:
    rng = np.random.default_rng(1)
    contexts, symbols = random_contexts(rng, 3, 9), random_latent(rng, 3, 6, 5)
    payload = encode_in_context(symbols, contexts)
    for bad in (payload[:-4], payload + bytes(4), payload[:4], payload[:7], b""):
        with pytest.raises(PacketError, match="send it again"):
            decode_in_context(bad, symbols.shape, contexts)


@pytest.mark.parametrize("seed", range(20))
def test_the_smaller_of_both_ways_is_taken(each_coder: ModuleType, seed: int) -> None:
    del each_coder
    rng = np.random.default_rng(seed)
    contexts, tables = random_contexts(rng, 3, 9), random_tables(rng, 3, 9)
    tables = Tables(tables.cdf, tables.sizes, np.full(3, -4, np.int32))
    symbols = random_latent(rng, 3, 6, 7)
    ways = {False: encode(symbols, tables), True: encode_in_context(symbols, contexts)}
    payload, context_coded = encode_smaller(symbols, tables, contexts)
    assert payload == ways[context_coded]
    assert len(payload) == min(map(len, ways.values()))
    assert not context_coded or len(payload) < len(ways[False])
    assert encode_smaller(symbols, tables, None) == (ways[False], False)


@pytest.mark.parametrize("seed", range(20))
def test_the_bound_is_below_the_payload_and_near_it(each_coder: ModuleType, seed: int) -> None:
    del each_coder
    rng = np.random.default_rng(seed)
    tables, symbols = random_tables(rng, 4, 60), random_latent(rng, 4, 8, 9)
    tables = Tables(tables.cdf, tables.sizes, np.full(4, -10, np.int32))
    least, real = rans.least_bytes(symbols, tables), len(encode(symbols, tables))
    assert least < real
    value = symbols - tables.offsets[:, None, None]
    if ((value >= 0) & (value < tables.sizes[:, None, None] - 2)).all():
        assert abs(tables.ideal_bits(symbols) / 8 - least) < 1 + symbols.size / rans.COST_UNIT / 8


def test_where_only_one_way_can_code_the_symbols_it_is_taken() -> None:
    far = np.full((1, 1, 1), 2**28, np.int32)
    tables = Tables.from_pmfs([[1, 1]], [2**28])
    assert encode_smaller(far, tables, ONE_CLASS) == (encode(far, tables), False)
    with pytest.raises(SymbolError, match="is not in"):
        encode_smaller(-far, tables, ONE_CLASS)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"map": np.zeros((2, 5), np.uint8)}, r"map has shape \(2, 5\), the limits ask for \(2, 6\)"),
        ({"map": np.zeros((1, 6), np.uint8)}, "map has shape"),
        ({"map": np.zeros((2, 6), np.int32)}, "map is int32, expected uint8"),
        ({"map": np.full((2, 6), 2, np.uint8)}, "map names table 2 of 2"),
        ({"near_limits": np.array([0, 5], np.int32)}, "near_limits are"),
        ({"near_limits": np.array([5, 5], np.int32)}, "near_limits are"),
        ({"near_limits": np.array([1, 91], np.int32)}, "near_limits are"),
        ({"near_limits": np.array([[1], [5]], np.int32)}, "near_limits are"),
        ({"near_limits": [1, 5]}, "near_limits is .*list"),
        ({"activity_limits": np.array([[-1], [4]], np.int32)}, "negative or fall"),
        ({"activity_limits": np.array([[4, 3], [4, 4]], np.int32)}, "negative or fall"),
        ({"activity_limits": np.zeros((0, 1), np.int32)}, "activity_limits have shape"),
        ({"activity_limits": np.zeros(2, np.int32)}, "activity_limits have shape"),
        ({"activity_limits": np.zeros((2, 1), np.int64)}, "activity_limits is int64"),
        (
            {"tables": Tables.from_pmfs([[1, 1]] * 17, [0] * 17), "map": np.zeros((2, 6), np.uint8)},
            "at most 16",
        ),
        (
            {"map": np.zeros((2, 300), np.uint8), "activity_limits": np.zeros((2, 99), np.int32)},
            "at most 256 classes",
        ),
    ],
)
def test_each_broken_rule_is_named(change: dict[str, Any], text: str) -> None:
    with pytest.raises(TablesError, match=text):
        Contexts(**PLAIN | change)


def test_saved_contexts_are_loaded_and_the_same_give_the_same_file(tmp_path: Path) -> None:
    contexts = random_contexts(np.random.default_rng(3), 5, 30)
    contexts.save(tmp_path / "one.npz")
    loaded = Contexts.load(tmp_path / "one.npz")
    for name in ("map", "near_limits", "activity_limits"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(contexts, name))
        assert not getattr(loaded, name).flags.writeable
    loaded.save(tmp_path / "other.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "other.npz").read_bytes()


def test_files_that_hold_no_contexts_are_refused(tmp_path: Path) -> None:
    FLAT.save(tmp_path / "tables.npz")
    with pytest.raises(TablesError, match="holds"):
        Contexts.load(tmp_path / "tables.npz")
    with pytest.raises(TablesError, match="cannot read"):
        Contexts.load(tmp_path / "missing.npz")


def test_contexts_do_not_change_with_the_arrays_they_were_made_of() -> None:
    plain = {**PLAIN, "map": PLAIN["map"].copy()}
    contexts = Contexts(**plain)
    plain["map"][:] = 1
    assert contexts.map.max() == 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        contexts.map = plain["map"]  # type: ignore[misc]


def test_c_refuses_buffers_that_do_not_fit_each_other(c_coder: ModuleType) -> None:
    symbols = np.zeros((2, 3, 4), np.int32)
    good = list(arguments(symbols, Contexts(**PLAIN)))
    assert c_coder.encode_in_context(*good)
    one, none = np.zeros(1, np.int32), np.zeros(0, np.int32)
    huge = 2**62
    for at, bad in [
        (0, symbols[:1]),
        *(
            (1, shape)
            for shape in [(2, 4, 4), (1, 3, 4), (0, 3, 4), (2, -3, -4), (2, huge, 4), (huge, huge, huge)]
        ),
        *((at, bad) for at in (3, 4) for bad in (one, none)),
        *((at, bad) for at in (5, 6, 7) for bad in (one, none, np.zeros(999, np.int32))),
    ]:
        with pytest.raises(TypeError):
            c_coder.encode_in_context(*good[:at], bad, *good[at + 1 :])
    payload = c_coder.encode_in_context(*good)
    with pytest.raises(TypeError, match="do not fit"):
        c_coder.decode_in_context(payload, symbols, (2, 3, 5), *good[2:])


@pytest.mark.usefixtures("each_coder")
@pytest.mark.parametrize("shape", [(1, 0, 0), (1, 0, 5), (1, 4, 0)])
def test_an_empty_latent_is_the_initial_state(shape: tuple[int, int, int]) -> None:
    payload = encode_in_context(np.empty(shape, np.int32), ONE_CLASS)
    assert payload == bytes([0, 0, 0, 128, 0, 0, 0, 0])
    assert decode_in_context(payload, shape, ONE_CLASS).shape == shape
