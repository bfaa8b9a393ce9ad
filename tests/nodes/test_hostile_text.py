# SPDX-License-Identifier: Apache-2.0
"""Real nodes under what strangers write: neither their logs nor /diagnostics carry it on."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from observer import SENSOR, Health, Observer
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from frankensplit.errors import PacketError
from fs_common.images import byte_array, image_message
from fs_common.qos import keep_last
from fs_edge_node.launch_table import EDGE
from fs_msgs.msg import CompressedLatent
from fs_server_node.frames import LatentFrame, RecentImages

RELIABLE = keep_last("reliable", 1)
HOSTILE = "\x1b[2J\n" + "x" * 1_000_000


def test_an_encoding_of_a_megabyte_is_cut_in_log_and_diagnostics(
    start, observer: Observer, tiny_codec: Path
) -> None:
    node = start(EDGE, bundle=str(tiny_codec), namespace="long", image_reliability="reliable").wait_ready()
    health = Health(observer, "long/edge: image")
    observer.record(CompressedLatent, "/long/latent", SENSOR)
    camera = observer.publisher(Image, "/long/image", RELIABLE)
    bad = image_message(Header(frame_id=HOSTILE), np.zeros((96, 128, 3), np.uint8), HOSTILE)
    before = len(node.log)
    observer.until(
        lambda: health.count("rejected") >= 3, "three rejections", lambda: camera.publish(bad), period_s=0.5
    )
    assert "characters more" in health.status.message
    said = [health.status.message, *(pair.value for pair in health.status.values)]
    assert max(map(len, said)) < 1100 and all("\x1b" not in text for text in said)
    assert node.stop() == 0
    added = node.log[before:]
    assert "characters more" in added and "\x1b[2J" not in added
    assert max(map(len, added.splitlines())) < 1500


def test_a_stream_of_damaged_jpegs_does_not_flood_the_terminal(
    start, observer: Observer, tiny_codec: Path
) -> None:
    node = start(EDGE, bundle=str(tiny_codec), namespace="damaged", transport="compressed").wait_ready()
    observer.record(CompressedLatent, "/damaged/latent", SENSOR)
    camera = observer.publisher(CompressedImage, "/damaged/image/compressed")
    noise = np.random.default_rng(3).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    file = bytearray(cv2.imencode(".jpg", noise)[1].tobytes())
    file[len(file) // 2 : len(file) // 2 + 40] = bytes(40)
    image = CompressedImage(format="jpeg", data=byte_array(bytes(file)))
    sent = itertools.count()

    def send() -> None:
        next(sent)
        camera.publish(image)

    warnings = re.compile("Corrupt JPEG")
    observer.until(lambda: len(warnings.findall(node.log)) >= 3, "three warnings", send, period_s=0.01)
    assert node.stop() == 0
    # The decoder has a line for each image; the node warns once a second, and the decoder's own lines are not shown.
    assert len(warnings.findall(node.log)) < next(sent) / 4


def test_the_format_of_a_latent_is_cut() -> None:
    frame = LatentFrame(CompressedLatent(format=HOSTILE), Header().stamp, {}, RecentImages())
    with pytest.raises(PacketError) as caught:
        frame.report(), frame.picture()
    assert len(str(caught.value)) < 500 and str(caught.value).isprintable()
