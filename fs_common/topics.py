# SPDX-License-Identifier: Apache-2.0
"""Names of topics: which are allowed, and what they say about a topic's type."""

from __future__ import annotations

from rclpy.exceptions import NameValidationException
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.validate_topic_name import validate_topic_name

from frankensplit.errors import shown
from fs_common.causes import NAMES_ARE, cause_of

COMPRESSED = "/compressed"  # how image_transport names what it sends as files


def is_compressed(topic: str) -> bool:
    """Tell whether a topic of images carries sensor_msgs/CompressedImage."""
    return topic.endswith(COMPRESSED)


def name_problem(node: Node, parameter: str, topic: str) -> str | None:
    """Say why a text in a parameter cannot name a topic, or None."""
    try:
        validate_topic_name(topic)
        node.resolve_topic_name(topic)
    except (NameValidationException, rclpy_implementation.RCLError, ValueError) as error:
        return f"{parameter} names {shown(topic)}, expected {NAMES_ARE} ({cause_of(error)})"
    return None
