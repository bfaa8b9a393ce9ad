# SPDX-License-Identifier: Apache-2.0
"""The server's networks on the bundle that comes with the repository."""

from __future__ import annotations

import numpy as np
import pytest

from frankensplit.bundle import Bundle
from frankensplit.data.street import Street
from frankensplit.edge.encoder import FrameEncoder
from frankensplit.errors import PacketError, RuntimeUnavailable
from frankensplit.inference.predictor import Predictor


@pytest.fixture(scope="module")
def bundle(bundle_path):
    return Bundle.open(bundle_path)


@pytest.fixture(scope="module")
def predictor(bundle):
    return Predictor(bundle)


@pytest.fixture(scope="module")
def frame():
    return Street(3).frame(20)


@pytest.fixture(scope="module")
def packet(bundle, frame):
    return FrameEncoder(bundle.codec).encode(frame.rgb).data


def test_packet_is_a_few_kilobytes(packet, frame):
    assert 500 < len(packet) < frame.rgb.nbytes / 30


def test_predictions_are_right_on_most_of_the_street(predictor, packet, frame):
    results = predictor.predict(packet).results
    assert (results["segmentation"].mask == frame.mask).mean() > 0.7
    present = np.bincount(frame.mask.ravel(), minlength=12)[:11] >= 0.005 * frame.mask.size
    found = results["presence"].scores >= results["presence"].threshold
    assert (found == present).mean() > 0.7


def test_compressed_path_agrees_with_the_unmodified_backbone(predictor, packet, frame):
    ours, plain = predictor.predict(packet), predictor.predict_image(frame.rgb)
    same = ours.results["segmentation"].mask == plain.results["segmentation"].mask
    assert same.mean() > 0.85
    assert ours.packet is not None and plain.packet is None


def test_only_wanted_heads_run(predictor, packet):
    prediction = predictor.predict(packet, ["presence"])
    assert set(prediction.results) == set(prediction.head_ms) == {"presence"}


@pytest.mark.parametrize("size", [(720, 1280), (240, 320), (480, 270)])
def test_results_are_in_source_pixels(bundle, predictor, size):
    street = Street(5, *size).frame(10)
    results = predictor.predict(FrameEncoder(bundle.codec).encode(street.rgb).data).results
    assert results["segmentation"].mask.shape == size
    assert (results["segmentation"].mask == street.mask).mean() > 0.5
    boxes = results["detections"].boxes
    assert (boxes >= 0).all() and (boxes[:, 2] <= size[1]).all() and (boxes[:, 3] <= size[0]).all()


def test_same_packet_gives_the_same_prediction(predictor, packet):
    first, second = (predictor.predict(packet).results["segmentation"].mask for _ in range(2))
    assert np.array_equal(first, second)


def test_damaged_packet_is_refused(predictor, packet):
    with pytest.raises(PacketError):
        predictor.predict(packet[:-1])


def test_missing_device_is_named(bundle):
    with pytest.raises(RuntimeUnavailable, match="warp"):
        Predictor(bundle, device="warp")
