# SPDX-License-Identifier: Apache-2.0
"""Engines are read only where nobody else could have written them, and whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from fake_tensorrt import install
from tensorrt_setup import build, cache_in, frame, open_tensorrt
from tiny_codec import write_encoder

from frankensplit.edge.tensorrt.container import HEADER, MAGIC, Container, EngineDamaged
from frankensplit.edge.tensorrt.engine_cache import CacheUnsafe, EngineCache, engines_folder
from frankensplit.edge.tensorrt.profile import Profile, best
from frankensplit.errors import ImageError, RuntimeUnavailable

ENGINE = Container({"machine": {"gpu": "Orin"}, "profile": "96x64"}, b"plan" * 1000)
RUNNING_AS_ROOT = os.geteuid() == 0


@pytest.fixture
def cache(tmp_path):
    return EngineCache(tmp_path / "engines")


@pytest.fixture
def fake(monkeypatch):
    return install(monkeypatch)


@pytest.fixture
def model(tmp_path):
    return write_encoder(tmp_path / "encoder.onnx")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_an_engine_comes_back_as_it_went_in(cache):
    assert (cache.names(), cache.load("a")) == ([], None)
    assert cache.store("a", ENGINE)
    assert (cache.names(), cache.load("a")) == (["a"], ENGINE)
    assert (mode(cache.folder), mode(cache.folder / "a.engine")) == (0o700, 0o600)
    assert [one.name for one in cache.folder.iterdir()] == ["a.engine"]


def test_what_a_process_that_died_left_is_not_written_into(cache, tmp_path):
    cache.store("a", ENGINE)
    (tmp_path / "elsewhere").write_bytes(b"mine")
    (cache.folder / f".a.engine.{os.getpid()}.frankensplit").symlink_to(tmp_path / "elsewhere")
    assert cache.store("a", ENGINE) and cache.load("a") == ENGINE
    assert (tmp_path / "elsewhere").read_bytes() == b"mine"
    assert [one.name for one in cache.folder.iterdir()] == ["a.engine"]


def test_any_umask_closes_folders_and_files(cache):
    before = os.umask(0)
    try:
        cache.store("a", ENGINE)
    finally:
        os.umask(before)
    assert (mode(cache.folder), mode(cache.folder / "a.engine")) == (0o700, 0o600)


@pytest.mark.parametrize("at", [0, 7, HEADER.size - 1, HEADER.size, HEADER.size + 20, -1])
def test_a_cut_file_is_found(at):
    with pytest.raises(EngineDamaged, match=r"file of \d+ bytes, expected"):
        Container.from_bytes(ENGINE.to_bytes()[:at])


@pytest.mark.parametrize("at", [0, 9, 30, HEADER.size + 3, -5])
def test_a_changed_byte_is_found(at):
    content = bytearray(ENGINE.to_bytes())
    content[at] ^= 1
    with pytest.raises(EngineDamaged):
        Container.from_bytes(bytes(content))
    with pytest.raises(EngineDamaged):
        Container.from_bytes(ENGINE.to_bytes() + b"x")


@pytest.mark.parametrize("described", [b"{", b"[]", b"\xff"])
def test_a_foreign_description_is_found(described):
    import hashlib

    digest = hashlib.sha256(described).digest()
    with pytest.raises(EngineDamaged, match="description"):
        Container.from_bytes(HEADER.pack(MAGIC, len(described), 0, digest) + described)


def test_a_link_is_not_followed(cache, tmp_path):
    cache.store("a", ENGINE)
    (tmp_path / "elsewhere").write_bytes(ENGINE.to_bytes())
    (cache.folder / "b.engine").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CacheUnsafe, match=r"b\.engine is a link"):
        cache.load("b")
    (tmp_path / "linked").symlink_to(cache.folder)
    with pytest.raises(CacheUnsafe, match="is a link or a file, not a folder"):
        EngineCache(tmp_path / "linked").load("a")


def test_no_plain_file_is_no_engine(cache):
    cache.store("a", ENGINE)
    os.mkfifo(cache.folder / "b.engine", 0o600)
    with pytest.raises(EngineDamaged, match="not a plain file"):
        cache.load("b")
    (cache.folder / "c.engine").mkdir(0o700)
    with pytest.raises(EngineDamaged, match="not a plain file"):
        cache.load("c")


@pytest.mark.parametrize("bits", [0o710, 0o750, 0o707, 0o777])
def test_a_folder_open_to_others_is_refused(cache, bits):
    cache.store("a", ENGINE)
    cache.folder.chmod(bits)
    with pytest.raises(CacheUnsafe, match=rf"mode {bits:04o}, expected none for group and others: chmod 700"):
        cache.load("a")
    with pytest.raises(CacheUnsafe):
        cache.names()
    with pytest.raises(CacheUnsafe):
        cache.store("a", ENGINE)


@pytest.mark.parametrize("bits", [0o640, 0o602, 0o666])
def test_a_file_open_to_others_is_refused(cache, bits):
    cache.store("a", ENGINE)
    (cache.folder / "a.engine").chmod(bits)
    with pytest.raises(CacheUnsafe, match=rf"a\.engine has mode {bits:04o}"):
        cache.load("a")


def test_a_folder_of_another_user_is_refused(cache, monkeypatch):
    cache.store("a", ENGINE)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(CacheUnsafe, match=r"engines belongs to user \d+, expected 12345"):
        cache.load("a")


@pytest.mark.skipif(not RUNNING_AS_ROOT, reason="only root can give files away")
def test_a_file_of_another_user_is_refused(cache):
    cache.store("a", ENGINE)
    os.chown(cache.folder / "a.engine", 12345, -1)
    with pytest.raises(CacheUnsafe, match=r"a\.engine belongs to user 12345"):
        cache.load("a")


def test_a_writable_parent_behind_a_closed_one_is_out_of_reach(tmp_path):
    shared = tmp_path / "home" / "shared"
    cache = EngineCache(shared / "engines")
    cache.store("a", ENGINE)
    shared.chmod(0o777)
    assert mode(tmp_path / "home") == 0o700
    assert cache.load("a") == ENGINE


def test_a_writable_parent_that_others_reach_is_refused():
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        if not all(one.stat().st_mode & stat.S_IXOTH for one in Path(name).parents):
            pytest.skip(f"others cannot reach {name}")
        Path(name).chmod(0o777)
        cache = EngineCache(Path(name) / "engines")
        with pytest.raises(CacheUnsafe, match=rf"{name}, above the engines, can be written by others"):
            cache.store("a", ENGINE)
        Path(name).chmod(0o1777)  # sticky, as /tmp is
        assert cache.store("a", ENGINE) and cache.load("a") == ENGINE


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("call", ["fsync", "replace", "open"])
def test_a_folder_that_cannot_be_written_is_a_warning_and_leaves_nothing(
    cache, monkeypatch, caplog, code, call
):
    cache.store("kept", ENGINE)
    real = getattr(os, call)

    def refuse(*arguments, **named):
        if call != "open" or arguments[1] & os.O_CREAT:
            raise OSError(code, os.strerror(code))
        return real(*arguments, **named)

    monkeypatch.setattr(os, call, refuse)
    with caplog.at_level(logging.WARNING):
        assert not cache.store("a", ENGINE)
        assert not cache.store("b", ENGINE)
        with cache.lock("a"):
            pass
    assert [record.message for record in caplog.records] == [
        f"engines cannot be kept in {cache.folder}: {os.strerror(code)}"
    ]
    monkeypatch.undo()
    assert sorted(one.name for one in cache.folder.iterdir() if one.suffix != ".lock") == ["kept.engine"]
    assert cache.load("kept") == ENGINE


def test_another_fault_of_the_disk_is_an_error(cache, monkeypatch):
    def refuse(_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(RuntimeUnavailable, match="Input/output error"):
        cache.store("a", ENGINE)
    assert list(cache.folder.iterdir()) == []


def test_a_file_that_cannot_be_read_is_none(cache, monkeypatch, caplog):
    cache.store("a", ENGINE)
    real = os.open

    def refuse(path, *arguments, **named):
        if str(path).endswith(".engine"):
            raise OSError(errno.EACCES, "Permission denied")
        return real(path, *arguments, **named)

    monkeypatch.setattr(os, "open", refuse)
    assert cache.load("a") is None
    assert "cannot be read: Permission denied" in caplog.text


def test_the_least_recently_used_go(cache):
    for at, name in enumerate("abcd"):
        cache.store(name, ENGINE)
        os.utime(cache.folder / f"{name}.engine", (at, at))
    cache.touch("a")
    assert cache.prune(keep=2) == ["c", "b"]
    assert cache.names() == ["a", "d"]
    for name in "adxyz":
        cache.store(name, ENGINE)
        cache.set_aside(name, "a test")
    cache.prune()
    assert len(list(cache.folder.glob("*.bad"))) == 2


def test_a_lock_that_is_held_is_waited_for_and_then_named(cache):
    asked = []
    with cache.lock("a"):
        with cache.lock("b"):
            pass
        held = os.open(cache.folder / "a.lock", os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with (
            pytest.raises(
                RuntimeUnavailable, match=r"has been building this engine for 0 s .*a\.lock is locked"
            ),
            cache.lock("a", timeout_s=0, waiting=lambda: asked.append(1)),
        ):
            pass
        os.close(held)
    with cache.lock("a", timeout_s=0):
        pass


def test_a_lock_of_a_process_that_died_is_free(cache):
    cache.store("a", ENGINE)
    program = (
        "import os, sys, fcntl; f = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600);"
        "fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program, str(cache.folder / "a.lock")], check=False, timeout=60)
    with cache.lock("a", timeout_s=0):
        pass


@pytest.mark.parametrize(
    ("chosen", "environment", "expected"),
    [
        (Path("/srv/engines"), {"XDG_CACHE_HOME": "/c"}, "/srv/engines/tensorrt"),
        (None, {"XDG_CACHE_HOME": "/c"}, "/c/frankensplit/engines/tensorrt"),
        (None, {"XDG_CACHE_HOME": "c"}, "/home/robot/.cache/frankensplit/engines/tensorrt"),
        (None, {}, "/home/robot/.cache/frankensplit/engines/tensorrt"),
    ],
)
def test_where_engines_lie(monkeypatch, chosen, environment, expected):
    monkeypatch.setenv("HOME", "/home/robot")
    assert engines_folder(chosen, environment) == Path(expected)


def test_no_home_is_said(monkeypatch):
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # what it does where there is no home
    with pytest.raises(RuntimeUnavailable, match=r"no place for engines: .* set HOME or XDG_CACHE_HOME"):
        engines_folder(None, {})
    assert engines_folder(Path("/srv"), {}) == Path("/srv/tensorrt")


@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_a_damaged_engine_is_set_aside_and_the_command_named(fake, model, tmp_path, damage):
    (built,) = build(model, tmp_path)
    content = built.path.read_bytes()
    changed = content[:-1] + bytes([content[-1] ^ 1])
    built.path.write_bytes({"cut": content[:-9], "changed": changed, "empty": b""}[damage])
    with pytest.raises(RuntimeUnavailable, match=r"was set aside: file.*build it with `frankensplit export"):
        open_tensorrt(model, tmp_path)
    assert [
        one.suffix for one in sorted(built.path.parent.iterdir()) if one.suffix not in (".lock", ".timings")
    ] == [".bad"]
    with pytest.raises(RuntimeUnavailable, match="no engine of"):
        open_tensorrt(model, tmp_path)
    (again,) = build(model, tmp_path)
    assert (again.path, again.fresh, len(fake.behaviour.builds)) == (built.path, True, 2)
    assert open_tensorrt(model, tmp_path)(frame()).shape == (1, 3, 8, 12)


def test_an_unsafe_folder_stops_the_runtime(fake, model, tmp_path):
    build(model, tmp_path)
    (tmp_path / "tensorrt").chmod(0o770)
    with pytest.raises(CacheUnsafe, match="mode 0770"):
        open_tensorrt(model, tmp_path)


@pytest.mark.parametrize("change", ["version", "gpu", "driver", "runtime"])
def test_an_engine_of_another_machine_is_not_found(fake, model, tmp_path, change, monkeypatch):
    build(model, tmp_path)
    if change == "version":
        other = install(monkeypatch, version="10.16.1.11")
    else:
        other = install(monkeypatch)
        other.cudart.name = b"Thor" if change == "gpu" else other.cudart.name
        other.cudart.driver = 13020 if change == "driver" else other.cudart.driver
        other.cudart.version = 12090 if change == "runtime" else other.cudart.version
    with pytest.raises(RuntimeUnavailable, match="no engine of"):
        open_tensorrt(model, tmp_path)
    build(model, tmp_path)
    assert len(cache_in(tmp_path).names()) == 2


def test_a_foreign_engine_under_the_right_name_is_set_aside(fake, model, tmp_path):
    (built,) = build(model, tmp_path)
    found = Container.from_bytes(built.path.read_bytes())
    foreign = {**found.description, "machine": {**found.description["machine"], "tensorrt": "9.9"}}
    built.path.write_bytes(Container(foreign, found.plan).to_bytes())
    with pytest.raises(RuntimeUnavailable, match="engine is of another machine"):
        open_tensorrt(model, tmp_path)


@pytest.mark.parametrize("bad", ["plan", "reference", "no reference"])
def test_an_engine_that_does_not_compute_its_reference_is_set_aside(fake, model, tmp_path, bad):
    (built,) = build(model, tmp_path)
    found = Container.from_bytes(built.path.read_bytes())
    description, plan = dict(found.description), found.plan
    if bad == "plan":
        plan = plan.replace(b'"wrong": false', b'"wrong": true')
    elif bad == "reference":
        description["reference"] = {**description["reference"], "sha256": "0" * 64}
    else:
        del description["reference"]
    built.path.write_bytes(Container(description, plan).to_bytes())
    said = "differs from onnxruntime" if bad == "plan" else "bad reference"
    with pytest.raises(RuntimeUnavailable, match=f"was set aside: .*{said}"):
        open_tensorrt(model, tmp_path)
    assert fake.cudart.held == {}


def test_an_engine_that_does_not_load_for_want_of_memory_is_kept(fake, model, tmp_path):
    (built,) = build(model, tmp_path)
    fake.behaviour.refuses, fake.behaviour.says = {"deserialize_cuda_engine"}, ["CUDA: out of memory"]
    with pytest.raises(RuntimeUnavailable, match="does not load the engine; memory ran short"):
        open_tensorrt(model, tmp_path)
    assert built.path.exists()
    fake.behaviour.says = ["Magic tag does not match"]
    with pytest.raises(RuntimeUnavailable, match=r"was set aside: .*Magic tag does not match"):
        open_tensorrt(model, tmp_path)
    assert not built.path.exists()


def test_profiles():
    assert Profile.parse(str(Profile(384, 480, True))) == Profile(384, 480, True)
    assert [Profile.parse(text) for text in ("96x65", "x", "96x64-open", "1x1", "99999x32")] == [None] * 5
    small, large, fixed = Profile(64, 96), Profile(384, 480), Profile(128, 128, True)
    assert best([large, small, fixed], (64, 64)) == small
    assert best([large, small, fixed], (128, 128)) == large
    assert best([small, fixed], (128, 128)) == fixed
    assert best([fixed], (96, 96)) is None
    assert best([small, large, fixed], None) == large
    assert best([], None) is None
    with pytest.raises(ImageError, match="multiples of 32"):
        Profile(64, 100)


def test_engines_of_other_programs_are_not_deleted(cache):
    cache.store("a", ENGINE)
    (cache.folder / "yolo.engine").write_bytes(b"another program's")
    assert cache.prune(keep=0) == ["a"]
    assert [one.name for one in cache.folder.iterdir()] == ["yolo.engine"]


def test_what_dead_processes_left_is_swept(cache):
    dead = 4_194_304  # above the largest process id of Linux
    cache.store("a", ENGINE)
    living = f".a.engine.{os.getppid()}.frankensplit"
    for name in (
        living,
        f".a.engine.{dead}.frankensplit",
        f".m.timings.{dead}.frankensplit",
        f".diary.{dead}.frankensplit",
    ):
        (cache.folder / name).write_bytes(b"half")
    cache.prune()
    assert {one.name for one in cache.folder.iterdir()} == {"a.engine", living, f".diary.{dead}.frankensplit"}
