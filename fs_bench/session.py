# SPDX-License-Identifier: Apache-2.0
"""Run one stream over a link, once for each share of lost packets. No ROS import."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from frankensplit.benchmarks.namespaces import ROBOT, SERVER, LinkError, LossyLink
from frankensplit.bundle import Bundle
from frankensplit.evaluation import OURS
from frankensplit.fast_dds import PROFILE_VARIABLES
from fs_bench.launch_table import RECEIVER, RECORDER, SENDER
from fs_bench.records import Record, read_records, read_sent, start_round, warm_up_round
from fs_common.node_launch import NodeLaunch, Values
from fs_common.processes import Process, ProcessError, Processes, fast_dds_profile
from fs_edge_node.launch_table import EDGE
from fs_server_node.launch_table import SERVER as SERVER_NODE

PROFILES = {ROBOT: "fastdds.xml", SERVER: "fastdds-udp.xml"}  # shared memory would be a way around the link
NOT_INHERITED = ("ROS_LOCALHOST_ONLY", "ROS_STATIC_PEERS", "ROS_DISCOVERY_SERVER")
WARM = 3  # predictions before a round starts
WARM_PATIENCE_S = 60.0
LEAD_S = 0.5
EARLY_S = 0.05  # the loss begins, and bytes count, this long before a round's first frame
DRAIN_S = 2.0  # time for packets that are under way when a round ends
POLL_S = 0.05
SECOND_NS = 1_000_000_000


@dataclass(frozen=True)
class SessionSetup:
    """What all streams of a benchmark have in common.

    Args:
        bundle: a verified bundle.
        head: the head whose masks count.
        frames: the camera's frames, uint8 ``(N, H, W, 3)``; they begin again after the last.
        rate_hz: the camera's rate.
        recorded_hz: the rate at which the frames were taken, which is what coders are told, so that a quality means
            the same here as in an evaluation.
        count: frames of one round.
        device: torch device of the server.
        folder: for files between the processes, and their logs.
    """

    bundle: Bundle
    head: str
    frames: NDArray[np.uint8]
    rate_hz: float
    recorded_hz: float
    count: int
    device: str
    folder: Path

    @property
    def period_ns(self) -> int:
        """Nanoseconds between two frames."""
        return round(SECOND_NS / self.rate_hz)


@dataclass(frozen=True)
class RoundOutcome:
    """What one round gave.

    Args:
        loss_percent: packets lost by the link.
        start_ns: when the first frame was taken; the others follow by the camera's period.
        sent: payload bytes of the frames that were sent, by their place in the round.
        wire_bytes: all bytes that the robot put on the wire meanwhile.
        predictions: all that were made since the stream began, warm-up included, in order of arrival.
    """

    loss_percent: float
    start_ns: int
    sent: dict[int, int]
    wire_bytes: int
    predictions: list[Record]


def play(
    link: LossyLink, setup: SessionSetup, codec: str, quality: int | None, losses: Sequence[float]
) -> Iterator[RoundOutcome]:
    """Send a stream over the link; yield one outcome a loss.

    Args:
        link: the link.
        setup: frames, camera and bundle.
        codec: ``raw``, ``frankensplit``, or a rival.
        quality: of a rival.
        losses: percent of IP packets.

    Raises:
        ProcessError: a process failed; the text holds the end of its log.
        LinkError: the data went another way than over the link.
    """
    folder = setup.folder / f"{codec}-{quality}"
    folder.mkdir(parents=True)
    with LinkProcesses(folder, link) as processes:
        _start(processes, setup, folder, codec, quality or 0, len(losses))
        for number, loss in enumerate(losses):
            yield _round(link, setup, processes, folder, number, loss)


class LinkProcesses(Processes):
    """Nodes at the two ends of a link."""

    def __init__(self, folder: Path, link: LossyLink) -> None:
        super().__init__(folder, fast_dds_profile())
        self._link = link

    def start_at(self, end: str, node: NodeLaunch, **values: str) -> None:
        """Start a node at one end."""
        placed = PlacedNode(**vars(node), link=self._link, end=end)
        profile = str(fast_dds_profile().with_name(PROFILES[end]))
        environment = {key: value for key, value in self._environment.items() if key not in NOT_INHERITED}
        # The namespaces hold nobody else, so discovery may ask around. Profiles of the user's are for other networks.
        environment |= {
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET",
            **dict.fromkeys(PROFILE_VARIABLES, profile),
        }
        log = self._logs / f"{node.executable}.log"
        self.running[node.executable] = Process(placed, values, log, environment, sys.stderr)


@dataclass(frozen=True)
class PlacedNode(NodeLaunch):
    """A node that runs at one end of a link."""

    link: LossyLink | None = None
    end: str = ""

    def command(self, values: Values) -> list[str]:
        """Give the command that starts it there."""
        assert self.link is not None
        return self.link.command(self.end, super().command(values))


def _start(
    processes: LinkProcesses, setup: SessionSetup, folder: Path, codec: str, quality: int, rounds: int
) -> None:
    bundle = {"bundle": str(setup.bundle.path)}
    stream = {"codec": codec, "quality": str(quality), "recorded_hz": str(setup.recorded_hz)}
    masks = str(folder / "masks")
    if codec == OURS:
        processes.start_at(ROBOT, EDGE, **bundle)
        processes.start_at(SERVER, SERVER_NODE, **bundle, device=setup.device)
        processes.start_at(SERVER, RECORDER, head=setup.head, folder=masks)
    else:
        height, width = map(str, setup.frames.shape[1:3])
        shown = {"head": setup.head, "height": height, "width": width, "device": setup.device}
        processes.start_at(SERVER, RECEIVER, **bundle, **stream, **shown, folder=masks)
    processes.wait_ready()
    frames = folder / "frames.npy"
    np.save(frames, setup.frames)
    played = {"rate_hz": str(setup.rate_hz), "count": str(setup.count), "rounds": str(rounds)}
    processes.start_at(ROBOT, SENDER, **bundle, **stream, **played, frames=str(frames), folder=str(folder))


def _round(
    link: LossyLink, setup: SessionSetup, processes: LinkProcesses, folder: Path, number: int, loss: float
) -> RoundOutcome:
    began_ns = time.time_ns()

    def predictions() -> list[Record]:
        return [one for one in read_records(folder / "masks") if one.stamp_ns > began_ns]

    warm_up_round(folder, number)
    _wait(processes, lambda: len(predictions()) >= WARM, "predictions", WARM_PATIENCE_S)
    lead_s = LEAD_S + 2 / setup.rate_hz  # the sender looks once a frame
    start_ns = time.time_ns() + round(lead_s * SECOND_NS)
    start_round(folder, number, start_ns)
    time.sleep(lead_s - EARLY_S)
    link.set_loss(loss)
    already_bytes = link.sent_bytes(ROBOT)
    patience_s = 2 * setup.count / setup.rate_hz + WARM_PATIENCE_S
    _wait(processes, lambda: read_sent(folder, number) is not None, "the sender's report", patience_s)
    time.sleep(DRAIN_S)
    wire_bytes = link.sent_bytes(ROBOT) - already_bytes
    link.set_loss(0.0)
    sent = read_sent(folder, number) or {}
    if wire_bytes < sum(sent.values()):
        raise LinkError(
            f"{sum(sent.values())} bytes were sent and only {wire_bytes} crossed the link: they went another way; "
            "is another middleware than Fast DDS set in RMW_IMPLEMENTATION?"
        )
    return RoundOutcome(loss, start_ns, sent, wire_bytes, predictions())


def _wait(processes: LinkProcesses, reached: Callable[[], bool], what: str, patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while not reached():
        for name, process in processes.running.items():
            if name != SENDER.executable or process.poll():  # the sender may end, if it ends well
                process.require_running()
        if time.monotonic() > deadline:
            logs = "\n".join(process.tail() for process in processes.running.values())
            raise ProcessError(f"waited {patience_s:.0f} s for {what}:\n{logs}")
        time.sleep(POLL_S)
