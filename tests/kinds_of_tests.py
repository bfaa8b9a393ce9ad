# SPDX-License-Identifier: Apache-2.0
"""What kind of test each file holds, which is its marker: ``pytest -m unit`` runs what is quick and needs no ROS."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).resolve().parent
UNIT = "unit"
KINDS = {  # files and folders; what stands nowhere is a unit test
    "ros": (
        "demo/test_demo.py",
        "hostile/test_counters.py",
        "hostile/test_ends.py",
        "hostile/test_import_order.py",
        "launch",
        "nodes",
        "packaging/test_colcon.py",
        "packaging/test_interfaces.py",
    ),
    "net": ("benchmarks/test_namespaces.py", "benchmarks/test_network_run.py"),
    "train": ("training",),
    "slow": (
        "benchmarks/test_bench_check.py",
        "benchmarks/test_bench_edge.py",
        "benchmarks/test_components.py",
        "codec/test_compressai.py",
        "codec/test_fit_contexts.py",
        "data/test_as_people_have_it.py",
        "data/test_sources.py",
        "demo/test_pictures.py",
        "docs/test_extending.py",
        "edge/test_tensorrt_build.py",
        "evaluation",
        "hostile/test_damaged_runs.py",
        "hostile/test_fuzz.py",
        "hostile/test_loss_of_data.py",
        "inference",
        "models",
        "report",
        "test_layers.py",
        "test_readme.py",
    ),
}


def kind_of(path: Path) -> str:
    """Return the kind of a test file, or of all tests in a folder."""
    name = path.resolve().relative_to(TESTS).as_posix()  # a workspace may hold links to us
    for kind, places in KINDS.items():
        if any(f"{name}/".startswith(f"{place}/") for place in places):
            return kind
    return UNIT


def is_left_out(path: Path, wanted: str) -> bool:
    """Tell whether nothing here is of the one kind that is asked for, so that it need not even be imported."""
    path = path.resolve()
    if wanted not in (UNIT, *KINDS) or TESTS not in path.parents:
        return False
    inside = any(
        place.startswith(f"{path.relative_to(TESTS).as_posix()}/") for place in KINDS.get(wanted, ())
    )
    return kind_of(path) != wanted and not inside and (path.is_dir() or path.name.startswith("test_"))
