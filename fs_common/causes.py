# SPDX-License-Identifier: Apache-2.0
"""Turn the errors of rclpy and rcl into one line for users, without places in their source."""

from __future__ import annotations

import os
import re

NAMES_ARE = "letters, digits and _ in parts divided by single /, no part begins with a digit: robot1/latent"
_PLACE = re.compile(r",? at \S+:\d+")
# The parser of remapping rules ends its errors with these words, which do not help a user.
_LEXER = re.compile(r"Error: (error not set|Expected lexeme .*|Expecting token .*)$")
_FOLDER = re.compile(r"(log directory '.*'): (\d+)$")


def cause_of(error: BaseException) -> str:
    """Return the text of an error of ROS on one line, without the marks that point at the wrong character."""
    lines = [line.strip() for line in _PLACE.sub("", str(error)).splitlines() if set(line) - set(" ^,")]
    text = _LEXER.sub(f"expected NAME:=VALUE, of which names are {NAMES_ARE}", " ".join(lines))
    return _FOLDER.sub(_cause_of_folder, text) or type(error).__name__


def _cause_of_folder(found: re.Match[str]) -> str:
    return f"{found[1]}: {os.strerror(int(found[2]))}; set ROS_LOG_DIR to a folder that you may write"
