# SPDX-License-Identifier: Apache-2.0
"""Both coders behind the same front."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest

from frankensplit.codec import rans


def load_coder(name: str) -> ModuleType:
    """Import a coder; skip where the C one was not built."""
    try:
        return importlib.import_module(f"frankensplit.codec.{name}")
    except ImportError as error:
        pytest.skip(f"the C coder is not built: {error}")


@pytest.fixture
def c_coder() -> ModuleType:
    return load_coder("_rans")


@pytest.fixture(params=["_rans", "_rans_twin"])
def each_coder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Run the test once with each coder behind ``rans.encode`` and ``rans.decode``."""
    coder = load_coder(request.param)
    monkeypatch.setattr(rans, "_coder", coder)
    return coder
