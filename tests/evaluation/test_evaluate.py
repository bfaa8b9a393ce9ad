# SPDX-License-Identifier: Apache-2.0
"""The evaluation on the bundle that comes with the repository: real packets, real rivals, honest rows."""

from __future__ import annotations

import json

import numpy as np
import pytest

from frankensplit.bundle import Bundle
from frankensplit.cli import main
from frankensplit.data.scenes import read_scenes
from frankensplit.edge.encoder import FrameEncoder
from frankensplit.evaluation.evaluate import OURS, Evaluation


@pytest.fixture(scope="module")
def scenes():
    return list(read_scenes("street:val", None, frames=3))


@pytest.fixture(scope="module")
def result(bundle_path, scenes):
    evaluation = Evaluation(Bundle.open(bundle_path), ["jpeg"], threads=2)
    for scene in scenes:
        evaluation.add(scene)
    return evaluation.result("street:val")


def test_every_head_has_every_row(result):
    assert set(result["heads"]) == {"segmentation", "presence", "detections"}
    for head in result["heads"].values():
        assert [row["codec"] for row in head["rows"]].count("jpeg") >= 5
        assert head["rows"][0]["codec"] == OURS
        for row in head["rows"]:
            assert row["loss_points"] == pytest.approx(head["unmodified"] - row["value"], abs=2e-3)


def test_bytes_are_whole_packets(result, bundle_path, scenes):
    encoder = FrameEncoder(Bundle.open(bundle_path).codec)
    sizes = [len(encoder.encode(scene.rgb).data) for scene in scenes]
    row = result["heads"]["segmentation"]["rows"][0]
    assert row["bytes_per_frame"] == pytest.approx(np.mean(sizes), abs=0.1)
    assert row["bpp"] == pytest.approx(8 * np.mean(sizes) / (480 * 360), rel=1e-3)


def test_ours_beats_jpeg_of_the_same_size(result):
    rows = result["heads"]["segmentation"]["rows"]
    smallest = min((row for row in rows if row["codec"] == "jpeg"), key=lambda row: row["bytes_per_frame"])
    assert rows[0]["value"] > smallest["value"]


def test_command_writes_json_and_explains_wrong_sets(bundle_path, tmp_path, capsys):
    out = tmp_path / "result.json"
    arguments = ["evaluate", str(bundle_path), "--data", "street:val", "--frames", "1", "--json", str(out)]
    assert main(arguments) == 0
    written = json.loads(out.read_text())
    assert written["data"] == "street:val" and {"commit", "machine", "command"} <= set(written)
    assert main(["evaluate", str(bundle_path), "--data", "nowhere:val"]) == 1
    assert "nowhere" in capsys.readouterr().err
    with pytest.raises(SystemExit) as usage:
        main(["evaluate", str(bundle_path)])
    assert usage.value.code == 2
