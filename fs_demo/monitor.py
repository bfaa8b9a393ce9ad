# SPDX-License-Identifier: Apache-2.0
"""Watch a demo: measure every predicted frame against what went in, show the figures, draw the pictures."""

from __future__ import annotations

import json
import math
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import Image
from vision_msgs.msg import LabelInfo

from frankensplit.bundle import Bundle
from frankensplit.errors import FrankensplitError
from frankensplit.models.heads import head_class
from frankensplit.writing import check_file, write_file
from fs_common.declare import declare
from fs_common.ending import end_now
from fs_common.images import builtin_to_rgb, mask_of
from fs_common.qos import keep_last, latched
from fs_common.running import RESULTS_S, end_node, run_node
from fs_common.times import stamp_ns
from fs_demo.frames import DemoFrame, FrameBook, FrameCost
from fs_demo.gallery import SHEET_FILE, VIDEO_FILE, Gallery
from fs_demo.live_table import Display
from fs_demo.parameters import MonitorParameters
from fs_demo.results import result_of
from fs_demo.tally import Tally
from fs_msgs.msg import CompressedLatent, FrameReport
from fs_server_node.messages import MESSAGE_OF_KIND, topic_of

SUMMARY_FILE = "summary.json"
DEEP = 20  # the monitor wants every frame, unlike the nodes


class MonitorNode(Node):
    """Callbacks store the parts of frames; one thread puts them together, measures and draws."""

    def __init__(self) -> None:
        super().__init__("monitor")
        self._chosen = declare(self, MonitorParameters)
        self._bundle = Bundle.open(self._chosen.bundle)
        self._out = Path(self._chosen.out)
        check_file(self._out / SUMMARY_FILE)
        self._out.mkdir(parents=True, exist_ok=True)
        self.failure = ""
        labels = self._bundle.labels
        self._heads = {name: head_class(name, labels[name]).kind for name in self._bundle.server["heads"]}
        self._label_infos: dict[str, LabelInfo] = {}
        self._book, self._lock = FrameBook(), threading.Lock()
        self._tally = Tally(self._bundle)
        self._subscribe()
        self._said_ready = False
        self.create_timer(0.1, self._look_around)
        self._closing = threading.Event()
        self._worker = threading.Thread(target=self._work, name="monitor")
        self._worker.start()

    def destroy_node(self) -> None:
        """Measure what is there, write the results, end the node."""
        self._closing.set()
        self._worker.join()
        super().destroy_node()

    def _subscribe(self) -> None:
        sensor, results = keep_last("best_effort", DEEP), keep_last("reliable", DEEP)
        self.create_subscription(Image, "image", self._on_image, sensor)
        self.create_subscription(Image, "truth", self._on_truth, results)
        self.create_subscription(CompressedLatent, "latent", self._on_latent, sensor)
        self.create_subscription(FrameReport, "report", self._on_report, results)
        for name, kind in self._heads.items():
            on_result, on_labels = partial(self._on_result, name), partial(self._on_labels, name)
            self.create_subscription(MESSAGE_OF_KIND[kind], topic_of(name, kind), on_result, results)
            self.create_subscription(LabelInfo, f"{name}/label_info", on_labels, latched())

    def _frame(self, header: Any) -> DemoFrame:
        return self._book.frame(stamp_ns(header.stamp))

    def _on_image(self, message: Image) -> None:
        with self._lock:
            frame = self._frame(message.header)
            frame.rgb, frame.image_bytes = builtin_to_rgb(message), len(message.data)

    def _on_truth(self, message: Image) -> None:
        with self._lock:
            self._book.truth_expected = True
            self._frame(message.header).truth = mask_of(message).mask

    def _on_latent(self, message: CompressedLatent) -> None:
        with self._lock:
            self._frame(message.header).packet_bytes = len(message.data)

    def _on_report(self, message: FrameReport) -> None:
        with self._lock:
            frame = self._frame(message.header)
            frame.cost, frame.heads = _cost(message), tuple(message.heads)

    def _on_labels(self, name: str, message: LabelInfo) -> None:
        self._label_infos[name] = message

    def _on_result(self, name: str, message: Any) -> None:
        info = self._label_infos.get(name)
        if info is not None:
            classes = [one.class_name for one in sorted(info.class_map, key=lambda one: one.class_id)]
            with self._lock:
                self._frame(message.header).results[name] = result_of(message, classes, info.threshold)

    def _look_around(self) -> None:
        """Say once that edge and server are there and their labels known."""
        heard = set(self._heads) <= set(self._label_infos) and self.count_publishers("latent") > 0
        if heard and self.count_subscribers("latent") > 1 and not self._said_ready:
            self._said_ready = True
            self.get_logger().info(f"ready: watching {', '.join(self._heads)}")

    def _work(self) -> None:
        try:
            self._watch()
        except (OSError, FrankensplitError) as error:  # such as a full disk
            self.failure = f"cannot write to {self._out}: {error}"
            self.get_logger().error(self.failure)
            end_node(self)

    def _watch(self) -> None:
        with Display() as display, Gallery(self._out, self._bundle.labels) as gallery:
            shown_s = time.monotonic()
            while not self._closing.wait(0.05):
                self._digest(gallery)
                if time.monotonic() - shown_s >= self._chosen.refresh_s:
                    display.show(self._tally, time.monotonic())
                    shown_s = time.monotonic()
            self._digest(gallery, last=True)
            display.show(self._tally, math.inf)
        sheet = gallery.write_sheet(self._chosen.title, self._tally)
        summary = self._summary(has_sheet=sheet is not None)
        write_file(self._out / SUMMARY_FILE, json.dumps(summary, indent=1) + "\n")

    def _digest(self, gallery: Gallery, last: bool = False) -> None:
        with self._lock:
            done = list(self._book.take(last))
        for frame in done:
            self._tally.add(frame)
            truths = {} if frame.truth is None else self._tally.truths(frame.truth)
            gallery.add(frame, truths, {name: info.threshold for name, info in self._label_infos.items()})

    def _summary(self, has_sheet: bool) -> dict[str, Any]:
        tally = self._tally
        return _plain(
            {
                "bundle": self._bundle.name,
                "codec": self._bundle.codec.id_hex,
                "frames": {"predicted": tally.frames, **tally.drops()},
                "rate_hz": tally.rate_hz(),
                "bytes_per_frame": tally.sizes(),
                "latency_ms": tally.latency_ms(),
                "heads": tally.heads(),
                "files": {"video": VIDEO_FILE, "contact_sheet": SHEET_FILE} if has_sheet else {},
            }
        )


def _cost(report: FrameReport) -> FrameCost:
    stages = {
        "edge: preprocess": report.edge_preprocess_ms,
        "edge: encoder": report.edge_encode_ms,
        "edge: entropy coding": report.edge_entropy_ms,
        "transit": report.transit_ms,
        "server: entropy decoding": report.entropy_ms,
        "server: features": report.features_ms,
        "server: heads": sum(report.head_ms),
    }
    return FrameCost(
        sequence=report.sequence,
        packet_bytes=report.packet_bytes,
        stages_ms={stage: float(value) for stage, value in stages.items()},
        latency_ms=float(report.latency_ms),
        lost=report.lost,
        dropped=report.dropped,
        rejected=report.rejected,
    )


def _plain(value: Any) -> Any:
    """Make a value that strict JSON can hold: rounded, and None for what is not known."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, float):
        return round(value, 3) if math.isfinite(value) else None
    return value


def main(args: list[str] | None = None) -> int:
    """Watch until a signal; return 0, 1 when the output could not be written, 2 when it cannot start as asked."""
    return run_node(MonitorNode, args, RESULTS_S)


if __name__ == "__main__":
    end_now(main())
