# SPDX-License-Identifier: Apache-2.0
"""Contexts fitted to latents: alike in every run, smaller where neighbours tell something, kept only there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from codec_cases import Ints
from measure_contexts import measure

from frankensplit.bundle import sha256_of
from frankensplit.codec import Contexts, Tables, encode, encode_in_context
from frankensplit.errors import TablesError
from frankensplit.places import DATA_ROOT
from frankensplit.training.export.coding_tables import fit_tables, ideal_bytes, write_level
from frankensplit.training.export.contexts import fit_contexts

STREET = Path(__file__).parents[2] / "bundles" / "street"


def patchy(seed: int, height: int = 24, width: int = 30) -> Ints:
    """Busy and quiet patches that all channels share; the last channel is dead."""
    rng = np.random.default_rng(seed)
    scale = np.kron(rng.choice([0.05, 2.0], (6, 6)), np.ones((height // 6, width // 6)))
    latent = np.rint(rng.laplace(0, 1, (4, height, width)) * scale).astype(np.int32)
    latent[3] = 0
    return latent


def noise(seed: int) -> Ints:
    return np.random.default_rng(seed).integers(-4, 5, (2, 12, 12), np.int32)


def test_patches_are_coded_in_fewer_bytes() -> None:
    frames, other = [patchy(seed) for seed in range(8)], patchy(99, 36, 42)
    contexts, tables = fit_contexts(frames), fit_tables(frames)
    assert len(encode_in_context(other, contexts)) < 0.9 * len(encode(other, tables))
    assert len(set(contexts.map[3])) == 1
    assert contexts.tables.channels <= 16


@pytest.mark.parametrize("tables", [1, 2, 5, 16])
def test_no_more_tables_are_made_than_asked_for(tables: int) -> None:
    assert fit_contexts([patchy(0)], tables).tables.channels <= tables


def test_the_same_latents_give_the_same_file(tmp_path: Path) -> None:
    for name in ("one", "other"):
        fit_contexts([patchy(0), patchy(1)]).save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


@pytest.mark.parametrize("latent", [np.zeros((2, 3, 3), np.int32), np.full((1, 1, 1), 7, np.int32)])
def test_latents_of_one_symbol_are_fitted(latent: Ints) -> None:
    contexts = fit_contexts([latent])
    assert len(encode_in_context(latent, contexts)) == 8


def test_other_input_is_refused() -> None:
    for frames, tables in [([], 16), ([patchy(0), noise(0)], 16), ([noise(0)], 0), ([noise(0)], 17)]:
        with pytest.raises(TablesError, match="expected one or more"):
            fit_contexts(frames, tables)


def test_a_level_keeps_contexts_where_they_win(tmp_path: Path) -> None:
    frames = [patchy(seed) for seed in range(6)]
    hashes, figures = write_level(tmp_path, 1, frames[:4], frames[4:])
    assert figures["context_bytes"] < figures["static_bytes"]
    tables = Tables.load(tmp_path / "tables.1.npz")
    assert hashes["tables_sha256"] == sha256_of(tmp_path / "tables.1.npz")
    assert hashes["contexts_sha256"] == sha256_of(tmp_path / "contexts.1.npz")
    assert Contexts.load(tmp_path / "contexts.1.npz").channels == 4
    assert 0 < figures["static_bytes"] - ideal_bytes(tables, frames[4:]) < 9


def test_a_level_has_no_contexts_where_they_lose(tmp_path: Path) -> None:
    kept = fit_tables([noise(9)])
    (tmp_path / "contexts.npz").write_bytes(b"of an earlier codec")
    hashes, figures = write_level(tmp_path, 0, [noise(0)], [noise(1)], kept)
    assert set(hashes) == {"tables_sha256"}
    assert figures["context_bytes"] == figures["static_bytes"]
    assert [file.name for file in tmp_path.iterdir()] == ["tables.npz"]
    assert np.array_equal(Tables.load(tmp_path / "tables.npz").cdf, kept.cdf)


def test_street_saves_8_percent_on_camvid() -> None:
    if not (Path(DATA_ROOT) / "camvid").is_dir():
        pytest.skip(f"no camvid in {DATA_ROOT}: set FRANKENSPLIT_DATA")
    figures = measure(str(STREET), every=4)
    assert figures["saved"] >= 0.08
    assert figures["frames_in_context"] == figures["frames"]
