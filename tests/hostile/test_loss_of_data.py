# SPDX-License-Identifier: Apache-2.0
"""Nothing of the user's is overwritten or deleted, two processes do not take each other's files, crashes are healed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from frankensplit.bundle import BUNDLE, Bundle, copy_files
from frankensplit.cli import main
from frankensplit.errors import OutputError
from frankensplit.evaluation.card import write_figures
from frankensplit.writing import check_file, check_folder, kept_folder, new_folder, write_file

DEAD = 4_194_304  # above the largest process id of Linux


@pytest.fixture
def bundle(bundle_path, tmp_path):
    """A copy of a bundle, in a folder that holds nothing else."""
    return Path(shutil.copytree(bundle_path, tmp_path / "place" / "street"))


def _tree(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else str(path.is_symlink())
        for path in folder.rglob("*")
    }


def _a_file(out, bundle):
    out.write_text("dear diary")


def _a_thesis(out, bundle):
    out.mkdir()
    (out / "thesis.txt").write_text("years")


def _a_bundle_and_a_thesis(out, bundle):
    shutil.copytree(bundle, out)
    (out / "thesis.txt").write_text("years")


def _a_bundle_with_a_thesis_in_its_manifest(out, bundle):
    _a_bundle_and_a_thesis(out, bundle)
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["files"]["thesis.txt"] = "0" * 64
    (out / "manifest.json").write_text(json.dumps(manifest))


def _a_git_checkout(out, bundle):
    shutil.copytree(bundle, out)
    (out / ".git").mkdir()
    (out / ".git" / "HEAD").write_text("ref: refs/heads/main\n")


def _a_link_to_a_bundle(out, bundle):
    shutil.copytree(bundle, out.with_name("elsewhere"))
    out.symlink_to(out.with_name("elsewhere"))


def _a_link_to_nothing(out, bundle):
    out.symlink_to("nowhere")


def _a_link_in_a_bundle(out, bundle):
    shutil.copytree(bundle, out)
    (out / "card.md").unlink()
    (out / "card.md").symlink_to(bundle / "card.md")


def _a_codec_alone(out, bundle):
    shutil.copytree(bundle / "codec", out / "codec")


def _files_of_these_names(out, bundle):
    out.mkdir()
    (out / "labels.json").write_text("[]")
    (out / "manifest.json").write_text('{"name": "a web site"}')


def _the_current_folder(out, bundle):
    out.mkdir()
    os.chdir(out)


def _a_folder_above_the_current(out, bundle):
    shutil.copytree(bundle, out)
    os.chdir(out / "codec")


def _a_home(out, bundle):
    out.mkdir()
    os.environ["HOME"] = str(out)


OBSTACLES = [value for name, value in list(globals().items()) if name.startswith(("_a_", "_files", "_the_"))]


@pytest.mark.parametrize("obstacle", OBSTACLES, ids=lambda one: one.__name__.strip("_"))
def test_only_a_bundle_and_nothing_else_is_replaced(bundle, tmp_path, monkeypatch, obstacle):
    """Before the block is entered, so before any work."""
    monkeypatch.setenv("HOME", os.environ.get("HOME", "/"))
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    obstacle(out, bundle)
    before = _tree(tmp_path)
    with pytest.raises(OutputError, match=r"cannot write .*name"), new_folder(out, BUNDLE):
        pytest.fail("work was begun")
    assert _tree(tmp_path) == before


@pytest.mark.parametrize("out", [".", "..", "/"])
def test_folders_in_use_are_not_replaced(bundle, monkeypatch, out):
    monkeypatch.chdir(bundle)
    with pytest.raises(OutputError, match="cannot write"), new_folder(Path(out), BUNDLE):
        pytest.fail("work was begun")
    Bundle.open(bundle)


def test_a_bundle_is_replaced_once_the_new_one_is_whole(bundle):
    with new_folder(bundle, BUNDLE) as partial:
        (partial / "card.md").write_text("new")
        assert Bundle.open(bundle)
    assert [path.name for path in bundle.iterdir()] == ["card.md"]
    assert [path.name for path in bundle.parent.iterdir()] == ["street"]


def test_what_comes_while_we_work_is_not_replaced(bundle):
    with pytest.raises(OutputError, match=r"holds thesis\.txt"), new_folder(bundle, BUNDLE):
        (bundle / "thesis.txt").write_text("years")
    assert (bundle / "thesis.txt").read_text() == "years"
    (bundle / "thesis.txt").unlink()
    assert Bundle.open(bundle)


def _verbs(bundle, out):
    yield "adapt", [str(bundle), "--data", "street:val", "--out", str(out)]
    yield "export", [str(bundle), str(out), "--calibrate", "street:train"]
    yield "demo", ["--out", str(out)]
    yield "demo", ["--out", str(out.with_name("new")), "--record", str(out)]
    yield "evaluate", [str(bundle), "--data", "street:val", "--json", str(out)]
    yield "info", [str(bundle), "--json", str(out)]
    yield "bench", ["training", "recipe.yaml", "--data", "street:val", "--plot", str(out)]


@pytest.mark.parametrize("number", range(7))
def test_every_verb_refuses_in_one_line(bundle, tmp_path, capsys, monkeypatch, number):
    monkeypatch.setattr("frankensplit.cli.demo._require_packages", lambda: None)
    out = tmp_path / "home"
    _a_thesis(out, bundle)
    verb, arguments = list(_verbs(bundle, out))[number]
    before = _tree(tmp_path)
    assert main([verb, *arguments]) == 2
    *_, line = capsys.readouterr().err.strip().splitlines()  # demo has said that it starts
    assert line.startswith(f"frankensplit {verb}: cannot write {out}: ")
    assert _tree(tmp_path) == before


def test_a_report_and_a_picture_do_not_replace_folders(bundle, tmp_path, capsys):
    (tmp_path / "report.html").mkdir()
    assert main(["report", "--out", str(tmp_path), "--results", str(tmp_path)]) == 2
    assert "report.html: it is a folder" in capsys.readouterr().err


def test_an_export_over_a_thesis_is_refused(bundle, tmp_path, capsys):
    """The bundle itself is written again, so what else lies in it would be gone."""
    (bundle / "thesis.txt").write_text("years")
    assert main(["export", str(bundle), "--calibrate", "street:train"]) == 2
    assert "files that it does not list: ['thesis.txt']" in capsys.readouterr().err
    assert (bundle / "thesis.txt").read_text() == "years"
    assert main(["evaluate", str(bundle), "--data", "street:val", "--write-card"]) == 2
    assert "thesis.txt" in capsys.readouterr().err


def test_a_card_is_written_with_its_manifest_or_not_at_all(bundle, monkeypatch):
    monkeypatch.setattr("frankensplit.evaluation.card.summary_markdown", str)
    write_figures(Bundle.open(bundle), {"one": 1})
    card = (Bundle.open(bundle).path / "card.md").read_text()
    assert card.endswith("{'one': 1}")
    monkeypatch.setattr("frankensplit.evaluation.card.write_manifest", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_figures(Bundle.open(bundle), {"two": 2})
    assert (Bundle.open(bundle).path / "card.md").read_text() == card
    assert [path.name for path in bundle.parent.iterdir()] == ["street"]


WRITE = """
import sys
from pathlib import Path
from frankensplit.bundle import BUNDLE, Bundle, copy_files
from frankensplit.errors import OutputError
from frankensplit.writing import new_folder

try:
    with new_folder(Path(sys.argv[2]), BUNDLE) as partial:
        copy_files(Bundle.open(sys.argv[1]), partial)
        print("working", flush=True)
        sys.stdin.readline()
except OutputError as err:
    sys.exit(str(err))
"""  # what every export does, without torch


def _export(bundle, out):
    command = [sys.executable, "-c", WRITE, str(bundle), str(out)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


@pytest.mark.parametrize("there", [False, True])
def test_of_two_exports_to_one_folder_the_second_says_so(bundle, tmp_path, there):
    out = tmp_path / "out"
    if there:
        shutil.copytree(bundle, out)
    with _export(bundle, out) as first:
        assert first.stdout.readline() == "working\n"
        with _export(bundle, out) as second:
            _, said = second.communicate("go\n", timeout=120)
            assert second.returncode == 1 and len(said.splitlines()) == 1, said
            assert "another process writes there now" in said
        _, said = first.communicate("go\n", timeout=120)
        assert first.returncode == 0, said
    assert Bundle.open(out)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_what_a_killed_export_left_is_swept_by_the_next(bundle, tmp_path):
    out = tmp_path / "out"
    with _export(bundle, out) as killed:
        assert killed.stdout.readline() == "working\n"
        killed.kill()
    assert (tmp_path / f".out.{killed.pid}.frankensplit").is_dir() and not out.exists()
    with _export(bundle, out) as next_one:
        next_one.communicate("go\n", timeout=120)
    assert Bundle.open(out)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


CRASH = """
import os, sys
from pathlib import Path
from frankensplit.bundle import BUNDLE, Bundle, copy_files
from frankensplit.writing import new_folder

rename, left = Path.rename, int(sys.argv[2])

def crash(self, target):
    global left
    if not left:
        os._exit(9)
    left -= 1
    return rename(self, target)

Path.rename = crash
with new_folder(Path(sys.argv[1]), BUNDLE) as partial:
    copy_files(Bundle.open(sys.argv[1]), partial)
    (partial / "card.md").write_text("new")
os._exit(9)
"""


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_crash_between_the_renames_loses_nothing(bundle, renames):
    subprocess.run([sys.executable, "-c", CRASH, str(bundle), str(renames)], check=False, timeout=60)
    with pytest.raises(ZeroDivisionError), new_folder(bundle, BUNDLE):
        raise ZeroDivisionError
    assert [path.name for path in bundle.parent.iterdir()] == ["street"]
    if renames < 2:
        assert Bundle.open(bundle)
    else:
        assert (bundle / "card.md").read_text() == "new"


def test_names_that_only_look_like_ours_stay(bundle):
    """A date behind a dot is a number, as a process has one; and a folder of our name may hold what is not ours."""
    strangers = [
        bundle.parent / name
        for name in (".street.2024123", ".street.old.2023", f".street.old.{DEAD}.frankensplit")
    ]
    for folder in strangers:
        folder.mkdir()
        (folder / "thesis.txt").write_text("years")
    with new_folder(bundle, BUNDLE) as partial:
        copy_files(Bundle.open(bundle), partial)
    write_file(bundle.parent / "street.json", "one")
    bundle.rename(bundle.with_name("moved"))
    with new_folder(bundle, BUNDLE) as partial:
        copy_files(Bundle.open(bundle.with_name("moved")), partial)
    assert all((folder / "thesis.txt").read_text() == "years" for folder in strangers)
    assert Bundle.open(bundle)


def test_a_failed_last_step_puts_the_old_one_back(bundle, monkeypatch):
    rename, calls = Path.rename, []

    def fail(self, target):
        calls.append(target)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OutputError, match="No space left"), new_folder(bundle, BUNDLE):
        pass
    assert Bundle.open(bundle) and [path.name for path in bundle.parent.iterdir()] == ["street"]


def test_files_are_replaced_and_folders_are_not(tmp_path):
    out = tmp_path / "a" / "b" / "result.json"
    write_file(out, "one")
    write_file(out, b"two")
    assert out.read_text() == "two" and [path.name for path in out.parent.iterdir()] == ["result.json"]
    with pytest.raises(OutputError, match="it is a folder"):
        write_file(out.parent, "three")
    with pytest.raises(OutputError, match=r"result\.json is a file, expected a folder"):
        write_file(out / "below", "four")
    link = tmp_path / "link.json"
    link.symlink_to(out)
    write_file(link, "five")
    assert link.is_symlink() and out.read_text() == "five"
    with pytest.raises(OutputError, match="cannot write"):
        write_file(tmp_path / ("x" * 5000), "six")
    with pytest.raises(OutputError, match="cannot write"):
        write_file(tmp_path / "nul\0", "seven")


def test_devices_are_written_to_and_stay(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_file(tmp_path / "pipe", "text")
    assert os.read(reader, 10) == b"text" and (tmp_path / "pipe").is_fifo()
    os.close(reader)
    write_file(Path(os.devnull), "text")
    assert Path(os.devnull).is_char_device()


def test_files_of_the_dead_are_swept_and_those_of_the_living_are_not(tmp_path):
    living = tmp_path / f".result.json.{os.getppid()}.frankensplit"
    others = [
        tmp_path / f".diary.{DEAD}.frankensplit",
        tmp_path / ".result.json.old",
        tmp_path / f"result.json.{DEAD}",
        tmp_path / ".result.json.20240101",
    ]
    for path in (
        living,
        *others,
        tmp_path / f".result.json.{DEAD}.frankensplit",
        tmp_path / f".result.json.{os.getpid()}.frankensplit",
    ):
        path.write_text("half")
    write_file(tmp_path / "result.json", "whole")
    assert {*tmp_path.iterdir()} == {living, *others, tmp_path / "result.json"}


def test_a_kept_folder_is_one_process_at_a_time_and_of_its_kind(bundle):
    with kept_folder(bundle, BUNDLE) as place:
        assert place == bundle
        with pytest.raises(OutputError, match="another process"), kept_folder(bundle, BUNDLE):
            pass
    with pytest.raises(OutputError, match="is there already"):
        check_folder(bundle)
    assert check_folder(bundle.with_name("new")) == bundle.with_name("new")


def test_read_only_folders_are_named(tmp_path, monkeypatch):
    tmp_path.chmod(0o500)
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # nothing is read-only for root
    for check in (check_file, check_folder):
        with pytest.raises(OutputError, match="not writable"):
            check(tmp_path / "a" / "b")
