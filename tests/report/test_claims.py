# SPDX-License-Identifier: Apache-2.0
"""Verdicts follow the data: each claim is planted true, false and undecidable."""

from __future__ import annotations

import copy

import pytest
import report_samples as samples

from frankensplit.report.claims import AIMS, CLAIMS, judged
from frankensplit.report.read import read_results

CONFIRMED, REFUTED, OUT = "confirmed", "refuted", "out of reach"


def finding(tmp_path, words, **replaced):
    """The one claim or aim whose statement holds these words."""
    results = read_results([samples.write_results(tmp_path, street_highway_clip=None, **replaced)])
    [one] = [one for one in judged([*CLAIMS, *AIMS], results) if words in one["statement"]]
    return one


def with_our_row(**fields):
    value = samples.evaluation()
    value["heads"]["segmentation"]["rows"][0].update(fields)
    return value


def with_curve(codec, *points, ours=(samples.OUR_BYTES, samples.OUR_LOSS)):
    """An evaluation with one setting of ours and one rival: (bytes, loss) each."""
    value = samples.evaluation()
    head = value["heads"]["segmentation"]
    first = head["rows"][0]

    def row(name, quality, payload_bytes, loss):
        made = {"codec": name, "quality": quality, "bytes_per_frame": payload_bytes, "loss_points": loss}
        return {**first, **made, "value": 57.24 - loss}

    rows = [row(codec, number, *point) for number, point in enumerate(points)]
    head["rows"] = [row("frankensplit", 0, *ours), *rows]
    value["heads"] = {"segmentation": head}
    return value


@pytest.mark.parametrize(
    ("loss", "interval", "bpp", "verdict"),
    [
        (0.2, [0.1, 0.3], 0.2, CONFIRMED),
        (0.2, [0.1, 0.5], 0.2, OUT),
        (0.9, [0.5, 1.2], 0.2, REFUTED),
        (0.2, [0.1, 0.3], 1.9, OUT),
        (0.2, None, 0.2, CONFIRMED),
        (0.5, None, 0.2, REFUTED),
    ],
)
def test_lossless_rate(tmp_path, loss, interval, bpp, verdict):
    value = with_our_row(loss_points=loss, ci95=interval, bpp=bpp)
    assert finding(tmp_path, "as good as without", street_camvid_val=value)["verdict"] == verdict


@pytest.mark.parametrize(
    ("points", "verdict"),
    [
        ([(17_000.0, 2.0), (19_000.0, 0.2)], CONFIRMED),  # 18.8 kB by interpolation: 4.03 times ours
        ([(15_000.0, 2.0), (17_000.0, 0.2)], REFUTED),
        ([(20_000.0, 2.0), (22_000.0, 1.0)], CONFIRMED),  # never so good, and beyond four times ours already
        ([(10_000.0, 2.0), (12_000.0, 1.0)], OUT),  # the sweep ends too early
        ([(20_000.0, 0.05)], OUT),  # ... or begins too late
        ([(20_000.0, 0.3)], CONFIRMED),
    ],
)
def test_bytes_at_a_loss(tmp_path, points, verdict):
    value = with_curve("jpeg", *points)
    found = finding(tmp_path, "A quarter of JPEG", street_camvid_val=value)
    assert found["verdict"] == verdict


def test_ours_must_reach_the_loss_itself(tmp_path):
    value = with_curve("jpeg", (19_000.0, 2.0), (21_000.0, 0.2), ours=(4000.0, 0.9))
    assert finding(tmp_path, "A quarter of JPEG", street_camvid_val=value)["verdict"] != CONFIRMED


def test_a_smaller_setting_of_ours_counts_at_a_larger_loss(tmp_path):
    value = with_curve("fp", (20_000.0, 6.0), (24_000.0, 4.0))
    found = finding(tmp_path, "7x smaller than Balle-FP", street_camvid_val=value)
    assert (found["verdict"], found["measured"][:14]) == (OUT, "at least 4.70x")
    value = with_curve("fp", (40_000.0, 6.0), (44_000.0, 4.0))
    assert finding(tmp_path, "7x smaller than Balle-FP", street_camvid_val=value)["verdict"] == CONFIRMED


def test_what_was_not_measured_keeps_its_reason(tmp_path):
    found = finding(tmp_path, "7x smaller than Balle-FP")
    assert found["verdict"] == OUT
    assert "no weights: give them with --weights" in found["why"]


def changed(value, codec, **fields):
    value = copy.deepcopy(value)
    for row in value["rows"]:
        if row["codec"] == codec:
            row.update(fields)
    return value


@pytest.mark.parametrize(
    ("words", "codec", "fields", "verdict"),
    [
        ("about 140,000 parameters", "frankensplit", {"encoder_parameters": 141_696}, CONFIRMED),
        ("about 140,000 parameters", "frankensplit", {"encoder_parameters": 234_768}, REFUTED),
        ("about 140,000 parameters", "frankensplit", {"encoder_parameters": None}, OUT),
        ("260x fewer", "frankensplit", {"encoder_parameters": 141_696}, CONFIRMED),
        ("260x fewer", "frankensplit", {"encoder_parameters": 160_000}, REFUTED),
        ("25x smaller", "fp", {"encoder_parameters": 3_510_000}, CONFIRMED),
        ("25x smaller", "fp", {"encoder_parameters": 1_500_000}, REFUTED),
        ("9.3x faster", "fp", {"encode_ms": 186.0, "entropy_encode_ms": 1.0}, CONFIRMED),
        ("9.3x faster", "fp", {"encode_ms": 100.0, "entropy_encode_ms": 1.0}, REFUTED),
        ("742x faster", "cheng", {"encode_ms": 15_000.0}, CONFIRMED),
        (
            "without entropy coding",
            "frankensplit",
            {"entropy_encode_ms": 1.0, "entropy_decode_ms": 1.0},
            CONFIRMED,
        ),
        (
            "without entropy coding",
            "frankensplit",
            {"entropy_encode_ms": 9.0, "entropy_decode_ms": 1.0},
            REFUTED,
        ),
    ],
)
def test_components(tmp_path, words, codec, fields, verdict):
    value = changed(samples.components(), codec, **fields)
    assert finding(tmp_path, words, components=value)["verdict"] == verdict


@pytest.mark.parametrize(("parameters", "verdict"), [(100e6, CONFIRMED), (20e6, OUT), (None, OUT)])
def test_overhead_is_of_the_backbone(tmp_path, parameters, verdict):
    value = samples.components() | {"backbone": {"parameters": parameters, "macs": 1}}
    assert finding(tmp_path, "Decoder overhead", components=value)["verdict"] == verdict


@pytest.mark.parametrize(("ratio", "verdict"), [(0.9, CONFIRMED), (1.04, CONFIRMED), (1.2, REFUTED)])
def test_blueprint_against_the_layers_it_replaces(tmp_path, ratio, verdict):
    value = samples.check()
    value["figures"]["time_blueprint_over_shallow_layers"]["value"] = ratio
    assert finding(tmp_path, "The blueprint takes", bench=value)["verdict"] == verdict


@pytest.mark.parametrize(("tail_ms", "verdict"), [(40.0, CONFIRMED), (30.0, REFUTED)])
def test_blueprint_and_tail_against_the_backbone(tmp_path, tail_ms, verdict):
    value = changed(samples.components(), "jpeg", tail_ms=tail_ms)  # ours: 24 + 14
    found = finding(tmp_path, "The blueprint takes", components=value, bench=None)
    assert found["verdict"] == verdict


@pytest.mark.parametrize(
    ("total_ms", "verdict"), [(16 * 218.0, CONFIRMED), (14 * 218.0, REFUTED), (None, OUT)]
)
def test_links(tmp_path, total_ms, verdict):
    value = samples.link()
    for row in value["rows"]:
        if row["link"] == "BLE" and row["codec"] == "png":
            row["total_ms"] = total_ms
    ours = next(r for r in value["rows"] if r["link"] == "BLE" and r["codec"] == "frankensplit")
    ours["total_ms"] = 218.0
    assert finding(tmp_path, "than PNG over BLE", link=value)["verdict"] == verdict


def test_a_link_is_known_by_its_rate(tmp_path):
    value = samples.link()
    value["links"] = [link for link in value["links"] if link["mbit_s"] != 0.27]
    found = finding(tmp_path, "than PNG over BLE", link=value)
    assert (found["verdict"], found["why"]) == (OUT, "no link of 0.27 Mbit/s among those measured")


def test_every_claim_has_a_verdict_and_each_doubt_a_reason(tmp_path):
    folder = samples.write_results(tmp_path)
    for files in (None, [folder / "link.json"], [folder / "street-camvid-val.json"]):
        for one in judged([*CLAIMS, *AIMS], read_results(files or [folder])):
            assert one["verdict"] in (CONFIRMED, REFUTED, OUT)
            assert one["measured"]
            assert one["why"] or one["verdict"] != OUT
