# SPDX-License-Identifier: Apache-2.0
"""Round trips, bounds and rejections of the coders."""

from __future__ import annotations

import struct
import sys
import threading
from types import ModuleType

import numpy as np
import pytest
from codec_cases import Ints, latents_drawn, limits, random_symbols, random_tables
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frankensplit.codec import Tables, _rans_twin, decode, encode
from frankensplit.errors import PacketError, SymbolError

UNIFORM = Tables.from_pmfs([[1, 1, 1, 1]], [0])  # slots of 16384: symbols 0, 1, 2 and the sentinel
LOWER = struct.pack("<II", 1 << 31, 0)
drawn = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


def words(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


@pytest.mark.usefixtures("each_coder")
@drawn
@given(latents_drawn())
def test_decodes_what_it_encoded(case: tuple[Tables, Ints]) -> None:
    tables, symbols = case
    payload = encode(symbols, tables)
    decoded = decode(payload, symbols.shape, tables)
    assert decoded.dtype == np.int32
    np.testing.assert_array_equal(decoded, symbols)


@drawn
@given(latents_drawn())
def test_c_gives_the_bytes_of_the_twin(case: tuple[Tables, Ints]) -> None:
    coder = pytest.importorskip("frankensplit.codec._rans", reason="the C coder is not built")
    tables, symbols = case
    arguments = (symbols, tables.cdf, tables.sizes, tables.offsets)
    assert coder.encode(*arguments) == _rans_twin.encode(*arguments)


@pytest.mark.parametrize("seed", range(30))
def test_c_gives_the_bytes_of_the_twin_on_larger_latents(c_coder: ModuleType, seed: int) -> None:
    rng = np.random.default_rng(seed)
    tables = random_tables(rng, channels=5, widest=300)
    symbols = random_symbols(rng, tables, 9, 11)
    arguments = (symbols, tables.cdf, tables.sizes, tables.offsets)
    payload = c_coder.encode(*arguments)
    assert payload == _rans_twin.encode(*arguments)
    np.testing.assert_array_equal(decode(payload, symbols.shape, tables), symbols)


def test_a_row_of_the_greatest_width_round_trips() -> None:
    tables = Tables.from_counts([(-30000, np.ones(65535))])
    symbols = np.arange(-30000, 35535, 5, dtype=np.int32).reshape(1, 3, -1)
    np.testing.assert_array_equal(decode(encode(symbols, tables), symbols.shape, tables), symbols)


@pytest.mark.usefixtures("each_coder")
def test_one_symbol_gives_the_bytes_of_the_written_rules() -> None:
    # Symbol 2 lies at 32768, 16384 wide: x = 2^31 -> (x / 16384) * 65536 + x % 16384 + 32768 = 2^33 + 32768.
    assert encode(np.full((1, 1, 1), 2, np.int32), UNIFORM) == words(32768, 2)


@pytest.mark.usefixtures("each_coder")
@pytest.mark.parametrize("shape", [(1, 0, 0), (1, 0, 5), (1, 4, 0)])
def test_an_empty_latent_is_the_initial_state(shape: tuple[int, int, int]) -> None:
    assert encode(np.empty(shape, np.int32), UNIFORM) == LOWER
    assert decode(LOWER, shape, UNIFORM).shape == shape


@pytest.mark.usefixtures("each_coder")
def test_symbols_at_the_limits_pass_and_one_beyond_raises() -> None:
    low, high = limits(UNIFORM, 0)
    extremes = np.array([[[low, high]]], np.int32)
    np.testing.assert_array_equal(decode(encode(extremes, UNIFORM), (1, 1, 2), UNIFORM), extremes)
    for symbol in (low - 1, high + 1, -(2**31), 2**31 - 1):
        with pytest.raises(SymbolError, match=f"symbol {symbol} of channel 0 is not in {low} to {high}"):
            encode(np.full((1, 1, 1), symbol, np.int32), UNIFORM)


@pytest.mark.parametrize(
    "symbols",
    [
        np.zeros((1, 2, 2), np.int64),
        np.zeros((1, 2, 2), np.float32),
        np.zeros((1, 2, 2), ">i4"),
        np.zeros((2, 2, 2), np.int32),
        np.zeros((1, 4), np.int32),
    ],
)
def test_other_dtypes_and_shapes_raise(symbols: np.ndarray) -> None:
    with pytest.raises(SymbolError, match="expected int32"):
        encode(symbols, UNIFORM)


def test_strided_symbols_are_coded_like_contiguous_ones() -> None:
    symbols = np.random.default_rng(0).integers(0, 3, (1, 6, 8), dtype=np.int32)[:, ::2, ::-3]
    assert encode(symbols, UNIFORM) == encode(symbols.copy(), UNIFORM)


@pytest.mark.parametrize("buffer", [bytes, bytearray, memoryview, lambda data: np.frombuffer(data, np.uint8)])
def test_any_buffer_of_bytes_is_decoded(buffer) -> None:
    assert decode(buffer(words(32768, 2)), (1, 1, 1), UNIFORM) == 2


@pytest.mark.usefixtures("each_coder")
@pytest.mark.parametrize(
    "shape", [(2, 1, 1), (1, -1, 1), (1, -1, -1), (1, 1), (1, 65535, 65535), (1, 0, 65536), (1, 0, 1 << 62)]
)
def test_shapes_that_the_tables_or_the_caller_do_not_allow_are_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(PacketError, match="is refused"):
        decode(LOWER, shape, UNIFORM)


def test_the_caller_limits_the_symbols() -> None:
    assert decode(encode(np.zeros((1, 2, 3), np.int32), UNIFORM), (1, 2, 3), UNIFORM, max_symbols=6).size == 6
    with pytest.raises(PacketError, match="at most 5"):
        decode(LOWER, (1, 2, 3), UNIFORM, max_symbols=5)


def outlier_stream(*digits: int) -> bytes:
    """Payload of one sentinel of UNIFORM and the given digits, however wrong they are."""
    encoder = _rans_twin._Encoder()
    for digit in reversed(digits):
        encoder.push(digit, 1, 4)
    encoder.push(49152, 16384, 16)
    return encoder.finish()


@pytest.mark.usefixtures("each_coder")
@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"", "payload has 0 bytes"),
        (LOWER[:4], "payload has 4 bytes"),
        (LOWER + b"\0", "payload has 9 bytes"),
        (words(2**31 - 1, 0), "begins with a state out of range"),
        (words(0, 2**31), "begins with a state out of range"),
        (b"\xff" * 8, "begins with a state out of range"),
        (LOWER, "payload ends within symbol 0 of 1"),
        (words(32768, 2, 7), "goes on for 1 words"),
        (words(32768, 3), "ends in a wrong state"),
        (outlier_stream(8, 1, 1, 1, 1, 1, 1, 1, 1), "outlier of symbol 0 of 1 has more than 7 digits"),
        (outlier_stream(15, 1), "outlier of symbol 0 of 1 has more than 7 digits"),
        (outlier_stream(2, 5, 0), "outlier of symbol 0 of 1 has a leading zero"),
        (outlier_stream(7, *[15] * 7)[:-4], "payload ends within symbol 0 of 1"),
    ],
)
def test_each_broken_rule_is_named(payload: bytes, text: str) -> None:
    with pytest.raises(PacketError, match=text):
        decode(payload, (1, 1, 1), UNIFORM)


@pytest.mark.usefixtures("each_coder")
def test_greatest_outlier_in_each_direction_is_still_read() -> None:
    assert decode(outlier_stream(7, *[15] * 7), (1, 1, 1), UNIFORM) == -(2**27)
    assert decode(outlier_stream(7, 14, *[15] * 6), (1, 1, 1), UNIFORM) == 3 + 2**27 - 1


@pytest.mark.usefixtures("each_coder")
@drawn
@given(st.lists(st.integers(0, 2**32 - 1), min_size=2, max_size=6), st.integers(1, 4), st.integers(1, 4))
def test_an_accepted_payload_is_the_one_payload_of_its_symbols(
    values: list[int], height: int, width: int
) -> None:
    payload = words(values[0], values[1] & 2**31 - 1, *values[2:])
    try:
        symbols = decode(payload, (1, height, width), UNIFORM)
    except PacketError:
        return
    assert encode(symbols, UNIFORM) == payload


def test_c_refuses_buffers_that_do_not_fit_each_other(c_coder: ModuleType) -> None:
    symbols = np.zeros((1, 1, 1), np.int32)
    cdf, sizes, offsets = UNIFORM.cdf, UNIFORM.sizes, UNIFORM.offsets
    two, none = np.zeros(2, np.int32), np.zeros(0, np.int32)
    for arguments in [(symbols, cdf, two, offsets), (symbols, cdf, sizes, two), (symbols, none, none, none)]:
        with pytest.raises(TypeError, match="as many channels"):
            c_coder.encode(*arguments)
    with pytest.raises(TypeError, match="as many channels"):
        c_coder.decode(LOWER, np.zeros(3, np.int8), cdf, sizes, offsets)
    with pytest.raises((TypeError, BufferError, ValueError)):
        # Tables are read-only, so this output cannot be written.
        c_coder.decode(LOWER, cdf, cdf, sizes, offsets)


def test_c_lets_go_of_its_buffers(c_coder: ModuleType) -> None:
    payload = bytearray(LOWER)
    with pytest.raises(ValueError, match="ends within symbol 0"):
        c_coder.decode(payload, np.zeros(1, np.int32), UNIFORM.cdf, UNIFORM.sizes, UNIFORM.offsets)
    payload.append(0)  # BufferError while anyone holds the buffer


@pytest.mark.parametrize("direction", ["encode", "decode"])
def test_c_releases_the_interpreter_lock(c_coder: ModuleType, direction: str) -> None:
    """With a switch interval of hours another thread can only run while the coder has let go of the lock."""
    symbols = np.zeros((1, 1000, 2000), np.int32)
    tables = (UNIFORM.cdf, UNIFORM.sizes, UNIFORM.offsets)
    payload = c_coder.encode(symbols, *tables)
    call = {
        "encode": lambda: c_coder.encode(symbols, *tables),
        "decode": lambda: c_coder.decode(payload, symbols, *tables),
    }[direction]
    assert any(runs_beside(call) for _ in range(50))
    assert not any(runs_beside(lambda: sum(range(100_000))) for _ in range(3))


def runs_beside(call) -> bool:
    """Tell whether a waiting thread got to run during ``call``."""
    ready, go, ran = threading.Event(), threading.Event(), []
    thread = threading.Thread(target=lambda: (ready.set(), go.wait(), ran.append(True)))
    thread.start()
    ready.wait()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(3600)
    try:
        go.set()
        call()
        seen = bool(ran)
    finally:
        sys.setswitchinterval(interval)
    thread.join()
    return seen
