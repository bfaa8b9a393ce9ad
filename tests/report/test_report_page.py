# SPDX-License-Identifier: Apache-2.0
"""The page holds what was measured, names what was not, is well formed, loads nothing, and trusts no file."""

from __future__ import annotations

import base64
import copy
import io
import json
import re
from html.parser import HTMLParser

import pytest
import report_samples as samples
from PIL import Image

from frankensplit.cli import main
from frankensplit.report.numbers import points, size
from frankensplit.report.page import Plot, make_report, write_report
from frankensplit.report.read import COMMANDS, read_results

VOID = {"meta", "img", "source", "br", "link", "input", "hr"}
HOSTILE = '<script>alert("x")</script>&\'"$_{^'


class Page(HTMLParser):
    """Checks that tags are closed in order; collects text, tables' cells and what is loaded."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


def report_of(path):
    return make_report(read_results([path]), "no pictures wanted")


def few_links():
    """Latency over two links, which is quicker to draw."""
    value = samples.link()
    value["rows"] = [row for row in value["rows"] if row["link"] in ("BLE", "4G")]
    return value


@pytest.fixture
def undrawn(monkeypatch):
    """Leave the plots out, where only words and tables are looked at."""
    monkeypatch.setattr("frankensplit.report.page._plot", lambda make, alt: Plot(b"", alt, 1, 1))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A page of every kind of results, two evaluations among them."""
    clip = samples.evaluation("clip.mp4", "unmodified backbone", 90, heads=1)
    folder = tmp_path_factory.mktemp("whole")
    return report_of(samples.write_results(folder, street_highway_clip=clip, link=few_links()))


@pytest.fixture(scope="module")
def page(whole):
    return Page(whole.html)


def test_every_row_of_every_codec_is_in_the_page(page):
    cells = [text.strip() for text in page.texts]
    for value in (samples.evaluation(), samples.evaluation("x", "unmodified backbone", heads=1)):
        for head in value["heads"].values():
            for row in head["rows"]:
                for figure in (
                    f"{row['bytes_per_frame']:,.0f}",
                    points(row["value"]),
                    points(row["loss_points"]),
                    f"{points(row['ci95'][0])} to {points(row['ci95'][1])}",
                ):
                    assert figure in cells


def test_further_data_are_in_the_first_words(page):
    assert page.text.index("On clip.mp4 the packets of street take") < page.text.index(
        "Accuracy against bytes"
    )


def rows_of(page, label):
    """The cells of the table of this name, row by row."""
    html = page[page.index(f'aria-label="{label}"') :]
    rows = re.findall(r"<tr>(.*?)</tr>", html[: html.index("</table>")], re.DOTALL)
    return [re.sub(r"<[^>]+>", " ", re.sub(r"</t[hd]>", "|", row)) for row in rows]


def test_who_is_smaller_is_said_in_the_row(whole):
    rows = [[cell.strip() for cell in row.split("|")] for row in rows_of(whole.html, "Bytes at our loss")]
    by_name = {row[0]: row for row in rows}
    need = samples.evaluation()["heads"]["segmentation"]["bytes_at_our_loss"]
    assert by_name["JPEG"][1:4] == [f"{need['jpeg'] / 1000:.1f}", "0.23", "ours is smaller"]
    assert by_name["H.264 P"][1:4] == ["2.00", "2.34", "theirs is smaller"]
    assert "0.33 points lost" in by_name["frankensplit"][3]
    assert "0.10 to 0.59" in by_name["frankensplit"][3]


def test_a_rival_that_never_gets_there_is_said_so(tmp_path, undrawn):
    value = samples.evaluation(heads=1)
    value["heads"]["segmentation"]["bytes_at_our_loss"]["webp"] = None
    (tmp_path / "one.json").write_text(json.dumps(value))
    html = report_of(tmp_path).html
    [row] = [row for row in rows_of(html, "Bytes at our loss") if row.strip().startswith("WebP|")]
    most = max(
        row["bytes_per_frame"] for row in value["heads"]["segmentation"]["rows"] if row["codec"] == "webp"
    )
    cells = [cell.strip() for cell in row.split("|")]
    assert cells[1:4] == [f"&gt; {most / 1000:.1f}", f"&lt; {4666 / most:.2f}", "ours is smaller"]
    assert f"WebP > {most / 1000:.1f} kB" in Page(html).text


def test_a_sweep_that_ends_below_our_bytes_decides_nothing(tmp_path, undrawn):
    value = samples.evaluation(heads=1)
    head = value["heads"]["segmentation"]
    head["rows"] = [row for row in head["rows"] if row["codec"] != "webp" or row["bytes_per_frame"] < 4000]
    head["bytes_at_our_loss"]["webp"] = None
    (tmp_path / "one.json").write_text(json.dumps(value))
    [row] = [
        row
        for row in rows_of(report_of(tmp_path).html, "Bytes at our loss")
        if row.strip().startswith("WebP|")
    ]
    assert "its sweep ends" in row


def test_every_benchmark_is_in_the_page(page):
    for row in few_links()["rows"]:
        assert f"{row['frames_per_s']:.2f}" in page.text or f"{row['frames_per_s']:.1f}" in page.text
    for row in samples.components()["rows"]:
        assert size(row["bytes_per_frame"]) in page.text
    for row in samples.network()["rows"]:
        assert points(row["value_held"]) in page.text
    for words in ("141,696 / 2.06 M", "Made-up CPU", "0123456789ab"):
        assert words in page.text


def test_commands_and_reasons_are_in_the_page(page):
    for value in (
        samples.evaluation(),
        samples.link(),
        samples.components(),
        samples.network(),
        samples.check(),
    ):
        assert value["command"] in page.text
    assert "Factorized prior was not measured: no weights: give them with --weights." in page.text
    assert "No rate_hz in labels.json: taken as 15 frames a second." in page.text
    assert "no pictures wanted" in page.text


@pytest.mark.parametrize("kept", ["street_camvid_val", "link"])
def test_missing_results_are_named_with_their_command(tmp_path, kept, undrawn):
    names = ("street_camvid_val", "street_highway_clip", "components", "link", "network", "bench")
    small = {"street_camvid_val": samples.evaluation(heads=1), "link": few_links()}
    folder = samples.write_results(
        tmp_path, **{name: small[name] if name == kept else None for name in names}
    )
    text = Page(report_of(folder).html).text
    for kind in {"evaluate", "components", "link", "network", "check"} - {"evaluate", "link"}:
        assert COMMANDS[kind] in text
    assert (COMMANDS["evaluate"] in text) == (kept == "link")
    assert (COMMANDS["link"] in text) == (kept != "link")


def test_a_skipped_network_run_says_why(tmp_path, undrawn):
    value = samples.network() | {"kind": "bench network", "skipped": "needs root", "rows": []}
    (tmp_path / "network.json").write_text(json.dumps(value))
    text = Page(report_of(tmp_path).html).text
    assert f"Skipped where it was measured: needs root. Make it with {COMMANDS['network']}" in text


def test_the_page_loads_nothing(whole, page):
    for tag, attributes in page.tags:
        for name in ("src", "srcset", "href", "data", "poster"):
            address = attributes.get(name)
            assert address is None or address.startswith(("data:image/", "#")), (tag, name, address[:60])
        assert tag not in ("script", "iframe", "object", "embed", "link")
        assert not any(name.startswith("on") for name in attributes)
    style = whole.html[whole.html.index("<style>") : whole.html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


def test_the_page_is_small_enough(whole):
    assert len(whole.html) < 3_000_000


def test_every_plot_is_in_the_page(page):
    images = [a["src"] for tag, a in page.tags if tag == "img"]
    pictures = [Image.open(io.BytesIO(base64.b64decode(src.partition("base64,")[2]))) for src in images]
    assert len(pictures) == 1 + 4 + 1 + 1  # headline, heads, links, network
    assert {picture.convert("RGB").getpixel((0, 0)) for picture in pictures} == {(255, 255, 255)}


def test_pictures_have_alternative_texts_and_sizes(page):
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert images
    for attributes in images:
        assert len(attributes["alt"]) > 40
        assert int(attributes["width"]) > 0
        assert int(attributes["height"]) > 0


def test_links_within_the_page_lead_somewhere(page):
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    targets = {attributes["href"][1:] for tag, attributes in page.tags if tag == "a"}
    assert targets
    assert targets <= ids


def hostile(value):
    """The same result with a hostile text wherever a text is shown."""
    value = copy.deepcopy(value)
    value |= {"bundle": HOSTILE, "data": HOSTILE, "command": HOSTILE, "commit": HOSTILE}
    value |= {"machine": {"processor": HOSTILE}, "not_measured": {HOSTILE: HOSTILE}, "notes": [HOSTILE]}
    for row in value.get("rows", []):
        row["codec"] = HOSTILE if row["codec"] == "jpeg" else row["codec"]
        row["quality"] = HOSTILE
        row |= {"link": HOSTILE} if row.get("link") == "BLE" else {}
    for head in value.get("heads", {}).values():
        head["metric"] = HOSTILE
        head["bytes_at_our_loss"][HOSTILE] = head["bytes_at_our_loss"].pop("jpeg")
        for row in head["rows"]:
            row["codec"] = HOSTILE if row["codec"] == "jpeg" else row["codec"]
    if "heads" in value:
        value["heads"] = {HOSTILE + "/../" + name: head for name, head in value["heads"].items()}
    return value


def test_hostile_texts_stay_texts(tmp_path):
    folder = samples.write_results(
        tmp_path,
        street_camvid_val=hostile(samples.evaluation(heads=1)),
        street_highway_clip=None,
        link=hostile(few_links()),
        components=hostile(samples.components()),
        network=hostile(samples.network()) | {"metric": HOSTILE},
    )
    report = report_of(folder)
    page = Page(report.html)
    assert "<script" not in report.html
    assert 'alert("x")' in page.text
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+", name) for name in report.files)
    written = write_report(report, tmp_path / "out")
    assert {path.parent for path in written} == {tmp_path / "out"}


def test_the_page_is_the_same_each_time(tmp_path):
    (tmp_path / "one.json").write_text(json.dumps(samples.evaluation(heads=1)))
    first, second = report_of(tmp_path), report_of(tmp_path)
    assert first.html == second.html
    assert first.files == second.files


def test_results_without_intervals_make_a_page(tmp_path):
    """As evaluations were written before intervals and bounds were measured."""
    value = samples.evaluation(heads=1)
    for key in ("rate_hz", "bootstrap", "skipped", "not_measured", "notes"):
        del value[key]
    for head in value["heads"].values():
        for key in ("truth", "bd_rate_percent", "bd_rate_over_jpeg_percent", "prediction_bytes"):
            del head[key]
        for row in head["rows"]:
            del row["ci95"]
    (tmp_path / "old.json").write_text(json.dumps(value))
    text = Page(report_of(tmp_path).html).text
    assert "Without intervals: they were not measured." in text
    assert "lower bound" not in text


def test_committed_results_make_a_page(repository):
    folder = repository / "docs" / "results"
    results = read_results([folder])
    page = Page(make_report(results, "").html)
    for one in results.evaluations:
        assert all(head.metric in page.text for head in one.heads.values())


def test_the_command_writes_page_plots_and_json(tmp_path, capsys):
    folder = samples.write_results(tmp_path / "in", street_highway_clip=None, link=few_links(), network=None)
    out, result = tmp_path / "out", tmp_path / "report.json"
    arguments = ["--results", str(folder), "--out", str(out), "--pictures", "none", "--json", str(result)]
    assert main(["report", *arguments]) == 0
    names = {"report.html", "headline.png"}
    names |= {f"street-camvid-val-{head}.png" for head in ("segmentation", "presence", "detections")}
    assert {path.name for path in out.iterdir()} == names
    written = json.loads(result.read_text())
    assert {path.rpartition("/")[2] for path in written["files"]} == names
    assert written["missing"] == {"network": COMMANDS["network"]}
    assert COMMANDS["network"] in capsys.readouterr().err


def test_the_command_goes_on_without_pictures(tmp_path, undrawn):
    names = ("street_camvid_val", "street_highway_clip", "link", "network")
    folder = samples.write_results(tmp_path / "in", **dict.fromkeys(names))
    arguments = ["--results", str(folder), "--out", str(tmp_path), "--pictures", str(tmp_path / "nothing")]
    assert main(["report", *arguments]) == 0
    text = Page((tmp_path / "report.html").read_text()).text
    assert "No pictures of" in text
    assert "--data-root" in text


def test_the_command_names_a_broken_file(tmp_path, capsys):
    (tmp_path / "broken.json").write_text("{")
    assert main(["report", "--results", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "broken.json" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
