# SPDX-License-Identifier: Apache-2.0
"""Every frame that came to a node is in exactly one other counter, while listeners come and go."""

from __future__ import annotations

import random
from itertools import count
from pathlib import Path

import numpy as np
from observer import SENSOR, Health, Observer
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from street_frames import latent

from fs_common.images import image_message
from fs_edge_node.launch_table import EDGE
from fs_msgs.msg import CompressedLatent, FrameReport
from fs_server_node.launch_table import SERVER

ENDS = ("published", "dropped", "skipped", "rejected", "failed", "unheard")


def require_all_counted(health: Health, observer: Observer, least: int) -> None:
    """Wait until what came is in the other counters; fail when it does not come to be."""

    def uncounted() -> int:
        return health.count("received") - sum(health.count(name) for name in ENDS)

    observer.until(
        lambda: health.count("received") >= least and uncounted() == 0, "every frame to be counted"
    )
    health.settled()
    assert uncounted() == 0


def test_an_edge_counts_every_frame_while_listeners_come_and_go(
    start, tiny_codec: Path, observer: Observer
) -> None:
    rng, number = random.Random(1), count()
    start(EDGE, bundle=str(tiny_codec), namespace="counted").wait_ready()
    health = Health(observer, "counted/edge: image")
    listener = observer.record(CompressedLatent, "/counted/latent", SENSOR)
    camera = observer.publisher(Image, "/counted/image")
    good = image_message(Header(), np.zeros((96, 128, 3), np.uint8), "rgb8")
    bad = image_message(Header(), np.zeros((96, 128, 3), np.uint8), "rgb8")
    bad.encoding = "no such"

    def shoot() -> None:
        for _ in range(rng.randrange(1, 6)):
            camera.publish(bad if next(number) % 7 == 0 else good)

    for _ in range(6):
        observer.until(lambda: next(number) % 40 == 0, "frames", shoot, period_s=0.005)
        observer.node.destroy_subscription(listener.subscription)
        listener = observer.record(CompressedLatent, "/counted/latent", SENSOR)
    require_all_counted(health, observer, 20)
    assert min(health.count("published"), health.count("rejected")) > 0


def test_a_server_counts_every_frame_while_listeners_come_and_go(start, observer: Observer) -> None:
    sequence, rng = count(), random.Random(2)
    start(SERVER, latent_topics="[counted/latent]", latent_depth="20").wait_ready()
    health = Health(observer, "server: counted/latent")
    robot = observer.node.create_publisher(CompressedLatent, "/counted/latent", SENSOR)
    for _ in range(3):
        reports = observer.record(FrameReport, "/counted/report")

        def flood() -> None:  # faster than it predicts: a frame waits whenever a listener leaves
            for _ in range(10):
                robot.publish(latent(0, next(sequence), b"no packet" if rng.random() < 0.1 else None))

        observer.until(lambda got=reports: len(got) > 2, "reports", flood, period_s=0.01)
        observer.node.destroy_subscription(reports.subscription)
        observer.until(
            lambda: robot.get_subscription_count() == 0, "the server to leave", flood, period_s=0.01
        )
    observer.record(FrameReport, "/counted/report")
    sent, forged = next(sequence), count(3_000_000_000)
    observer.until(lambda: health.count("jumps"), "the jump", lambda: robot.publish(latent(0, next(forged))))
    require_all_counted(health, observer, 100)
    assert health.count("jumps") == 1
    assert health.count("lost") < sent + next(forged) - 3_000_000_000
