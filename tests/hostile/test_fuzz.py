# SPDX-License-Identifier: Apache-2.0
"""Each door of ``targets.py`` takes the committed seeds and some hundred hostile inputs, the same in every run."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from fuzz import FAULT, search
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from targets import TARGETS, Target


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_hostile_input_is_refused_by_name_or_does_no_harm(target: Target) -> None:
    @settings(
        max_examples=target.examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(target.inputs)
    def attack(data: bytes) -> None:
        outcomes[target.run(data)] += 1

    outcomes: Counter[bool] = Counter()
    attack()
    assert outcomes[True] > target.examples // 40, "hardly anything gets behind the door"
    assert outcomes[False] > target.examples // 10, "hardly anything is hostile"


@pytest.mark.parametrize(
    ("target", "seed"),
    [(target, seed) for target in TARGETS.values() for seed in target.seeds],
    ids=lambda value: value.name,
)
def test_seed(target: Target, seed: Path) -> None:
    target.run(seed.read_bytes())


def test_what_makes_a_fault_is_kept(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def check(data: bytes) -> bool:
        assert len(data) < 3, "three bytes are too many"
        return True

    broken = Target("broken", st.binary(), check, 16, 1)
    assert search(broken, 60.0, tmp_path, None, limited=False) == FAULT
    assert "three bytes are too many" in capfd.readouterr().err
    kept = tmp_path / "broken.last"
    assert kept.read_bytes() == bytes(3)  # the simplest there is
    assert search(broken, 0.0, tmp_path, kept, limited=False) == FAULT
