# SPDX-License-Identifier: Apache-2.0
"""A server that gets pictures: decode every packet, predict on the newest picture by the unmodified backbone."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from frankensplit.bundle import Bundle
from frankensplit.evaluation import RAW
from frankensplit.evaluation.rivals import Coder, Options, load_rival
from frankensplit.geometry import Geometry
from frankensplit.inference.predictor import Prediction, Predictor
from frankensplit.results import MaskResult
from fs_bench.parameters import ReceiverParameters
from fs_bench.records import RecordWriter
from fs_bench.streams import depth_of
from fs_common.declare import declare
from fs_common.ending import end_now
from fs_common.images import builtin_to_rgb
from fs_common.qos import keep_last
from fs_common.running import run_node
from fs_common.stream import Stream
from fs_common.times import stamp_ns
from fs_common.worker import NewestWins

STREAM = "stream"
Picture = tuple[Header, "NDArray[np.uint8]"]


class ReceiverNode(Node):
    """Callbacks decode, since a stream's decoder needs every packet; a thread predicts."""

    def __init__(self) -> None:
        super().__init__("receiver")
        self._chosen = declare(self, ReceiverParameters)
        bundle = Bundle.open(self._chosen.bundle)
        self._predictor = Predictor(bundle, self._chosen.device, self._chosen.threads)
        self._geometry = bundle.codec.geometry(self._chosen.height, self._chosen.width)
        self._records = RecordWriter(Path(self._chosen.folder))
        self._stream = Stream(self, STREAM, lambda: True)
        self._worker = NewestWins[Picture](self._work, "predict")
        self._round = ""
        self._coder: Coder | None = None
        self._subscribe()
        self.get_logger().info(f"ready: {self._chosen.codec}")

    def destroy_node(self) -> None:
        """End the worker, then the node."""
        self._worker.close()
        super().destroy_node()

    def _subscribe(self) -> None:
        if self._chosen.codec == RAW:
            self.create_subscription(Image, "image", self._on_image, keep_last("best_effort", 1))
            return
        self._rival = load_rival(self._chosen.codec)
        qos = keep_last("best_effort", depth_of(self._rival))
        self.create_subscription(CompressedImage, "stream", self._on_packet, qos)

    def _on_image(self, message: Image) -> None:
        self._stream.guard(lambda: self._offer(message.header, builtin_to_rgb(message)))

    def _on_packet(self, message: CompressedImage) -> None:
        self._stream.guard(lambda: self._decode(message))

    def _decode(self, message: CompressedImage) -> None:
        picture = self._coder_of(message.header.frame_id).decode(bytes(message.data))
        if picture is not None:
            self._offer(message.header, picture)

    def _coder_of(self, round_name: str) -> Coder:
        if self._coder is None or self._round != round_name:
            options = Options(rate_hz=self._chosen.recorded_hz)
            self._round = round_name
            self._coder = self._rival.open_coder(self._chosen.quality, options)
        return self._coder

    def _offer(self, header: Header, picture: NDArray[np.uint8]) -> None:
        self._worker.put(STREAM, (header, picture))

    def _work(self, _stream: str, picture: Picture) -> None:
        self._stream.guard(lambda: self._predict(*picture))

    def _predict(self, header: Header, picture: NDArray[np.uint8]) -> None:
        predict: Callable[[NDArray[np.uint8]], Prediction] = (
            self._predict_image if self._chosen.codec == RAW else self._predict_scaled
        )
        result = predict(picture).results[self._chosen.head]
        assert isinstance(result, MaskResult)
        self._records.add(stamp_ns(header.stamp), time.time_ns(), result.mask)

    def _predict_image(self, rgb: NDArray[np.uint8]) -> Prediction:
        return self._predictor.predict_image(rgb, [self._chosen.head])

    def _predict_scaled(self, scaled: NDArray[np.uint8]) -> Prediction:
        height, width = scaled.shape[:2]
        padded = Geometry(height, width, height, width, self._geometry.multiple).prepare(scaled)
        return self._predictor.predict_prepared(padded, self._geometry, [self._chosen.head])


def main(args: list[str] | None = None) -> int:
    """Receive until a signal; return the exit status."""
    return run_node(ReceiverNode, args)


if __name__ == "__main__":
    end_now(main())
