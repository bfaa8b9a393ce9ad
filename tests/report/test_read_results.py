# SPDX-License-Identifier: Apache-2.0
"""Result files are told apart by their content, and what is wrong with one is said with its name."""

from __future__ import annotations

import copy
import json

import pytest
import report_samples as samples

from frankensplit.errors import DataError
from frankensplit.report.read import COMMANDS, kind_of, read_results


def written(folder, value, name="result.json"):
    path = folder / name
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def test_each_kind_is_recognised(tmp_path):
    results = read_results([samples.write_results(tmp_path)])
    kinds = {one.path.stem: one.kind for one in results.all}
    assert kinds == {
        "street-camvid-val": "evaluate",
        "street-highway-clip": "evaluate",
        "components": "components",
        "link": "link",
        "network": "network",
        "bench": "check",
    }
    assert results.missing == {}


def test_a_stated_kind_wins_over_the_content():
    assert kind_of({"kind": "bench network", "rows": [], "heads": {}, "bundle": "b"}) == "network"


@pytest.mark.parametrize(
    "raw", [[], "text", {}, {"rows": []}, {"rows": [1]}, {"figures": 3}, {"kind": "else"}]
)
def test_other_json_is_nothing(raw):
    assert kind_of(raw) is None


def test_labelled_data_come_first(tmp_path):
    folder = samples.write_results(
        tmp_path, street_a=samples.evaluation("a:val", "unmodified backbone", 5000)
    )
    results = read_results([folder])
    assert results.evaluations[0].data == "camvid:val"
    assert results.head.name == "segmentation"


def test_missing_kinds_come_with_their_commands(tmp_path):
    results = read_results([samples.write_results(tmp_path, link=None, network=None)])
    assert results.missing == {kind: COMMANDS[kind] for kind in ("link", "network")}


def test_other_files_of_a_folder_are_left_out_and_named(tmp_path):
    folder = samples.write_results(tmp_path)
    written(folder, {"a": 1}, "notes.json")
    assert read_results([folder]).ignored == ["notes.json"]


def test_a_file_that_was_asked_for_must_be_a_result(tmp_path):
    with pytest.raises(DataError, match=r"notes\.json holds no results"):
        read_results([written(tmp_path, {"a": 1}, "notes.json")])


@pytest.mark.parametrize("text", ["", "{", '{"heads": ', "\0"])
def test_broken_json_names_the_file(tmp_path, text):
    with pytest.raises(DataError, match=r"result\.json is not readable JSON"):
        read_results([written(tmp_path, text)])


def test_an_empty_folder_says_how_to_make_results(tmp_path):
    with pytest.raises(DataError, match="frankensplit evaluate"):
        read_results([tmp_path])


def test_a_missing_path_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere is not a file or folder"):
        read_results([tmp_path / "nowhere"])


def set_in(value, path, new):
    value = copy.deepcopy(value)
    place = value
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = new
    return value


HEAD = ("heads", "segmentation")


@pytest.mark.parametrize(
    ("path", "new", "said"),
    [
        ((*HEAD, "metric"), None, "metric = None"),
        ((*HEAD, "unmodified"), "57", "unmodified = '57'"),
        ((*HEAD, "unmodified"), float("nan"), "unmodified = nan"),
        ((*HEAD, "rows"), {}, "rows = "),
        ((*HEAD, "rows"), [], "no row of 'frankensplit'"),
        ((*HEAD, "rows", 3), 7, "row 3"),
        ((*HEAD, "rows", 3, "codec"), None, "codec = None"),
        ((*HEAD, "rows", 3, "bytes_per_frame"), 0, "bytes_per_frame = 0"),
        ((*HEAD, "rows", 3, "loss_points"), True, "loss_points = True"),
        ((*HEAD, "rows", 3, "ci95"), [1], "ci95 = "),
        ((*HEAD, "rows", 3, "ci95"), [1, None], "ci95 = "),
        ((*HEAD, "bytes_at_our_loss", "jpeg"), "x", "jpeg = 'x'"),
        (("heads",), {}, "has no heads"),
        (("machine",), [], "machine = "),
    ],
)
def test_wrong_fields_are_named_with_the_file(tmp_path, path, new, said):
    file = written(tmp_path, set_in(samples.evaluation(), path, new))
    with pytest.raises(DataError) as caught:
        read_results([file])
    assert said in str(caught.value)
    assert "result.json" in str(caught.value)


@pytest.mark.parametrize("make", [samples.link, samples.components, samples.network])
def test_wrong_numbers_of_benchmarks_are_named_with_the_file(tmp_path, make):
    file = written(tmp_path, set_in(make(), ("rows", 2, "bytes_per_frame"), "many"))
    with pytest.raises(DataError, match=r"result\.json: row 2 of the result has bytes_per_frame = 'many'"):
        read_results([file])


def test_our_best_level_is_ours_also_where_another_happens_to_lose_less(tmp_path):
    value = samples.evaluation()
    rows = value["heads"]["segmentation"]["rows"]
    rows.insert(0, rows[0] | {"quality": 1, "loss_points": -2.0, "bytes_per_frame": 2000.0})
    head = read_results([written(tmp_path, value)]).head
    assert (head.ours.quality, head.ours.bytes_per_frame) == ("0", samples.OUR_BYTES)


def test_a_skipped_network_run_is_a_result(tmp_path):
    value = samples.network() | {"kind": "bench network", "skipped": "not root", "rows": []}
    [network] = read_results([written(tmp_path, value)]).networks
    assert network.rows == []
