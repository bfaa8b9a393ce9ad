# SPDX-License-Identifier: Apache-2.0
"""Files of a bundle that are not plain files, declare more than they hold, or hold more than anybody needs."""

from __future__ import annotations

import io
import json
import os
import tracemalloc
import zipfile

import numpy as np
import pytest
from hostile_bundles import replace_file, write_bundle
from tiny_codec import write_codec

from frankensplit.bundle import Bundle, Codec, find_bundle
from frankensplit.codec.context import Contexts
from frankensplit.codec.tables import Tables
from frankensplit.errors import BundleError, FrankensplitError, TablesError, shown
from frankensplit.reading import check_safetensors, parse_json, read_bytes, read_json

FEW = 8 << 20  # bytes that refusing may take
SHAPE = b"{'descr': '<i4', 'fortran_order': False, 'shape': (%s,), }"


def npy(header: bytes, data: bytes = b"") -> bytes:
    text = header.ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


def archive(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def saved(array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


SMALL = {name: saved(np.zeros((2,), np.int32)) for name in ("cdf", "sizes", "offsets")}


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_not_a_file_is_refused_at_once(tmp_path, kind):
    path = tmp_path / "file"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    with pytest.raises(BundleError, match=r"cannot read .*file"):
        read_bytes(path, 1000)


@pytest.mark.parametrize("name", ["codec.json", "tables.npz", "encoder.onnx", "precisions.json"])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_codec_of_pipes_and_devices_is_refused(tmp_path, name, kind):
    folder = write_codec(tmp_path / "codec")
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name) if kind == "pipe" else (folder / name).symlink_to("/dev/zero")
    with pytest.raises(BundleError, match="not a regular file"):
        Codec.open(folder)


@pytest.mark.parametrize(
    "name", ["a\0b", "a" * 5000, "/" + "a/" * 5000, "~nobody-of-this-name/x", "", "\x1b[2J"]
)
@pytest.mark.parametrize("take", [find_bundle, Codec.open, Bundle.open])
def test_names_that_no_file_can_have(take, name):
    with pytest.raises(BundleError) as caught:
        take(name)
    assert len(str(caught.value)) < 2000 and str(caught.value).isprintable()


def test_files_have_a_limit(tmp_path):
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a hole: it takes no space
    tracemalloc.start()
    with pytest.raises(BundleError, match="1099511627776 bytes, expected at most 1000"):
        read_bytes(path, 1000)
    folder = write_codec(tmp_path / "codec")
    for name in ("codec.json", "precisions.json", "tables.npz"):
        content = (folder / name).read_bytes() if (folder / name).exists() else None
        os.truncate(folder / name, 1 << 40) if content else path.rename(folder / name)
        with pytest.raises(FrankensplitError, match="expected at most"):
            Codec.open(folder)
        (folder / name).unlink()
        if content:
            (folder / name).write_bytes(content)
    assert tracemalloc.get_traced_memory()[1] < FEW
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": ' * 40 + "1" + "}" * 40, "levels deep"),
        ("[" * 100_000, "JSON"),
        ('{"a": ' * 100_000, "JSON"),
        ('{"a": NaN}', "finite"),
        ('{"a": -Infinity}', "finite"),
        ('{"a": 1e999}', "finite"),
        ('{"a": ' + "9" * 3000 + "}", "3000 digits"),
        ('{"a": 1, "a": 2}', "twice"),
        ("[1]", "expected an object"),
        ("\ufeff{}", "JSON"),
    ],
)
def test_json_that_parsers_read_in_several_ways_or_not_at_all(text, said):
    with pytest.raises(BundleError, match=said):
        parse_json(text.encode(), "it")


def test_json_has_a_limit(tmp_path):
    (tmp_path / "x.json").write_text(json.dumps({"a": "b" * (9 << 20)}))
    with pytest.raises(BundleError, match="expected at most 8388608"):
        read_json(tmp_path / "x.json")
    (tmp_path / "x.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(BundleError, match="JSON"):
        read_json(tmp_path / "x.json")


def test_shown_cuts_and_obeys_nothing():
    assert len(shown("a" * 1000)) <= 160 and "\x1b" not in shown("\x1b]0;x\x07")


@pytest.mark.parametrize(
    "data",
    [
        archive({**SMALL, "cdf": npy(SHAPE % b"700000000", bytes(4 << 20))}, zipfile.ZIP_DEFLATED),
        archive({**SMALL, "cdf": npy(SHAPE % b"700000000")}),
        archive({**SMALL, "cdf": npy(SHAPE % b"-1")}),
        archive({**SMALL, "cdf": npy(SHAPE.replace(b"<i4", b"|O") % b"2", bytes(16))}),
        archive({**SMALL, "cdf": saved(np.zeros(2, np.float64))}),
        archive({**SMALL, "cdf": npy(b"(" * 100)}),
        archive({**SMALL, "cdf": b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535}),
        archive({**SMALL, "more": SMALL["cdf"]}),
        archive({"cdf": SMALL["cdf"]}),
        archive(SMALL) + bytes(17 << 20),
    ],
    ids=["bomb", "declared", "negative", "pickle", "type", "header", "long header", "more", "fewer", "large"],
)
def test_tables_that_declare_what_they_do_not_hold(tmp_path, data):
    folder = write_codec(tmp_path / "codec")
    replace_file(folder, "tables.npz", "tables_sha256", data)
    tracemalloc.start()
    with pytest.raises(TablesError, match=r"tables\.npz"):
        Codec.open(folder)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < FEW
    for kind in (Tables, Contexts):
        with pytest.raises(TablesError):
            kind.load(folder / "tables.npz")


def test_tables_of_a_wrong_shape_are_refused_at_opening(tmp_path):
    folder = write_codec(tmp_path / "codec")
    for shape in ((), (0,), (0, 0), (2, 2, 2), (1, 3)):
        members = {**SMALL, "cdf": saved(np.zeros(shape, np.int32))}
        replace_file(folder, "tables.npz", "tables_sha256", archive(members))
        with pytest.raises(TablesError):
            Codec.open(folder)


def test_a_codec_has_a_limit(tmp_path, monkeypatch):
    folder = write_codec(tmp_path / "codec")
    monkeypatch.setattr("frankensplit.bundle.MAX_CODEC_BYTES", 3000)
    with pytest.raises(BundleError, match="bytes, expected at most 3000"):
        Codec.open(folder)


@pytest.mark.parametrize("header", [0, 1, 3, 100_000_000, (1 << 63) - 1, (1 << 64) - 1])
def test_headers_of_weights_lie_in_the_file(tmp_path, header):
    (tmp_path / "w").write_bytes(header.to_bytes(8, "little") + b"{}")
    with pytest.raises(BundleError, match="header"):
        check_safetensors(tmp_path / "w", 1 << 30)


def test_a_bundle_whose_files_are_too_many_is_refused(tmp_path):
    folder = write_bundle(tmp_path / "toy")
    for number in range(1001):
        (folder / f"{number}").touch()
    with pytest.raises(BundleError, match="more than 1000 files"):
        Bundle.open(folder)
