# SPDX-License-Identifier: Apache-2.0
"""A frame is unpacked and decoded once on the server, whoever asks."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from street_frames import latent, packet

from frankensplit.bundle import Bundle, Codec
from frankensplit.codec.packet import Packet
from frankensplit.errors import PacketError
from frankensplit.inference.predictor import Prediction
from fs_server_node.frames import LatentFrame, RecentImages


class Counting:
    """In place of a predictor: keeps the integers that it is given."""

    def __init__(self) -> None:
        self.symbols: list[Any] = []

    def predict_symbols(self, symbols: Any, *_rest: Any) -> Prediction:
        self.symbols.append(symbols)
        return Prediction({}, 0.0, 0.0, {}, None)


def test_a_packet_is_read_and_decoded_once_for_all_bundles(monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = Bundle.open("street")
    expected, _ = bundle.codec.unpack(packet(0))
    calls: Counter[str] = Counter()
    read, decode = Packet.from_bytes, Codec.decode
    monkeypatch.setattr(Packet, "from_bytes", lambda data: (calls.update(["read"]), read(data))[1])
    monkeypatch.setattr(Codec, "decode", lambda self, one: (calls.update(["decode"]), decode(self, one))[1])
    message = latent(0, 7)
    frame = LatentFrame(message, message.received, {bundle.codec.id: bundle.codec}, RecentImages())
    predictor: Any = Counting()
    assert frame.suits(bundle) and frame.suits(bundle)
    made = [frame.predict(predictor, ["segmentation"]) for _ in range(2)]
    frame.picture(), frame.report()
    assert calls == {"read": 1, "decode": 1}
    assert all(np.array_equal(one, expected) for one in predictor.symbols)
    assert made[0].entropy_ms == made[1].entropy_ms > 0


def test_a_frame_suits_the_bundles_of_its_codec_only() -> None:
    codec = Bundle.open("street").codec
    message = latent(0, 7)
    frame = LatentFrame(message, message.received, {codec.id: codec}, RecentImages())
    assert not frame.suits(SimpleNamespace(codec=SimpleNamespace(id=bytes(8))))  # type: ignore[arg-type]
    other: Any = SimpleNamespace(id_hex="00" * 8)
    unknown = LatentFrame(message, message.received, {bytes(8): other}, RecentImages())
    with pytest.raises(PacketError, match=f"packet of codec {codec.id_hex}, served here: {'00' * 8}"):
        unknown.suits(Bundle.open("street"))
