# SPDX-License-Identifier: Apache-2.0
"""Bundles that say wrong things, hold more than they list, or are not the one that was meant."""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from hostile_bundles import LABELS, SERVER, change_json, sign, write_bundle
from tiny_codec import write_codec

from frankensplit.bundle import Bundle, Codec, digest, find_bundle, sha256_of, write_manifest
from frankensplit.errors import BundleError, FrankensplitError
from frankensplit.manifest import MAX_FRAME_PIXELS, check_labels

WRONG: tuple[Any, ...] = (None, True, -1, 1 << 62, 1.5, "", "\x1b[2J", "x" * 10_000, [], [[]], {}, {"a": {}})


@pytest.fixture
def bundle(tmp_path):
    return write_bundle(tmp_path / "toy")


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to each value inside of a JSON value."""
    if path:
        yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], (*path, key))


def put(value: Any, path: tuple[Any, ...], new: Any) -> None:
    for key in path[:-1]:
        value = value[key]
    value[path[-1]] = new


def use(folder) -> None:
    """Read what nodes, doctor and info read of an opened bundle."""
    found = Bundle.open(folder)
    assert found.name.isprintable() and found.codec.largest
    server = found.server
    assert isinstance(server["backbone"]["model"], str) and isinstance(server["blueprint"]["family"], str)
    for spec in (server["backbone"], server["blueprint"]):
        assert isinstance(spec["arguments"], dict)
    for name in server["heads"]:
        assert all(one.isprintable() for one in found.labels[name]["classes"])


def test_the_toy_opens(bundle):
    use(bundle)


@pytest.mark.parametrize(
    "file", ["manifest.json", "labels.json", "codec/codec.json", "codec/precisions.json"]
)
def test_whatever_stands_in_any_place_the_error_is_typed(bundle, file):
    codec = bundle / "codec"
    shutil.copy(codec / "encoder.onnx", codec / "encoder.int8.onnx")
    precisions = {"int8": {"sha256": sha256_of(codec / "encoder.onnx"), "bytes_ratio": 1.0}}
    (codec / "precisions.json").write_text(json.dumps(precisions))
    levels = [{"step": 2.0, "tables_sha256": sha256_of(codec / "tables.npz")}]
    shutil.copy(codec / "tables.npz", codec / "tables.1.npz")
    change_json(codec / "codec.json", lambda value: value.update(levels=levels))
    sign(bundle)
    use(bundle)
    whole = json.loads((bundle / file).read_text())
    refused = 0
    for path in places(whole):
        for wrong in (*WRONG, "absent"):
            value = copy.deepcopy(whole)
            put(value, path, wrong)
            if wrong == "absent" and isinstance(path[-1], str):
                parent = value
                for key in path[:-1]:
                    parent = parent[key]
                del parent[path[-1]]
            (bundle / file).write_text(json.dumps(value))
            if file != "manifest.json":
                sign(bundle)
            try:
                use(bundle)
            except FrankensplitError as err:
                refused += 1
                assert len(str(err)) < 2000 and "\x1b" not in str(err)
    assert refused > 20


@pytest.mark.parametrize(
    "change",
    [
        {"classes": []},
        {"classes": ["a"] * 65_537},
        {"classes": ["a\nb"]},
        {"classes": ["a" * 201]},
        {"classes": "ab"},
        {"classes": ["a", "b"], "colors": [[1, 2, 3]]},
        {"classes": ["a"], "colors": [[1, 2]]},
        {"classes": ["a"], "colors": [[1, 2, 256]]},
        {"classes": ["a"], "colors": [[1, 2, True]]},
        {"classes": ["a"], "ignore": 256},
        {"classes": ["a"], "mask_indices": [300]},
        {"classes": ["a"], "mask_indices": []},
        {"classes": ["a"], "frequency": ["much"]},
        {"classes": ["a"], "exclusive": 1},
        {"classes": ["a"], "head": ["presence"]},
        {},
        [],
    ],
)
def test_labels_are_checked(tmp_path, change):
    with pytest.raises(BundleError, match=r"labels\.json"):
        check_labels(tmp_path / "labels.json", {"segmentation": change}, ["segmentation"])


def test_every_head_has_labels(bundle):
    sign(bundle, server={**SERVER, "heads": [*LABELS, "presence"]})
    with pytest.raises(BundleError, match=r"labels\.json.*presence"):
        Bundle.open(bundle)


def test_a_bundle_without_networks_says_so(bundle):
    sign(bundle, server={})
    with pytest.raises(BundleError, match="lacks 'backbone'"):
        Bundle.open(bundle)


@pytest.mark.parametrize(
    "sizes",
    [
        {"multiple": 65528},
        {"multiple": 512},
        {"nominal_height": 65535, "nominal_width": 65535},
        {"nominal_height": 1, "nominal_width": 65535, "multiple": 256},
        {"nominal_height": 2160, "nominal_width": 3840, "stride": 1, "multiple": 32},
        {"channels": 65535},
        {"nominal_height": True},
        {"stride": 8.0},
    ],
)
def test_the_largest_frame_is_payable(tmp_path, sizes):
    folder = write_codec(tmp_path / "codec")
    change_json(folder / "codec.json", lambda value: value.update(sizes))
    with pytest.raises(BundleError, match=r"codec\.json"):
        Codec.open(folder)


def test_a_camera_of_4k_is_payable(tmp_path):
    codec = Codec.open(write_codec(tmp_path / "codec", nominal_height=2160, nominal_width=3840))
    assert codec.largest[0] * codec.largest[1] <= MAX_FRAME_PIXELS


@pytest.mark.parametrize(
    "name", ["cv_bridge.py", "codec/cv_bridge.py", "server/extra.safetensors", "deep/er/x", ".x"]
)
def test_a_file_that_is_not_listed_is_named(bundle, name):
    (bundle / name).parent.mkdir(parents=True, exist_ok=True)
    (bundle / name).write_text("import os")
    with pytest.raises(BundleError, match=rf"does not list.*{name}"):
        Bundle.open(bundle)


def test_litter_of_desktops_is_let_be(bundle):
    for folder in (bundle, bundle / "codec"):
        (folder / ".DS_Store").write_bytes(b"x")
    Bundle.open(bundle)
    sign(bundle)
    assert not any("DS_Store" in name for name in Bundle.open(bundle).manifest["files"])


def test_a_codec_lists_its_files_too(tmp_path):
    folder = write_codec(tmp_path / "codec")
    (folder / "encoder.int8.onnx").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"does not list.*encoder\.int8\.onnx"):
        Codec.open(folder)


@pytest.mark.parametrize("name", ["labels.json", "server", "codec/tables.npz", "new"])
def test_links_are_refused(bundle, tmp_path, name):
    if (bundle / name).exists():
        (bundle / name).rename(tmp_path / "elsewhere")
    else:
        (tmp_path / "elsewhere").write_text("x")
    (bundle / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="is a link"):
        Bundle.open(bundle)
    with pytest.raises(BundleError, match="is a link"):
        write_manifest(bundle, {})


def test_the_folder_itself_may_be_a_link(bundle, tmp_path):
    (tmp_path / "link").symlink_to(bundle)
    assert Bundle.open(tmp_path / "link").name == "toy"


@pytest.mark.parametrize(
    "name",
    [
        "../outside",
        "/etc/passwd",
        "a/../b",
        "./labels.json",
        "a//b",
        "",
        ".",
        "a\0b",
        "a" * 300,
        "manifest.json",
    ],
)
def test_the_manifest_names_files_inside(bundle, name):
    change_json(bundle / "manifest.json", lambda value: value["files"].update({name: "0" * 64}))
    with pytest.raises(BundleError, match=r"manifest\.json"):
        Bundle.open(bundle)


def pinned(folder) -> str:
    return f"{folder}@sha256:{digest(folder)}"


def test_a_pinned_bundle_opens_and_another_does_not(bundle):
    name = pinned(bundle)
    assert Bundle.open(name).name == "toy" and Codec.open(name).id == Codec.open(bundle).id
    change_json(bundle / "manifest.json", lambda value: value.update(name="other"))
    Bundle.open(bundle)
    for take in (find_bundle, Bundle.open, Codec.open):
        with pytest.raises(BundleError, match="not the bundle that was meant"):
            take(name)


def test_the_digest_does_not_depend_on_how_the_manifest_is_written(bundle):
    before = digest(bundle)
    value = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps(dict(reversed(value.items())), indent=7))
    assert digest(bundle) == before


def test_the_digest_is_checked_before_anything_else(bundle):
    name = pinned(bundle)
    sign(bundle, server={"backbone": 3})
    with pytest.raises(BundleError, match="not the bundle that was meant"):
        Bundle.open(name)


@pytest.mark.parametrize("change", ["codec.json", "precisions.json"])
def test_a_robot_that_pins_a_bundle_gets_its_codec(bundle, change):
    name = pinned(bundle)
    if change == "codec.json":
        change_json(bundle / "codec" / change, lambda value: value.update(encoder="other"))
    else:
        os.link(bundle / "codec" / "encoder.onnx", bundle / "codec" / "encoder.int8.onnx")
        entry = {"int8": {"sha256": sha256_of(bundle / "codec" / "encoder.onnx")}}
        (bundle / "codec" / change).write_text(json.dumps(entry))
    Codec.open(bundle)
    with pytest.raises(BundleError, match=change):
        Codec.open(name)


def test_a_pinned_manifest_does_not_vouch_for_a_codec_beside_it(bundle):
    name = pinned(bundle)
    for file in (bundle / "codec").iterdir():
        file.rename(bundle / file.name)
    (bundle / "codec").rmdir()
    with pytest.raises(BundleError, match=r"codec\.json is missing"):
        Codec.open(name)


def test_a_codec_alone_is_pinned_with_its_precisions(tmp_path):
    folder = write_codec(tmp_path / "codec")
    name = pinned(folder)
    assert Codec.open(name).id == Codec.open(folder).id
    os.link(folder / "encoder.onnx", folder / "encoder.int8.onnx")
    entry = {"int8": {"sha256": sha256_of(folder / "encoder.onnx")}}
    (folder / "precisions.json").write_text(json.dumps(entry))
    assert Codec.open(folder).precisions == ("fp32", "int8")
    with pytest.raises(BundleError, match="not the bundle that was meant"):
        Codec.open(name)
    assert Codec.open(pinned(folder)).precisions == ("fp32", "int8")


@pytest.mark.parametrize("text", ["", "12", "G" * 64, "0" * 63, "A" * 64])
def test_what_is_no_digest_is_refused(bundle, text):
    with pytest.raises(BundleError, match="64 hex digits"):
        Bundle.open(f"{bundle}@sha256:{text}")


def test_an_installed_bundle_is_pinned_by_its_name():
    name = f"street@sha256:{digest(find_bundle('street'))}"
    assert Bundle.open(name).name == "street"


@pytest.mark.parametrize("name", ["street", "street-nano"])
def test_bundles_that_come_with_the_package_open_with_their_ids(name):
    ids = {"street": "1401b0d75bfad13b", "street-nano": "256d5637c1ff69ba"}
    assert Bundle.open(name).codec.id_hex == ids[name]
