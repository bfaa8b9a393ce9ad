# SPDX-License-Identifier: Apache-2.0
"""What the server publishes for eyes, over real DDS: coloured and compressed masks, overlays as JPEG, annotations."""

from __future__ import annotations

from dataclasses import field, make_dataclass
from itertools import count
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from node_process import NodeProcess
from observer import Observer, Recording
from pictures import mask_of
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from street_frames import header, latent

from frankensplit.bundle import Bundle
from frankensplit.edge.image import decode_compressed
from frankensplit.errors import ImageError
from frankensplit.inference.overlay import colours_of, paint_mask
from frankensplit.results import BoxesResult
from fs_common.images import jpeg_message, png_message
from fs_msgs.msg import CompressedLatent, FrameReport
from fs_server_node.launch_table import SERVER
from fs_server_node.messages import image_annotations
from fs_server_node.outputs import ResultPublishers
from fs_server_node.parameters import ServerParameters

SEQUENCE = count()
VIEWS = {
    "segmentation/color_mask": (Image, ["segmentation"]),
    "segmentation/mask/compressed": (CompressedImage, ["segmentation"]),
    "overlay/compressed": (CompressedImage, ["detections", "presence", "segmentation"]),
}


@pytest.fixture(scope="module")
def server(start_for_module) -> NodeProcess:
    """Run one server for the tests of this module."""
    return start_for_module(SERVER, namespace="seen", latent_depth="20", threads="2").wait_ready()


def predicted(observer: Observer, *recordings: Recording) -> None:
    """Send a look until each recording holds something."""
    robot = observer.publisher(CompressedLatent, "/seen/latent")
    observer.until(
        lambda: all(recordings), "results", lambda: robot.publish(latent(0, next(SEQUENCE))), period_s=0.5
    )


def test_masks_for_eyes_show_the_classes_of_the_mask(server: NodeProcess, observer: Observer) -> None:
    masks = observer.record(Image, "/seen/segmentation/mask")
    coloured = observer.record(Image, "/seen/segmentation/color_mask")
    files = observer.record(CompressedImage, "/seen/segmentation/mask/compressed")
    predicted(observer, masks, coloured, files)
    mask = mask_of(masks[0])
    assert coloured[0].header == files[0].header == header(0)
    assert coloured[0].encoding == "rgb8"
    shown = np.frombuffer(coloured[0].data, np.uint8).reshape(*mask.shape, 3)
    labels = Bundle.open("street").labels["segmentation"]
    np.testing.assert_array_equal(shown, np.array(colours_of(labels), np.uint8)[mask])
    assert files[0].format == "mono8; png compressed "  # what image_transport's subscriber takes apart
    decoded = cv2.imdecode(np.frombuffer(files[0].data, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(decoded, mask)
    assert len(files[0].data) < mask.size / 10


def test_the_compressed_overlay_is_the_overlay(server: NodeProcess, observer: Observer) -> None:
    overlays = observer.record(Image, "/seen/overlay")
    files = observer.record(CompressedImage, "/seen/overlay/compressed")
    predicted(observer, overlays, files)
    assert files[0].header == header(0)
    assert files[0].format == "rgb8; jpeg compressed bgr8"
    shown = decode_compressed(files[0].data, files[0].format).astype(int)
    drawn = np.frombuffer(overlays[0].data, np.uint8).reshape(shown.shape)
    assert np.abs(shown - drawn).mean() < 5
    assert len(files[0].data) < drawn.size / 5


@pytest.mark.parametrize("topic", VIEWS)
def test_each_runs_what_it_needs_and_only_while_listened_to(
    server: NodeProcess, observer: Observer, topic: str
) -> None:
    kind, heads = VIEWS[topic]
    seen = observer.record(kind, f"/seen/{topic}")
    reports = observer.record(FrameReport, "/seen/report")
    predicted(observer, seen, reports)
    robot = observer.publisher(CompressedLatent, "/seen/latent")
    send = lambda: robot.publish(latent(0, next(SEQUENCE)))  # noqa: E731
    observer.until(lambda: sorted(reports[-1].heads) == heads, f"{heads} alone", send)
    observer.node.destroy_subscription(seen.subscription)
    observer.until(lambda: not reports[-1].heads, "no head to be run", send)


def test_a_colour_for_each_class_and_black_for_none() -> None:
    labels = {"classes": ["sky", "road"], "colors": [[0, 0, 200], [200, 0, 0]], "ignore": 1}
    painted = paint_mask(np.array([[0, 1], [2, 255]], np.uint8), labels)
    assert painted.tolist() == [[[0, 0, 200], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]]


def test_a_picture_that_no_jpeg_can_hold_is_refused() -> None:
    with pytest.raises(ImageError, match=r"1x65535 cannot be written as \.jpg"):
        jpeg_message(Header(), np.zeros((65535, 1, 3), np.uint8), 50)
    assert len(png_message(Header(), np.zeros((65535, 1), np.uint8)).data)


def foxglove_messages() -> Any:
    """Give foxglove_msgs, or its fields and nothing else where it is not installed: it comes in no wheel."""
    try:
        from foxglove_msgs import msg
    except ImportError:
        fields: dict[str, dict[str, Any]] = {
            "ImageAnnotations": {"circles": list, "points": list, "texts": list},
            "Color": dict.fromkeys("rgba", float),
            "Point2": dict.fromkeys("xy", float),
            "PointsAnnotation": {"timestamp": Time, "type": int, "points": list, "thickness": float},
            "TextAnnotation": {"timestamp": Time, "text": str, "font_size": float},
        }
        for name in ("outline_color", "fill_color"):
            fields["PointsAnnotation"][name] = lambda: made.Color()
        for name in ("text_color", "background_color"):
            fields["TextAnnotation"][name] = lambda: made.Color()
        fields["TextAnnotation"]["position"] = lambda: made.Point2()
        made = SimpleNamespace(
            **{
                name: make_dataclass(
                    name, [(one, Any, field(default_factory=kind)) for one, kind in of.items()]
                )
                for name, of in fields.items()
            }
        )
        made.PointsAnnotation.LINE_LOOP = 2
        return made
    return msg


def test_boxes_become_loops_and_texts_of_the_image_panel() -> None:
    labels = {"classes": ["car", "person"], "colors": [[0, 255, 0], [255, 51, 0]]}
    corners = np.array([[1, 2, 30.5, 40], [0, 0, 5, 5]], np.float32)
    boxes = BoxesResult(corners, np.array([1, 0]), np.array([0.876, 0.5], np.float32))
    made = image_annotations(foxglove_messages(), header(4), boxes, labels)
    assert [one.text for one in made.texts] == ["person 0.88", "car 0.50"]
    loop, text = made.points[0], made.texts[0]
    assert [(one.x, one.y) for one in loop.points] == [(1, 2), (30.5, 2), (30.5, 40), (1, 40)]
    assert (text.position.x, text.position.y) == (1, 2)
    assert loop.type == 2  # LINE_LOOP
    assert loop.timestamp == text.timestamp == header(4).stamp
    colour = loop.outline_color
    assert (colour.r, colour.g, colour.b, colour.a) == (
        1.0,
        0.2,
        0.0,
        1.0,
    ) and text.background_color == colour
    empty = BoxesResult(corners[:0], np.array([], int), np.array([], np.float32))
    assert image_annotations(foxglove_messages(), header(4), empty, labels).points == []


def test_annotations_are_published_while_somebody_listens(observer: Observer) -> None:
    messages = pytest.importorskip("foxglove_msgs.msg", reason="no wheel of foxglove_msgs: apt, or build it")
    labels = Bundle.open("street").labels
    heads: Any = {"detections": SimpleNamespace(kind="boxes")}
    outputs = ResultPublishers(observer.node, "boxes/", heads, labels, ServerParameters())
    assert outputs.listened_heads(["detections"]) == []
    annotations = observer.record(messages.ImageAnnotations, "/boxes/detections/annotations")
    observer.until(lambda: outputs.listened_heads(["detections"]), "the server to see the subscriber")
    boxes = BoxesResult(np.array([[1, 2, 3, 4]], np.float32), np.array([0]), np.array([0.5], np.float32))
    observer.until(
        lambda: annotations, "annotations", lambda: outputs.publish_views(header(0), {"detections": boxes})
    )
    assert annotations[0].points[0].timestamp == header(0).stamp
    assert annotations[0].texts[0].text.endswith(" 0.50") and len(annotations[0].points[0].points) == 4
