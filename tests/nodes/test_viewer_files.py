# SPDX-License-Identifier: Apache-2.0
"""The files for RViz and Foxglove name only topics that our nodes publish, of types that their panels show."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from node_process import ROOT
from observer import Observer

from frankensplit.bundle import Bundle
from fs_common.diagnostics import Diagnostics
from fs_demo.launch_table import CAMERA
from fs_demo.viewers import VIEWERS
from fs_msgs.msg import FrameReport
from fs_server_node import messages
from fs_server_node.outputs import ResultPublishers
from fs_server_node.parameters import ServerParameters

IMAGES = {"sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"}
ANNOTATIONS = {"foxglove_msgs/msg/ImageAnnotations"}
REPORTS = {"fs_msgs/msg/FrameReport"}
HEADS = {"segmentation": "mask", "detections": "boxes", "presence": "classes"}
DIAGNOSTICS = {"diagnostic_msgs/msg/DiagnosticArray"}
Named = tuple[str, set[str]]  # a topic, and the types that its panel shows


def of_rviz(config: dict[str, Any]) -> Iterator[Named]:
    """Give what each display shows."""
    for display in config["Visualization Manager"]["Displays"]:
        assert display["Class"] == "rviz_default_plugins/Image"
        yield f"/{display['Topic']['Value']}", IMAGES


def of_foxglove(layout: dict[str, Any]) -> Iterator[Named]:
    """Give what each panel shows."""
    for name, panel in layout["configById"].items():
        kind = name.partition("!")[0]
        if kind == "Image":
            yield panel["imageMode"]["imageTopic"], IMAGES
            yield from ((topic, ANNOTATIONS) for topic in panel["imageMode"].get("annotations", ()))
        elif kind == "Plot":
            for path in panel["paths"]:
                topic, _, field = path["value"].partition(".")
                assert field in FrameReport.get_fields_and_field_types()
                yield topic, REPORTS
        else:
            assert kind == "DiagnosticSummary"
            yield panel["topicToRender"], DIAGNOSTICS


def placed(tree: Any) -> list[str]:
    """List the panels that a layout's tree puts somewhere."""
    return [tree] if isinstance(tree, str) else [*placed(tree["first"]), *placed(tree["second"])]


def config(viewer: str) -> Path:
    return ROOT / "config" / VIEWERS[viewer].file


def test_every_topic_is_published_with_a_type_that_is_shown(start, observer: Observer) -> None:
    start(CAMERA, patience_s="0")
    labels = Bundle.open("street").labels
    heads: Any = {name: SimpleNamespace(kind=kind) for name, kind in HEADS.items()}
    # All that a server publishes, without its networks.
    outputs = ResultPublishers(observer.node, "", heads, labels, ServerParameters())
    health = Diagnostics(observer.node, "", [])
    layout = json.loads(config("foxglove").read_text(encoding="utf-8"))
    named = [
        *of_rviz(yaml.safe_load(config("rviz").read_text(encoding="utf-8"))),
        *of_foxglove(layout),
    ]
    if messages.foxglove is None:  # then nobody publishes annotations; their names still have to be right
        assert [topic for topic, kinds in named if kinds == ANNOTATIONS] == ["/detections/annotations"]
        named = [(topic, kinds) for topic, kinds in named if kinds != ANNOTATIONS]
    topics = {topic for topic, _ in named}
    observer.until(lambda: all(map(observer.node.count_publishers, topics)), f"publishers of {topics}")
    kinds_of = dict(observer.node.get_topic_names_and_types())
    assert [(topic, kinds_of[topic]) for topic, kinds in named if not set(kinds_of[topic]) <= kinds] == []
    assert len(named) >= 8 and not outputs.listened() and health
    assert sorted(placed(layout["layout"])) == sorted(layout["configById"])


@pytest.mark.parametrize("name", VIEWERS)
def test_what_is_installed_is_there(name: str) -> None:
    assert config(name).is_file()
    assert all(one.format(file="x") in ("-d", "x") for one in VIEWERS[name].arguments)
