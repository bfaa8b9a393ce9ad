# SPDX-License-Identifier: Apache-2.0
"""Two network namespaces with one link between them, of a limited rate, that loses packets on request.

Nothing of it touches the machine's own network: both ends of the link are made inside the namespaces, and all of it
is gone when the ``LossyLink`` is left. What a killed run has left behind goes when the next one starts.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from frankensplit.errors import FrankensplitError

ROBOT, SERVER = "robot", "server"
ADDRESSES = {ROBOT: "10.77.0.1", SERVER: "10.77.0.2"}
DEVICE = "link0"  # the link's device at either end
MTU_BYTES = 1500
IP_UDP_BYTES = 20 + 8  # headers of a datagram that fits into one packet; the MTU includes them

QUEUE_BYTES = 512 * 1024  # more than one socket may have in flight, so a sender waits instead of losing
BURST_S = 0.01
LEAST_BURST_BYTES = 6000

# One lost IP fragment keeps the others of its datagram in memory, by default for 30 s and in 4 MiB; then
# nothing that is fragmented arrives any more. These are the values that the tuning guide of ROS 2 recommends.
FRAGMENT_TIME_S = 3
FRAGMENT_MEMORY_BYTES = 128 * 1024 * 1024

CLONE_NEWNET = 0x40000000
PREFIX = "frankensplit"
OURS = re.compile(rf"{PREFIX}-(\d+)-\d+-(?:{ROBOT}|{SERVER})")
SHARED_MEMORY = Path("/dev/shm")
IN_PRIVATE_MEMORY = f'mount --bind "$0" {SHARED_MEMORY} && exec "$@"'
COMMAND_S = 10.0

_numbers = itertools.count()


class LinkError(FrankensplitError):
    """Namespaces, link, rate or loss could not be made as asked."""


def why_not(delay_ms: float = 0.0) -> str | None:
    """Say why links cannot be made here, or None where they can.

    Args:
        delay_ms: the delay that will be asked for, which needs netem.
    """
    if sys.platform != "linux":
        return f"network namespaces need Linux, this is {sys.platform}"
    if os.geteuid():
        return "network namespaces need root"
    missing = [tool for tool in ("ip", "tc", "mount", "sh") if shutil.which(tool) is None]
    if missing:
        return f"needs {', '.join(missing)} (iproute2, util-linux)"
    try:
        with LossyLink(1.0, delay_ms) as link:
            link.set_loss(1.0)
    except LinkError as err:
        return str(err)
    return None


def remove_leftovers() -> None:
    """End the processes and remove the namespaces of runs that died without doing so."""
    for name in _run("ip", "netns", "list").split():
        found = OURS.fullmatch(name)
        if found and not Path("/proc", found[1]).exists():
            _remove(name)


class LossyLink:
    """A robot's and a server's namespace, joined by one link; made and removed as a context.

    Args:
        mbit_s: rate of each direction, whole Ethernet frames counted.
        delay_ms: delay of each direction.

    Raises:
        LinkError: it cannot be made (on entering); the text is what the failing tool said.
    """

    def __init__(self, mbit_s: float, delay_ms: float = 0.0) -> None:
        self.mbit_s, self.delay_ms = mbit_s, delay_ms
        number = next(_numbers)
        self.namespaces = {end: f"{PREFIX}-{os.getpid()}-{number}-{end}" for end in ADDRESSES}
        self._has_nft = shutil.which("nft") is not None
        self._has_netem = delay_ms > 0 or not self._has_nft

    def __enter__(self) -> LossyLink:
        """Make the namespaces and the link, without loss."""
        try:
            remove_leftovers()
            self._make()
            self._wait_until_up()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Remove everything."""
        self._remove()

    def command(self, end: str, command: Sequence[str]) -> list[str]:
        """Return the command that runs another at one end, where its shared memory is that end's own."""
        name = self.namespaces[end]
        memory = str(SHARED_MEMORY / name)
        return ["ip", "netns", "exec", name, "sh", "-c", IN_PRIVATE_MEMORY, memory, *command]

    @property
    def loss_by(self) -> str:
        """What loses the packets."""
        return "nftables, on arrival" if self._has_nft else "netem, on sending"

    def set_loss(self, percent: float) -> None:
        """Lose this share of IP packets from now on, in both directions, each packet at random.

        nftables drops a packet where it arrives: after the rate limit, since a packet that is lost in the air has
        taken its time, and before fragments are put together.

        Raises:
            LinkError: the kernel has neither nftables nor netem.
        """
        for end in ADDRESSES:
            if self._has_nft:
                self._in(end, "nft", _loss_rule(percent))
            else:
                self._tc(end, "change", "parent", "1:1", *self._netem(percent))

    def sent_bytes(self, end: str) -> int:
        """Return the bytes that an end has put on the wire since it was made, Ethernet headers included."""
        return int(self._shown(end)["stats64"]["tx"]["bytes"])

    def open_socket(self, end: str) -> socket.socket:
        """Return a UDP socket at one end, to be used from anywhere in this process."""
        with ThreadPoolExecutor(1) as pool:  # only this thread enters the namespace, and then it ends
            return pool.submit(_socket_in, self.namespaces[end]).result()

    def goodput_mbit_s(self, seconds: float) -> float:
        """Measure the payload that comes through in full UDP datagrams from robot to server."""
        with self.open_socket(ROBOT) as sender, self.open_socket(SERVER) as receiver:
            receiver.bind((ADDRESSES[SERVER], 0))
            counter = threading.Thread(target=_send_for, args=(sender, receiver.getsockname(), seconds))
            counter.start()
            rate = _received_bytes_per_s(receiver)
            counter.join()
        return 8e-6 * rate

    def _make(self) -> None:
        for end, name in self.namespaces.items():
            _run("ip", "netns", "add", name)
            (SHARED_MEMORY / name).mkdir()
            self._ip(end, "link", "set", "lo", "up")
        peer = ("type", "veth", "peer", "name", DEVICE, "netns", self.namespaces[SERVER])
        self._ip(ROBOT, "link", "add", DEVICE, *peer)
        for end, address in ADDRESSES.items():
            # An interface that has no IPv6 address sends no IPv6 packets that would be counted.
            self._ip(end, "link", "set", DEVICE, "mtu", str(MTU_BYTES), "addrgenmode", "none")
            self._ip(end, "addr", "add", f"{address}/24", "dev", DEVICE)
            self._ip(end, "link", "set", DEVICE, "up")
            self._shape(end)
            for key, value in (("time", FRAGMENT_TIME_S), ("high_thresh", FRAGMENT_MEMORY_BYTES)):
                self._in(end, "sh", "-c", f"echo {value} > /proc/sys/net/ipv4/ipfrag_{key}")

    def _wait_until_up(self) -> None:
        """Wait until the kernel calls both ends running: a DDS participant that starts earlier leaves them out."""
        deadline = time.monotonic() + COMMAND_S
        while any(self._shown(end)["operstate"] != "UP" for end in ADDRESSES):
            if time.monotonic() > deadline:
                raise LinkError(f"the link is not up after {COMMAND_S:.0f} s")
            time.sleep(0.02)

    def _shown(self, end: str) -> dict[str, Any]:
        shown = _run("ip", "-n", self.namespaces[end], "-s", "-j", "link", "show", "dev", DEVICE)
        return cast("dict[str, Any]", json.loads(shown)[0])

    def _shape(self, end: str) -> None:
        burst = max(LEAST_BURST_BYTES, int(self.mbit_s * 1e6 / 8 * BURST_S))
        rate = ("rate", f"{int(self.mbit_s * 1e6)}bit", "burst", str(burst), "limit", str(QUEUE_BYTES))
        self._tc(end, "add", "root", "handle", "1:", "tbf", *rate)
        if self._has_netem:
            self._tc(end, "add", "parent", "1:1", *self._netem(0.0))
        if self._has_nft:
            hook = f'type filter hook ingress device "{DEVICE}" priority 0; policy accept;'
            self._in(end, "nft", f"add table netdev link; add chain netdev link loss {{ {hook} }}")

    def _netem(self, loss_percent: float) -> tuple[str, ...]:
        return "handle", "10:", "netem", "delay", f"{self.delay_ms}ms", "loss", f"{loss_percent}%"

    def _ip(self, end: str, *arguments: str) -> None:
        _run("ip", "-n", self.namespaces[end], *arguments)

    def _tc(self, end: str, what: str, *arguments: str) -> None:
        _run("tc", "-n", self.namespaces[end], "qdisc", what, "dev", DEVICE, *arguments)

    def _in(self, end: str, *command: str) -> None:
        _run("ip", "netns", "exec", self.namespaces[end], *command)

    def _remove(self) -> None:
        for name in self.namespaces.values():
            with suppress(LinkError):  # it may not exist yet
                _remove(name)


def _loss_rule(percent: float) -> str:
    rule = (
        f"; add rule netdev link loss meta protocol ip numgen random mod 10000 < {round(100 * percent)} drop"
    )
    return "flush chain netdev link loss" + (rule if percent else "")


def _remove(name: str) -> None:
    for pid in _run("ip", "netns", "pids", name).split():
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGTERM)
    shutil.rmtree(SHARED_MEMORY / name, ignore_errors=True)
    _run("ip", "netns", "delete", name)


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S, check=True)
    except subprocess.CalledProcessError as err:
        raise LinkError(f"`{' '.join(command)}` failed: {err.stderr.strip()}") from err
    except (OSError, subprocess.TimeoutExpired) as err:
        raise LinkError(f"`{' '.join(command)}` failed: {err}") from err
    return done.stdout


def _socket_in(namespace: str) -> socket.socket:
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/run/netns", namespace).open("rb") as file:
        if libc.setns(file.fileno(), CLONE_NEWNET):
            raise LinkError(f"cannot enter {namespace}: {os.strerror(ctypes.get_errno())}")
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def _send_for(sender: socket.socket, address: tuple[str, int], seconds: float) -> None:
    datagram = bytes(MTU_BYTES - IP_UDP_BYTES)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sender.sendto(datagram, address)


def _received_bytes_per_s(receiver: socket.socket) -> float:
    """Count from the first datagram until none has come for half a second."""
    receiver.settimeout(2.0)
    count, first, last = 0, 0.0, 0.0
    with suppress(TimeoutError):
        receiver.recv(MTU_BYTES)
        first = time.monotonic()
        receiver.settimeout(0.5)
        while True:
            count += len(receiver.recv(MTU_BYTES))
            last = time.monotonic()
    return count / (last - first) if count else 0.0
