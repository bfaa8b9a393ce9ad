# SPDX-License-Identifier: Apache-2.0
"""The evaluation on the bundle that comes with the repository: real packets, and rivals whose result is known."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace

import cv2
import numpy as np
import pytest

from frankensplit.bundle import Bundle
from frankensplit.cli import main
from frankensplit.cli.evaluate import _print
from frankensplit.data.scenes import street_scene
from frankensplit.data.truth import Truth
from frankensplit.edge.encoder import FrameEncoder
from frankensplit.errors import DataError
from frankensplit.evaluation import OURS, rivals
from frankensplit.evaluation.card import summary_markdown
from frankensplit.evaluation.evaluate import evaluate, parse_rival
from frankensplit.evaluation.measure import PART_FRAMES, Setup, parts_folder
from frankensplit.models.heads import head_class

FRAMES = 4
RAW_BYTES = 480 * 360 * 3
TEST_RIVAL = """
import numpy as np
from frankensplit.evaluation.rivals import Coder, Rival

class Perfect(Coder):
    def encode(self, signal):
        self.shape = signal.shape
        return signal.tobytes()

    def decode(self, data):
        return np.frombuffer(data, np.uint8).reshape(self.shape)

class Constant(Perfect):
    def encode(self, signal):
        self.shape = signal.shape
        return b"7"

    def decode(self, data):
        return np.full(self.shape, 128, np.uint8)

RIVALS = {{"{file}": Rival(lambda quality, options: {name}())}}
"""


@pytest.fixture(scope="module")
def known_rivals(tmp_path_factory):
    """Two new rivals, one file each: one loses nothing, one everything."""
    folder = tmp_path_factory.mktemp("rivals")
    for name in ("Perfect", "Constant"):
        (folder / f"{name.lower()}.py").write_text(TEST_RIVAL.format(name=name, file=name.lower()))
    rivals.__path__.append(str(folder))
    yield
    rivals.__path__.remove(str(folder))


@pytest.fixture(scope="module")
def scenes():
    return [street_scene("val", number) for number in range(FRAMES)]


@pytest.fixture(scope="module")
def setup(bundle_path, scenes, tmp_path_factory):
    """A data set that nobody here has seen: a folder of shards."""
    folder = tmp_path_factory.mktemp("unseen")
    labels = Bundle.open(bundle_path).labels["segmentation"]
    (folder / "labels.json").write_text(
        json.dumps({"class_names": labels["classes"], "void_index": labels["ignore"]})
    )
    with tarfile.open(folder / "test-00000.tar", "w") as tar:
        for scene in scenes:
            _add(tar, f"{scene.key}.png", cv2.imencode(".png", scene.rgb[:, :, ::-1])[1].tobytes())
            _add(tar, f"{scene.key}.mask.png", cv2.imencode(".png", scene.mask)[1].tobytes())
    return Setup(str(bundle_path), f"{folder}:test", folder)


def _add(tar, name, data):
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def result(setup, cache, known_rivals):
    return evaluate(setup, ["perfect", "constant", "jpeg:10,50"], cache)


def _rows(result, codec, head="segmentation"):
    return [row for row in result["heads"][head]["rows"] if row["codec"] == codec]


def test_every_head_has_every_row(result):
    assert set(result["heads"]) == {"segmentation", "presence", "detections"}
    rivals = [("perfect", None), ("constant", None), ("jpeg", 10), ("jpeg", 50)]
    for head in result["heads"].values():
        named = [(row["codec"], row["quality"]) for row in head["rows"]]
        assert named == [*((OURS, level) for level in range(4)), *rivals]
        assert head["truth"] == "labels" and 0 < head["prediction_bytes"] < 5000
        for row in head["rows"]:
            assert row["loss_points"] == pytest.approx(head["unmodified"] - row["value"], abs=2e-3)
            assert row["ci95"][0] <= row["ci95"][1]


def test_a_perfect_codec_loses_nothing(result):
    for head in result["heads"]:
        (row,) = _rows(result, "perfect", head)
        assert row["loss_points"] == 0 and row["ci95"] == [0, 0] and row["bytes_per_frame"] == RAW_BYTES


def test_a_constant_codec_loses_everything(result):
    (row,) = _rows(result, "constant")
    assert row["value"] < 12 and row["ci95"][0] > 30 and row["bytes_per_frame"] == 1
    assert _rows(result, "constant", "detections")[0]["value"] < 1


def _write_coco(folder, scenes, labels):
    """Write the scenes as a set of boxes: the components that are the truth of their masks."""
    content = {"categories": [], "images": [], "annotations": []}
    content["categories"] = [{"id": 10 * (i + 1), "name": name} for i, name in enumerate(labels["classes"])]
    for number, scene in enumerate(scenes):
        (folder / f"{scene.key}.png").write_bytes(cv2.imencode(".png", scene.rgb[:, :, ::-1])[1].tobytes())
        size = {"height": scene.rgb.shape[0], "width": scene.rgb.shape[1]}
        content["images"].append({"id": number, "file_name": f"{scene.key}.png", **size})
        boxes = head_class("detections", labels).truth(Truth(scene.mask), labels)
        for (x, y, right, bottom), class_id in zip(
            boxes.boxes.tolist(), boxes.class_ids.tolist(), strict=True
        ):
            box = {
                "image_id": number,
                "category_id": 10 * (class_id + 1),
                "bbox": [x, y, right - x, bottom - y],
            }
            content["annotations"].append({"id": len(content["annotations"]) + 1, **box})
    (folder / "annotations.json").write_text(json.dumps(content))


def test_boxes_are_truth_as_masks_are(result, setup, scenes, tmp_path, bundle_path):
    labels = Bundle.open(bundle_path).labels["detections"]
    _write_coco(tmp_path, scenes, labels)
    boxed = evaluate(Setup(setup.bundle, str(tmp_path), tmp_path), [], tmp_path / "cache")["heads"]
    assert {name: head["truth"] for name, head in boxed.items()} == {
        "segmentation": "unmodified backbone",
        "presence": "unmodified backbone",
        "detections": "labels",
    }
    assert boxed["detections"]["unmodified"] == result["heads"]["detections"]["unmodified"]
    assert boxed["detections"]["rows"][0]["value"] == _rows(result, OURS, "detections")[0]["value"]


def test_bytes_are_whole_packets(result, scenes, bundle_path):
    encoder = FrameEncoder(Bundle.open(bundle_path).codec)
    for level, row in enumerate(_rows(result, OURS)):
        sizes = [len(encoder.encode(scene.rgb, level).data) for scene in scenes]
        assert row["bytes_per_frame"] == pytest.approx(np.mean(sizes), abs=0.1)
        assert row["bpp"] == pytest.approx(8 * np.mean(sizes) / (480 * 360), rel=1e-3)


def test_ours_beats_jpeg_of_a_similar_size(result):
    assert _rows(result, OURS)[0]["value"] > _rows(result, "jpeg")[0]["value"]


def test_a_second_run_reads_what_was_measured_and_adds_what_was_not(setup, cache, result, known_rivals):
    parts = {path: path.stat().st_mtime_ns for path in parts_folder(setup, cache).iterdir()}
    again = evaluate(setup, ["perfect", "jpeg:10"], cache)
    assert {path: path.stat().st_mtime_ns for path in parts_folder(setup, cache).iterdir()} == parts
    assert _rows(again, "jpeg") == _rows(result, "jpeg")[:1] and _rows(again, OURS) == _rows(result, OURS)
    evaluate(setup, ["jpeg:11"], cache)
    assert len(list(parts_folder(setup, cache).iterdir())) == len(parts) + 1


def test_processes_give_the_same_figures(setup, cache, result, tmp_path, monkeypatch):
    monkeypatch.setattr("frankensplit.evaluation.measure.FRAMES_WORTH_A_PROCESS", 1)
    assert _rows(evaluate(setup, [], tmp_path, workers=2), OURS) == _rows(result, OURS)


def test_data_without_truth_are_measured_by_agreement(bundle_path, scenes, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for scene in scenes[:3]:
        cv2.imwrite(str(folder / f"{scene.key}.png"), scene.rgb[:240, :320, ::-1])
    (folder / "broken.png").write_bytes(b"no picture")
    result = evaluate(Setup(str(bundle_path), str(folder), tmp_path), ["jpeg:90"], tmp_path / "cache")
    assert result["frames"] == 3 and list(result["skipped"]) == ["broken.png"]
    for head in result["heads"].values():
        assert head["truth"] == "unmodified backbone" and head["unmodified"] == pytest.approx(100)
    assert all(40 < row["value"] < 100 for row in result["heads"]["segmentation"]["rows"])


def test_truth_may_be_left_aside(bundle_path, setup, scenes, tmp_path):
    _write_coco(tmp_path, scenes, Bundle.open(bundle_path).labels["detections"])
    setup = Setup(setup.bundle, str(tmp_path), tmp_path, limit=2, agreement=True)
    result = evaluate(setup, [], tmp_path / "cache")
    for head in result["heads"].values():
        assert head["truth"] == "unmodified backbone" and head["unmodified"] == pytest.approx(100)
    assert parts_folder(setup, tmp_path) != parts_folder(replace(setup, agreement=False), tmp_path)


def test_a_part_is_whole_or_not_there(setup, tmp_path, monkeypatch, known_rivals):
    def stop(self, data):
        raise KeyboardInterrupt

    monkeypatch.setattr("frankensplit.evaluation.channel.OurChannel.send", stop)
    with pytest.raises(KeyboardInterrupt):
        evaluate(setup, [], tmp_path)
    left = [path.name for path in parts_folder(setup, tmp_path).iterdir()]
    assert left and all(name.startswith("unmodified") for name in left)
    assert FRAMES < PART_FRAMES


def test_rivals_are_parsed():
    assert parse_rival("jpeg") == (["jpeg"], None) and parse_rival("webp:1,50") == (["webp"], (1, 50))
    assert {"jpeg", "webp", "h264-p"} <= set(parse_rival("all")[0])
    with pytest.raises(DataError, match=r"gif.*jpeg"):
        parse_rival("gif")
    with pytest.raises(DataError, match="jpeg:20,40"):
        parse_rival("jpeg:best")


def test_command_writes_json_and_explains_wrong_sets(bundle_path, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("frankensplit.cli.evaluate.EVALUATIONS", tmp_path / "cache")
    out = tmp_path / "result.json"
    arguments = ["evaluate", str(bundle_path), "--data", "street:val", "--frames", "1", "--json", str(out)]
    assert main([*arguments, "--rival", "fp"]) == 0
    written = json.loads(out.read_text())
    assert written["data"] == "street:val" and {"commit", "machine", "command"} <= set(written)
    assert "weights" in written["not_measured"]["fp"] and "not measured: fp" in capsys.readouterr().err
    assert main(["evaluate", str(bundle_path), "--data", "nowhere:val"]) == 2
    assert "nowhere" in capsys.readouterr().err
    assert main([*arguments, "--weights", "fp"]) == 2
    assert "NAME=PATH" in capsys.readouterr().err
    with pytest.raises(SystemExit) as usage:
        main(["evaluate", str(bundle_path)])
    assert usage.value.code == 2


def test_photographs_without_labels(tmp_path, bundle_path, known_rivals, capsys, monkeypatch):
    (tmp_path / "photos").mkdir()
    for number in range(2):
        cv2.imwrite(
            str(tmp_path / "photos" / f"p{number}.png"), np.full((360, 480, 3), 90 + 60 * number, np.uint8)
        )
    setup = Setup(str(bundle_path), str(tmp_path / "photos"), tmp_path)
    result = evaluate(setup, ["perfect", "training-free"], tmp_path / "cache")
    assert result["notes"] == []  # no codec needs a rate
    assert result["heads"]["segmentation"]["unmodified"] == 100
    assert _rows(result, "perfect")[0]["value"] == 100
    nothing = result["heads"]["detections"]
    assert nothing["unmodified"] == 0 and set(nothing["bytes_at_our_loss"].values()) == {None}
    monkeypatch.setenv("COLUMNS", "80")
    _print(result)
    text = capsys.readouterr().err
    assert f"bundle street, codec {result['codec_id']}" in text and "2 frames" in text
    assert "detections: mAP50 says nothing here" in text and "agreement with what" in text
    for name in ("frankensplit", "training-free", "perfect"):
        assert f" {name} " in text
    assert all(len(line) <= 80 for line in text.splitlines())
    assert text.count("perfect needs") == 2  # one line for each head that says something
    assert "| - |" in summary_markdown(result | {"command": "x"})


def test_a_rate_is_said_where_a_codec_needs_one(setup, cache, known_rivals):
    notes = evaluate(setup, ["h264-p:40"], cache)["notes"]
    assert any("rate_hz" in note for note in notes)
    assert not any("rate_hz" in note for note in evaluate(setup, [], cache)["notes"])


def test_classes_that_never_occur_are_noted(setup, result, tmp_path):
    assert not any("never occur" in note and "segmentation" in note for note in result["notes"])
    folder = tmp_path / "photos"
    (folder / "masks").mkdir(parents=True)
    cv2.imwrite(str(folder / "a.png"), np.full((360, 480, 3), 90, np.uint8))
    cv2.imwrite(str(folder / "masks" / "a.png"), np.full((360, 480), 255 * (np.arange(480) > 99), np.uint8))
    (folder / "labels.json").write_text('{"class_names": ["Road", "Car"]}')
    notes = evaluate(Setup(setup.bundle, str(folder), tmp_path), [], tmp_path / "cache")["notes"]
    (note,) = [one for one in notes if "never occur in the truth of segmentation" in one]
    assert "Car" in note and "Road" not in note
