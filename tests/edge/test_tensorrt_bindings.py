# SPDX-License-Identifier: Apache-2.0
"""NVIDIA's real files, without a GPU: TensorRT's Python bindings of three versions, and the CUDA runtime of two.

The wheels are looked for in ``$FRANKENSPLIT_WHEELS``, then in the user's cache, and are else fetched by pip into the
cache, a few megabytes once. A test whose wheel cannot be had is skipped and says so.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from real_bindings import compile_stubs, signatures
from tensorrt_surface import CLASSES, ENUMS

from frankensplit.edge.tensorrt import cudart
from frankensplit.errors import RuntimeUnavailable
from frankensplit.places import CACHE

HERE = Path(__file__).resolve().parent
TENSORRT = {
    "10.3.0": ("tensorrt-cu12-bindings",),
    "10.16.1.11": ("tensorrt-cu12-bindings", "tensorrt-cu13-bindings"),
    "11.4.0.106": ("tensorrt-cu12-bindings", "tensorrt-cu13-bindings"),
}
CUDART = {"12.9.79": ("nvidia-cuda-runtime-cu12",), "13.5.37": ("nvidia-cuda-runtime",)}
PIP_TIMEOUT_S = 60


def unpacked(project: str, version: str, folder: Path) -> str:
    """Unpack a wheel of this Python into a folder; return what is wrong, or nothing."""
    places = [Path(os.environ.get("FRANKENSPLIT_WHEELS", CACHE / "wheels")), CACHE / "wheels"]
    wheel = next(filter(None, (_wheel_in(place, project, version) for place in places)), None)
    problem = ""
    if wheel is None:
        problem = _fetch(project, version, places[-1])
        wheel = _wheel_in(places[-1], project, version)
    if wheel is None:
        return problem or f"pip fetched no wheel of {project} {version}"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return ""


def _wheel_in(folder: Path, project: str, version: str) -> Path | None:
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    machine = os.uname().machine
    for wheel in sorted(folder.glob(f"{project.replace('-', '_')}-{version}-*.whl")):
        tags = wheel.stem.split("-")
        if tags[2] in (python, "py3") and tags[-1].endswith(machine):
            return wheel
    return None


def _fetch(project: str, version: str, folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    options = ["--no-deps", "--only-binary=:all:", "--quiet", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "download", *options, "--timeout=10", "--retries=0"]
    command += [f"--dest={folder}", f"{project}=={version}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return f"pip did not fetch {project} {version} within {PIP_TIMEOUT_S} s"
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    return "; ".join(errors[-1:])


def unpack_one_of(projects: tuple[str, ...], version: str, folder: Path) -> None:
    """Unpack the first wheel that can be had, or skip."""
    reasons = []
    for project in projects:
        reason = unpacked(project, version, folder)
        if not reason:
            return
        reasons.append(reason)
    pytest.skip(f"no wheel: {'; '.join(reasons)}")


@pytest.fixture(scope="module", params=TENSORRT)
def bindings(request, tmp_path_factory):
    """What the program found in one version's bindings."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to stand in for TensorRT's libraries: install gcc")
    wheel, stubs = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("stubs")
    unpack_one_of(TENSORRT[request.param], request.param, wheel)
    compile_stubs(compiler, stubs, request.param.partition(".")[0])
    command = [sys.executable, str(HERE / "real_bindings.py"), str(wheel), str(stubs)]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return request.param, json.loads(done.stdout)


def test_all_that_is_used_is_there(bindings):
    version, found = bindings
    assert found["version"] == version
    assert found["problems"] == []


def test_what_is_not_there_would_be_found(bindings):
    wrong = "\n".join(bindings[1]["wrong"])
    for name in (
        "__verison__",
        "BuilderFlag.TF33",
        "Builder.create_network",
        "Builder.create_engine",
        "OnnxParser.parse",
        "num_io_tensors is read-only",
        "step_complete",
    ):
        assert name in wrong
    assert len(bindings[1]["wrong"]) == 7


def test_networks_are_strongly_typed(bindings):
    version, found = bindings
    assert found["flags"] == (2 if version.startswith("10.") else 1)


def test_our_logger_and_monitor_are_taken(bindings):
    assert bindings[1]["monitor"] == [True, 0.5, False]
    assert bindings[1]["why"] == "; TensorRT says: kept"


def test_a_host_whose_gpu_is_unusable_is_said(bindings):
    for raised in bindings[1]["raised"]:
        assert raised.startswith(
            "TensorRTError: TensorRT is installed, but the GPU or its driver cannot be used"
        )


def test_signatures_are_read():
    doc = "f(*args)\n1. f(self: a.B, x: Map[int, C], y: int = 0, z: a.E = <E.S: 0>) -> None\n2. f(self: a.B) -> int"
    assert list(signatures(doc)) == [[("x", None), ("y", "0"), ("z", "<E.S: 0>")], []]


@pytest.fixture(scope="module", params=CUDART)
def libcudart(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cudart")
    unpack_one_of(CUDART[request.param], request.param, folder)
    (library,) = folder.glob("nvidia/*/lib/libcudart.so.*")
    return folder, library


def test_the_cuda_runtime_has_every_call(libcudart):
    library = ctypes.CDLL(str(libcudart[1]))
    assert [name for name in cudart.SIGNATURES if not hasattr(library, name)] == []


def test_the_cuda_runtime_is_found_where_pip_puts_it(libcudart, monkeypatch):
    folder, library = libcudart
    monkeypatch.setattr(sys, "path", [str(folder)])
    assert str(library) in list(cudart._candidates())


def test_the_cuda_runtime_says_that_there_is_no_gpu(libcudart, monkeypatch):
    if Path("/dev/nvidiactl").exists() or Path("/dev/nvhost-gpu").exists():
        pytest.skip("this machine has a GPU")
    monkeypatch.setattr(cudart, "load_library", lambda: ctypes.CDLL(str(libcudart[1])))
    with pytest.raises(
        RuntimeUnavailable, match=r"no GPU can be used: cudaGetDeviceCount failed with \d+ cudaError\w+: \w"
    ):
        cudart.open_cuda()


def test_a_missing_cuda_runtime_is_named(monkeypatch):
    monkeypatch.setattr(cudart, "_candidates", lambda: iter(["libno_cudart.so", "libc.so.6"]))
    with pytest.raises(
        RuntimeUnavailable, match=r"libno_cudart\.so: .*; libc\.so\.6 lacks cudaGetDeviceCount"
    ):
        cudart.load_library()


def test_the_tables_hold_nothing_that_is_not_used():
    folder = Path(cudart.__file__).parent
    code = "\n".join(path.read_text() for path in folder.glob("*.py"))
    names = [member for members in CLASSES.values() for member in members if member != "__init__"]
    names += [one for members in ENUMS.values() for one in members]
    names += [name for name, members in CLASSES.items() if "__init__" in members]
    assert [name for name in names if f".{name}" not in code and f"def {name}" not in code] == []
    assert [
        name for name in cudart.SIGNATURES if code.count(f'"{name}"') < 2 and f".{name}(" not in code
    ] == []
