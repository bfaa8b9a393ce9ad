# SPDX-License-Identifier: Apache-2.0
"""CompressAI's codecs as rivals: the package's own pictures, counted bytes, weights by path, costs known by hand."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest

from frankensplit.errors import DataError, RuntimeUnavailable
from frankensplit.evaluation.rivals import Options, load_rival

pytestmark = pytest.mark.skipif(find_spec("compressai") is None, reason="compressai is not installed")
torch = pytest.importorskip("torch")

SIZES = {"fp": (50, 70), "hyperprior": (50, 70), "mshp": (50, 70), "cheng": (60, 64)}
ZOO = {"fp": "bmshj2018-factorized", "hyperprior": "bmshj2018-hyperprior", "mshp": "mbt2018-mean"}


def picture(height: int, width: int) -> np.ndarray:
    ramp = np.linspace(0, 255, height * width * 3).reshape(height, width, 3)
    return np.clip(ramp + np.random.default_rng(0).normal(0, 20, ramp.shape), 0, 255).astype(np.uint8)


def lively_coder(name: str, quality: int = 1) -> Any:
    """Random weights whose latent is not all zeros."""
    rival: Any = load_rival(name)
    coder = rival.open_untrained(quality, Options())
    with torch.no_grad():
        coder.network.g_a[-1].weight.mul_(30)
    return coder


def saved(folder: Path, name: str, filename: str) -> tuple[Any, str]:
    coder = lively_coder(name)
    torch.save(coder.network.state_dict(), folder / filename)
    return coder, str(folder / filename)


@pytest.mark.parametrize("name", SIZES)
def test_picture_is_that_of_the_network(name: str) -> None:
    height, width = SIZES[name]
    frame, coder = picture(height, width), lively_coder(name)
    multiple = 16 if name == "fp" else 64
    padded = np.pad(frame, ((0, -height % multiple), (0, -width % multiple), (0, 0)), mode="edge")
    with torch.no_grad():
        image = torch.from_numpy(padded).permute(2, 0, 1)[None] / 255
        own = coder.network.compress(image)
        expected = coder.network.decompress(own["strings"], own["shape"])["x_hat"]
        unpacked = coder.network(image)["x_hat"].clamp(0, 1)
    assert float((expected - unpacked).abs().mean()) < 0.01  # so the strings carry the latent
    assert float(expected.std()) > 0.001  # and the picture is not flat
    data = coder.encode(frame)
    decoded = coder.decode(data)
    assert decoded.dtype == np.uint8 and decoded.flags.c_contiguous and coder.entropy_ms > 0
    np.testing.assert_array_equal(
        decoded, (expected[0].permute(1, 2, 0) * 255).round().byte().numpy()[:height, :width]
    )
    header = 4 * len(own["strings"])  # height, width; a length for all strings but the last
    assert len(data) == header + sum(len(batch[0]) for batch in own["strings"])


def test_untrained_weights_are_the_same_each_time() -> None:
    state = torch.random.get_rng_state()
    first, second = lively_coder("fp"), lively_coder("fp")
    assert torch.equal(state, torch.random.get_rng_state())
    assert first.encode(picture(32, 32)) == second.encode(picture(32, 32))


@pytest.mark.parametrize("name", ["fp", "mshp"])
@pytest.mark.parametrize("filename", ["anything-1.pth", "bmshj2018-factorized-prior-1-446d5c7f.pth.tar"])
def test_weights_of_a_file(tmp_path: Path, name: str, filename: str) -> None:
    coder, path = saved(tmp_path, name, filename)
    loaded = load_rival(name).open_coder(1, Options(weights=path))
    frame = picture(40, 64)
    assert loaded.encode(frame) == coder.encode(frame)
    np.testing.assert_array_equal(loaded.decode(coder.encode(frame)), coder.decode(coder.encode(frame)))


@pytest.mark.parametrize("filename", ["{}-1.pth", "{}-1.pth.tar", "{}-prior-1-446d5c7f.pth.tar"])
def test_weights_of_a_folder(tmp_path: Path, filename: str) -> None:
    coder, _ = saved(tmp_path, "fp", filename.format(ZOO["fp"]))
    options = Options(weights=str(tmp_path))
    assert load_rival("fp").open_coder(1, options).encode(picture(16, 16)) == coder.encode(picture(16, 16))
    with pytest.raises(RuntimeUnavailable, match=r"bmshj2018-factorized-2\.pth"):
        load_rival("fp").open_coder(2, options)


def test_weights_of_a_training_checkpoint_without_tables(tmp_path: Path) -> None:
    coder = lively_coder("fp")
    state = coder.network.state_dict()
    tables = [key for key in state if key.endswith(("._offset", "._quantized_cdf", "._cdf_length"))]
    assert len(tables) == 3
    state |= {key: torch.IntTensor() for key in tables}
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "checkpoint-1.pth.tar")
    loaded = load_rival("fp").open_coder(1, Options(weights=str(tmp_path / "checkpoint-1.pth.tar")))
    assert loaded.encode(picture(16, 16)) == coder.encode(picture(16, 16))


@pytest.mark.parametrize("name", SIZES)
def test_without_weights_there_is_only_timing(name: str) -> None:
    with pytest.raises(
        RuntimeUnavailable, match=rf"no weights for {name}: timed only; give --weights {name}="
    ):
        load_rival(name).open_coder(1, Options())


def test_unreadable_weights_are_refused(tmp_path: Path) -> None:
    rival = load_rival("fp")
    (tmp_path / "noise-1.pth").write_bytes(b"no weights")
    torch.save([1, 2], tmp_path / "list-1.pth")
    _, other = saved(tmp_path, "hyperprior", "other-1.pth")
    _, nameless = saved(tmp_path, "fp", "nameless.pth")
    for path, text in (
        (str(tmp_path / "missing-1.pth"), "no weights at"),
        (str(tmp_path / "noise-1.pth"), "cannot read weights"),
        (str(tmp_path / "list-1.pth"), "does not fit"),
        (other, "does not fit"),
        (nameless, "does not tell its quality"),
    ):
        with pytest.raises(DataError, match=text):
            rival.open_coder(1, Options(weights=path))
    with pytest.raises(RuntimeUnavailable, match="holds quality 1 of fp, not 2"):
        rival.open_coder(2, Options(weights=other))


def test_weights_that_would_run_code_are_refused(tmp_path: Path) -> None:
    torch.save({"g_a.0.weight": Path("x")}, tmp_path / "code-1.pth")
    with pytest.raises(DataError, match="cannot read weights"):
        load_rival("fp").open_coder(1, Options(weights=str(tmp_path / "code-1.pth")))


def test_download_that_fails_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(url: str, **_: Any) -> None:
        raise URLError(f"no route for {url}")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", unreachable)
    with pytest.raises(RuntimeUnavailable, match=r"factorized-prior-3-5c6f152b\.pth\.tar.*--weights"):
        load_rival("fp").open_coder(3, Options(weights="hub"))


@pytest.mark.parametrize("quality", [0, 9, None])
def test_unknown_quality_is_refused(quality: int | None) -> None:
    with pytest.raises(DataError, match="expected 1 to 8"):
        load_rival("fp").open_coder(quality, Options(weights="hub"))


@pytest.mark.parametrize(  # FrankenSplit's table 6, in millions
    ("name", "encoder", "decoder"),
    [("fp", 3.51, 3.51), ("hyperprior", 8.30, 5.90), ("mshp", 14.04, 11.65)],
)
def test_parameters_are_those_of_the_paper(name: str, encoder: float, decoder: float) -> None:
    rival: Any = load_rival(name)
    cost = rival.open_untrained(6, Options()).cost(64, 64)
    assert (round(cost.encoder_parameters / 1e6, 2), round(cost.decoder_parameters / 1e6, 2)) == (
        encoder,
        decoder,
    )


def test_macs_by_hand() -> None:
    rival: Any = load_rival("fp")
    coder = rival.open_untrained(1, Options())
    layers = (
        (32 * 32, 3 * 25 * 128),
        (16 * 16, 128 * 25 * 128),
        (8 * 8, 128 * 25 * 128),
        (4 * 4, 128 * 25 * 192),
    )
    gdn = 128 * 128 * (32 * 32 + 16 * 16 + 8 * 8)
    macs = sum(positions * kernel for positions, kernel in layers) + gdn
    assert coder.cost(64, 64).encoder_macs == macs
    assert coder.cost(50, 49).decoder_macs == macs  # padded to 64x64; decoding mirrors encoding
