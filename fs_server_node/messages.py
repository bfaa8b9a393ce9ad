# SPDX-License-Identifier: Apache-2.0
"""Results of heads as ROS messages; the header is the image's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import (
    BoundingBox2D,
    Classification,
    Detection2D,
    Detection2DArray,
    LabelInfo,
    ObjectHypothesis,
    ObjectHypothesisWithPose,
    Point2D,
    Pose2D,
    VisionClass,
)

from frankensplit.inference.overlay import colours_of, paint_mask
from frankensplit.results import BoxesResult, ClassesResult, MaskResult, Result
from fs_common.images import image_message, png_message

try:
    from foxglove_msgs import msg as foxglove
except ImportError:  # a package of its own, which no distribution installs by default
    foxglove = None

MOST_CLASSES = (
    50  # of a classification; a head with more (ImageNet has 1000) sends its best, the highest first
)
MESSAGE_OF_KIND = {"mask": Image, "boxes": Detection2DArray, "classes": Classification}


BOX_PX, LETTERS_PX = 2.0, 14.0  # of annotations, in pixels of the image


@dataclass(frozen=True)
class View:
    """A head's result in another form, for eyes.

    Args:
        topic: what follows the head's name.
        message: type.
        make: takes the image's header, the result, and the head's labels in the bundle.
    """

    topic: str
    message: type
    make: Callable[[Header, Any, Mapping[str, Any]], Any]


def topic_of(head: str, kind: str) -> str:
    """Name the topic of a head's results."""
    return f"{head}/mask" if kind == "mask" else head


def result_message(
    header: Header, result: Result, classes: Sequence[str]
) -> Image | Detection2DArray | Classification:
    """Make the message of a result; ``classes`` are the names by class id."""
    if isinstance(result, MaskResult):
        return image_message(header, result.mask, "mono8")
    if isinstance(result, BoxesResult):
        return _detections(header, result, classes)
    return _classification(header, result, classes)


def at_least(result: Result, score: float) -> Result:
    """Leave out boxes that score less; other results are unchanged."""
    if not isinstance(result, BoxesResult):
        return result
    kept = result.scores >= score
    return BoxesResult(result.boxes[kept], result.class_ids[kept], result.scores[kept])


def label_info(header: Header, classes: Sequence[str], threshold: float) -> LabelInfo:
    """Name the classes of a head, and the score from which on one counts."""
    class_map = [VisionClass(class_id=index, class_name=name) for index, name in enumerate(classes)]
    return LabelInfo(header=header, class_map=class_map, threshold=threshold)


def _detections(header: Header, result: BoxesResult, classes: Sequence[str]) -> Detection2DArray:
    rows = zip(result.boxes, result.class_ids.tolist(), result.scores.tolist(), strict=True)
    found = [_detection(header, box, classes[index], score) for box, index, score in rows]
    return Detection2DArray(header=header, detections=found)


def _detection(header: Header, box: NDArray[np.float32], name: str, score: float) -> Detection2D:
    x0, y0, x1, y1 = box.tolist()
    centre = Pose2D(position=Point2D(x=(x0 + x1) / 2, y=(y0 + y1) / 2))
    hypothesis = ObjectHypothesis(class_id=name, score=score)
    return Detection2D(
        header=header,
        results=[ObjectHypothesisWithPose(hypothesis=hypothesis)],
        bbox=BoundingBox2D(center=centre, size_x=x1 - x0, size_y=y1 - y0),
    )


def _classification(header: Header, result: ClassesResult, classes: Sequence[str]) -> Classification:
    best = np.arange(len(classes))
    if len(classes) > MOST_CLASSES:
        best = np.argsort(result.scores, kind="stable")[::-1][:MOST_CLASSES]
    results = [
        ObjectHypothesis(class_id=classes[index], score=float(result.scores[index]))
        for index in best.tolist()
    ]
    return Classification(header=header, results=results)


def _color_mask(header: Header, result: MaskResult, labels: Mapping[str, Any]) -> Image:
    return image_message(header, paint_mask(result.mask, labels), "rgb8")


def _png_mask(header: Header, result: MaskResult, _labels: Mapping[str, Any]) -> CompressedImage:
    return png_message(header, result.mask)


def image_annotations(messages: Any, header: Header, result: BoxesResult, labels: Mapping[str, Any]) -> Any:
    """Make Foxglove's ImageAnnotations: a loop of lines and a text above it for each box.

    Only fields are set that every version of the package has.

    Args:
        messages: module ``foxglove_msgs.msg``.
        header: of the image; a frame id has no place in annotations.
        result: boxes in pixels of the image.
        labels: of the head: ``classes`` and ``colors``.
    """
    made = messages.ImageAnnotations()
    palette = [messages.Color(r=r / 255, g=g / 255, b=b / 255, a=1.0) for r, g, b in colours_of(labels)]
    rows = zip(result.boxes.tolist(), result.class_ids.tolist(), result.scores.tolist(), strict=True)
    for (x0, y0, x1, y1), index, score in rows:
        corners = [messages.Point2(x=x, y=y) for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))]
        box = messages.PointsAnnotation(
            timestamp=header.stamp,
            type=messages.PointsAnnotation.LINE_LOOP,
            points=corners,
            outline_color=palette[index],
            thickness=BOX_PX,
        )
        text = messages.TextAnnotation(
            timestamp=header.stamp,
            position=corners[0],
            text=f"{labels['classes'][index]} {score:.2f}",
            font_size=LETTERS_PX,
            text_color=messages.Color(r=0.0, g=0.0, b=0.0, a=1.0),
            background_color=palette[index],
        )
        made.points.append(box)
        made.texts.append(text)
    return made


def _annotations(header: Header, result: BoxesResult, labels: Mapping[str, Any]) -> Any:
    return image_annotations(foxglove, header, result, labels)


VIEWS: Mapping[str, Sequence[View]] = {
    "mask": (View("color_mask", Image, _color_mask), View("mask/compressed", CompressedImage, _png_mask)),
    "boxes": (View("annotations", foxglove.ImageAnnotations, _annotations),) if foxglove else (),
    "classes": (),
}
