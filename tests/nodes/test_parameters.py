# SPDX-License-Identifier: Apache-2.0
"""The parameter tables and what is made of them: texts, YAML, ROS declarations, commands."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from node_process import ROOT
from rclpy.context import Context
from rclpy.node import Node

from frankensplit.import_order import python_module
from fs_common.declare import declare
from fs_common.node_launch import NodeLaunch
from fs_common.parameters import Spec, specs, to_plain, to_yaml
from fs_demo.launch_table import CAMERA
from fs_edge_node.launch_table import EDGE
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
        ("threads", "many", "give a int"),
        ("threads", "-1", "choose 0 to 256"),
        ("lazy", "7", "give a bool"),
        ("device", "gpu", "choose one of cpu, cuda"),
        ("heads", "[1, 2]", "give a list of strings"),
        ("score_threshold", "nan", "give a float"),
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


def test_command_carries_every_argument() -> None:
    values = {
        "namespace": "r1/",
        "image_topic": "/cam/image",
        "threads": "2",
        "bundle": "my bundle",
        "lazy": "false",
    }
    command = EDGE.command({**values, "use_sim_time": "true", "params_file": "p.yaml", "log_level": "debug"})
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
        ("--params-file", "p.yaml"),
        ("--log-level", "debug"),
    }


def test_command_refuses_what_the_node_would_refuse() -> None:
    with pytest.raises(ValueError, match="choose one of raw, compressed"):
        EDGE.command({"transport": "pigeon"})


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
