# SPDX-License-Identifier: Apache-2.0
"""Every kind of source gives the frames that were put in; what cannot be read is named."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from data_files import mask, picture, png, write_bag, write_shard, write_video

from frankensplit.data.sources import Source, open_source
from frankensplit.data.street import Street
from frankensplit.errors import DataError


def names(source: Source) -> list[str]:
    return [frame.name for frame in source]


def test_the_street_is_the_street_and_does_not_end():
    source = open_source("street:4", fps=10)
    frames = list(itertools.islice(source, 102))
    np.testing.assert_array_equal(frames[5].rgb, Street(4, fps=10).frame(5).rgb)
    np.testing.assert_array_equal(frames[5].mask, Street(4, fps=10).frame(5).mask)
    np.testing.assert_array_equal(frames[101].mask, Street(5, fps=10).frame(1).mask)
    assert frames[1].stamp_ns - frames[0].stamp_ns == 100_000_000
    assert source.has_truth and source.rate_hz == 10


def test_a_folder_gives_its_pictures_in_order_and_names_the_bad_one(tmp_path: Path):
    for index, name in enumerate("cab"):
        (tmp_path / f"{name}.png").write_bytes(png(picture(index)))
    (tmp_path / "a.mask.png").write_bytes(png(mask(7)))
    (tmp_path / "aa.jpg").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("not looked at")
    source = open_source(str(tmp_path), fps=5)
    frames = list(source)
    assert [frame.name for frame in frames] == ["a", "b", "c"]
    np.testing.assert_array_equal(frames[0].rgb, picture(1))
    np.testing.assert_array_equal(frames[0].mask, mask(7))
    assert frames[1].mask is None
    assert [skipped.name for skipped in source.skipped] == ["aa.jpg"]
    assert "damaged" in source.skipped[0].cause


def test_a_shard_gives_pictures_with_their_masks(tmp_path: Path):
    members = {}
    for index in range(3):
        members |= {f"k{index}.png": png(picture(index)), f"k{index}.mask.png": png(mask(index))}
    members["k1.png"] = b"broken"
    write_shard(tmp_path / "s.tar", members)
    source = open_source(str(tmp_path / "s.tar"), fps=10)
    frames = list(source)
    assert [frame.name for frame in frames] == ["k0", "k2"]
    np.testing.assert_array_equal(frames[1].rgb, picture(2))
    np.testing.assert_array_equal(frames[1].mask, mask(2))
    assert source.has_truth and [s.name for s in source.skipped] == ["k1"]


def test_a_video_gives_its_frames_with_their_times(tmp_path: Path):
    write_video(tmp_path / "v.mp4", 12)
    source = open_source(str(tmp_path / "v.mp4"))
    frames = list(source)
    assert len(frames) == 12 and source.rate_hz == 25
    assert frames[11].stamp_ns - frames[0].stamp_ns == 11 * 40_000_000
    for index, frame in enumerate(frames):
        assert np.abs(frame.rgb.astype(int) - picture(index)).mean() < 4


@pytest.mark.parametrize("storage", ["SQLITE3", "MCAP"])
def test_a_rosbag_gives_its_images_and_names_the_bad_one(tmp_path: Path, storage: str):
    write_bag(tmp_path / "bag", storage, damaged=2)
    source = open_source(str(tmp_path / "bag"))
    frames = list(source)
    assert [frame.name[-1] for frame in frames] == ["0", "1", "3"]
    np.testing.assert_array_equal(frames[1].rgb, picture(1))
    assert frames[1].stamp_ns == 10_000_001_000
    assert len(source.skipped) == 1 and str(48 * 64 * 3) in source.skipped[0].cause
    file = next((tmp_path / "bag").glob("*.db3" if storage == "SQLITE3" else "*.mcap"))
    assert names(open_source(str(file))) == [frame.name for frame in frames]


def test_a_rosbag_with_several_cameras_asks_which(tmp_path: Path):
    write_bag(tmp_path / "bag", "MCAP", topics=("/left", "/right"))
    with pytest.raises(DataError, match="/left, /right"):
        open_source(str(tmp_path / "bag"))
    assert names(open_source(str(tmp_path / "bag"), topic="/right"))[0] == "right_000000"
    with pytest.raises(DataError, match="/middle"):
        open_source(str(tmp_path / "bag"), topic="/middle")


def _damage(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 3])


def test_a_cut_off_database_is_refused_by_name(tmp_path: Path):
    write_bag(tmp_path / "bag", "SQLITE3")
    _damage(next((tmp_path / "bag").glob("*.db3")))
    with pytest.raises(DataError, match=r"bag\.db3.*\.recover"):
        list(open_source(str(tmp_path / "bag")))


def test_what_is_no_source_is_refused_by_name(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "film.mp4").write_bytes(b"no film" * 100)
    (tmp_path / "bad.tar").write_bytes(b"no tar" * 300)
    (tmp_path / "bag").mkdir()
    (tmp_path / "bag" / "metadata.yaml").write_text("rosbag2_bagfile_information: 3")
    (tmp_path / "all_bad").mkdir()
    (tmp_path / "all_bad" / "x.png").write_bytes(b"")
    for name in ("nowhere", "empty", "film.mp4", "bad.tar", "bag", "all_bad"):
        with pytest.raises(DataError, match=name):
            list(open_source(str(tmp_path / name)))
    with pytest.raises(DataError, match="camera 97"):
        open_source("97")
    with pytest.raises(DataError, match="street:x"):
        open_source("street:x")


def test_a_set_is_a_source_too(tmp_path: Path):
    for number in range(2):
        write_shard(tmp_path / "mine" / f"val-{number}.tar", {f"k{number}.png": png(picture(number))})
    assert names(open_source(f"{tmp_path}/mine:val")) == ["k0", "k1"]
    assert names(open_source("mine:val", data_root=tmp_path)) == ["k0", "k1"]
    with pytest.raises(DataError, match="mine:val"):
        open_source("mine", data_root=tmp_path)
    with pytest.raises(DataError, match="mine:val"):
        open_source(str(tmp_path / "mine"))


def test_the_street_has_splits_of_single_pictures():
    source = open_source("street:val")
    assert source.count() == 200 and source.has_truth and source.rate_hz is None
    first = next(source.read(7, 8))
    np.testing.assert_array_equal(first.rgb, Street(501).frame(120).rgb)


def test_a_bag_without_its_index_is_read_by_file(tmp_path: Path):
    write_bag(tmp_path / "bag", "MCAP")
    whole = names(open_source(str(tmp_path / "bag")))
    (tmp_path / "bag" / "metadata.yaml").unlink()
    file = next((tmp_path / "bag").glob("*.mcap"))
    assert names(open_source(str(file))) == whole
    with pytest.raises(DataError, match=file.name):
        open_source(str(tmp_path / "bag"))


def test_a_message_that_is_no_message_is_skipped(tmp_path: Path):
    write_bag(tmp_path / "bag", "SQLITE3", garbled=1)
    source = open_source(str(tmp_path / "bag"))
    assert [name[-1] for name in names(source)] == ["0", "2", "3"]
    assert [one.name[-1] for one in source.skipped] == ["1"]
