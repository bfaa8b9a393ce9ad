# SPDX-License-Identifier: Apache-2.0
"""Learned image codecs of the compressai package: its networks, its entropy coder, self-contained bytes.

An image is padded by its edge to what the network divides by (16 pixels, 64 with a hyperprior), and cropped after
decoding. The bytes are height and width in 16 bits each, the length in 32 bits of each string but the last, and the
strings. Truncated bytes are not told apart from others: the package's decoder trusts its input, so only give it what
:meth:`encode` made.

Only the package's networks are imported, not its ``__init__``, which would ask for many packages that they do not need.
"""

from __future__ import annotations

import importlib
import re
import struct
import sys
from collections.abc import Callable
from functools import wraps
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from frankensplit.errors import DataError, RuntimeUnavailable
from frankensplit.evaluation.network_cost import macs_of, parameters_of
from frankensplit.evaluation.rivals import Coder, Cost, Options, Quality
from frankensplit.models.entropy import entropy_models
from frankensplit.places import user_path

NAMES = {  # names in compressai's zoo
    "fp": "bmshj2018-factorized",
    "hyperprior": "bmshj2018-hyperprior",
    "mshp": "mbt2018-mean",
    "cheng": "cheng2020-anchor",
}
SIZE = struct.Struct("<2H")
LENGTH = struct.Struct("<I")
SHARED = ("h_s", "context_prediction", "entropy_parameters")  # networks that run at both ends
QUALITY_IN_NAME = re.compile(r"-(\d)(-[0-9a-f]{8})?\.pth(\.tar)?$")
SEED = 0


def trained_coder(rival: str, quality: Quality, options: Options) -> Coder:
    """Begin a stream with the weights of ``options``: a file, a folder, or "hub".

    A file's name ends with its quality: ``NAME-3.pth.tar``, ``NAME-3.pth``, or as published,
    ``NAME-3-1ed4405a.pth.tar``. A folder holds such files, one a quality, where NAME is that of the zoo, see ``NAMES``.

    Raises:
        RuntimeUnavailable: no weights were given or these have none of this quality, the download failed, or the
            package is missing.
        DataError: there is no such file, or it is of another network.
    """
    zoo = _zoo()
    state = _read_weights(rival, _checked(zoo, rival, quality), options.weights, zoo)
    try:
        network = zoo.model_architectures[NAMES[rival]].from_state_dict(zoo.load_pretrained(state))
    except Exception as error:  # a missing key, a wrong shape, no tensors at all: each has its own type
        raise DataError(
            f"{options.weights} does not fit {NAMES[rival]}: {str(error)[:200]}; give this network's state dict"
        ) from None
    return ImageCoder(network)


def untrained_coder(rival: str, quality: Quality, options: Options) -> Coder:
    """Begin a stream with random weights of a fixed seed: same networks and work, no picture worth looking at.

    Raises:
        RuntimeUnavailable: the package is missing.
    """
    zoo = _zoo()
    name, quality = NAMES[rival], _checked(zoo, rival, quality)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return ImageCoder(zoo.model_architectures[name](*zoo.cfgs[name][quality]))


class ImageCoder(Coder):
    """A network of the package as a codec.

    ``entropy_ms`` is the time in its entropy models: range coding and the look-up of tables; with an autoregressive
    prior that is the whole loop over positions, since networks and coder take turns there.

    Args:
        network: its tables are made unless its weights brought them along.
    """

    def __init__(self, network: Any) -> None:
        self.network = network.eval()
        self.network.update()
        self._multiple: int = network.downsampling_factor
        self._strings = 2 if hasattr(network, "h_a") else 1
        self._time_entropy_models()

    def encode(self, signal: NDArray[np.uint8]) -> bytes:
        """Return size, lengths and strings."""
        self.entropy_ms = 0.0
        height, width = signal.shape[:2]
        below, right = -height % self._multiple, -width % self._multiple
        padded = np.pad(signal, ((0, below), (0, right), (0, 0)), mode="edge")
        with torch.inference_mode():
            image = torch.from_numpy(padded).permute(2, 0, 1).unsqueeze(0).contiguous().float() / 255
            strings = [batch[0] for batch in self.network.compress(image)["strings"]]
        lengths = [LENGTH.pack(len(string)) for string in strings[:-1]]
        return b"".join([SIZE.pack(height, width), *lengths, *strings])

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        """Return the picture, uint8 RGB."""
        self.entropy_ms = 0.0
        height, width = SIZE.unpack_from(data)
        latent = [-(-side // self._multiple) for side in (height, width)]
        with torch.inference_mode():
            decoded: Tensor = self.network.decompress(self._split(data), latent)["x_hat"]
            rgb = decoded[0, :, :height, :width].clamp(0, 1).mul(255).round().byte()
        return rgb.permute(1, 2, 0).contiguous().numpy()

    def cost(self, height: int, width: int) -> Cost:
        """Return the size of the networks that run at either end; a learned density becomes a table and is left out."""
        net, multiple = self.network, self._multiple
        padded = height + -height % multiple, width + -width % multiple
        prior = [getattr(net, part) for part in SHARED if hasattr(net, part)]
        analysis, y = macs_of(net.g_a, torch.empty(1, 3, *padded, device="meta"))
        synthesis, _ = macs_of(net.g_s, y)
        hyper_analysis, shared = self._prior_macs(y)
        return Cost(
            encoder_parameters=parameters_of(net.g_a, *prior, *([net.h_a] if self._strings == 2 else [])),
            decoder_parameters=parameters_of(net.g_s, *prior),
            encoder_macs=analysis + hyper_analysis + shared,
            decoder_macs=synthesis + shared,
        )

    def _prior_macs(self, y: Tensor) -> tuple[int, int]:
        """Return the cost of the hyper-analysis, and that of what runs at both ends."""
        net = self.network
        if self._strings == 1:
            return 0, 0
        analysis, z = macs_of(net.h_a, y)
        shared, parameters = macs_of(net.h_s, z)
        if hasattr(net, "context_prediction"):
            context, features = macs_of(net.context_prediction, y)
            mixing, _ = macs_of(net.entropy_parameters, torch.cat((parameters, features), dim=1))
            shared += context + mixing
        return analysis, shared

    def _split(self, data: bytes) -> list[list[bytes]]:
        """Return the strings, as batches of one."""
        start = SIZE.size + (self._strings - 1) * LENGTH.size
        if self._strings == 1:
            return [[data[start:]]]
        (length,) = LENGTH.unpack_from(data, SIZE.size)
        return [[data[start : start + length]], [data[start + length :]]]

    def _time_entropy_models(self) -> None:
        net = self.network
        self._time(net.entropy_bottleneck, "compress", "decompress")
        if hasattr(net, "context_prediction"):
            self._time(net, "_compress_ar", "_decompress_ar")
        elif self._strings == 2:
            self._time(net.gaussian_conditional, "build_indexes", "compress", "decompress")

    def _time(self, owner: Any, *methods: str) -> None:
        """Let these methods add their time to ``entropy_ms``; they must not call each other."""
        for method in methods:
            setattr(owner, method, self._timed(getattr(owner, method)))

    def _timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            start = perf_counter()
            result = function(*arguments, **options)
            self.entropy_ms = (self.entropy_ms or 0.0) + (perf_counter() - start) * 1e3
            return result

        return call


def _checked(zoo: Any, rival: str, quality: Quality) -> int:
    qualities = zoo.cfgs[NAMES[rival]]
    if quality is None or quality not in qualities:
        raise DataError(f"quality {quality} of {rival}: expected {min(qualities)} to {max(qualities)}")
    return quality


def _read_weights(rival: str, quality: int, weights: str | None, zoo: Any) -> Any:
    url = zoo.model_urls[NAMES[rival]]["mse"][quality]
    if weights is None:
        raise RuntimeUnavailable(
            f"no weights for {rival}: timed only; give --weights {rival}=FILE, {rival}=FOLDER or {rival}=hub"
        )
    if weights == "hub":
        return _download(url)
    path = _weights_file(rival, quality, user_path(weights), url.rpartition("/")[2])
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (
        Exception
    ) as error:  # pickle, zipfile and torch raise a dozen types for a file that is not a state dict
        raise DataError(
            f"cannot read weights from {path}: {str(error)[:200]}; give a state dict saved by torch"
        ) from None
    # A checkpoint of the package's own training example.
    if isinstance(state, dict) and "state_dict" in state:
        return state["state_dict"]
    return state


def _weights_file(rival: str, quality: int, path: Path, published: str) -> Path:
    if path.is_dir():
        names = [published, f"{NAMES[rival]}-{quality}.pth.tar", f"{NAMES[rival]}-{quality}.pth"]
        found = [path / name for name in names if (path / name).is_file()]
        if not found:
            raise RuntimeUnavailable(
                f"{path} has no weights of {rival} {quality}: expected {' or '.join(names)}"
            )
        return found[0]
    if not path.is_file():
        raise DataError(f"no weights at {path}: give a file, a folder, or hub")
    held = QUALITY_IN_NAME.search(path.name)
    if held is None:
        raise DataError(
            f"{path} does not tell its quality: name it NAME-QUALITY.pth, such as {NAMES[rival]}-{quality}.pth"
        )
    if int(held[1]) != quality:
        raise RuntimeUnavailable(
            f"{path} holds quality {held[1]} of {rival}, not {quality}; ask for {rival}:{held[1]}, or give a folder"
        )
    return path


def _download(url: str) -> Any:
    try:
        return torch.hub.load_state_dict_from_url(url, progress=False, map_location="cpu", weights_only=True)
    except OSError as error:  # URLError is one
        raise RuntimeUnavailable(
            f"cannot download {url}: {error}; fetch it elsewhere and give the folder it lies in as --weights"
        ) from None


def _zoo() -> Any:
    """Import the package's list of networks, what it needs and no more."""
    if find_spec("compressai") is None:
        raise RuntimeUnavailable("compressai is not installed: pip install --no-deps compressai==1.2.8")
    entropy_models()
    _package("compressai.registry", "torch")
    _package("compressai.models", "base", "google", "waseda")
    _package("compressai.zoo")
    return importlib.import_module("compressai.zoo.image")


def _package(name: str, *parts: str) -> None:
    """Make a package without running its ``__init__``, with the public names of these of its modules."""
    if name in sys.modules:
        return
    spec = find_spec(name)
    assert spec is not None and spec.submodule_search_locations is not None
    package = ModuleType(name)
    package.__spec__ = spec
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules[name] = package
    for part in parts:
        module = importlib.import_module(f"{name}.{part}")
        package.__dict__.update({key: value for key, value in vars(module).items() if key[0] != "_"})
