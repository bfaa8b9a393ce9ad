# SPDX-License-Identifier: Apache-2.0
"""Parameter files that hold nothing for the node that they are given to, which ROS does not say. No ROS import."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

PARAMETERS = "ros__parameters"


def given_in(arguments: Sequence[str]) -> list[str]:
    """List the parameter files that a node's command line names."""
    return [file for option, file in pairwise(arguments) if option == "--params-file"]


def missed(file: str, node: str) -> str | None:
    """Say that no section of a file is for the node of this full name, or None; ROS has read the file already."""
    try:
        content = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):  # ROS accepts more than this parser does
        return None
    names = list(_sections(content, ""))
    if not names or any(_matches(name, node) for name in names):
        return None
    return (
        f"{file} has parameters for {', '.join(names)} and none for {node}: write them below /**: or {node}:"
    )


def _sections(content: Any, name: str) -> Iterator[str]:
    if not isinstance(content, dict):
        return
    for key, value in content.items():
        if key == PARAMETERS:
            yield name
        else:
            yield from _sections(value, f"{name}/{str(key).strip('/')}")


def _matches(name: str, node: str) -> bool:
    parts = [
        ".*" if part == "**" else "[^/]*" if part == "*" else re.escape(part) for part in name.split("/")
    ]
    pattern = "/".join(parts).replace("/.*/", "/(.*/)?")
    return re.fullmatch(pattern, node) is not None
