# SPDX-License-Identifier: Apache-2.0
"""Plots draw what they are given, in colours that stay what they are."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import report_samples as samples
from matplotlib.colors import to_rgb
from PIL import Image

from frankensplit.report.codecs import LOOKS, in_order, look_of
from frankensplit.report.curves import accuracy_figure, loss_figure, most_lost, outside
from frankensplit.report.numbers import MINUS, NONE, count, digits, duration, interval, percent, points, size
from frankensplit.report.plots import GROUND, png, styled
from frankensplit.report.read import read_results
from frankensplit.report.speed import link_figure, network_figure


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return read_results([samples.write_results(tmp_path_factory.mktemp("results"))])


def drawn(make):
    with styled():
        figure = make()
        return figure, np.asarray(Image.open(io.BytesIO(png(figure))).convert("RGB"))


def holds(pixels, colour):
    return bool((pixels == np.rint(255 * np.array(to_rgb(colour)))).all(axis=2).sum() > 20)


def test_hues_of_short_and_long_curves_are_in_the_picture(results):
    _, pixels = drawn(lambda: accuracy_figure(results.head))
    assert holds(pixels, GROUND)
    for codec in ("frankensplit", "jpeg", "webp", "h264-p", "h265-p", "jxl"):
        assert holds(pixels, look_of(codec).hue)


def test_curves_hold_the_measured_points(results):
    figure, _ = drawn(lambda: loss_figure(results.head, 15.0))
    axes = figure.axes[0]
    drawn_points = {tuple(point) for line in axes.get_lines() for point in np.transpose(line.get_data())}
    for row in results.head.rows:
        assert (row.bytes_per_frame, row.loss_points) in drawn_points
    assert axes.get_ylim()[1] == 10
    assert axes.get_xscale() == "log"


def test_intervals_are_drawn(results):
    figure, _ = drawn(lambda: accuracy_figure(results.head))
    head = results.head
    bars = {
        tuple(np.round(bar, 6).ravel())
        for group in figure.axes[0].collections
        for bar in group.get_segments()
    }
    for row in head.rows:
        low, high = head.unmodified - row.ci95[1], head.unmodified - row.ci95[0]
        assert tuple(np.round((row.bytes_per_frame, low, row.bytes_per_frame, high), 6)) in bars


def test_families_have_line_styles_of_their_own():
    dashes = {name: LOOKS[f"h264-{name}"].family.dashes for name in ("intra", "gop10", "p")}
    assert len({LOOKS["jpeg"].family.dashes, *dashes.values()}) == 4


def test_settings_outside_are_counted(results):
    rows = results.head.rows
    assert outside(results.head) == sum(row.loss_points > 10 or row.loss_points < -1 for row in rows) > 0


def test_a_large_loss_of_ours_stays_in_the_picture(tmp_path):
    value = samples.evaluation()
    for row in value["heads"]["segmentation"]["rows"]:
        if row["codec"] == "frankensplit":
            row["loss_points"], row["value"] = 32.4, value["heads"]["segmentation"]["unmodified"] - 32.4
    (tmp_path / "far.json").write_text(json.dumps(value))
    head = read_results([tmp_path / "far.json"]).head
    assert most_lost(head) == 49
    with styled():
        low, high = accuracy_figure(head).axes[0].get_ylim()
    assert low < head.ours.value < high


def test_bars_add_up_to_the_total(results):
    link = results.links[0]
    figure, _ = drawn(lambda: link_figure(link))
    [panel] = [axes for axes in figure.axes if axes.get_title(loc="left").startswith("4G")]
    rows = sorted((row for row in link.rows if row["link"] == "4G"), key=lambda row: row["bytes_per_frame"])
    assert [label.get_text() for label in panel.get_yticklabels()] == [
        look_of(r["codec"]).title for r in rows
    ]
    ends = {}
    for bar in panel.patches:
        middle = round(bar.get_y() + bar.get_height() / 2)
        ends[middle] = max(ends.get(middle, 0), bar.get_x() + bar.get_width())
    assert [ends[i] for i in range(len(rows))] == pytest.approx([row["total_ms"] for row in rows])


def test_streams_over_lost_packets(results):
    network = results.networks[0]
    figure, _ = drawn(lambda: network_figure(network))
    rates = [list(line.get_ydata()) for line in figure.axes[0].get_lines() if len(line.get_ydata()) == 5]
    ours = [row["delivered_fps"] for row in network.rows if row["codec"] == "frankensplit"]
    assert ours in rates
    assert len(rates) == 6


def test_formulas_in_names_are_not_set(results):
    row = results.head.rows[5]
    object.__setattr__(row, "codec", "$\\frac{")
    try:
        drawn(lambda: loss_figure(results.head, None))
    finally:
        object.__setattr__(row, "codec", "jpeg")


def test_order_is_by_family_and_unknown_codecs_are_last():
    assert in_order(["new", "h264-p", "png", "h264-intra", "frankensplit", "jpeg"]) == [
        "frankensplit",
        "jpeg",
        "png",
        "h264-intra",
        "h264-p",
        "new",
    ]
    assert look_of("new").title == "new"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (size(None), NONE),
        (size(61.2), "61 B"),
        (size(999.7), "1.00 kB"),
        (size(4666), "4.67 kB"),
        (size(22_227), "22.2 kB"),
        (size(268_000), "268 kB"),
        (points(-0.154), f"{MINUS}0.15"),
        (interval((-0.1, 0.6)), f"{MINUS}0.10 to 0.60"),
        (interval(None), ""),
        (duration(0.5), "0.50 ms"),
        (duration(44_700), "44.7 s"),
        (count(141_696), "141,696"),
        (count(3_505_000), "3.50 M"),
        (count(31e9), "31.0 G"),
        (percent(-55.2), f"{MINUS}55 %"),
        (digits(9.996), "10.0"),
        (digits(99.96), "100"),
    ],
)
def test_numbers(text, expected):
    assert text == expected
