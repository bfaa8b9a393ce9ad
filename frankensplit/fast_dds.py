# SPDX-License-Identifier: Apache-2.0
"""What whole images between processes of one machine need of Fast DDS: a profile in each, and one user."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from frankensplit.errors import shown
from frankensplit.places import share_folders

# The first name is read by all, the second from Kilted on.
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
FOR_IMAGES, WITHOUT_SHARED_MEMORY = "fastdds.xml", "fastdds-udp.xml"  # files in config/
SHARED_MEMORY = Path("/dev/shm")


def export_line(profile: str = FOR_IMAGES) -> str:
    """Return the shell's line that gives a profile of ``config/`` to the processes started after it."""
    places = [place / "config" / profile for place in share_folders()]
    file = next((place for place in places if place.is_file()), Path("config") / profile)
    return " ".join(["export", *(f"{variable}={file}" for variable in PROFILE_VARIABLES)])


def profiles_missing() -> list[str]:
    """Name the profiles of this process that do not exist: Fast DDS goes on without them and hardly says so."""
    given = ((variable, os.environ.get(variable)) for variable in PROFILE_VARIABLES)
    return [
        f"{variable} is {shown(file)}, and there is no such file: whole images may be lost; {export_line()}"
        for variable, file in given
        if file and not Path(file).is_file()
    ]


def other_users(folder: Path = SHARED_MEMORY) -> list[str]:
    """List the other users whose processes have segments of Fast DDS here: they and we share no memory."""
    owners = {owner for file in folder.glob("fastrtps_*") if (owner := owner_of(file)) is not None}
    return sorted(_name(owner) for owner in owners - {os.geteuid()})


def owner_of(file: Path) -> int | None:
    """Return the owner of a file; None when its process has just ended and taken it away."""
    try:
        return file.stat().st_uid
    except OSError:
        return None


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # a container's
        return str(uid)
