# SPDX-License-Identifier: Apache-2.0
"""Fast DDS on one machine: the profile, how much shared memory it asks for, and how much there is."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from frankensplit.doctor.checks.ros import middleware
from frankensplit.doctor.finding import Finding, fault, note, ok
from frankensplit.doctor.machine import Machine
from frankensplit.fast_dds import PROFILE_VARIABLES, WITHOUT_SHARED_MEMORY, export_line, other_users, owner_of

TITLE = "transport"
ORDER = 50
FOR = ("edge", "server")
CAMERA_FRAME_BYTES = 640 * 480 * 3
DEFAULT_SEGMENT_BYTES = 512 << 10
PARTICIPANTS = 3  # camera, edge and server each make a segment
SHARED_MEMORY = "/dev/shm"
OLD_VARIABLE, NEW_VARIABLE = PROFILE_VARIABLES
BEFORE_KILTED = ("humble", "iron", "jazzy")
# The last distribution that reads the old name; Fast DDS 3 does not.
BEFORE_LYRICAL = (*BEFORE_KILTED, "kilted")


def check(machine: Machine) -> Iterator[Finding]:
    """Say whether camera images fit."""
    name = middleware(machine)
    if "fastrtps" not in name:
        yield ok("profile", f"none looked for: {name} is not Fast DDS")
        return
    segment_bytes = DEFAULT_SEGMENT_BYTES
    files = {
        variable: machine.environ[variable] for variable in PROFILE_VARIABLES if machine.environ.get(variable)
    }
    for file in dict.fromkeys(files.values()):
        finding = _profile(machine, file)
        segment_bytes = finding.figures.get("segment_bytes", segment_bytes)
        yield finding
    yield from _variables(machine, files)
    yield _space(machine, segment_bytes)
    yield _users(machine)
    yield from _left_over(machine)


def _variables(machine: Machine, files: dict[str, str]) -> Iterator[Finding]:
    name = "profile variables"
    if not files:
        text = (
            f"none set: {_fits(DEFAULT_SEGMENT_BYTES)}, and best effort then loses frames; "
            "the launch files of this package set them for their own nodes only"
        )
        yield note(name, text, f"in every other process, the camera driver's above all: {export_line()}")
    elif len(set(files.values())) > 1:
        yield note(name, f"the two name different files: {', '.join(files.values())}", "set both to one file")
    elif OLD_VARIABLE not in files and machine.environ.get("ROS_DISTRO", "jazzy") in BEFORE_KILTED:
        yield note(
            name, f"only {NEW_VARIABLE} is set, which is read from Kilted on", f"set {OLD_VARIABLE} too"
        )
    elif NEW_VARIABLE not in files and machine.environ.get("ROS_DISTRO", "jazzy") not in BEFORE_LYRICAL:
        yield note(
            name, f"only {OLD_VARIABLE} is set, which Fast DDS 3 has renamed", f"set {NEW_VARIABLE} too"
        )
    else:
        yield ok(name, ", ".join(files))


def _fits(segment_bytes: int) -> str:
    frames = segment_bytes // CAMERA_FRAME_BYTES
    size = f"{segment_bytes >> 20} MiB" if segment_bytes >= 1 << 20 else f"{segment_bytes >> 10} KiB"
    held = f"holds {frames}" if frames else "does not hold one"
    return f"a segment of shared memory, {size}, {held} camera frame{'s' * (frames > 1)} of 640x480"


def _profile(machine: Machine, file: str) -> Finding:
    remedy = export_line()
    try:
        profiles = ElementTree.fromstring(machine.path(file).read_bytes())
    except OSError as err:
        return fault("profile", f"{file} cannot be read: {err.strerror}; Fast DDS goes on without it", remedy)
    except ElementTree.ParseError as err:
        return fault("profile", f"{file} is not XML: {err}; Fast DDS goes on without it", remedy)
    participants = [
        one for one in profiles.iterfind(".//{*}participant") if one.get("is_default_profile") == "true"
    ]
    if not participants:
        text = f"{file} has no participant with is_default_profile: nodes do not use it"
        return note("profile", text, remedy)
    return _transports(file, profiles, participants[0], remedy)


def _transports(
    file: str, profiles: ElementTree.Element, participant: ElementTree.Element, remedy: str
) -> Finding:
    described = {
        one.findtext("{*}transport_id"): one for one in profiles.iterfind(".//{*}transport_descriptor")
    }
    used = [(one.text or "").strip() for one in participant.iterfind(".//{*}userTransports/{*}transport_id")]
    if unknown := [name for name in used if name not in described]:
        return fault(
            "profile", f"{file} uses transports that it does not describe: {', '.join(unknown)}", remedy
        )
    segments = [_segment(described[name]) for name in used if described[name].findtext("{*}type") == "SHM"]
    builtin = (participant.findtext(".//{*}useBuiltinTransports") or "true").strip().lower() == "true"
    if not segments and not builtin:
        return note("profile", f"{file}: no shared memory, so images go over UDP even on one machine", remedy)
    segment_bytes = max(segments, default=DEFAULT_SEGMENT_BYTES)
    text = f"{file}: {_fits(segment_bytes)}"
    if segment_bytes < CAMERA_FRAME_BYTES:
        return note("profile", f"{text}; best effort loses frames", remedy, segment_bytes=segment_bytes)
    return ok("profile", text, segment_bytes=segment_bytes)


def _segment(descriptor: ElementTree.Element) -> int:
    text = (descriptor.findtext("{*}segment_size") or "").strip()
    return int(text) if text.isdigit() else DEFAULT_SEGMENT_BYTES


def _space(machine: Machine, segment_bytes: int) -> Finding:
    wanted = PARTICIPANTS * segment_bytes
    try:
        total, _, free = machine.disk_usage(machine.path(SHARED_MEMORY))
    except OSError as err:
        text = f"{SHARED_MEMORY} cannot be used: {err.strerror}; images go over UDP"
        return note("shared memory", text, "mount it; in a container --ipc host or --shm-size 512m")
    text = f"{free >> 20} of {total >> 20} MiB free"
    if free < wanted:
        text += f", less than {PARTICIPANTS} segments of {segment_bytes >> 10} KiB"
        remedy = "in a container --ipc host or --shm-size 512m; else remove what is left over"
        return note("shared memory", text, remedy, total_bytes=total, free_bytes=free)
    return ok("shared memory", text, total_bytes=total, free_bytes=free)


def _users(machine: Machine) -> Finding:
    if not (others := other_users(machine.path(SHARED_MEMORY))):
        return ok("users", "no Fast DDS node of another user here")
    text = (
        f"nodes of {', '.join(others)} run here too: they and yours share no memory, and no image gets across"
    )
    remedy = f"start camera and nodes as one user, or all of them with {export_line(WITHOUT_SHARED_MEMORY)}"
    return note("users", text, remedy)


def _left_over(machine: Machine) -> Iterator[Finding]:
    """Find files of processes that crashed; of other users' processes nothing can be said."""
    folder = machine.path(SHARED_MEMORY)
    files = [one for one in folder.glob("fastrtps_*") if not one.name.endswith("_el")]
    own = [one for one in files if owner_of(one) == os.geteuid()]
    used = _mapped(machine)
    stale = sorted(one.name for one in own if one.name not in used)
    if stale:
        text = f"{len(stale)} files that no process of yours uses, from one that crashed: {stale[0]} ..."
        yield note("left over", text, "when no node runs: fastdds shm clean, or rm /dev/shm/fastrtps_*")
    else:
        yield ok("left over", f"nothing; {len(files)} files in use")


def _mapped(machine: Machine) -> set[str]:
    """Return the names of Fast DDS's files that processes have in their memory."""
    maps = machine.path("/proc").glob("[0-9]*/maps")
    return {name for one in maps for name in re.findall(rf"{SHARED_MEMORY}/(fastrtps_\w+)", _text(one))}


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""  # it belongs to another user, or its process has just ended
