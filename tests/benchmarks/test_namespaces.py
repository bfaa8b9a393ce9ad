# SPDX-License-Identifier: Apache-2.0
"""Links between namespaces come and go, keep their rate, and lose what they are told to."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from frankensplit.benchmarks import namespaces
from frankensplit.benchmarks.namespaces import ADDRESSES, PREFIX, ROBOT, SERVER, LossyLink, why_not

REASON = why_not()
needs_links = pytest.mark.skipif(REASON is not None, reason=str(REASON))

BATCH = 40  # datagrams in flight: few enough for any receive buffer


@pytest.fixture
def link() -> Iterator[LossyLink]:
    """Make a link of 20 Mbit/s."""
    with LossyLink(20.0) as made:
        yield made


def present(*names: str) -> bool:
    listed = subprocess.run(
        ["ip", "netns", "list"], capture_output=True, text=True, check=True
    ).stdout.split()
    return any(name in listed or Path("/dev/shm", name).exists() for name in names)


def arrived(link: LossyLink, start: str, end: str, size: int, count: int) -> int:
    """Send datagrams from one end to the other; count those that come."""
    with link.open_socket(start) as sender, link.open_socket(end) as receiver:
        receiver.bind((ADDRESSES[end], 0))
        receiver.settimeout(0.02)
        return sum(_batch(sender, receiver, size) for _ in range(count // BATCH))


def _batch(sender: socket.socket, receiver: socket.socket, size: int) -> int:
    for _ in range(BATCH):
        sender.sendto(bytes(size), receiver.getsockname())
    came = 0
    with suppress(TimeoutError):
        while came < BATCH:
            receiver.recv(65536)
            came += 1
    return came


def test_says_which_tools_are_missing(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "needs ip, tc, mount, sh" in str(why_not())


def test_says_that_it_needs_root(monkeypatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "root" in str(why_not())


def test_says_what_a_tool_complains_of(monkeypatch, tmp_path) -> None:
    for tool in ("ip", "tc", "mount", "sh"):
        (tmp_path / tool).write_text(f"#!{sys.executable}\nimport sys\nsys.exit('Operation not permitted')\n")
        (tmp_path / tool).chmod(0o755)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "`ip netns list` failed: Operation not permitted" in str(why_not())


def test_netem_delays_and_loses_where_nftables_is_missing(monkeypatch, tmp_path) -> None:
    """Few kernels lack nftables and have netem, so only the commands are looked at."""
    said: list[str] = []

    def pretend(*command: str) -> str:
        said.append(" ".join(command))
        return '[{"operstate": "UP"}]' if "show" in command else ""

    monkeypatch.setattr(namespaces, "_run", pretend)
    monkeypatch.setattr(namespaces, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(namespaces.shutil, "which", lambda tool: None)
    with LossyLink(12.0, delay_ms=30.0) as link:
        link.set_loss(5.0)

    robot = f"tc -n {link.namespaces[ROBOT]} qdisc"
    assert f"{robot} add dev link0 root handle 1: tbf rate 12000000bit burst 15000 limit 524288" in said
    assert f"{robot} add dev link0 parent 1:1 handle 10: netem delay 30.0ms loss 0.0%" in said
    assert f"{robot} change dev link0 parent 1:1 handle 10: netem delay 30.0ms loss 5.0%" in said
    assert not any("nft" in command for command in said)


@needs_links
def test_all_is_gone_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), LossyLink(1.0) as link:
        names = link.namespaces.values()
        assert all(present(name) for name in names)
        raise ZeroDivisionError
    assert not present(*names)


@needs_links
def test_all_is_gone_when_making_fails(monkeypatch) -> None:
    monkeypatch.setattr(namespaces, "DEVICE", "a name that is far too long for a device")
    link = LossyLink(1.0)
    with pytest.raises(namespaces.LinkError, match=r"ip -n .* link add"), link:
        pass
    assert not present(*link.namespaces.values())


@needs_links
def test_what_a_dead_run_left_goes_and_what_a_living_one_has_stays() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    of_dead, of_living = f"{PREFIX}-{process.pid}-0-{ROBOT}", f"{PREFIX}-{os.getpid()}-9999-{ROBOT}"
    try:
        for name in (of_dead, of_living):
            subprocess.run(["ip", "netns", "add", name], check=True)
        namespaces.remove_leftovers()
        assert (present(of_dead), present(of_living)) == (False, True)
    finally:
        subprocess.run(["ip", "netns", "delete", of_living], check=True)


@needs_links
def test_two_links_at_once_are_apart(link: LossyLink) -> None:
    with LossyLink(20.0) as other:
        other.set_loss(99.9)
        assert arrived(link, ROBOT, SERVER, 100, BATCH) == BATCH
        assert arrived(other, ROBOT, SERVER, 100, BATCH) < BATCH / 2


@needs_links
def test_commands_run_at_their_end_with_shared_memory_of_their_own(link: LossyLink) -> None:
    Path("/dev/shm", link.namespaces[ROBOT], "here").touch()
    show = link.command(ROBOT, ["sh", "-c", "ls /dev/shm; ip -o -4 address show link0"])
    shown = subprocess.run(show, capture_output=True, text=True, check=True).stdout
    assert shown.startswith("here\n") and ADDRESSES[ROBOT] in shown


@needs_links
@pytest.mark.parametrize("mbit_s", [2.0, 40.0])
def test_rate_is_kept(mbit_s: float) -> None:
    with LossyLink(mbit_s) as link:
        assert link.goodput_mbit_s(1.0) == pytest.approx(mbit_s, rel=0.25)
        assert link.sent_bytes(ROBOT) > 0.7 * mbit_s * 1e6 / 8


@needs_links
@pytest.mark.parametrize(("start", "end"), [(ROBOT, SERVER), (SERVER, ROBOT)])
def test_loses_the_asked_share_of_packets(link: LossyLink, start: str, end: str) -> None:
    link.set_loss(20.0)
    assert 1500 < arrived(link, start, end, 100, 2000) < 1700  # 1600, give or take five deviations
    link.set_loss(0.0)
    assert arrived(link, start, end, 100, 400) == 400


@needs_links
def test_one_lost_fragment_loses_the_datagram(link: LossyLink) -> None:
    link.set_loss(10.0)
    assert 80 < arrived(link, ROBOT, SERVER, 14_600, 400) < 200  # 0.9 to the 10th of 400 are 139
