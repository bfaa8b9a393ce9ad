# SPDX-License-Identifier: Apache-2.0
"""The overlay shows each result where it is, in its class's colour, and leaves the rest of the picture alone."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from frankensplit.errors import ImageError
from frankensplit.inference.lettering import ink_on, letters, write
from frankensplit.inference.overlay import BORDER, STRIP, TINT, colours_of, draw_overlay
from frankensplit.results import BoxesResult, ClassesResult, MaskResult

LABELS = {
    "segmentation": {"classes": ["Sky", "Road"], "colors": [[0, 0, 200], [200, 0, 0]], "ignore": 2},
    "presence": {"classes": ["Road", "Llama"]},
    "detections": {"classes": ["car", "pedestrian"], "colors": [[0, 255, 0], [255, 255, 0]]},
}


def grey(height: int = 360, width: int = 480) -> np.ndarray:
    return np.full((height, width, 3), 100, np.uint8)


def boxes(*found: tuple[list[float], int, float]) -> BoxesResult:
    corners, ids, scores = zip(*found, strict=True) if found else ((), (), ())
    return BoxesResult(
        np.array(corners, np.float32).reshape(-1, 4), np.array(ids, np.int64), np.array(scores, np.float32)
    )


def presence(*scores: float) -> ClassesResult:
    return ClassesResult(np.array(scores, np.float32), 0.5)


def halves() -> np.ndarray:
    mask = np.zeros((360, 480), np.uint8)
    mask[180:] = 1
    return mask


def test_regions_are_tinted_and_their_border_is_crisp():
    picture = draw_overlay(grey(), {"segmentation": MaskResult(halves())}, LABELS).astype(int)
    sky, road = (
        [round(100 * (1 - TINT) + TINT * c) for c in colour] for colour in LABELS["segmentation"]["colors"]
    )
    assert np.abs(picture[:179] - sky).max() <= 1
    assert np.abs(picture[180:] - road).max() <= 1
    light = 0.6 * np.array([0, 0, 200]) + 0.4 * 255
    assert np.abs(picture[179] - (np.array(sky) * (1 - BORDER) + BORDER * light)).max() <= 1


def test_ignored_and_unknown_indices_are_left_alone():
    mask = halves() + 2  # 2 is void, 3 has no name
    np.testing.assert_array_equal(draw_overlay(grey(), {"segmentation": MaskResult(mask)}, LABELS), grey())


def test_a_box_is_drawn_at_its_edges_with_a_tag_above():
    picture = draw_overlay(grey(), {"detections": boxes(([100, 120, 300, 240], 0, 0.87))}, LABELS)
    green = (picture == (0, 255, 0)).all(axis=2)
    for line in (green[120, 100:300], green[239, 100:300], green[120:240, 100], green[120:240, 299]):
        assert line.all()
    changed = (picture != 100).any(axis=2)
    assert not changed[125:235, 105:295].any()
    assert green[106:118, 100:150].mean() > 0.5
    assert not changed[:95].any() and not changed[:, 305:].any()


def test_the_surest_box_lies_on_top():
    same = [50.0, 60.0, 90.0, 90.0]
    picture = draw_overlay(grey(), {"detections": boxes((same, 0, 0.9), (same, 1, 0.4))}, LABELS)
    np.testing.assert_array_equal(picture[60, 60:90], np.broadcast_to((0, 255, 0), (30, 3)))


@pytest.mark.parametrize("corner", [[0, 0, 30, 20], [450, 340, 480, 360], [-50, -50, 700, 700]])
def test_tags_stay_inside_the_picture(corner):
    picture = draw_overlay(grey(), {"detections": boxes((corner, 1, 1.0))}, LABELS)
    tag = (picture == (255, 255, 0)).all(axis=2).sum()
    inside = draw_overlay(grey(), {"detections": boxes(([200, 200, 230, 220], 1, 1.0))}, LABELS)
    assert tag >= 0.6 * (inside == (255, 255, 0)).all(axis=2).sum()


def test_present_classes_are_listed_in_the_colour_of_the_mask():
    picture = draw_overlay(grey(), {"presence": presence(0.9, 0.2)}, LABELS)
    assert (picture == (200, 0, 0)).all(axis=2).any()  # Road's square
    assert (picture == 255).all(axis=2).any()  # letters
    assert (picture[-1, -1] == round(100 * (1 - STRIP))).all()
    assert (picture[:300] == 100).all()
    both = draw_overlay(grey(), {"presence": presence(0.9, 0.5)}, LABELS)
    assert (both != picture).any()


def test_nothing_found_changes_nothing():
    results = {"detections": boxes(), "presence": presence(0.1, 0.49)}
    np.testing.assert_array_equal(draw_overlay(grey(), results, LABELS), grey())


def test_the_order_of_the_heads_does_not_matter_and_the_input_is_kept():
    rgb = grey()
    results = {
        "presence": presence(1, 1),
        "detections": boxes(([5, 200, 80, 350], 0, 0.5)),
        "segmentation": MaskResult(halves()),
    }
    first = draw_overlay(rgb, results, LABELS)
    np.testing.assert_array_equal(first, draw_overlay(rgb, dict(reversed(results.items())), LABELS))
    np.testing.assert_array_equal(rgb, grey())


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (300, 7), (2160, 3840)])
def test_any_size(size):
    results = {
        "segmentation": MaskResult(np.zeros(size, np.uint8)),
        "detections": boxes(([0, 0, size[1], size[0]], 0, 0.5)),
        "presence": presence(1, 1),
    }
    picture = draw_overlay(grey(*size), results, LABELS)
    assert picture.shape == (*size, 3) and (picture != 100).any()


def test_wrong_sizes_are_named():
    with pytest.raises(
        ImageError, match=r"'segmentation' has shape \(360, 480\), the picture is \(480, 640\)"
    ):
        draw_overlay(grey(480, 640), {"segmentation": MaskResult(halves())}, LABELS)
    with pytest.raises(ImageError, match="float32"):
        draw_overlay(np.zeros((4, 4, 3), np.float32), {}, LABELS)


def test_classes_without_colours_get_different_ones():
    colours = colours_of({"classes": [str(i) for i in range(12)]})
    assert len(set(colours)) == 12


def test_letters_are_of_one_height_and_stop_at_the_edge():
    assert letters("Sky", 9).shape[0] == letters("car", 9).shape[0]
    assert letters("Pavement", 9).shape[1] > letters("Car", 9).shape[1]
    assert letters("Car", 9).max() <= 1 and letters("Car", 9).sum() > 10
    for x, y in ((-3, -3), (18, 18), (40, 40)):
        picture = grey(20, 20)
        write(picture, letters("Car", 9), x, y, (255, 255, 255))
        assert picture.shape == (20, 20, 3)


def test_letters_contrast_with_their_tag():
    assert ink_on((255, 220, 0)) == (0, 0, 0)
    assert ink_on((64, 0, 128)) == (255, 255, 255)


def test_drawing_needs_no_torch():
    code = "import sys; sys.modules['torch'] = None; import frankensplit.inference.overlay"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0


def test_the_likeliest_of_exclusive_classes_are_listed_though_none_is_sure():
    picture = np.full((96, 256, 3), 90, np.uint8)
    labels = {"objects": {"classes": ["cat", "dog", "car"], "exclusive": True}}
    unsure = ClassesResult(np.array([0.3, 0.4, 0.3], np.float32), 0.5)
    assert not np.array_equal(draw_overlay(picture, {"objects": unsure}, labels), picture)
    independent = {"objects": {"classes": ["cat", "dog", "car"]}}
    assert np.array_equal(draw_overlay(picture, {"objects": unsure}, independent), picture)


def test_lists_of_two_heads_lie_above_one_another():
    labels = {"kinds": {"classes": ["cat"]}, "places": {"classes": ["street"]}}
    found = {"kinds": ClassesResult(np.array([0.9], np.float32), 0.5)}
    alone = draw_overlay(grey(), found, labels)
    height = int((alone != 100).any(axis=(1, 2)).sum())  # of the strip of one list
    both = draw_overlay(grey(), found | {"places": ClassesResult(np.array([0.9], np.float32), 0.5)}, labels)
    np.testing.assert_array_equal(both[-height:], alone[-height:])  # the first is not written over
    assert (both[-2 * height : -height] == 255).any() and (both[: -2 * height] == 100).all()
