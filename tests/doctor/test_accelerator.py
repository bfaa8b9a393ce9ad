# SPDX-License-Identifier: Apache-2.0
"""No GPU is a note; one that is there and does not work is a fault, and so is a TensorRT that does not load."""

from __future__ import annotations

import json

import pytest

from frankensplit.doctor import FAULT, NOTE, OK
from frankensplit.doctor.checks import accelerator
from frankensplit.doctor.machine import Machine, Outcome

DRIVER = "/dev/nvhost-gpu"
LIBRARY = {"library": "libcudart.so.12", "runtime": 12060, "driver": 12060}
ORIN = {**LIBRARY, "devices": 1, "capability": [8, 7], "integrated": 1}
NONE = {**LIBRARY, "devices": 0, "error": "CUDA driver version is insufficient"}


@pytest.mark.parametrize(
    ("driver", "cuda", "level", "text"),
    [
        (False, {}, NOTE, "the encoder runs on the CPU"),
        (False, NONE, NOTE, "the encoder runs on the CPU"),
        (True, {}, NOTE, "no libcudart"),
        (True, NONE, FAULT, "no device: CUDA driver version is insufficient"),
        (True, ORIN, OK, "1 device, 8.7, in the processor's memory; runtime 12.6 (libcudart.so.12)"),
    ],
)
def test_cuda(made_up, driver, cuda, level, text):
    if driver:
        made_up.write(DRIVER, "")
    made_up.cuda = Outcome(0, json.dumps(cuda))
    finding = made_up.find(accelerator.check)["CUDA"]
    assert finding.level == level
    assert text in finding.text
    assert bool(finding.remedy) == (driver and cuda is not ORIN)


def test_a_driver_that_crashes_is_a_fault(made_up):
    made_up.cuda = Outcome(-11, "", "Segmentation fault")
    finding = made_up.find(accelerator.check)["CUDA"]
    assert finding.level == FAULT
    assert "Segmentation fault" in finding.text


def test_this_machine_is_asked_without_harm():
    assert {finding.name for finding in accelerator.check(Machine())} == {"CUDA", "TensorRT"}


@pytest.mark.parametrize(
    ("package", "level", "remedy"),
    [
        (("works", "10.3.0"), OK, ""),
        (("absent", ""), NOTE, ""),
        (("broken", "ImportError: libnvdla_compiler.so: cannot open"), FAULT, "mount libnvdla_compiler.so"),
        (("broken", "ImportError: libnvinfer.so.10: cannot open"), FAULT, "uninstall what pip installed"),
        (("broken", "RuntimeError: ?"), FAULT, "install it again"),
        (Outcome(-11, "", "Segmentation fault"), FAULT, "install it again"),
    ],
)
def test_tensorrt(made_up, package, level, remedy):
    made_up.packages["tensorrt"] = package
    finding = made_up.find(accelerator.check)["TensorRT"]
    assert finding.level == level
    assert remedy in finding.remedy


def test_tensorrt_of_the_system_that_the_environment_hides(made_up):
    made_up.write("usr/lib/python3.10/dist-packages/tensorrt/__init__.py", "")
    assert "--system-site-packages" in made_up.find(accelerator.check)["TensorRT"].remedy


@pytest.mark.parametrize(
    ("source", "state", "text"),
    [
        ("__version__ = '1.2'", "works", "1.2"),
        ("raise OSError('no library')", "broken", "no library"),
        ("import os; os._exit(9)", "broken", "status 9"),
        (None, "absent", ""),
    ],
)
def test_packages_are_imported_elsewhere(tmp_path, monkeypatch, source, state, text):
    if source:
        (tmp_path / "frankensplit_such_package.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = Machine().imports("frankensplit_such_package")
    assert found.state == state
    assert text in found.text
