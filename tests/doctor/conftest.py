# SPDX-License-Identifier: Apache-2.0
"""A machine made of files in a temporary folder, and of programs that answer what a test says."""

from __future__ import annotations

import json
import sys

import pytest
from tiny_codec import write_codec

from frankensplit.doctor import Machine
from frankensplit.doctor.checks.accelerator import CUDA
from frankensplit.doctor.machine import IMPORT, Outcome
from frankensplit.import_order import FORGET

GIB = 1 << 30


class MadeUp:
    """Write files, name what can be imported, then take ``machine``."""

    def __init__(self, root, **told):
        self.root = root / "root"
        self.packages = {}  # name: (state, text), or the Outcome of the whole process
        self.cuda = Outcome(0, "{}")
        self.programs = {}  # path: Outcome
        self.environ = {}
        self.disk = (GIB, 0, GIB)
        self.told = {"engines": root / "engines", **told}
        for folder in ("proc", "dev/shm"):
            (self.root / folder).mkdir(parents=True)

    def write(self, name, text):
        path = self.root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return self

    @property
    def machine(self):
        return Machine(
            root=self.root,
            environ=self.environ,
            execute=self._execute,
            disk_usage=lambda _path: self.disk,
            **self.told,
        )

    def find(self, check):
        """Return the findings of one check by name."""
        return {finding.name: finding for finding in check(self.machine)}

    def _execute(self, command):
        if command[:2] != [sys.executable, "-c"]:
            return self.programs[command[0]]
        source = command[2].removeprefix(FORGET)
        if source == CUDA:
            return self.cuda
        assert source == IMPORT
        answer = self.packages.get(command[3], ("absent", ""))
        if isinstance(answer, Outcome):
            return answer
        return Outcome(0, "a warning\n" + json.dumps({"state": answer[0], "text": answer[1]}))


@pytest.fixture
def made_up(tmp_path):
    return MadeUp(tmp_path)


@pytest.fixture
def codec_folder(tmp_path):
    return write_codec(tmp_path / "codec")


@pytest.fixture
def with_codec(made_up, codec_folder):
    made_up.told["bundle"] = str(codec_folder)
    return made_up
