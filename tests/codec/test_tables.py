# SPDX-License-Identifier: Apache-2.0
"""What tables are accepted, how they are made, what they cost, and how they are kept."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from codec_cases import Ints, latents_drawn, random_symbols, random_tables
from hypothesis import given, settings

from frankensplit.codec import Tables, encode, pmf_to_quantized_cdf
from frankensplit.errors import SymbolError, TablesError

GOOD: dict[str, Any] = {
    "cdf": np.array([[0, 10, 65530, 65536], [0, 65535, 65536, 0]], np.int32),
    "sizes": np.array([4, 3], np.int32),
    "offsets": np.array([-1, 7], np.int32),
}


def changed(name: str, index: tuple[int, ...], value: int) -> dict[str, Any]:
    array = GOOD[name].copy()
    array[index] = value
    return {**GOOD, name: array}


def assert_same(one: Tables, other: Tables) -> None:
    for name in GOOD:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_tables_are_copied_and_read_only() -> None:
    cdf = GOOD["cdf"].copy()
    tables = Tables(cdf, GOOD["sizes"], GOOD["offsets"])
    cdf[:] = 0
    assert tables.channels == 2
    assert tables.cdf[0, 1] == 10
    with pytest.raises(ValueError, match="read-only"):
        tables.cdf[0, 1] = 11


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (changed("cdf", (0, 0), 1), "channel 0 does not begin with 0"),
        (changed("cdf", (0, 1), 0), "channel 0 does not rise"),
        (changed("cdf", (0, 1), -5), "channel 0 does not rise"),
        (changed("cdf", (0, 2), 65536), "channel 0 does not rise"),
        (changed("cdf", (0, 3), 65537), "channel 0 does not end with 65536"),
        (changed("cdf", (1, 2), 65535), "channel 1 does not rise"),
        (changed("cdf", (1, 3), 65536), "channel 1 is not padded"),
        (changed("cdf", (0, 2), -(2**31)), "channel 0 does not rise"),
        (changed("sizes", (1,), 2), "channel 1 has a size outside 3 to 4"),
        (changed("sizes", (1,), -(2**31)), "channel 1 has a size outside"),
        (changed("sizes", (0,), 5), "channel 0 has a size outside"),
        (changed("offsets", (1,), -(2**31)), "channel 1 has an offset"),
        (changed("offsets", (0,), 2**31 - 2**27 - 1), "channel 0 has an offset"),
        ({**GOOD, "cdf": GOOD["cdf"][0]}, "cdf has shape"),
        ({**GOOD, "cdf": np.zeros((0, 4), np.int32)}, "cdf has shape"),
        ({**GOOD, "cdf": np.zeros((2, 0), np.int32)}, "size outside"),
        ({**GOOD, "sizes": GOOD["sizes"][:1]}, "must be"),
        ({**GOOD, "offsets": GOOD["offsets"][:, None]}, "must be"),
        ({**GOOD, "cdf": GOOD["cdf"].astype(np.int64)}, "cdf is int64, expected an int32"),
        ({**GOOD, "offsets": [1, 2]}, "offsets is .*list.*, expected an int32"),
    ],
)
def test_each_broken_rule_is_named(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(TablesError, match=text):
        Tables(**arguments)


def test_offsets_may_reach_the_ends_of_int32() -> None:
    ends = np.array([-(2**31) + 2**27, 2**31 - 2**27 - 1], np.int32)
    assert Tables(GOOD["cdf"], GOOD["sizes"], ends).channels == 2


@pytest.mark.parametrize(
    ("pmf", "cdf"),
    [
        ([0.5, 0.25, 0.25], [0, 32768, 49152, 65536]),
        ([1.0, 0.0, 0.0], [0, 65534, 65535, 65536]),
        ([0.0, 0.0, 1.0], [0, 1, 2, 65536]),
        ([1, 1], [0, 32768, 65536]),
        ([1.0], [0, 65536]),
    ],
)
def test_pmfs_become_integers_with_room_for_every_slot(pmf: list[float], cdf: list[int]) -> None:
    assert pmf_to_quantized_cdf(np.array(pmf)).tolist() == cdf


@pytest.mark.parametrize(
    "pmf",
    [[], [[0.5, 0.5]], [0.5, -0.1], [0.5, np.nan], [np.inf, 0.5], [0, 0], [1e-9], [1e9], np.ones(65537)],
)
def test_other_pmfs_are_refused(pmf: Any) -> None:
    with pytest.raises(TablesError):
        pmf_to_quantized_cdf(np.array(pmf))


def test_pmfs_of_several_lengths_are_padded() -> None:
    tables = Tables.from_pmfs([[0.25, 0.25, 0.5], [0.5, 0.5]], [-3, 4])
    assert tables.cdf.tolist() == [[0, 16384, 32768, 65536], [0, 32768, 65536, 0]]
    assert tables.sizes.tolist() == [4, 3]
    assert tables.offsets.tolist() == [-3, 4]


@pytest.mark.parametrize(
    ("pmfs", "offsets"), [([], []), ([[0.5, 0.5]], []), ([[1.0]], [0]), ([[0.5, 0.5]], [2**40])]
)
def test_pmfs_that_make_no_tables_are_refused(pmfs: Any, offsets: list[int]) -> None:
    with pytest.raises(TablesError):
        Tables.from_pmfs(pmfs, offsets)


def test_counts_fitted_to_a_latent_are_nearly_its_entropy() -> None:
    symbols = np.rint(np.random.default_rng(0).laplace(0, 2, (1, 100, 100))).astype(np.int32)
    low = int(symbols.min())
    counts = np.bincount(symbols.ravel() - low)
    share = counts[counts > 0] / symbols.size
    entropy_bits = -symbols.size * float(share @ np.log2(share))
    fitted = Tables.from_counts([(low, counts)])
    assert entropy_bits <= fitted.ideal_bits(symbols) < 1.001 * entropy_bits
    shifted = Tables.from_counts([(low + 1, counts)])
    assert shifted.ideal_bits(symbols) > 1.02 * entropy_bits


@pytest.mark.parametrize("counts", [[], [0, 0], [1, -1], [np.nan, 1], [[1, 2]]])
def test_other_counts_are_refused(counts: Any) -> None:
    with pytest.raises(TablesError, match="counts of channel 1"):
        Tables.from_counts([(0, [1, 2]), (0, counts)])


@settings(deadline=None, max_examples=100)
@given(latents_drawn())
def test_ideal_bits_foretell_the_payload(case: tuple[Tables, Ints]) -> None:
    tables, symbols = case
    overhead_bits = 8 * len(encode(symbols, tables)) - tables.ideal_bits(symbols)
    assert 31.9 <= overhead_bits <= 64.1


def test_ideal_bits_foretell_a_large_payload() -> None:
    rng = np.random.default_rng(3)
    tables = random_tables(rng, 12, 80)
    symbols = random_symbols(rng, tables, 40, 50)
    overhead_bits = 8 * len(encode(symbols, tables)) - tables.ideal_bits(symbols)
    assert 31 <= overhead_bits <= 65


def test_tables_of_some_channels() -> None:
    tables = Tables(**GOOD)
    assert_same(tables.of([0, 1]), tables)
    only = tables.of([1])
    assert only.channels == 1 and only.offsets.tolist() == [7]


def test_ideal_bits_want_the_channels_of_the_tables() -> None:
    with pytest.raises(SymbolError, match="3 channels, expected 2"):
        Tables(**GOOD).ideal_bits(np.zeros((3, 2, 2), np.int32))


def test_saved_tables_are_loaded(tmp_path: Path) -> None:
    tables = random_tables(np.random.default_rng(4), 9, 30)
    tables.save(tmp_path / "tables.npz")
    assert_same(Tables.load(tmp_path / "tables.npz"), tables)
    assert_same(Tables.load(str(tmp_path / "tables.npz")), tables)


def test_same_tables_give_the_same_file(tmp_path: Path) -> None:
    Tables(**GOOD).save(tmp_path / "one.npz")
    Tables(**{name: np.asfortranarray(array) for name, array in GOOD.items()}).save(tmp_path / "other.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "other.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.npz") as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def write_arrays(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


class Bomb:
    """Raises when unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("a pickle was opened",))


def test_files_that_hold_no_tables_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "tables.npz"
    with pytest.raises(TablesError, match="No such file"):
        Tables.load(path)
    for content in [b"", b"not a zip", pickle.dumps(Bomb()), b"PK\x03\x04" + bytes(100)]:
        path.write_bytes(content)
        with pytest.raises(TablesError, match="cannot read tables"):
            Tables.load(path)
    with path.open("wb") as file:
        np.save(file, GOOD["cdf"])
    with pytest.raises(TablesError, match="cannot read tables"):
        Tables.load(path)


def test_other_arrays_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "tables.npz"
    without_offsets = {name: GOOD[name] for name in ("cdf", "sizes")}
    for arrays in [without_offsets, {**GOOD, "more": np.zeros(1)}]:
        with pytest.raises(TablesError, match="holds"):
            Tables.load(write_arrays(path, **arrays))
    with pytest.raises(TablesError, match="expected an int32"):
        Tables.load(write_arrays(path, **{**GOOD, "sizes": GOOD["sizes"].astype(np.int64)}))
    with pytest.raises(TablesError, match="cannot read tables"):
        Tables.load(write_arrays(path, **{**GOOD, "sizes": np.array([Bomb(), 1], object)}))


def test_damaged_files_are_refused_or_hold_the_same_tables(tmp_path: Path) -> None:
    path, tables = tmp_path / "tables.npz", Tables(**GOOD)
    tables.save(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(5)
    refused = 0
    for _ in range(200):
        data = bytearray(whole[: rng.integers(len(whole))] if rng.random() < 0.2 else whole)
        if data:
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        path.write_bytes(data)
        try:
            assert_same(Tables.load(path), tables)
        except TablesError:
            refused += 1
    assert refused > 100
