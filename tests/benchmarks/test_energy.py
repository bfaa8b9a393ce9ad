# SPDX-License-Identifier: Apache-2.0
"""Energy from counters of known content: round trips, parts, other zones, and a Jetson's lines."""

from __future__ import annotations

import time

import pytest

from frankensplit.benchmarks.energy import Tegrastats, open_meter, parse_tegrastats

LIMIT = 262143328850


def zone(root, folder, name, energy, limit=LIMIT):
    path = root / folder
    path.mkdir()
    for file, value in (("name", name), ("energy_uj", energy), ("max_energy_range_uj", limit)):
        (path / file).write_text(f"{value}\n")
    return path


@pytest.fixture(autouse=True)
def no_tegrastats(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")


def adds(*pairs):
    """Return work that moves counters on."""

    def work():
        for path, value in pairs:
            (path / "energy_uj").write_text(str(value))

    return work


def test_packages_add_up_and_nothing_else_does(tmp_path):
    first = zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    second = zone(tmp_path, "intel-rapl:1", "package-1", 5)
    cores = zone(tmp_path, "intel-rapl:0:0", "core", 0)
    platform = zone(tmp_path, "intel-rapl:2", "psys", 0)
    meter = open_meter(tmp_path)
    assert meter.name == "rapl package-0, package-1"
    work = adds((first, 3_500_000), (second, 500_005), (cores, 10**9), (platform, 10**9))
    assert meter.joules(work) == pytest.approx(3.0)


def test_a_counter_that_began_again(tmp_path):
    only = zone(tmp_path, "intel-rapl:0", "package-0", LIMIT - 1_000_000)
    assert open_meter(tmp_path).joules(adds((only, 999_999))) == pytest.approx(2.0)


def test_no_meter_is_said_with_its_reason(tmp_path):
    assert open_meter(tmp_path).startswith("not measured: no tegrastats")
    broken = zone(tmp_path, "intel-rapl:0", "package-0", "")
    assert open_meter(tmp_path).startswith("not measured: ")
    (broken / "energy_uj").unlink()
    assert "energy_uj" in open_meter(tmp_path)


@pytest.mark.parametrize(
    ("line", "milliwatts"),
    [
        (  # Orin NX
            "11-21-2026 12:00:00 RAM 3162/15523MB (lfb 2x4MB) SWAP 0/7762MB (cached 0MB) CPU [2%@729,off] "
            "GR3D_FREQ 0% cpu@47.9C tj@49.3C VDD_IN 4902mW/4870mW VDD_CPU_GPU_CV 735mW/720mW VDD_SOC 1429mW/1429mW",
            4902,
        ),
        (  # TX2
            "RAM 1234/7858MB (lfb 1337x4MB) CPU [0%@345,off,off,0%@345] PLL@40C "
            "VDD_SYS_GPU 152/152 VDD_IN 3192/3215 VDD_SYS_CPU 381/381 VDD_SYS_DDR 633/640",
            3192,
        ),
        (  # Nano
            "RAM 912/3964MB (lfb 512x4MB) SWAP 0/1982MB CPU [12%@1479,5%@1479] GR3D_FREQ 0% "
            "POM_5V_IN 2521/2498 POM_5V_GPU 0/0 POM_5V_CPU 451/430",
            2521,
        ),
        ("RAM 912/3964MB CPU [12%@1479] GR3D_FREQ 0%", None),
        ("", None),
    ],
)
def test_lines_of_tegrastats(line, milliwatts):
    assert parse_tegrastats(line) == milliwatts


def test_tegrastats_is_read_while_the_work_runs(tmp_path, monkeypatch):
    program = tmp_path / "tegrastats"
    program.write_text(
        '#!/bin/sh\n[ "$1" = --interval ] || exit 1\n'
        'echo "RAM 1/2MB"\nwhile :; do echo "VDD_IN 5000mW/1mW"; /bin/sleep 0.02; done\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    meter = open_meter(tmp_path / "nothing")
    assert isinstance(meter, Tegrastats)
    took = []

    def work():
        started = time.perf_counter()
        time.sleep(0.3)
        took.append(time.perf_counter() - started)

    assert meter.joules(work) == pytest.approx(5.0 * took[0], rel=0.05)
