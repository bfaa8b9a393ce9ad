# SPDX-License-Identifier: Apache-2.0
"""Engines are code, so their folder must be the user's own."""

from __future__ import annotations

from frankensplit.doctor import FAULT, OK
from frankensplit.doctor.checks import engines


def test_engines(made_up, tmp_path):
    folder = tmp_path / "engines" / "tensorrt"
    assert made_up.find(engines.check)["engines"].level == OK
    folder.mkdir(mode=0o700, parents=True)
    (folder / "abc.engine").write_bytes(b"")
    assert made_up.find(engines.check)["engines"].figures["names"] == ["abc"]
    folder.chmod(0o770)
    finding = made_up.find(engines.check)["engines"]
    assert (finding.level, "0770" in finding.text) == (FAULT, True)


def test_a_folder_of_engines_that_cannot_be_read_is_a_fault(made_up, monkeypatch):
    def refuse(_cache):
        raise PermissionError(13, "Permission denied", "/home/robot/.cache")

    monkeypatch.setattr(engines.EngineCache, "names", refuse)
    finding = made_up.find(engines.check)["engines"]
    assert (finding.level, finding.text) == (FAULT, "cannot be read: Permission denied: /home/robot/.cache")
