# SPDX-License-Identifier: Apache-2.0
"""Hostile packets over real DDS to a real server node; each header is so right that the decoder has to refuse it."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from observer import Health, Observer
from sensor_msgs.msg import Image
from street_frames import latent, packet

from frankensplit.bundle import Bundle, Codec
from frankensplit.codec.packet import Packet
from frankensplit.errors import PacketError
from fs_msgs.msg import CompressedLatent
from fs_server_node.launch_table import SERVER

ROBOTS = (
    10  # of one server, each with a queue of its own: the newest frame of a robot replaces the one before it
)
ROUNDS = 5


def hostile_packets() -> list[bytes]:
    """Packets that ``Codec.unpack`` refuses within or behind the decoder, in all ways that there are."""
    codec, rng = Bundle.open("street").codec, np.random.default_rng(6)
    good = Packet.from_bytes(packet(0))
    found: list[bytes] = []
    while len(found) < ROBOTS * ROUNDS:
        payload = bytearray(good.payload)
        cut = 4 * int(rng.integers(2, len(payload) // 4))
        at = int(rng.integers(8, len(payload) - 64))
        kind = len(found) % 5
        if kind == 0:
            payload[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            payload[at : at + 64] = rng.bytes(64)
        elif kind == 2:
            del payload[cut:]
        elif kind == 3:
            payload += rng.bytes(4 * int(rng.integers(1, 1000)))
        else:
            payload[8:] = rng.bytes(len(payload) - 8)
        level = int(rng.integers(len(codec.levels)))
        forged = replace(
            good, payload=bytes(payload), level=level, context_coded=bool(rng.integers(2))
        ).to_bytes()
        if reaches_the_decoder(codec, forged):
            found.append(forged)
    return found


def reaches_the_decoder(codec: Codec, data: bytes) -> bool:
    """Tell whether the entropy decoder itself refuses it."""
    with pytest.raises(PacketError, match="it is damaged or was made with other") as refusal:
        codec.unpack(data)
    return "payload has" not in str(refusal.value)


def test_a_server_outlives_packets_that_reach_its_decoder(start, observer: Observer) -> None:
    topics = [f"robot{number}/latent" for number in range(ROBOTS)]
    server = start(
        SERVER, latent_topics=f"[{', '.join(topics)}]", threads="1", stale_after_s="60.0"
    ).wait_ready()
    healths = [Health(observer, f"server: {topic}") for topic in topics]
    masks = [observer.record(Image, f"/{topic.partition('/')[0]}/segmentation/mask") for topic in topics]
    robots = [observer.publisher(CompressedLatent, f"/{topic}") for topic in topics]
    attacks, sequence = hostile_packets(), count()
    observer.until(lambda: all(health.count("received") >= 0 for health in healths), "a first report")
    for number in range(ROUNDS):
        attack = dict(zip(range(ROBOTS), attacks[number * ROBOTS :], strict=False))
        before = [health.count("rejected") for health in healths]

        def send_again(attack=attack, before=before) -> None:
            """Send to those robots' topics that have not rejected theirs yet; best effort may lose a packet."""
            for one, data in attack.items():
                if healths[one].count("rejected") == before[one]:
                    robots[one].publish(latent(0, next(sequence), data))

        observer.until(
            lambda before=before: all(h.count("rejected") > b for h, b in zip(healths, before, strict=True)),
            "each packet to be rejected",
            send_again,
            period_s=2.5,
        )
    assert not any(masks) and all(health.count("failed") == 0 for health in healths)
    for one in range(ROBOTS):
        observer.until(
            lambda one=one: masks[one],
            "a mask after hostile packets",
            lambda one=one: robots[one].publish(latent(0, next(sequence))),
            period_s=1.0,
        )
    assert server.process.poll() is None and "Traceback" not in server.log
