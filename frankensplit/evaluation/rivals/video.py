# SPDX-License-Identifier: Apache-2.0
"""Video codecs as a robot streams them (PyAV): one packet out for each frame in, no B-frames, no look-ahead.

A stream can be joined at each of its key frames: parameter sets go with every one, and are counted. Key frames come at
the interval and nowhere else. Pixels are 8 bit 4:2:0, BT.601, limited range. H.264 and H.265 know even sizes only:
others are padded by the border, and one to three zero bytes after the packet, which these formats let decoders skip,
tell what to crop. The quality is the constant rate factor: lower is better.

Each codec has three rivals: key frames only, where each frame must decode alone; a key frame every 10, where a loss may
be seen for 10 frames; and one key frame, where nothing is ever lost. Their packets of key frames only decode alone,
but the encoder's rate control remembers. x264 and x265 run at veryfast and zero latency, SVT-AV1 at preset 10 of its
real-time mode, low delay; it orders its P-frames in layers of four, of which the lower have more bits, so sizes differ
much from frame to frame. A key frame of AV1 holds temporal delimiter and sequence header; both are counted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from frankensplit.errors import RuntimeUnavailable
from frankensplit.evaluation.rivals import Coder, Options, Rival
from frankensplit.evaluation.rivals._wheel import import_wheel

INTRA, GOP10, ENDLESS = 1, 10, 2**30  # frames from key frame to key frame
START_CODE = b"\0\0\1"
NOTE = b"\x06\x05"  # NAL unit type SEI, payload type user data

EncoderOptions = Callable[[int, int], dict[str, str]]  # arguments: quality, threads


@dataclass(frozen=True)
class VideoCodec:
    """Names of FFmpeg's encoder and decoder, and what to tell them."""

    encoder: str
    decoder: str
    encoder_options: EncoderOptions
    decoder_options: dict[str, str]
    even: bool = True  # codes even sizes only


def _x264(quality: int, threads: int) -> dict[str, str]:
    return {"preset": "veryfast", "tune": "zerolatency", "crf": str(quality), "sc_threshold": "0"}


def _x265(quality: int, threads: int) -> dict[str, str]:
    # zerolatency: no B-frames, no look-ahead, no scene cuts, one frame at a time; info is the note naming x265
    private = f"log-level=none:info=0:pools={threads}"
    return {"preset": "veryfast", "tune": "zerolatency", "crf": str(quality), "x265-params": private}


def _svt(quality: int, threads: int) -> dict[str, str]:
    private = f"pred-struct=1:lookahead=0:rtc=1:lp={threads}"  # 1 is low delay
    return {"preset": "10", "crf": str(quality), "svtav1-params": private}


def _svt_intra(quality: int, threads: int) -> dict[str, str]:
    # A bonus for key frames that later frames profit from would only shift the scale.
    options = _svt(quality, threads)
    return options | {"svtav1-params": options["svtav1-params"] + ":use-fixed-qindex-offsets=1"}


H264 = VideoCodec("libx264", "h264", _x264, {})
H265 = VideoCodec("libx265", "hevc", _x265, {})
AV1 = VideoCodec("libsvtav1", "libdav1d", _svt, {"max_frame_delay": "1"}, even=False)
AV1_INTRA = replace(AV1, encoder_options=_svt_intra)


class VideoCoder(Coder):
    """One stream; encoder and decoder start with their first call.

    After lost packets, ``decode`` returns what the decoder shows: concealed or smeared frames, or None where it shows
    nothing, until the next key frame.

    Args:
        codec: which.
        quality: constant rate factor; lower is better.
        interval: frames from key frame to key frame.
        options: rate and threads.

    Raises:
        RuntimeUnavailable: no PyAV, or one without the codec.
    """

    def __init__(self, codec: VideoCodec, quality: int, interval: int, options: Options) -> None:
        self._av: Any = import_wheel("av", "pip install av")
        for name in (codec.encoder, codec.decoder):
            if name not in self._av.codecs_available:
                raise RuntimeUnavailable(f"PyAV {self._av.__version__} here has no {name}: pip install av")
        self._codec, self._quality, self._interval, self._options = codec, quality, interval, options
        self._reformatter: Any = self._av.video.reformatter.VideoReformatter()
        self._encoder: Any = None
        self._decoder: Any = None
        self._frames = 0

    def encode(self, signal: NDArray[np.uint8]) -> bytes:
        """Return the frame's packet."""
        height, width = (side % 2 if self._codec.even else 0 for side in signal.shape[:2])
        padded = cv2.copyMakeBorder(signal, 0, height, 0, width, cv2.BORDER_REPLICATE)
        if self._encoder is None:
            self._encoder = self._open_encoder(*padded.shape[:2])
            with _ordinary_priority():
                self._encoder.open()
        packets = self._encoder.encode(self._to_frame(np.asarray(padded, np.uint8)))
        assert len(packets) == 1, f"{self._codec.encoder} gave {len(packets)} packets for a frame"
        data = bytes(packets[0])
        if self._codec is H264:
            data = _without_note(data)
        return data + bytes(height + 2 * width)

    def decode(self, data: bytes) -> NDArray[np.uint8] | None:
        """Return what the decoder shows after this packet, uint8 RGB; None for nothing."""
        body = data.rstrip(b"\0") if self._codec.even else data
        odd_width, odd_height = divmod(len(data) - len(body), 2)
        if not body:  # FFmpeg takes an empty packet as the end of the stream
            return None
        if self._decoder is None:
            self._decoder = self._open_decoder()
        try:
            frames = self._decoder.decode(self._av.Packet(body))
        except self._av.FFmpegError:  # the stream has a hole
            return None
        if not frames:
            return None
        rgb = _to_rgb(frames[-1])
        height, width = rgb.shape[:2]
        return np.ascontiguousarray(rgb[: height - odd_height, : width - odd_width])

    def _open_encoder(self, height: int, width: int) -> Any:
        if self._codec.encoder == "libsvtav1":
            os.environ.setdefault("SVT_LOG", "0")  # it writes to stderr by itself
        encoder = self._av.CodecContext.create(self._codec.encoder, "w")
        encoder.height, encoder.width, encoder.pix_fmt = height, width, "yuv420p"
        encoder.framerate = Fraction(self._options.rate_hz).limit_denominator(1001)
        encoder.time_base = 1 / encoder.framerate
        encoder.gop_size, encoder.max_b_frames = self._interval, 0
        encoder.thread_count = self._options.threads
        encoder.options = self._codec.encoder_options(self._quality, self._options.threads)
        return encoder

    def _open_decoder(self) -> Any:
        decoder = self._av.CodecContext.create(self._codec.decoder, "r")
        decoder.thread_type, decoder.thread_count = "SLICE", self._options.threads  # FRAME would delay
        decoder.options = self._codec.decoder_options
        return decoder

    def _to_frame(self, rgb: NDArray[np.uint8]) -> Any:
        reformatter = self._av.video.reformatter
        frame = self._reformatter.reformat(
            self._av.VideoFrame.from_ndarray(rgb, format="rgb24"),
            format="yuv420p",
            interpolation=reformatter.Interpolation.AREA,
            dst_colorspace=reformatter.Colorspace.ITU601,
            dst_color_range=reformatter.ColorRange.MPEG,
        )
        frame.pts, self._frames = self._frames, self._frames + 1
        return frame


@contextmanager
def _ordinary_priority() -> Iterator[None]:
    """Undo what SVT-AV1 does as root: it gives its process real-time priority."""
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    yield
    for task in tasks.iterdir():
        with suppress(ProcessLookupError):
            os.sched_setscheduler(int(task.name), policy, parameters)


def _to_rgb(frame: Any) -> NDArray[np.uint8]:
    """Convert by OpenCV: BT.601 of limited range like ``_to_frame``, and without swscale's darkening by a level."""
    height, width = frame.height, frame.width
    planes = [
        np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
        for plane in frame.planes
    ]
    luma = cv2.copyMakeBorder(planes[0], 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    i420 = np.concatenate([luma.ravel(), planes[1].ravel(), planes[2].ravel()]).reshape(-1, luma.shape[1])
    return np.asarray(cv2.cvtColor(i420, cv2.COLOR_YUV2RGB_I420)[:height, :width], np.uint8)


def _without_note(data: bytes) -> bytes:
    """Drop the NAL unit in which x264 names itself and its options, once a stream."""
    head, *units = data.split(START_CODE)
    return START_CODE.join([head, *(unit for unit in units if not unit.startswith(NOTE))])


def _rival(codec: VideoCodec, interval: int, qualities: tuple[int, ...]) -> Rival:
    return Rival(partial(_open, codec, interval), qualities, sequence=True)


def _open(codec: VideoCodec, interval: int, quality: int, options: Options) -> VideoCoder:
    return VideoCoder(codec, quality, interval, options)


CRF = (44, 40, 37, 34, 31, 28, 24, 20)
CRF_AV1 = (62, 58, 54, 50, 45, 39, 32, 25)
RIVALS = {
    "h264-intra": _rival(H264, INTRA, CRF),
    "h264-gop10": _rival(H264, GOP10, CRF),
    "h264-p": _rival(H264, ENDLESS, CRF),
    "h265-intra": _rival(H265, INTRA, CRF),
    "h265-gop10": _rival(H265, GOP10, CRF),
    "h265-p": _rival(H265, ENDLESS, CRF),
    "av1-intra": _rival(AV1_INTRA, INTRA, (*CRF_AV1[1:], 17)),
    "av1-gop10": _rival(AV1, GOP10, CRF_AV1),
    "av1-p": _rival(AV1, ENDLESS, CRF_AV1),
}
