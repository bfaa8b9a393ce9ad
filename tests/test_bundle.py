# SPDX-License-Identifier: Apache-2.0
"""Bundles and codecs: found by name or path, refused when changed, and their packets refused by others."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys

import numpy as np
import pytest
from tiny_codec import CHANNELS, open_codec, write_codec

from frankensplit.bundle import Bundle, Codec, find_bundle, level_file, sha256_of, write_manifest
from frankensplit.codec import Tables
from frankensplit.errors import BundleError, PacketError, SymbolError
from frankensplit.training.export.contexts import fit_contexts

SYMBOLS = np.random.default_rng(0).integers(0, 128, (3, 48, 60), np.int32)


def test_pack_and_unpack(tmp_path):
    codec = open_codec(tmp_path / "codec")
    data = codec.pack(SYMBOLS, 360, 480)
    symbols, packet = codec.unpack(data)
    assert np.array_equal(symbols, SYMBOLS)
    assert (packet.source_height, packet.source_width, packet.codec_id) == (360, 480, codec.id)


def test_robot_needs_the_codec_folder_only(tmp_path):
    write_codec(tmp_path / "bundle" / "codec")
    assert Codec.open(tmp_path / "bundle").id == Codec.open(tmp_path / "bundle" / "codec").id


def test_packet_of_another_codec_is_refused(tmp_path):
    first = open_codec(tmp_path / "first")
    manifest = json.loads((tmp_path / "first" / "codec.json").read_text())
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    (tmp_path / "second" / "codec.json").write_text(json.dumps(manifest | {"encoder": "other"}))
    second = Codec.open(tmp_path / "second")
    with pytest.raises(PacketError, match=first.id_hex):
        second.unpack(first.pack(SYMBOLS, 360, 480))


def test_codec_id_does_not_depend_on_how_the_manifest_is_written(tmp_path):
    codec = open_codec(tmp_path / "codec")
    path = tmp_path / "codec" / "codec.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(manifest.items())), indent=4))
    assert Codec.open(tmp_path / "codec").id == codec.id


@pytest.mark.parametrize("size", [(360, 640), (4000, 3), (1, 1)])
def test_latent_that_does_not_belong_to_the_image_is_refused(tmp_path, size):
    codec = open_codec(tmp_path / "codec")
    with pytest.raises(SymbolError, match="coded as"):
        codec.pack(SYMBOLS, *size)


def test_declared_source_must_fit_the_latent(tmp_path):
    codec = open_codec(tmp_path / "codec")
    small = np.zeros(codec.latent_shape(100, 480), np.int32)
    data = bytearray(codec.pack(small, 100, 480))
    _, packet = codec.unpack(bytes(data))
    forged = type(packet)(0, codec.id, 360, 480, packet.shape, packet.payload)
    with pytest.raises(PacketError, match="coded as"):
        codec.unpack(forged.to_bytes())


def test_source_too_large_for_results_is_refused(tmp_path):
    codec = open_codec(tmp_path / "codec")
    shape = codec.latent_shape(65535, 65535)
    with pytest.raises(SymbolError, match="65535x65535"):
        codec.pack(np.zeros(shape, np.int32), 65535, 65535)
    _, packet = codec.unpack(codec.pack(np.zeros(codec.latent_shape(100, 100), np.int32), 100, 100))
    forged = type(packet)(0, codec.id, 65535, 65535, packet.shape, packet.payload)
    with pytest.raises(PacketError, match="do not trust its sender"):
        codec.unpack(forged.to_bytes())


@pytest.mark.parametrize("name", ["encoder.onnx", "tables.npz"])
def test_changed_file_is_named(tmp_path, name):
    write_codec(tmp_path / "codec")
    with (tmp_path / "codec" / name).open("ab") as file:
        file.write(b"x")
    with pytest.raises(BundleError, match=name):
        Codec.open(tmp_path / "codec")


@pytest.mark.parametrize(
    "change",
    [{"format": "frankensplit/9"}, {"channels": 0}, {"stride": "8"}, {"surprise": 1}, {"multiple": 12}],
)
def test_wrong_codec_manifest_is_refused(tmp_path, change):
    path = write_codec(tmp_path / "codec") / "codec.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BundleError):
        Codec.open(tmp_path / "codec")


@pytest.mark.parametrize(
    "levels",
    [
        {},
        [{"step": 2.0}],
        [{"step": 0, "tables_sha256": ""}],
        [{"step": -1.5, "tables_sha256": ""}],
        [{"step": float("inf"), "tables_sha256": ""}],
        [{"step": "2", "tables_sha256": ""}],
        [{"step": True, "tables_sha256": ""}],
        [{"step": 2, "tables_sha256": "", "surprise": 1}],
        [{"step": 2, "tables_sha256": "0" * 64}],
        ["tables"],
        [{"step": 2, "tables_sha256": ""}] * 256,
    ],
)
def test_wrong_levels_are_refused(tmp_path, levels):
    path = write_codec(tmp_path / "codec") / "codec.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"levels": levels}))
    with pytest.raises(BundleError, match=r"level|tables\.1\.npz"):
        Codec.open(tmp_path / "codec")


def add_contexts(folder, frames, level=0):
    """Give a level of a codec contexts, fitted to frames."""
    manifest = json.loads((folder / "codec.json").read_text())
    fit_contexts(frames).save(folder / level_file("contexts", level))
    entry = manifest["levels"][level - 1] if level else manifest
    entry["contexts_sha256"] = sha256_of(folder / level_file("contexts", level))
    (folder / "codec.json").write_text(json.dumps(manifest))


def test_packets_are_context_coded_where_that_is_smaller(tmp_path):
    old = open_codec(tmp_path / "codec")
    add_level(tmp_path / "codec", 2)
    smooth = np.tile(np.arange(48, dtype=np.int32)[:, None] // 16, (3, 1, 60))
    for level in (0, 1):
        add_contexts(tmp_path / "codec", [smooth], level)
    codec = Codec.open(tmp_path / "codec")
    assert old.levels[0].contexts is None
    assert codec.id != old.id
    for level in (0, 1):
        for symbols, in_context in [(smooth, True), (SYMBOLS, False)]:
            data = codec.pack(symbols, 360, 480, level)
            found, packet = codec.unpack(data)
            assert np.array_equal(found, symbols)
            assert (packet.context_coded, packet.level) == (in_context, level)
    assert len(codec.pack(smooth, 360, 480)) < len(old.pack(smooth, 360, 480)) / 2


def test_a_context_coded_packet_of_a_codec_without_contexts_is_refused(tmp_path):
    codec = open_codec(tmp_path / "codec")
    _, packet = codec.unpack(codec.pack(SYMBOLS, 360, 480))
    forged = dataclasses.replace(packet, context_coded=True)
    with pytest.raises(PacketError, match=rf"but level 0 of codec {codec.id_hex} has no contexts"):
        codec.unpack(forged.to_bytes())


def test_contexts_are_checked(tmp_path):
    folder = write_codec(tmp_path / "codec")
    add_contexts(folder, [SYMBOLS])
    (folder / "contexts.npz").unlink()
    with pytest.raises(BundleError, match=r"contexts\.npz is missing"):
        Codec.open(folder)
    add_contexts(folder, [SYMBOLS[:2]])
    with pytest.raises(BundleError, match=r"contexts\.npz has 2 channels, codec.json says 3"):
        Codec.open(folder)


def add_level(folder, step, widest=40):
    """Give a codec one more level, whose tables differ from the others'."""
    manifest = json.loads((folder / "codec.json").read_text())
    levels = manifest.get("levels", [])
    file = folder / level_file("tables", len(levels) + 1)
    Tables.from_counts([(0, np.ones(widest))] * CHANNELS).save(file)
    manifest["levels"] = [*levels, {"step": step, "tables_sha256": sha256_of(file)}]
    (folder / "codec.json").write_text(json.dumps(manifest))


def test_levels_have_a_step_and_tables_each(tmp_path):
    old = open_codec(tmp_path / "codec")
    add_level(tmp_path / "codec", 2)
    add_level(tmp_path / "codec", 3.5, widest=20)
    codec = Codec.open(tmp_path / "codec")
    assert [level.step for level in codec.levels] == [1.0, 2.0, 3.5]
    assert codec.tables is codec.levels[0].tables
    assert codec.id != old.id
    for level in range(3):
        symbols, packet = codec.unpack(codec.pack(SYMBOLS, 360, 480, level))
        assert np.array_equal(symbols, SYMBOLS)
        assert packet.level == level


def test_a_level_that_the_codec_does_not_have_is_refused(tmp_path):
    old = open_codec(tmp_path / "codec")
    with pytest.raises(SymbolError, match=rf"level 1: codec {old.id_hex} has level 0"):
        old.pack(SYMBOLS, 360, 480, level=1)
    add_level(tmp_path / "codec", 2)
    codec = Codec.open(tmp_path / "codec")
    _, packet = codec.unpack(codec.pack(SYMBOLS, 360, 480, level=1))
    with pytest.raises(PacketError, match=rf"level 2: codec {codec.id_hex} has levels 0 to 1"):
        codec.unpack(dataclasses.replace(packet, level=2).to_bytes())
    with pytest.raises(SymbolError, match="level -1"):
        codec.pack(SYMBOLS, 360, 480, level=-1)


def test_the_tables_of_a_level_are_checked(tmp_path):
    write_codec(tmp_path / "codec")
    add_level(tmp_path / "codec", 2)
    Tables.from_counts([(0, [1, 1])]).save(tmp_path / "codec" / "tables.1.npz")
    with pytest.raises(BundleError, match=r"tables\.1\.npz has SHA-256"):
        Codec.open(tmp_path / "codec")
    manifest = json.loads((tmp_path / "codec" / "codec.json").read_text())
    manifest["levels"][0]["tables_sha256"] = sha256_of(tmp_path / "codec" / "tables.1.npz")
    (tmp_path / "codec" / "codec.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=r"tables\.1\.npz has 1 channels, codec.json says 3"):
        Codec.open(tmp_path / "codec")


def write_precisions(folder, names):
    entries = {}
    for name in names:
        path = folder / f"encoder.{name}.onnx"
        path.write_bytes(name.encode())
        entries[name] = {"sha256": sha256_of(path), "bytes_ratio": 1.0}
    (folder / "precisions.json").write_text(json.dumps(entries))


def test_encoders_of_other_precisions_are_no_part_of_the_id(tmp_path):
    old = open_codec(tmp_path / "codec")
    write_precisions(tmp_path / "codec", ["fp16", "int8", "int8-cpu"])
    codec = Codec.open(tmp_path / "codec")
    assert codec.id == old.id
    # The runtime, not the user, chooses the encoder for CPUs.
    assert (old.precisions, codec.precisions) == (("fp32",), ("fp32", "fp16", "int8"))
    assert codec.encoder_file() == codec.encoder_path
    assert codec.encoder_file("int8").read_bytes() == b"int8"
    with pytest.raises(BundleError, match=r"'int4', only fp32, fp16, int8; `frankensplit export`"):
        codec.encoder_file("int4")


def test_encoders_of_other_precisions_are_checked(tmp_path):
    folder = write_codec(tmp_path / "codec")
    write_precisions(folder, ["int8", "int8-cpu"])
    (folder / "encoder.int8-cpu.onnx").write_bytes(b"changed")
    with pytest.raises(BundleError, match=r"encoder\.int8-cpu\.onnx has SHA-256"):
        Codec.open(folder)
    for text in ('{"../x": {}}', '{"fp32": {}}', '{"fp16": 1}', '{"int4": {}}', "[]"):
        (folder / "precisions.json").write_text(text)
        with pytest.raises(BundleError, match=r"precisions\.json|encoder\.int4\.onnx is missing"):
            Codec.open(folder)


def test_missing_bundle_says_where_it_was_looked_for():
    with pytest.raises(BundleError, match="share/frankensplit/bundles"):
        find_bundle("no-such-bundle")


def _bundle(folder):
    codec = open_codec(folder / "codec")
    (folder / "labels.json").write_text("{}")
    server = {
        "backbone": {"model": "convnext_atto", "arguments": {}},
        "blueprint": {"family": "convnext", "arguments": {}},
        "heads": [],
    }
    write_manifest(folder, {"name": "tiny", "codec_id": codec.id_hex, "server": server})
    return folder


def test_a_place_is_said_once_however_often_it_is_in_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("AMENT_PREFIX_PATH", ":".join([str(tmp_path), sys.prefix, str(tmp_path)]))
    with pytest.raises(BundleError) as refused:
        Bundle.open("nowhere")
    assert str(refused.value).count(str(tmp_path)) == str(refused.value).count(f"{sys.prefix}/share") == 1


def test_bundle_opens_and_every_file_is_checked(tmp_path):
    folder = _bundle(tmp_path / "tiny")
    assert Bundle.open(folder).name == "tiny"
    (folder / "labels.json").write_text('{"a": 1}')
    with pytest.raises(BundleError, match=r"labels\.json"):
        Bundle.open(folder)


def test_manifest_cannot_name_files_outside(tmp_path):
    folder = _bundle(tmp_path / "tiny")
    (tmp_path / "outside").write_text("x")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["../outside"] = "0" * 64
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="outside"):
        Bundle.open(folder)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": "other/1"}'])
def test_damaged_manifest_is_refused(tmp_path, text):
    folder = _bundle(tmp_path / "tiny")
    (folder / "manifest.json").write_text(text)
    with pytest.raises(BundleError):
        Bundle.open(folder)
