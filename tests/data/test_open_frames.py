# SPDX-License-Identifier: Apache-2.0
"""Data to measure on: every kind is opened, its truth is the bundle's, slices are parts of the whole."""

from __future__ import annotations

import json
import os
import pickle
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from data_files import mask, picture, png, write_bag, write_shard, write_video
from numpy.typing import NDArray
from PIL import Image
from rosbags import highlevel

from frankensplit.data.frames import Frames, LabelledFrame, open_frames
from frankensplit.data.pictures import decode_mask, decode_picture
from frankensplit.data.street import Street
from frankensplit.errors import DataError

CLASSES = ["Sky", "Road", "SignSymbol", "Car"]
IGNORE = 11
NOWHERE = Path("nowhere")


def stripes(values: list[int]) -> NDArray[np.uint8]:
    """Return a mask of 48x64 with one column stripe a value."""
    return np.repeat(np.array(values, np.uint8), 64 // len(values))[None].repeat(48, axis=0)


def write_set(
    folder: Path, masks: list[NDArray[np.uint8]] | None, labels: dict[str, Any] | None = None, count: int = 5
) -> str:
    """Write a set of two shards and return its spec."""
    for first, last in ((0, count // 2), (count // 2, count)):
        members = {}
        for index in range(first, last):
            members[f"k{index}.png"] = png(picture(index))
            if masks:
                members[f"k{index}.mask.png"] = png(masks[index % len(masks)])
        write_shard(folder / f"val-{first:05d}.tar", members)
    if labels is not None:
        (folder / "labels.json").write_text(json.dumps(labels))
    return f"{folder}:val"


def opened(spec: str, **options: Any) -> Frames:
    return open_frames(spec, NOWHERE, CLASSES, ignore=IGNORE, **options)


def keys(frames: Frames) -> list[str]:
    return [frame.key for frame in frames]


def same(one: LabelledFrame, other: LabelledFrame) -> bool:
    masks = (one.mask is None and other.mask is None) or np.array_equal(one.mask, other.mask)
    rest = (one.key, one.label, one.stamp_ns) == (other.key, other.label, other.stamp_ns)
    return masks and rest and np.array_equal(one.rgb, other.rgb)


def test_truth_does_not_depend_on_the_order_of_the_set(tmp_path: Path):
    straight = write_set(
        tmp_path / "a", [stripes([0, 1, 2, 3])], {"class_names": CLASSES, "void_index": IGNORE}
    )
    turned = write_set(
        tmp_path / "b",
        [stripes([4, 3, 0, 2])],
        {"class_names": ["sign_symbol", "Tree", "car", "ROAD", "S-k y"], "void_index": 200},
    )
    first, second = list(opened(straight)), list(opened(turned))
    for frames in (first, second):
        assert len(frames) == 5
        for frame in frames:
            np.testing.assert_array_equal(frame.mask, stripes([0, 1, 2, 3]))
    assert not any("classes" in note for note in opened(straight).notes)
    notes = " ".join(opened(turned).notes)
    assert "by name" in notes and "Tree" in notes and "Road" not in notes
    assert opened(turned).truth == "mask"
    assert opened(turned).labels_of_set == ["sign_symbol", "Tree", "car", "ROAD", "S-k y"]


def test_void_and_strange_classes_are_ignored(tmp_path: Path):
    labels = {"class_names": ["Car", "Tree", "Void"], "void_index": 2}
    frames = opened(write_set(tmp_path, [stripes([0, 1, 2, 255])], labels))
    np.testing.assert_array_equal(next(iter(frames)).mask, stripes([3, IGNORE, IGNORE, IGNORE]))
    notes = " ".join(frames.notes)
    assert "Tree" in notes and "Void" not in notes and "only the bundle has: Sky" in notes


def test_a_set_with_other_classes_has_no_truth_for_this_bundle(tmp_path: Path):
    frames = opened(write_set(tmp_path, [stripes([0, 1])], {"class_names": ["cat", "dog"]}))
    assert frames.truth is None and [frame.mask for frame in frames] == [None] * 5
    assert any("cat" in note and "Sky" in note for note in frames.notes)
    assert open_frames(f"{tmp_path}:val", NOWHERE).truth == "mask"


def test_without_labels_values_are_the_bundles(tmp_path: Path):
    masks = [stripes([0, 3, IGNORE, 255]), stripes([0, 4])]
    frames = opened(write_set(tmp_path, masks))
    good = list(frames)
    assert [frame.key for frame in good] == ["k0", "k2", "k4"]
    np.testing.assert_array_equal(good[0].mask, stripes([0, 3, IGNORE, IGNORE]))
    assert list(frames.skipped) == ["k1", "k3"] and "value 4" in frames.skipped["k1"]
    assert any("labels.json" in note for note in frames.notes)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", "labels.json"),
        ("[1]", "JSON object"),
        ('{"names": []}', "class_names is missing"),
        ('{"class_names": {"0": "Sky"}}', "class_names"),
        ('{"class_names": ["Sky"], "void_index": "11"}', "void_index is '11'"),
        ('{"class_names": ["Sky"], "rate_hz": 0}', "rate_hz"),
    ],
)
def test_malformed_labels_are_refused(tmp_path: Path, text: str, named: str):
    spec = write_set(tmp_path, [mask()])
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(DataError, match=r"labels\.json") as caught:
        opened(spec)
    assert named in str(caught.value)


def folder_of_masks(folder: Path) -> str:
    for index in range(5):
        (folder / "images").mkdir(parents=True, exist_ok=True)
        (folder / "masks").mkdir(exist_ok=True)
        (folder / "images" / f"f{index}.PNG").write_bytes(png(picture(index)))
        (folder / "masks" / f"f{index}.png").write_bytes(png(mask(index % 4)))
    return str(folder)


def folder_of_classes(folder: Path) -> str:
    for index in range(5):
        path = folder / ("zebra" if index > 1 else "ant") / f"f{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(picture(index)))
    return str(folder)


def video(folder: Path) -> str:
    write_video(folder / "v.mp4", 5)
    return str(folder / "v.mp4")


def bag(folder: Path, storage: str) -> str:
    write_bag(folder / "bag", storage, damaged=1)
    return str(folder / "bag")


def all_kinds(folder: Path) -> dict[str, str]:
    (folder / "film").mkdir()
    return {
        "set": write_set(folder / "set", [mask(index % 4) for index in range(5)]),
        "shard": str(folder / "set" / "val-00002.tar"),
        "masks": folder_of_masks(folder / "pictures"),
        "classes": folder_of_classes(folder / "classes"),
        "video": video(folder / "film"),
        "db3": bag(folder / "one", "SQLITE3"),
        "mcap": bag(folder / "two", "MCAP"),
    }


def test_slices_are_parts_of_the_whole_for_every_kind(tmp_path: Path):
    for kind, spec in all_kinds(tmp_path).items():
        frames = opened(spec)
        whole, bad, length = list(frames), dict(frames.skipped), len(frames)
        assert length == len(whole) + len(bad), kind
        travelled = pickle.loads(pickle.dumps(frames))
        parts = [travelled.select(0, 2), travelled.select(2, 3), travelled.select(3)]
        assert sum(map(len, parts)) == length, kind
        joined = [frame for part in parts for frame in part]
        assert len(joined) == len(whole) and all(map(same, joined, whole)), kind
        assert {name: cause for part in parts for name, cause in part.skipped.items()} == bad, kind
        again = list(frames)
        assert len(again) == len(whole) and all(map(same, again, whole)), kind
        inner = frames.select(1, 3).select(1)
        assert len(inner) == 1, kind
        assert all(same(one, two) for one, two in zip(inner, frames.select(2, 3), strict=True)), kind


def test_a_limit_counts_bad_frames_too(tmp_path: Path):
    for kind, spec in all_kinds(tmp_path).items():
        frames, everything = opened(spec, limit=2), opened(spec)
        assert len(frames) == 2, kind
        first = everything.select(0, 2)
        assert keys(frames) == keys(first) and frames.skipped == first.skipped, kind
        assert len(keys(frames)) + len(frames.skipped) == 2, kind
        assert len(opened(spec, limit=100)) == len(everything), kind
        assert len(frames.select(1, 9)) == 1, kind
    with pytest.raises(DataError, match="limit"):
        opened(spec, limit=0)


def test_what_each_kind_tells_of_itself(tmp_path: Path):
    kinds = all_kinds(tmp_path)
    told = {kind: (opened(spec).truth, opened(spec).rate_hz) for kind, spec in kinds.items()}
    assert told["set"] == told["shard"] == told["masks"] == ("mask", 15.0)
    assert told["classes"] == ("label", None)
    assert told["video"] == (None, 25.0)
    assert told["db3"][0] is None and told["db3"] == told["mcap"]
    assert [frame.label for frame in opened(kinds["classes"])] == [0, 0, 1, 1, 1]
    assert keys(opened(kinds["classes"]))[:1] == ["ant/f0"]
    assert opened(kinds["classes"]).labels_of_set == ["ant", "zebra"]
    assert [frame.stamp_ns for frame in opened(kinds["mcap"])] == [10**10 + 1000 * n for n in (0, 2, 3)]
    assert [frame.stamp_ns for frame in opened(kinds["set"])][3] == 200_000_000
    assert [frame.mask[0, 0] for frame in opened(kinds["masks"])] == [0, 1, 2, 3, 0]


def test_pixels_outside_a_slice_are_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    kinds = all_kinds(tmp_path)
    decoded = []

    def counting(data: bytes, flags: int) -> NDArray[np.uint8]:
        decoded.append(len(data))
        return plain(data, flags)

    plain = cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", counting)
    assert len(opened(kinds["classes"])) == len(opened(kinds["set"])) == 5
    assert decoded == []
    assert keys(opened(kinds["set"]).select(3, 4)) == ["k3"]
    assert len(decoded) == 2  # one picture, one mask
    reader = highlevel.AnyReader
    monkeypatch.setattr(reader, "deserialize", lambda *_: pytest.fail("a message was deserialised"))
    bag = opened(kinds["mcap"])
    assert len(bag) == 4 and keys(bag.select(4)) == []


def test_bad_frames_are_skipped_with_their_cause(tmp_path: Path):
    members = {f"k{index}.png": png(picture(index)) for index in range(6)}
    members |= {f"k{index}.mask.png": png(mask(1)) for index in range(6)}
    members["k1.png"] = b"broken"
    members["k2.mask.png"] = png(mask(1)[:-1])
    members["k3.mask.png"] = png(picture(0))
    del members["k4.mask.png"]
    members["k6.mask.png"] = png(mask(1))  # no picture
    write_shard(tmp_path / "val-0.tar", members)
    frames = opened(f"{tmp_path}:val")
    assert len(frames) == 7 and keys(frames) == ["k0", "k5"]
    causes = {"k1": "damaged", "k2": "64x47", "k3": "3 channels", "k4": "no mask", "k6": "no image"}
    assert frames.skipped.keys() == causes.keys()
    assert all(cause in frames.skipped[key] for key, cause in causes.items())
    assert keys(frames.select(1, 5)) == []
    with pytest.raises(DataError, match="none of 3 frames"):
        list(opened(f"{write_set(tmp_path / 'bad', [picture(0)], count=3)}"))


def test_masks_that_begin_late_are_not_used_and_that_is_said(tmp_path: Path):
    for index in range(3):
        (tmp_path / f"f{index}.png").write_bytes(png(picture(index)))
    (tmp_path / "f1.mask.png").write_bytes(png(mask()))
    frames = opened(str(tmp_path))
    assert frames.truth is None and keys(frames) == ["f0", "f1", "f2"]
    assert any("1 of 3" in note for note in frames.notes)


def test_strange_shards_are_read(tmp_path: Path):
    members = {
        "README.md": b"hello",
        "./left/a.JPG": cv2.imencode(".jpg", picture(0))[1].tobytes(),
        "right/a.PNG": png(picture(1)),
        "right/._a.png": b"from a Mac",
        "left/a.json": b"{}",
        "left/b.1.png": png(picture(2)),
        "dots.in.folder/c.webp": cv2.imencode(".webp", picture(3))[1].tobytes(),
        "right/a.Mask.PNG": png(mask(2)),
        "left/a.mask.png": png(mask(3)),
        "noextension": b"?",
    }
    write_shard(tmp_path / "train-0.tar", members)
    with tarfile.open(tmp_path / "train-0.tar", "a") as tar:
        link = tarfile.TarInfo("link/a.png")
        link.type, link.linkname = tarfile.LNKTYPE, "right/a.PNG"
        tar.addfile(link)
        folder = tarfile.TarInfo("folder.png")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
    frames = opened(f"{tmp_path}:train")
    good = list(frames)
    assert [(frame.key, frame.mask[0, 0]) for frame in good] == [("left/a", 3), ("right/a", 2)]
    assert list(frames.skipped) == ["left/b.1", "dots.in.folder/c", "link/a"]  # no masks
    np.testing.assert_array_equal(good[1].rgb, picture(1))


def test_shards_with_classes_only(tmp_path: Path):
    members = {}
    for index, text in enumerate([b"1", b" 0\n", b"2", b"two", b"-1", b"7"]):
        members |= {f"k{index}.cls": text, f"k{index}.png": png(picture(index))}
    write_shard(tmp_path / "val-0.tar", members)
    frames = opened(f"{tmp_path}:val")
    assert frames.truth == "label" and frames.rate_hz is None and frames.labels_of_set is None
    assert [(frame.key, frame.label) for frame in frames] == [("k0", 1), ("k1", 0), ("k2", 2), ("k5", 7)]
    assert "two" in frames.skipped["k3"] and "-1" in frames.skipped["k4"]
    by_index = opened(f"{tmp_path}:val", label_classes=["a", "b", "c"])
    assert [frame.label for frame in by_index] == [1, 0, 2] and "0 to 2" in by_index.skipped["k5"]
    (tmp_path / "labels.json").write_text(json.dumps({"class_names": ["Cat", "Dog", "Ox"]}))
    by_name = opened(f"{tmp_path}:val", label_classes=["dog", "cat"])
    assert [frame.label for frame in by_name] == [0, 1] and "class 2" in by_name.skipped["k2"]
    assert any("Ox" in note for note in by_name.notes)


def test_members_that_could_be_masks_are_named(tmp_path: Path):
    write_shard(tmp_path / "val-0.tar", {"a.jpg": png(picture(0)), "a.seg.png": png(mask())})
    frames = opened(f"{tmp_path}:val")
    assert frames.truth is None and any("seg.png" in note for note in frames.notes)


def test_a_set_may_state_its_rate(tmp_path: Path):
    frames = opened(write_set(tmp_path, None, {"class_names": CLASSES, "rate_hz": 4}))
    assert frames.rate_hz == 4 and [frame.stamp_ns for frame in frames][2] == 500_000_000
    assert not any("rate" in note for note in frames.notes)


def test_a_damaged_shard_is_refused_by_name(tmp_path: Path):
    spec = write_set(tmp_path, [mask()])
    path = tmp_path / "val-00002.tar"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 3])
    with pytest.raises(DataError, match=path.name):
        opened(spec)
    start = next(at for at in range(512, len(whole), 512) if whole[at : at + 2] == b"k2")
    path.write_bytes(whole[:start] + b"x" * 512 + whole[start + 512 :])  # the head of a member
    with pytest.raises(DataError, match=path.name):
        opened(spec)


def test_the_digest_is_that_of_the_data(tmp_path: Path):
    spec = write_set(tmp_path / "a", [mask()])
    digest = opened(spec).digest
    assert opened(spec, limit=1).digest == digest == opened(spec).select(1, 2).digest
    os.utime(tmp_path / "a" / "val-00000.tar", ns=(1, 1))
    changed = opened(spec).digest
    assert changed != digest
    (tmp_path / "a" / "labels.json").write_text(json.dumps({"class_names": CLASSES}))
    assert opened(spec).digest != changed
    write_bag(tmp_path / "bag", "MCAP", topics=("/left", "/right"))
    left, right = (opened(str(tmp_path / "bag"), topic=topic) for topic in ("/left", "/right"))
    assert left.digest != right.digest and keys(right)[0] == "right_000000"


def test_the_street_is_a_set(tmp_path: Path):
    frames = open_frames("street:val", tmp_path, ["Road", "Sky"], ignore=9, limit=2)
    assert len(frames) == 2 and len(open_frames("street:demo", tmp_path)) == 200
    first = next(iter(frames))
    street = Street(500).frame(0)
    np.testing.assert_array_equal(first.rgb, street.rgb)
    expected = np.where(street.mask == 3, 0, np.where(street.mask == 0, 1, 9))
    np.testing.assert_array_equal(first.mask, expected)
    assert frames.rate_hz is None and open_frames("street:train", tmp_path).digest != frames.digest


@pytest.mark.parametrize("spec", ["street", "street:7", "0"])
def test_what_has_no_end_is_refused(spec: str):
    with pytest.raises(DataError, match="no end"):
        opened(spec)
    with pytest.raises(DataError, match="train"):
        opened("street:test")


def encoded(suffix: str, pixels: NDArray[Any]) -> bytes:
    return cv2.imencode(suffix, pixels)[1].tobytes()


def test_grey_transparent_and_deep_pictures_become_rgb():
    rgb = picture(1, 31, 47)  # odd sizes
    bgr = np.ascontiguousarray(rgb[..., ::-1])
    grey = np.dstack([rgb[..., 0]] * 3)
    clear = np.dstack([bgr, np.full(bgr.shape[:2], 7, np.uint8)])
    for suffix in (".png", ".tif"):
        deep = bgr.astype(np.uint16) * 257
        for pixels in (
            bgr,
            clear,
            deep,
            deep + np.uint16(100) * (deep < 65000),
            clear.astype(np.uint16) * 257,
        ):
            np.testing.assert_array_equal(decode_picture(encoded(suffix, pixels), "x"), rgb)
        np.testing.assert_array_equal(decode_picture(encoded(suffix, grey[..., 0].copy()), "x"), grey)
    with pytest.raises(DataError, match=r"x has float32"):
        decode_picture(encoded(".tif", bgr.astype(np.float32)), "x")
    for suffix in (".png", ".jpg", ".webp", ".bmp", ".tif"):
        data = encoded(suffix, bgr)
        assert decode_picture(data, "x").shape == rgb.shape
        for part in (data[: len(data) * 3 // 4], data[:20], b""):
            with pytest.raises(DataError, match="x is damaged"):
                decode_picture(part, "x")


def test_masks_hold_the_stored_indices():
    values = stripes([0, 1, 2, 3])
    assert (decode_mask(encoded(".png", values.astype(np.uint16)), "m") == values).all()
    for bits in (8, 2):
        with_palette = Image.fromarray(values).convert("P")
        with_palette.putpalette([128, 0, 0, 9, 9, 9, 0, 255, 0, 70, 70, 70])
        file = BytesIO()
        with_palette.save(file, "PNG", bits=bits)
        assert (decode_mask(file.getvalue(), "m") == values).all()
        with pytest.raises(DataError, match="m is damaged"):
            decode_mask(file.getvalue()[:60], "m")
    file = BytesIO()
    Image.fromarray(values == 1).save(file, "PNG")  # one bit a pixel
    assert (decode_mask(file.getvalue(), "m") == (values == 1)).all()
    with pytest.raises(DataError, match="m has uint16 values from 0 to 3000"):
        decode_mask(encoded(".png", values.astype(np.uint16) * 1000), "m")


def test_camvid_as_it_is(data_root: Path, repository: Path):
    labels = json.loads((repository / "bundles" / "street" / "labels.json").read_text())["segmentation"]
    frames = open_frames("camvid:val", data_root, labels["classes"], ignore=labels["ignore"], limit=3)
    assert len(open_frames("camvid:val", data_root)) == 101 and len(frames) == 3
    assert frames.truth == "mask" and frames.rate_hz == 15
    raw = list(open_frames("camvid:val", data_root, limit=3))
    turned = open_frames("camvid:val", data_root, labels["classes"][::-1], ignore=labels["ignore"], limit=3)
    for frame, other, stored in zip(frames, turned, raw, strict=True):
        void = stored.mask == 255  # the default for no class
        np.testing.assert_array_equal(frame.mask, np.where(void, 11, stored.mask))
        np.testing.assert_array_equal(other.mask, np.where(void, 11, 10 - stored.mask.astype(int)))
    assert open_frames("caltech101:val", data_root, labels["classes"]).truth == "label"


def test_bad_frames_of_one_name_are_counted_apart(tmp_path: Path):
    for number in range(2):
        write_shard(tmp_path / f"val-{number}.tar", {"a.png": b"broken", f"b{number}.png": png(picture())})
    frames = opened(f"{tmp_path}:val")
    assert keys(frames) == ["b0", "b1"] and list(frames.skipped) == ["a", "a (frame 2)"]
    assert list(frames.select(2).skipped) == [] and keys(frames.select(2)) == ["b1"]


def test_files_below_the_data_root_are_found(tmp_path):
    (tmp_path / "drive").mkdir()
    cv2.imwrite(str(tmp_path / "drive" / "a.png"), np.zeros((8, 8, 3), np.uint8))
    assert [frame.key for frame in open_frames("drive", tmp_path)] == ["a"]
