# SPDX-License-Identifier: Apache-2.0
"""A profile is read as Fast DDS reads it, and compared with a camera's image."""

from __future__ import annotations

import os

import pytest

from frankensplit.doctor import FAULT, NOTE, OK
from frankensplit.doctor.checks import transport
from frankensplit.fast_dds import PROFILE_VARIABLES

SHM = "<transport_id>shm</transport_id><type>SHM</type><segment_size>{}</segment_size>"
PROFILE = """<profiles xmlns="http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles">
<transport_descriptors><transport_descriptor>{}</transport_descriptor></transport_descriptors>
<participant profile_name="p" is_default_profile="{}"><rtps>
<userTransports><transport_id>shm</transport_id></userTransports><useBuiltinTransports>false</useBuiltinTransports>
</rtps></participant></profiles>"""


def name_profile(made_up, text, *variables):
    if text is not None:
        made_up.write("/etc/dds.xml", text)
    made_up.environ |= dict.fromkeys(variables or PROFILE_VARIABLES, "/etc/dds.xml")
    return made_up.find(transport.check)


def test_no_profile_is_a_note_with_what_to_set(made_up):
    finding = made_up.find(transport.check)["profile variables"]
    assert finding.level == NOTE
    assert "512 KiB, does not hold one camera frame" in finding.text
    assert all(f"{variable}=" in finding.remedy for variable in PROFILE_VARIABLES)
    assert "config/fastdds.xml" in finding.remedy


def test_the_profiles_of_this_package(made_up, repository):
    found = name_profile(made_up, (repository / "config" / "fastdds.xml").read_text())
    assert {finding.level for finding in found.values()} == {OK}
    assert "24 MiB, holds 27 camera frames" in found["profile"].text
    found = name_profile(made_up, (repository / "config" / "fastdds-udp.xml").read_text())
    assert found["profile"].level == NOTE
    assert "no shared memory" in found["profile"].text


@pytest.mark.parametrize(
    ("text", "level", "says"),
    [
        (None, FAULT, "/etc/dds.xml cannot be read: No such file"),
        ("<profiles>", FAULT, "/etc/dds.xml is not XML"),
        (PROFILE.format(SHM.format(1000).replace("shm", "other"), "true"), FAULT, "does not describe: shm"),
        (PROFILE.format(SHM.format(67108864), "false"), NOTE, "is_default_profile"),
        (PROFILE.format(SHM.format(1 << 19), "true"), NOTE, "best effort loses frames"),
        (PROFILE.format(SHM.format(67108864), "true"), OK, "holds 72"),
        ("<dds>" + PROFILE.format(SHM.format(67108864), "true") + "</dds>", OK, "holds 72"),
    ],
)
def test_profiles(made_up, text, level, says):
    finding = name_profile(made_up, text)["profile"]
    assert finding.level == level
    assert says in finding.text
    assert bool(finding.remedy) == (level != OK)


@pytest.mark.parametrize(
    ("variable", "distro", "level"),
    [
        (0, "jazzy", OK),
        (0, "kilted", OK),
        (0, "lyrical", NOTE),
        (1, "jazzy", NOTE),
        (1, "kilted", OK),
        (1, None, NOTE),
    ],
)
def test_a_variable_that_the_distribution_does_not_read(made_up, variable, distro, level):
    if distro:
        made_up.environ["ROS_DISTRO"] = distro
    found = name_profile(made_up, PROFILE.format(SHM.format(67108864), "true"), PROFILE_VARIABLES[variable])
    assert found["profile variables"].level == level


def test_two_files_are_a_note(made_up):
    made_up.environ |= dict(zip(PROFILE_VARIABLES, ("/a.xml", "/b.xml"), strict=True))
    assert made_up.find(transport.check)["profile variables"].level == NOTE


def test_a_profile_is_found_from_the_current_folder(made_up, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made_up.write(f"{tmp_path}/config/dds.xml", PROFILE.format(SHM.format(67108864), "true"))
    made_up.environ["FASTRTPS_DEFAULT_PROFILES_FILE"] = "config/dds.xml"
    assert made_up.find(transport.check)["profile"].level == OK


def test_another_middleware_reads_no_profile(made_up):
    made_up.environ["RMW_IMPLEMENTATION"] = "rmw_zenoh_cpp"
    found = name_profile(made_up, None)
    assert [finding.level for finding in found.values()] == [OK]


def test_the_shared_memory_of_a_container_is_small(made_up):
    made_up.disk = (64 << 20, 0, 64 << 20)
    assert made_up.find(transport.check)["shared memory"].level == OK
    finding = name_profile(made_up, PROFILE.format(SHM.format(67108864), "true"))["shared memory"]
    assert finding.level == NOTE
    assert "--shm-size" in finding.remedy


def test_no_shared_memory_is_a_note(made_up):
    def missing(_path):
        raise FileNotFoundError(2, "No such file or directory")

    found = transport._space(made_up.machine.__class__(disk_usage=missing), 1)
    assert (found.level, "No such file" in found.text) == (NOTE, True)


def test_nodes_of_another_user_are_a_note_with_the_profile_for_both(made_up, monkeypatch):
    made_up.write("dev/shm/fastrtps_0123abcd", "")
    assert made_up.find(transport.check)["users"].level == OK
    another = os.geteuid() + 1
    monkeypatch.setattr("os.geteuid", lambda: another)
    finding = made_up.find(transport.check)["users"]
    assert finding.level == NOTE and "no image gets across" in finding.text
    assert all(f"{variable}=" in finding.remedy for variable in PROFILE_VARIABLES)
    assert "config/fastdds-udp.xml" in finding.remedy


def test_what_crashed_processes_left(made_up):
    made_up.write("dev/shm/fastrtps_0123abcd", "").write("dev/shm/fastrtps_0123abcd_el", "")
    made_up.write("proc/12/maps", "7f00-7f01 rw-s 00000000 00:1a 5   /dev/shm/fastrtps_0123abcd\n")
    assert made_up.find(transport.check)["left over"].level == OK
    made_up.write("dev/shm/fastrtps_port7411", "")
    finding = made_up.find(transport.check)["left over"]
    assert finding.level == NOTE
    assert "1 files that no process of yours uses" in finding.text
    assert "fastrtps_port7411" in finding.text
