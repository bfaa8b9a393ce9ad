# SPDX-License-Identifier: Apache-2.0
"""The verb: every check is found, one that breaks hides none, and a fault is exit code 1."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest

from frankensplit.cli import doctor as verb
from frankensplit.cli import main
from frankensplit.doctor import FAULT, LEVELS, Machine, check_modules, checks, examine
from frankensplit.doctor.checks import board
from frankensplit.doctor.finding import fault, note, ok


def test_a_made_up_robot_is_examined_whole(with_codec):
    found = list(examine(with_codec.machine))
    titles = list(dict.fromkeys(title for title, _ in found))
    assert titles[0] == "machine"
    assert titles[-1] == "frames"
    assert len(titles) == len(check_modules())
    assert {finding.level for _, finding in found} <= set(LEVELS)
    assert all(finding.remedy for _, finding in found if finding.level == FAULT)


def test_a_check_that_breaks_hides_no_other(with_codec, monkeypatch):
    def breaks(machine):
        yield ok("board", "fine")
        raise ValueError("no such board")

    monkeypatch.setattr(board, "check", breaks)
    found = [finding for title, finding in examine(with_codec.machine)]
    assert found[0].level == "ok"
    assert (found[1].level, "ValueError: no such board" in found[1].text) == (FAULT, True)
    assert len(found) > 10


def test_a_new_check_is_one_file(tmp_path, monkeypatch, with_codec):
    text = "from frankensplit.doctor.finding import ok\nTITLE = 'luck'\nORDER = 0\n"
    (tmp_path / "one_more.py").write_text(text + "def check(machine):\n    yield ok('luck', 'good')\n")
    monkeypatch.setattr(checks, "__path__", [*checks.__path__, str(tmp_path)])
    title, finding = next(examine(with_codec.machine))
    assert (title, finding.text) == ("luck", "good")
    del sys.modules["frankensplit.doctor.checks.one_more"]


FOUND = [("machine", ok("board", "[red]a board")), ("machine", note("mode", "slow", "make it fast"))]


@pytest.mark.parametrize(("more", "status"), [([], 0), ([("coder", fault("coder", "slow", "build it"))], 1)])
def test_exit_code_and_lines(monkeypatch, capsys, tmp_path, more, status):
    monkeypatch.setattr(verb, "examine", lambda _machine: iter(FOUND + more))
    assert main(["doctor", "--json", str(tmp_path / "out.json")]) == status
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "ok    machine: board: [red]a board",
        "note  machine: mode: slow",
        "      -> make it fast",
    ]
    assert lines[-1] == f"{status} faults, 1 notes, 1 ok"
    written = json.loads((tmp_path / "out.json").read_text())
    assert (written["faults"], written["notes"], len(written["findings"])) == (status, 1, 2 + status)
    assert written["findings"][1] == {
        "check": "machine",
        "name": "mode",
        "level": "note",
        "text": "slow",
        "remedy": "make it fast",
        "figures": {},
    }


def test_json_on_standard_output_stands_alone(monkeypatch, capsys):
    monkeypatch.setattr(verb, "examine", lambda _machine: iter(FOUND))
    assert main(["doctor", "--json", "-"]) == 0
    written = capsys.readouterr()
    assert json.loads(written.out)["notes"] == 1
    assert "make it fast" in written.err


def test_a_terminal_gets_a_table(monkeypatch):
    stream = io.StringIO()
    assert verb._print_table(iter(FOUND), stream) == FOUND
    assert "[red]a board" in stream.getvalue()
    assert "-> make it fast" in stream.getvalue()


def test_arguments_reach_the_machine(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(verb, "examine", lambda machine: iter(seen.append(machine) or ()))
    main(["doctor", "some", "--runtime", "tensorrt", "--engines", str(tmp_path)])
    assert (seen[0].bundle, seen[0].runtime, seen[0].engines) == ("some", "tensorrt", tmp_path)


NOTHING = """
import sys
for name in sys.argv[1:]:
    sys.modules[name] = None
from frankensplit.cli import main
status = main(["doctor", "--json", "-"])
assert not {"torch", "rclpy"} & {name for name, module in sys.modules.items() if module}
sys.exit(status)
"""


@pytest.mark.parametrize(
    ("missing", "status"), [((), 0), (("torch", "rclpy", "tensorrt", "onnx"), 0), (("onnxruntime",), 1)]
)
def test_this_machine(missing, status):
    command = [sys.executable, "-c", NOTHING, *missing]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    assert json.loads(done.stdout)["faults"] == status


def test_the_real_machine_is_the_default():
    assert str(Machine().root) == "/"
