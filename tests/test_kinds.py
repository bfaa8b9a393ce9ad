# SPDX-License-Identifier: Apache-2.0
"""Each test has one kind, each kind is a marker that is known, and the table names what is there."""

from __future__ import annotations

from pathlib import Path

import pytest
from kinds_of_tests import KINDS, TESTS, UNIT, is_left_out, kind_of


def test_the_table_names_what_is_there():
    places = [place for found in KINDS.values() for place in found]
    assert [place for place in places if not (TESTS / place).exists()] == []
    assert len(set(places)) == len(places)


def test_each_kind_is_a_marker(request: pytest.FixtureRequest):
    known = {line.partition(":")[0] for line in request.config.getini("markers")}
    assert {UNIT, *KINDS} <= known


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("nodes", "ros"),
        ("nodes/test_edge.py", "ros"),
        ("training/test_engine.py", "train"),
        ("test_geometry.py", UNIT),
        ("codec/test_golden.py", UNIT),
        ("codec/test_compressai.py", "slow"),
    ],
)
def test_a_file_has_the_kind_of_its_place(place: str, kind: str):
    assert kind_of(TESTS / place) == kind


def test_what_is_not_asked_for_is_not_imported():
    def left_out(wanted: str) -> list[str]:
        places = ("nodes", "nodes/test_edge.py", "codec", "codec/test_compressai.py", "codec/test_golden.py")
        return [place for place in places if is_left_out(TESTS / place, wanted)]

    assert left_out(UNIT) == ["nodes", "nodes/test_edge.py", "codec/test_compressai.py"]
    assert left_out("ros") == ["codec", "codec/test_compressai.py", "codec/test_golden.py"]
    assert left_out("slow") == ["nodes", "nodes/test_edge.py", "codec/test_golden.py"]
    assert left_out("") == left_out("not ros") == []
    assert not is_left_out(Path("/"), UNIT)


def test_this_test_has_its_marker(request: pytest.FixtureRequest):
    assert [mark.name for mark in request.node.iter_markers()] == [UNIT]
