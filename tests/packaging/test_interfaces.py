# SPDX-License-Identifier: Apache-2.0
"""The message types that peers see: fields and type hashes of what is installed, and of the files here."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

rclpy = pytest.importorskip("rclpy", reason="no ROS 2: run make setup, or source one")
fs_msgs = pytest.importorskip("fs_msgs.msg", reason="fs_msgs is not built: run make messages")

VISION_HASHES: dict[str, str] = json.loads(
    (Path(__file__).parents[1] / "fixtures" / "vision_msgs_hashes.json").read_text()
)["type_hashes"]
FS_MSGS = {
    "CompressedLatent": {
        "header": "std_msgs/Header",
        "height": "uint32",
        "width": "uint32",
        "format": "string",
        "sequence": "uint32",
        "received": "builtin_interfaces/Time",
        "preprocess_ms": "float",
        "encode_ms": "float",
        "entropy_ms": "float",
        "data": "sequence<uint8>",
    },
    "FrameReport": {
        "header": "std_msgs/Header",
        "sequence": "uint32",
        "packet_bytes": "uint32",
        "edge_preprocess_ms": "float",
        "edge_encode_ms": "float",
        "edge_entropy_ms": "float",
        "transit_ms": "float",
        "entropy_ms": "float",
        "features_ms": "float",
        "heads": "sequence<string>",
        "head_ms": "sequence<float>",
        "latency_ms": "float",
        "received": "uint64",
        "lost": "uint64",
        "dropped": "uint64",
        "rejected": "uint64",
    },
}


@pytest.mark.parametrize("message", FS_MSGS)
def test_fields_of_fs_msgs(message: str) -> None:
    assert getattr(fs_msgs, message).get_fields_and_field_types() == FS_MSGS[message]


@pytest.fixture(scope="module")
def node() -> Iterator[rclpy.node.Node]:
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("type_hashes", context=context)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.mark.parametrize("name", VISION_HASHES)
def test_installed_vision_msgs_have_the_official_hash(node: rclpy.node.Node, name: str) -> None:
    message = getattr(importlib.import_module("vision_msgs.msg"), name.rsplit("/", 1)[1])
    publisher = node.create_publisher(message, name, 1)
    [endpoint] = node.get_publishers_info_by_topic(name)
    if not hasattr(endpoint, "topic_type_hash"):
        pytest.skip("this ROS 2 distribution has no type hashes")
    assert str(endpoint.topic_type_hash) == VISION_HASHES[name]
    node.destroy_publisher(publisher)


def test_stand_in_vision_msgs_have_the_official_hashes(repository: Path) -> None:
    store = get_typestore(Stores.ROS2_JAZZY)
    files = sorted((repository / "interfaces" / "vision_msgs" / "msg").glob("*.msg"))
    types = {}
    for file in files:
        types.update(get_types_from_msg(file.read_text(), f"vision_msgs/msg/{file.stem}"))
    store.register(types)
    assert {name: store.hash_rihs01(name) for name in types} == VISION_HASHES


def test_messages_are_built_by_a_plain_shell(repository: Path, tmp_path: Path) -> None:
    """One that refuses variables that are not set, of which the environments of some Pythons read one."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "activate").write_text('test "$OSTYPE"\n')
    (tmp_path / "bin" / "colcon").write_text('#!/bin/sh\necho "$VIRTUAL_ENV" "$@"\n')
    (tmp_path / "bin" / "colcon").chmod(0o755)
    command = ["sh", repository / "scripts" / "build_messages.sh", tmp_path, "wheels"]
    said = subprocess.run(command, env={"PATH": os.defpath}, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith(f"{tmp_path} ") and f"--install-base {tmp_path}" in said.stdout
