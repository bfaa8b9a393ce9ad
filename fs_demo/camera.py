# SPDX-License-Identifier: Apache-2.0
"""A camera: publishes frames of any source as ``image``, and their classes as ``truth`` where these are known."""

from __future__ import annotations

import array
import json
import math
import threading
import time
from dataclasses import asdict
from pathlib import Path

from rclpy.node import Node
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from frankensplit.data.sources import Source, SourceFrame, open_source
from frankensplit.errors import FrankensplitError
from frankensplit.writing import write_file
from fs_common.declare import declare
from fs_common.ending import end_now
from fs_common.images import image_message
from fs_common.qos import keep_last
from fs_common.running import end_node, run_node
from fs_demo.parameters import CameraParameters

FRAME_ID = "camera"
DEFAULT_RATE_HZ = 10.0
JOIN_S = 2.0  # time for the frame at work: the report must be written before the process has to end
LINGER_S = 0.5  # time in which the last frames leave before this participant does


class CameraNode(Node):
    """Publish one frame a period, in a thread; shut down after the last."""

    failed = False  # the one camera of this process

    def __init__(self) -> None:
        super().__init__("camera")
        self._chosen = declare(self, CameraParameters)
        self._source = _open(self._chosen)
        self._rate_hz = self._chosen.rate_hz or self._source.rate_hz or DEFAULT_RATE_HZ
        self._image = self.create_publisher(Image, "image", keep_last("best_effort", 1))
        self._truth = (
            self.create_publisher(Image, "truth", keep_last("reliable", 20))
            if self._source.has_truth
            else None
        )
        self.published = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self._thread.start()

    def destroy_node(self) -> None:
        """End the thread, say what was published, end the node."""
        self._closing.set()
        self._thread.join(JOIN_S)
        self._write_report()
        super().destroy_node()

    def _run(self) -> None:
        try:
            self._wait_for_subscribers()
            self.get_logger().info(
                f"ready: {self._source.kind} {self._chosen.source} at {self._rate_hz:g} Hz"
            )
            self._publish_all()
        except FrankensplitError as error:
            CameraNode.failed = True
            self.get_logger().error(str(error))
        except Exception:  # a signal invalidates the context under our hands
            if self.context.ok():
                raise
        finally:
            self._closing.wait(LINGER_S)
            end_node(self)

    def _wait_for_subscribers(self) -> None:
        """Wait for the subscribers that were announced, of the truth as of the image."""
        patience_s = self._chosen.patience_s
        deadline = time.monotonic() + (patience_s or math.inf)
        while self._image.get_subscription_count() < self._chosen.subscribers:
            if time.monotonic() > deadline:
                found = self._image.get_subscription_count()
                raise FrankensplitError(
                    f"the image has {found} subscribers after {patience_s:g} s, expected {self._chosen.subscribers}"
                )
            if self._closing.wait(0.05):
                return
        self._closing.wait(LINGER_S)  # the other side of a match may be a moment later

    def _publish_all(self) -> None:
        start = time.monotonic()
        for frame in self._source:
            due = start + self.published / self._rate_hz
            if self._closing.wait(max(0.0, due - time.monotonic())):
                return
            if self._chosen.seconds and time.monotonic() - start >= self._chosen.seconds:
                return
            self._publish(frame)
            if self.published == self._chosen.frames:
                return

    def _publish(self, frame: SourceFrame) -> None:
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=FRAME_ID)
        self._image.publish(_message(header, frame))
        if self._truth is not None and frame.mask is not None:
            self._truth.publish(image_message(header, frame.mask, "mono8"))
        self.published += 1

    def _write_report(self) -> None:
        if self._chosen.report:
            skipped = [asdict(one) for one in self._source.skipped]
            report = {
                "frames": self.published,
                "rate_hz": self._rate_hz,
                "skipped": skipped,
                "notes": self._source.notes,
            }
            write_file(Path(self._chosen.report), json.dumps(report) + "\n")


def _message(header: Header, frame: SourceFrame) -> Image:
    """Return a frame as its camera sent it, so that its bytes count; a picture of a file as rgb8."""
    if frame.image is None:
        return image_message(header, frame.rgb, "rgb8")
    one = frame.image
    sizes = {"height": int(one.height), "width": int(one.width), "step": int(one.step)}
    data = array.array("B", one.data.tobytes())
    return Image(header=header, encoding=one.encoding, is_bigendian=int(one.is_bigendian), data=data, **sizes)


def _open(chosen: CameraParameters) -> Source:
    return open_source(chosen.source, fps=chosen.rate_hz or DEFAULT_RATE_HZ, topic=chosen.topic or None)


def main(args: list[str] | None = None) -> int:
    """Run the camera to its end or a signal; return 0, 1 when the source failed, 2 when it cannot be opened."""
    return run_node(CameraNode, args) or int(CameraNode.failed)


if __name__ == "__main__":
    end_now(main())
