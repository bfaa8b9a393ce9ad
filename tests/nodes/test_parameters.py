# SPDX-License-Identifier: Apache-2.0
"""The parameter tables and what is made of them: texts, YAML, ROS declarations, commands."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from node_process import ROOT
from rcl_interfaces.msg import SetParametersResult
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter

from frankensplit.errors import ParameterError
from frankensplit.import_order import python_module
from fs_common.declare import ParameterSnapshot, declare, narrow, refuse_when
from fs_common.node_launch import NodeLaunch
from fs_common.parameter_files import given_in, missed
from fs_common.parameters import Spec, specs, to_plain, to_yaml
from fs_demo.launch_table import CAMERA
from fs_edge_node.launch_table import EDGE
from fs_edge_node.parameters import EdgeParameters
from fs_server_node.launch_table import SERVER
from fs_server_node.parameters import ServerParameters

NODES = pytest.mark.parametrize("node", [EDGE, SERVER, CAMERA], ids=lambda node: node.executable)


def spec(table: type, name: str) -> Spec:
    """Find a parameter."""
    return next(one for one in specs(table) if one.name == name)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("threads", "3", 3),
        ("lazy", "false", False),
        ("stale_after_s", "3", 3.0),
        ("bundle", "2", "2"),
        ("device", "cuda", "cuda"),
        ("heads", "[presence, segmentation]", ("presence", "segmentation")),
        ("heads", "presence", ("presence",)),
        ("image_topics", "[]", ()),
        ("image_topics", "['']", ()),
    ],
)
def test_launch_texts_become_values(name: str, text: str, value: object) -> None:
    parsed = spec(ServerParameters, name).parse(text)
    assert (parsed, type(parsed)) == (value, type(value))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("threads", "many", "give an integer"),
        ("threads", "-1", "choose 0 to 256"),
        ("lazy", "7", "give true or false"),
        ("device", "gpu", "choose one of cpu, cuda"),
        ("heads", "[1, 2]", "give a list of texts"),
        ("score_threshold", "nan", "give a number"),
        ("threads", "[1, a", "give an integer"),
    ],
)
def test_bad_launch_texts_say_what_is_wrong(name: str, text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        spec(ServerParameters, name).parse(text)


@NODES
def test_defaults_obey_their_own_rules(node: NodeLaunch) -> None:
    assert all(one.problem(one.default) is None for one in specs(node.table))
    assert all(one.description for one in specs(node.table))


@NODES
def test_parameter_file_is_the_table(node: NodeLaunch) -> None:
    text = (ROOT / "config" / node.config_file).read_text(encoding="utf-8")
    assert text == to_yaml(node.table, node.executable), "run scripts/write_config.py"
    found = yaml.safe_load(text)["/**"]["ros__parameters"]
    assert found == {one.name: to_plain(one.default) for one in specs(node.table)}


@NODES
def test_declared_parameters_are_the_table(node: NodeLaunch, ros_context: Context) -> None:
    ros_node = Node("declared", context=ros_context)
    assert declare(ros_node, node.table) == node.table()
    for one in specs(node.table):
        shown = ros_node.describe_parameter(one.name)
        assert one.description in shown.description
        assert shown.read_only is not one.changeable
        ranges = [*shown.integer_range, *shown.floating_point_range]
        assert [(r.from_value, r.to_value) for r in ranges] == ([one.limits] if one.limits else [])
    ros_node.destroy_node()


@pytest.mark.parametrize("words", [["-p", "stale_after_s:=3"], ["--params-file", "FILE"]])
def test_integers_are_taken_for_floats(ros_context: Context, tmp_path: Path, words: list[str]) -> None:
    file = tmp_path / "server.yaml"
    file.write_text("/**:\n  ros__parameters:\n    stale_after_s: 3\n", encoding="utf-8")
    given = [str(file) if word == "FILE" else word for word in words]
    ros_node = Node("widened", context=ros_context, cli_args=["--ros-args", *given])
    assert declare(ros_node, ServerParameters).stale_after_s == 3.0
    assert ros_node.get_parameter("stale_after_s").type_ is Parameter.Type.DOUBLE
    (result,) = ros_node.set_parameters([Parameter("stale_after_s", value=5)])
    assert result.successful and ros_node.get_parameter("stale_after_s").value == 5.0
    for refused in (True, "5", 5000):
        assert not ros_node.set_parameters([Parameter("stale_after_s", value=refused)])[0].successful
    ros_node.destroy_node()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("threads:=many", "threads is 'many': give an integer"),
        ("threads:=1.5", "threads is 1.5: give an integer"),
        ("threads:=300", "threads is 300: choose 0 to 256"),
        ("lazy:='true'", "lazy is 'true': give true or false"),
        ("bundle:=7", "bundle is 7: give a text, in quotes"),
        ("device:=gpu", "device is 'gpu': choose one of cpu, cuda"),
        ("heads:=[1, 2]", "give a list of texts"),
    ],
)
def test_bad_values_at_start_are_named(ros_context: Context, text: str, words: str) -> None:
    ros_node = Node("bad", context=ros_context, cli_args=["--ros-args", "-p", text])
    with pytest.raises(ParameterError) as refused:
        declare(ros_node, ServerParameters)
    assert words in str(refused.value)
    ros_node.destroy_node()


def test_a_range_that_only_the_running_node_knows_is_shown_and_held(ros_context: Context) -> None:
    ros_node = Node("narrowed", context=ros_context)
    declare(ros_node, EdgeParameters)
    narrow(ros_node, "level", 3)
    assert [(r.from_value, r.to_value) for r in ros_node.describe_parameter("level").integer_range] == [
        (0, 3)
    ]
    (result,) = ros_node.set_parameters([Parameter("level", value=4)])
    assert not result.successful and "range" in result.reason
    assert ros_node.set_parameters([Parameter("level", value=3)])[0].successful
    narrow(ros_node, "level", 3)
    ros_node.destroy_node()


def test_a_snapshot_is_read_again_only_after_a_change_that_all_accept(ros_context: Context) -> None:
    ros_node = Node("snapshot", context=ros_context)
    start = declare(ros_node, EdgeParameters)
    snapshot = ParameterSnapshot(ros_node, EdgeParameters)
    # ROS asks this rule after the snapshot.
    refuse_when(ros_node, "level", lambda level: "no such level" if level > 3 else None)
    executor = SingleThreadedExecutor(context=ros_context)
    executor.add_node(ros_node)

    def settled() -> EdgeParameters:
        while snapshot.values is not snapshot.values:
            executor.spin_once()
        return snapshot.values

    assert settled() == start
    kept = settled()
    assert not ros_node.set_parameters([Parameter("level", value=4)])[0].successful
    assert snapshot.values == start and settled() == start
    (result,) = ros_node.set_parameters([Parameter("level", value=3)])
    assert result.successful and snapshot.values.level == 3  # at once, not when the executor comes to it
    assert settled() == replace(start, level=3) and kept.level == 0
    ros_node.set_parameters([Parameter("lazy", value=False), Parameter("max_fps", value=5.0)])
    assert settled() == replace(start, level=3, lazy=False, max_fps=5.0)
    executor.shutdown()
    ros_node.destroy_node()


@pytest.mark.parametrize("accepts", [True, False])
def test_who_looks_while_a_change_is_weighed_keeps_no_old_value(ros_context: Context, accepts: bool) -> None:
    ros_node = Node("weighed", context=ros_context)
    declare(ros_node, EdgeParameters)
    snapshot = ParameterSnapshot(ros_node, EdgeParameters)
    seen: list[float] = []

    def weigh(_parameters: list[Parameter]) -> SetParametersResult:
        seen.append(snapshot.values.max_fps)  # as a worker thread may at this moment
        return SetParametersResult(successful=accepts)

    ros_node.add_on_set_parameters_callback(weigh)
    ros_node.set_parameters([Parameter("max_fps", value=5.0)])
    assert seen == [0.0] and snapshot.values.max_fps == (5.0 if accepts else 0.0)
    ros_node.destroy_node()


def test_command_carries_every_argument(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.touch()
    values = {
        "namespace": "r1/",
        "image_topic": "/cam/image",
        "threads": "2",
        "bundle": "my bundle",
        "lazy": "false",
    }
    command = EDGE.command({**values, "use_sim_time": "true", "params_file": str(file), "log_level": "debug"})
    assert command[:4] == python_module("fs_edge_node", "--ros-args")[:4]
    pairs = set(pairwise(command))
    assert pairs >= {
        ("-r", "__ns:=/r1"),
        ("-r", "image:=/cam/image"),
        ("-r", "image/compressed:=/cam/image/compressed"),
        ("-p", "threads:=2"),
        ("-p", "bundle:='my bundle'"),
        ("-p", "lazy:=false"),
        ("-p", "use_sim_time:=true"),
        ("--params-file", str(file)),
        ("--log-level", "debug"),
    }


def test_command_refuses_what_the_node_would_refuse() -> None:
    with pytest.raises(ValueError, match="choose one of raw, compressed"):
        EDGE.command({"transport": "pigeon"})


def test_a_parameter_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    for missing in (str(tmp_path / "no.yaml"), str(tmp_path)):
        with pytest.raises(ParameterError, match=r"params_file is .* not a file"):
            EDGE.command({"params_file": missing})


@pytest.mark.parametrize(
    ("key", "node", "hit"),
    [
        ("/**", "/edge", True),
        ("/**", "/r/one/edge", True),
        ("edge", "/edge", True),
        ("edge", "/robot1/edge", False),
        ("/robot1/edge", "/robot1/edge", True),
        ("/*/edge", "/robot1/edge", True),
        ("/*/edge", "/r/one/edge", False),
        ("/**/edge", "/edge", True),
        ("/**/edge", "/r/one/edge", True),
        ("server", "/edge", False),
    ],
)
def test_a_parameter_file_for_another_node_is_told(tmp_path: Path, key: str, node: str, hit: bool) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(f"{key}:\n  ros__parameters:\n    level: 1\n", encoding="utf-8")
    text = missed(str(file), node)
    assert text is None if hit else text is not None and key in text and f"none for {node}" in text
    assert given_in(["edge", "--ros-args", "--params-file", str(file), "-r", "a:=b"]) == [str(file)]


def test_namespaces_of_a_parameter_file_may_be_nested_or_empty(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("robot1:\n  edge:\n    ros__parameters: {level: 1}\n", encoding="utf-8")
    assert missed(str(file), "/robot1/edge") is None and missed(str(file), "/edge")
    file.write_text("")
    assert missed(str(file), "/edge") is None


@pytest.mark.parametrize("empty", ["[]", "['']"])
def test_an_empty_list_is_one_wherever_it_is_written(
    ros_context: Context, tmp_path: Path, empty: str
) -> None:
    file = tmp_path / "server.yaml"
    file.write_text(f"/**:\n  ros__parameters:\n    latent_topics: {empty}\n", encoding="utf-8")
    command = SERVER.command({"latent_topics": empty})
    launched = command[command.index("-p") :]
    for words in (["--params-file", str(file)], ["-p", f"latent_topics:={empty}"], launched):
        ros_node = Node("empty", context=ros_context, cli_args=["--ros-args", *words])
        assert declare(ros_node, ServerParameters).latent_topics == ()
        assert ros_node.get_parameter("latent_topics").value == [""]
        ros_node.destroy_node()


def test_words_that_look_like_something_else_stay_words(ros_context: Context) -> None:
    command = SERVER.command({"more_bundles": "['7', 'a, b']"})
    ros_node = Node("words", context=ros_context, cli_args=["--ros-args", *command[command.index("-p") :]])
    assert declare(ros_node, ServerParameters).more_bundles == ("7", "a, b")
    ros_node.destroy_node()
