# SPDX-License-Identifier: Apache-2.0
"""Frames become packets that the codec reads back, in a process without torch and without rclpy."""

from __future__ import annotations

import math
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tiny_codec import CHANNELS, expected_symbols, open_codec, write_codec

from frankensplit.bundle import Codec
from frankensplit.edge.encoder import FrameEncoder
from frankensplit.errors import BundleError, ImageError, RuntimeUnavailable

SIZES = [(360, 480), (480, 640), (640, 480), (1, 1), (37, 53), (1080, 1920)]


def frame(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def codec(tmp_path_factory):
    return open_codec(tmp_path_factory.mktemp("codec"))


def test_packets_of_any_size_hold_the_encoders_integers(codec):
    encoder = FrameEncoder(codec)
    for size in SIZES:
        rgb = frame(*size)
        symbols, packet = codec.unpack(encoder.encode(rgb).data)
        assert (packet.source_height, packet.source_width) == size
        np.testing.assert_array_equal(symbols, expected_symbols(codec.geometry(*size).prepare(rgb)))


def test_nominal_frame_has_the_shape_of_the_design(codec):
    _, packet = codec.unpack(FrameEncoder(codec).encode(frame(360, 480)).data)
    assert packet.shape == (CHANNELS, 48, 60)


def test_times_are_told(codec):
    encoded = FrameEncoder(codec).encode(frame(480, 640))
    times = (encoded.preprocess_ms, encoded.encode_ms, encoded.entropy_ms)
    assert all(math.isfinite(time) and time > 0 for time in times)


def test_a_view_gives_the_packet_of_its_copy(codec):
    encoder = FrameEncoder(codec)
    view = frame(400, 1000)[20:380, 10:970:2, ::-1]
    assert encoder.encode(view).data == encoder.encode(view.copy()).data


def test_a_worker_thread_gives_the_same_packets(codec):
    encoder = FrameEncoder(codec)
    frames = [frame(60 + 8 * i, 80) for i in range(6)]
    alone = [encoder.encode(rgb).data for rgb in frames]
    with ThreadPoolExecutor(max_workers=1) as worker:
        assert [encoded.data for encoded in worker.map(encoder.encode, frames)] == alone


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((5, 5), np.uint8),
        np.zeros((5, 5, 4), np.uint8),
        np.zeros((5, 5, 3)),
        np.zeros((0, 5, 3), np.uint8),
    ],
)
def test_what_is_no_rgb_image_is_refused(codec, bad):
    with pytest.raises(ImageError):
        FrameEncoder(codec).encode(bad)


def test_an_encoder_of_other_channels_is_noticed(tmp_path):
    codec = open_codec(tmp_path, channels=CHANNELS + 1)
    with pytest.raises(BundleError, match=r"\(1, 4, 48, 60\).*\(1, 3, 48, 60\)"):
        FrameEncoder(codec)


def test_a_changed_encoder_never_starts(tmp_path):
    path = write_codec(tmp_path)
    (path / "encoder.onnx").write_bytes(b"changed")
    with pytest.raises(BundleError, match="SHA-256"):
        FrameEncoder(Codec.open(path))


def test_unknown_runtime(codec):
    with pytest.raises(RuntimeUnavailable, match="'cuda'"):
        FrameEncoder(codec, runtime="cuda")


def test_the_edge_needs_neither_torch_nor_rclpy(codec, tmp_path):
    script = tmp_path / "edge.py"
    script.write_text(
        textwrap.dedent("""
            import sys

            class Refuse:
                def find_spec(self, name, path=None, target=None):
                    if name.partition(".")[0] in {"torch", "torchvision", "timm", "compressai", "rclpy"}:
                        raise ImportError(f"{name} does not belong on the edge")

            sys.meta_path.insert(0, Refuse())
            import numpy as np
            from frankensplit.bundle import Codec
            from frankensplit.edge.encoder import FrameEncoder
            from frankensplit.edge.image import to_rgb

            rgb = to_rgb(bytes(360 * 480 * 2), height=360, width=480, encoding="yuyv", step=960)
            codec = Codec.open(sys.argv[1])
            symbols, _ = codec.unpack(FrameEncoder(codec).encode(rgb).data)
            print(symbols.shape)
        """),
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, str(script), str(codec.path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[0] == "(3, 48, 60)"
