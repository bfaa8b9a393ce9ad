# SPDX-License-Identifier: Apache-2.0
"""The launch files under the real `ros2 launch`, against nodes that really start."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from node_process import PATIENCE_S
from observer import SENSOR, Observer
from other_bundles import write_twin
from rcl_interfaces.srv import GetParameters
from rclpy.parameter import parameter_value_to_python
from sensor_msgs.msg import Image

from fs_common.launch_environment import inherited_environment
from fs_common.node_launch import PACKAGE, NodeLaunch
from fs_common.parameters import specs
from fs_edge_node.launch_table import EDGE
from fs_msgs.msg import CompressedLatent
from fs_server_node.launch_table import SERVER

pytest.importorskip("launch_ros", reason="launch_ros is not installed and no wheel of it exists: source ROS")
packages = pytest.importorskip("ament_index_python.packages")

EDGE_VALUES = {
    "lazy": False,
    "image_reliability": "reliable",
    "image_depth": 3,
    "latent_reliability": "reliable",
    "latent_depth": 4,
    "transport": "compressed",
    "idle_level": "warn",
    "converter": "builtin",
    "level": 0,
    "target_kbps": 40.0,
    "max_fps": 5.0,
    "precision": "fp32",
    "engines": "elsewhere",
    "runtime": "onnxruntime",
    "threads": 2,
    "preview": True,
    "preview_fps": 5.0,
    "preview_size": 160,
    "preview_quality": 30,
}
SERVER_VALUES = {
    "bundle": "street",
    "lazy": False,
    "image_reliability": "reliable",
    "image_depth": 3,
    "latent_reliability": "reliable",
    "latent_depth": 4,
    "device": "cpu",
    "threads": 1,
    "latent_topics": ["a/latent", "b/latent"],
    "image_topics": ["c/image"],
    "heads": ["presence"],
    "score_threshold": 0.5,
    "overlay_image": "camera/image",
    "result_reliability": "best_effort",
    "result_depth": 2,
}
FROM_FILE = 7.5

Launch = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture(scope="module")
def ros2() -> str:
    """Give the command, where the package is installed for it."""
    if PACKAGE not in packages.get_packages_with_prefixes():
        pytest.skip(f"{PACKAGE} is not in the ament index: build it with colcon and source its setup file")
    command = shutil.which("ros2")
    if command is None:
        pytest.skip("the ros2 command is not installed")
    return command


@pytest.fixture
def launch(ros2: str, tmp_path: Path) -> Iterator[Launch]:
    """Start launch files that end with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(file: str, **values: str) -> subprocess.Popen[bytes]:
        arguments = [f"{name}:={value}" for name, value in values.items()]
        command = [ros2, "launch", PACKAGE, file, *arguments]
        log = (tmp_path / f"{file}.log").open("wb")
        started.append(
            subprocess.Popen(
                command,
                env=inherited_environment(),
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=tmp_path,
            )
        )
        return started[-1]

    yield begin
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def end(process: subprocess.Popen[bytes]) -> int:
    """Press Ctrl-C: the whole process group gets it."""
    os.killpg(process.pid, signal.SIGINT)
    return process.wait(PATIENCE_S)


def launch_text(value: object) -> str:
    """Write a value as one types it after ``:=``."""
    return str(value).lower() if isinstance(value, bool) else str(value).replace("'", "")


def parameters_of(observer: Observer, node_name: str, names: list[str]) -> dict[str, object]:
    """Ask a node for its parameters."""
    client = observer.node.create_client(GetParameters, f"{node_name}/get_parameters")
    observer.until(client.service_is_ready, f"the parameter service of {node_name}")
    future = client.call_async(GetParameters.Request(names=names))
    observer.until(future.done, f"{node_name} to answer")
    values = [parameter_value_to_python(value) for value in future.result().values]
    return dict(zip(names, values, strict=True))


def shown_arguments(ros2: str, file: str) -> str:
    """Read what `--show-args` prints."""
    command = [ros2, "launch", PACKAGE, file, "--show-args"]
    return subprocess.run(
        command, env=inherited_environment(), capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize("node", [EDGE, SERVER], ids=lambda node: node.executable)
def test_show_args_is_the_documentation(ros2: str, node: NodeLaunch) -> None:
    shown = shown_arguments(ros2, f"{node.executable}.launch.py")
    demo = shown_arguments(ros2, "demo.launch.py")
    for argument in node.arguments():
        assert f"'{argument.name}':\n        {argument.description}" in shown
        assert f"'{argument.name}':" in demo or argument.name == "params_file"
    assert f"'{node.executable}_params_file':" in demo


@pytest.mark.parametrize("node", [EDGE, SERVER], ids=lambda node: node.executable)
def test_every_argument_reaches_the_node(
    launch: Launch, observer: Observer, node: NodeLaunch, tiny_codec: Path, tmp_path: Path
) -> None:
    if node is SERVER:
        values = {**SERVER_VALUES, "more_bundles": [str(write_twin(tmp_path / "twin", "twin"))]}
    else:
        values = {**EDGE_VALUES, "bundle": str(tiny_codec)}
    assert {*values, "stale_after_s"} == {spec.name for spec in specs(node.table)}
    file = tmp_path / "params.yaml"
    file.write_text(
        f"/**:\n  ros__parameters:\n    stale_after_s: {FROM_FILE}\n    lazy: true\n", encoding="utf-8"
    )
    texts = {name: launch_text(value) for name, value in values.items()}
    topics = {} if node is SERVER else {"image_topic": "front/image_raw", "latent_topic": "front/latent"}
    process = launch(
        f"{node.executable}.launch.py",
        namespace="launched",
        use_sim_time="true",
        log_level="warn",
        params_file=str(file),
        **topics,
        **texts,
    )
    expected = {**values, "stale_after_s": FROM_FILE, "use_sim_time": True}
    found = parameters_of(observer, f"/launched/{node.executable}", list(expected))
    assert {name: list(v) if isinstance(v, list) else v for name, v in found.items()} == expected
    heard = "/launched/a/latent" if node is SERVER else "/launched/front/image_raw/compressed"
    observer.until(lambda: observer.node.count_subscribers(heard), f"a subscriber of {heard}")
    assert end(process) == 0, (tmp_path / f"{node.executable}.launch.py.log").read_text()


def test_demo_shows_predictions_and_ends_with_its_source(
    launch: Launch, observer: Observer, tmp_path: Path
) -> None:
    masks = observer.record(Image, "/shown/segmentation/mask")
    overlays = observer.record(Image, "/shown/overlay")
    latents = observer.record(CompressedLatent, "/shown/latent", SENSOR)
    process = launch("demo.launch.py", namespace="shown", source="street:7", seconds="4.0")
    observer.until(lambda: masks and overlays and latents, "predictions")
    log = tmp_path / "demo.launch.py.log"
    assert process.wait(PATIENCE_S) == 0, log.read_text()
    assert log.read_text().count("process has finished cleanly") == 3
