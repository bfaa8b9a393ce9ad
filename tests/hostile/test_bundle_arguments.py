# SPDX-License-Identifier: Apache-2.0
"""A bundle is data: what its manifest and labels ask for beyond networks is refused by name, and nothing is done."""

from __future__ import annotations

import io
import json
import shutil
import socket
import threading
import zipfile
from pathlib import Path
from urllib.parse import quote

import pytest

from frankensplit.bundle import Bundle, codec_id, write_manifest
from frankensplit.cli import main
from frankensplit.errors import BundleError
from frankensplit.kinds import Name, Number, Several, TrueOrFalse, Whole
from frankensplit.models.backbone import build_backbone
from frankensplit.models.blueprints import build_blueprint
from frankensplit.models.cuts import families, find_cut
from frankensplit.models.from_bundle import load_backbone, load_blueprint, load_heads
from frankensplit.models.heads import head_class
from frankensplit.models.onnx_graph import read_encoder

TEXT = b"ssh-ed25519 AAAA attacker\n"


@pytest.fixture(scope="module")
def street(tmp_path_factory, bundle_path):
    """Return a copy of the bundle with one level and one precision, so that it opens fast."""
    folder = tmp_path_factory.mktemp("bundle") / "street"
    shutil.copytree(bundle_path, folder)
    return folder


def with_server(street, out, **server):
    """Write the bundle with other entries in its manifest's ``server``; the hashes are right."""
    shutil.copytree(street, out)
    manifest = json.loads((street / "manifest.json").read_text())
    del manifest["files"], manifest["format"]
    write_manifest(out, {**manifest, "server": {**manifest["server"], **server}})
    return Bundle.open(out)


def with_backbone(street, out, model="convnext_atto", /, **arguments):
    return with_server(street, out, backbone={"model": model, "arguments": arguments})


def with_labels(street, out, **heads):
    shutil.copytree(street, out)
    file = out / "labels.json"
    labels = json.loads(file.read_text())
    file.write_text(json.dumps({name: {**labels[name], **heads.get(name, {})} for name in labels}))
    manifest = json.loads((out / "manifest.json").read_text())
    del manifest["files"], manifest["format"]
    write_manifest(out, manifest)
    return out


def as_data_url(content: bytes, name: str) -> str:
    """Return an address that holds the content and ends as a file is to be called; timm took it, and wrote the file."""
    return f"data:,{quote(content, safe='')}%23/{name}"


def one_member_zip(name: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(name, TEXT)
    return packed.getvalue()


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Return a folder that is the current one, the user's home, and that of torch's and the hub's caches."""
    home = tmp_path / "home"
    home.mkdir()
    for name in ("HOME", "TORCH_HOME", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.chdir(home)
    (home / "thesis.txt").write_text("years of work")
    (home / "secret").write_bytes(TEXT)
    return home


@pytest.fixture
def listener():
    """Yield the address of a server, and the connections that were made to it."""
    found = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                found.append(connection)
                connection.close()

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", found
        server.shutdown(socket.SHUT_RDWR)


ATTACKS = {
    "writes a key": lambda home, _: {
        "pretrained": True,
        "pretrained_cfg": {"url": as_data_url(TEXT, "authorized_keys"), "num_classes": 1000},
        "cache_dir": str(home / ".ssh"),
    },
    "reads a file": lambda home, _: {"pretrained": True, "pretrained_cfg": {"url": f"file://{home}/secret"}},
    "overwrites a file": lambda home, _: {
        "pretrained": True,
        "pretrained_cfg": {"url": as_data_url(one_member_zip("thesis.txt"), "weights.zip")},
        "cache_dir": str(home),
    },
    "leaves a module": lambda home, _: {
        "pretrained": True,
        "pretrained_cfg": {"url": as_data_url(TEXT, "cv_bridge.py")},
        "cache_dir": ".",
    },
    "asks an address": lambda _, address: {"pretrained": True, "pretrained_cfg": {"url": f"{address}/x.pth"}},
    "asks by an overlay": lambda _, address: {
        "pretrained": True,
        "pretrained_cfg_overlay": {"url": f"{address}/x.pth"},
    },
    "opens a checkpoint": lambda *_: {"checkpoint_path": "/etc/passwd"},
    "opens our checkpoint": lambda *_: {"checkpoint": "/etc/passwd"},
    "asks timm's hub": lambda *_: {"pretrained": True},
}


@pytest.mark.parametrize("what", ATTACKS)
def test_backbone_asks_for_nothing_but_a_network(street, tmp_path, home, listener, what):
    address, connections = listener
    arguments = ATTACKS[what](home, address)
    bundle = with_backbone(street, tmp_path / "evil", **arguments)
    before = files_below(home)
    with pytest.raises(BundleError) as error:
        load_backbone(bundle)
    assert files_below(home) == before and not connections
    assert all(f"'{name}'" in str(error.value) for name in arguments)
    assert "allowed are num_classes, depths, dims" in str(error.value) and "again" in str(error.value)
    assert TEXT.decode().strip() not in str(error.value)


@pytest.mark.parametrize(
    "name",
    [
        "scriptable",
        "exportable",
        "no_jit",
        "features_only",
        "feature_cfg",
        "pruned",
        "device",
        "dtype",
        "act_layer",
        "norm_layer",
        "block",
        "kwargs_filter",
        "model",
        "__class__",
        "in_chans",
        "x\x1b]0;owned\x07",
    ],
)
def test_other_arguments_of_timm_are_refused(street, tmp_path, name):
    with pytest.raises(BundleError, match="cannot take") as error:
        load_backbone(with_backbone(street, tmp_path / "evil", **{name: 1}))
    assert ascii(name) in str(error.value)


@pytest.mark.parametrize(
    "arguments",
    [
        {"depths": [2, 2, 6, 10**6]},
        {"depths": [2, 2, 6]},
        {"depths": "2262"},
        {"depths": {"0": 2}},
        {"dims": [40, 80, 160, 10**6]},
        {"dims": [40, 80, 160, True]},
        {"dims": [40, 80, 160, 320.5]},
        {"num_classes": 10**9},
        {"num_classes": -1},
        {"ls_init_value": float("nan")},
        {"ls_init_value": float("inf")},
        {"ls_init_value": "0.5"},
        {"ls_init_value": None},
        {"drop_path_rate": 2},
        {"patch_size": 10**5},
    ],
)
def test_values_out_of_range_are_refused(street, tmp_path, arguments):
    (name,) = arguments
    with pytest.raises(BundleError, match=f"has {name} = .*expected|expected a finite one"):
        load_backbone(with_backbone(street, tmp_path / "evil", **arguments))


def test_no_network_is_larger_than_its_weights(street, tmp_path):
    """Each number is on the list; together they would take 60 GB."""
    arguments = {"depths": [64] * 4, "dims": [8192] * 4}
    bundle = with_backbone(street, tmp_path / "evil", **arguments)
    with pytest.raises(BundleError, match=r"backbone\.safetensors does not fit"):
        load_backbone(bundle)
    backbone = load_backbone(Bundle.open(street))
    blueprint = {"family": "convnext", "arguments": {"widths": [8192, 8192], "depths": [64, 64]}}
    with pytest.raises(BundleError, match=r"blueprint\.safetensors does not fit"):
        load_blueprint(with_server(street, tmp_path / "wide", blueprint=blueprint), backbone)


@pytest.mark.parametrize(
    "model",
    [
        "hf-hub:attacker/model",
        "hf_hub:attacker/model",
        "local-dir:/tmp/model",
        "resnet18.hf-hub:attacker/model",
        "/tmp/resnet18",
        "../resnet18",
        "attacker/resnet18",
        "resnet18.a1_in1k/../x",
        "resnet18.no_such_tag",
        "os.system",
        "timm.models.resnet",
        "resnet18\n",
        "resnet18\x00",
        "",
        "resnet" * 10_000,
        ["resnet18"],
        3,
        None,
    ],
)
def test_names_other_than_timms_are_refused(street, tmp_path, home, model):
    before = files_below(home)
    with pytest.raises(BundleError) as error:
        load_backbone(with_backbone(street, tmp_path / "evil", model))
    assert files_below(home) == before and len(str(error.value)) < 2000
    with pytest.raises(BundleError):
        build_backbone(model)


@pytest.mark.parametrize(
    "family", ["os", "..heads.presence", "_restoration", "convnext\x00", "", None, ["convnext"]]
)
def test_no_module_is_imported_by_a_bundles_text(street, tmp_path, family):
    for call in (lambda: build_blueprint(family), lambda: head_class("presence", {"head": family})):
        with pytest.raises(BundleError, match="there are"):
            call()
    with pytest.raises(BundleError):
        bundle = with_server(street, tmp_path / "evil", blueprint={"family": family, "arguments": {}})
        load_blueprint(bundle, load_backbone(bundle))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"widths": [64, 10**6], "depths": [2, 4]}, "widths"),
        ({"widths": [64, 96], "depths": [2, 10**6]}, "depths"),
        ({"widths": [64, 96], "depths": [2]}, "depths"),
        ({"widths": "ab", "depths": [2, 4]}, "widths"),
        ({"widths": [64, 96], "depths": [2, 4], "path": "/etc/passwd"}, "path"),
        ({"widths": [64, 96], "depths": [2, 4], "family": "os"}, "family"),
        ({"depths": [2, 4]}, "widths"),
        ([64], r"\[64\]"),
    ],
)
def test_arguments_of_blueprints_are_on_a_list_too(street, tmp_path, arguments, named):
    backbone = load_backbone(Bundle.open(street))
    with pytest.raises(BundleError, match=named):
        bundle = with_server(
            street, tmp_path / "evil", blueprint={"family": "convnext", "arguments": arguments}
        )
        load_blueprint(bundle, backbone)


@pytest.mark.parametrize("width", [10**9, 0, -1, True, "16", 16.0])
def test_adapters_have_a_width(street, tmp_path, width):
    blueprint = {"family": "convnext", "arguments": {"widths": [64, 96], "depths": [2, 4]}, "adapter": width}
    with pytest.raises(BundleError, match="adapter"):
        with_server(street, tmp_path / "evil", blueprint=blueprint)


@pytest.mark.parametrize(
    ("head", "labels", "named"),
    [
        ("presence", {"classes": ["x"] * 70_000}, "classes"),
        ("presence", {"classes": []}, "classes"),
        ("presence", {"classes": "ab"}, "classes"),
        ("presence", {"classes": [1, 2]}, "classes"),
        ("presence", {"classes": ["Road\x1b[2J"]}, "classes"),
        ("presence", {"classes": ["Road\u202e"]}, "classes"),
        ("presence", {"classes": ["x" * 5000]}, "classes"),
        ("presence", {"head": ["presence"]}, "head"),
        ("presence", {"colors": [["red", 0, 0]]}, "colors"),
        ("segmentation", {"ignore": 10**9}, "ignore"),
        ("segmentation", {"frequency": [0.1]}, "frequency"),
        ("segmentation", {"frequency": [float("nan")] * 11}, "frequency"),
        ("segmentation", {"classes": ["x"] * 300, "frequency": [0.1] * 256}, "colors"),
        ("detections", {"mask_indices": [1, 2, 10**6]}, "mask_indices"),
    ],
)
def test_labels_are_checked_when_a_bundle_is_opened(street, tmp_path, head, labels, named):
    with pytest.raises(BundleError, match=rf"{head}.*{named}|expected a finite one") as error:
        Bundle.open(with_labels(street, tmp_path / "evil", **{head: labels}))
    assert len(str(error.value)) < 1000 and str(error.value).isprintable()


def test_heads_that_do_not_fit_their_weights_are_refused(street, tmp_path):
    backbone = load_backbone(Bundle.open(street))
    classes = {"classes": ["x"] * 60_000, "colors": [[0, 0, 0]] * 60_000}
    bundle = Bundle.open(with_labels(street, tmp_path / "many", presence=classes))
    with pytest.raises(BundleError, match=r"heads\.safetensors does not fit"):
        load_heads(bundle, backbone)


@pytest.mark.parametrize(
    "heads", [["a/b"], ["../up"], ["keys."], [3], "presence", ["nowhere"], ["presence"] * 100]
)
def test_names_of_heads_are_names(street, tmp_path, heads):
    with pytest.raises(BundleError):
        with_server(street, tmp_path / "evil", heads=heads)


@pytest.mark.parametrize("part", ["backbone", "blueprint", "heads"])
@pytest.mark.parametrize("value", [None, 3, "x", {}])
def test_parts_of_another_shape_are_refused(street, tmp_path, part, value):
    with pytest.raises(BundleError):
        with_server(street, tmp_path / "evil", **{part: value})


@pytest.mark.parametrize(
    "name",
    [
        "/home/x",
        "../x",
        "a/../../x",
        "a\\b",
        ".x",
        "-x",
        "street\x1b]0;owned\x07",
        "a\nb",
        "\u202egnp.exe",
        "",
        "x" * 1000,
        3,
        None,
    ],
)
def test_names_of_bundles_steer_no_terminal(street, tmp_path, capsys, name):
    shutil.copytree(street, tmp_path / "evil")
    manifest = json.loads((street / "manifest.json").read_text())
    write_manifest(tmp_path / "evil", {**{k: manifest[k] for k in ("codec_id", "server")}, "name": name})
    with pytest.raises(BundleError, match="has name"):
        Bundle.open(tmp_path / "evil")
    assert main(["info", str(tmp_path / "evil")]) != 0
    said = "".join(capsys.readouterr())
    assert not any(one in said for one in "\x1b\x07\u202e")


def test_what_info_prints_steers_no_terminal(street, tmp_path, capsys):
    """A card, a file's name and a class that looks like rich's markup."""
    marked = {"classes": ["[/oops]", "[link=file:///]x[/link]"], "colors": [[0, 0, 0]] * 2}
    evil = with_labels(street, tmp_path / "evil", presence=marked)
    card = (evil / "card.md").read_text()
    (evil / "card.md").write_text(
        f"{card}\n## Figures\n\x1b[2J\x9b2J\x1b]8;;http://evil\x07 [here](http://evil)\n"
    )
    manifest = json.loads((evil / "manifest.json").read_text())
    del manifest["files"], manifest["format"]
    write_manifest(evil, manifest)
    main(["info", str(evil)])
    shown = "".join(capsys.readouterr())
    assert "[/oops]" in shown
    (evil / "x\x1b[2J.txt").write_text("x")
    write_manifest(evil, manifest)
    assert main(["info", str(evil)]) == 2
    for said in (shown, "".join(capsys.readouterr())):
        assert not any(one in said for one in "\x1b\x07\x9b")


def test_errors_steer_no_terminal():
    assert str(BundleError("no \x1b[2Jfile\r\u202e\x9b: \ud800 ü\n\tnext")) == (
        "no \\x1b[2Jfile\\r\\u202e\\x9b: \\ud800 ü\n\tnext"
    )


@pytest.mark.parametrize("size", ["xl", "", None, 3, ["s"], "__class__"])
def test_encoders_have_a_known_size(street, size):
    with pytest.raises(BundleError, match="expected one of s, m, l, nano"):
        read_encoder(street / "codec" / "encoder.onnx", size)


def test_an_encoder_of_another_size_is_an_error(street):
    with pytest.raises(BundleError, match="not an encoder of size 'nano'"):
        read_encoder(street / "codec" / "encoder.onnx", "nano")


def test_what_a_bundle_says_beside_arguments_is_not_read(street, tmp_path, home):
    teacher = pytest.importorskip("frankensplit.training.tasks.teacher", reason="needs what training needs")
    backbone = {"model": "convnext_atto", "arguments": {"ls_init_value": 0.5}}
    asked = {**backbone, "pretrained": True, "checkpoint": "/etc/passwd", "cache_dir": "."}
    taught = teacher.teacher_of_bundle(with_server(street, tmp_path / "evil", backbone=asked))
    assert taught.backbone.as_built == backbone
    assert not taught.backbone.pretrained and taught.backbone.checkpoint is None


@pytest.mark.parametrize("arguments", [{"pretrained_cfg": {"url": "file:///etc/passwd"}}, {"cache_dir": "."}])
def test_recipes_pass_through_the_same_list(arguments):
    with pytest.raises(BundleError, match=next(iter(arguments))):
        build_backbone("resnet18", **arguments)


def test_every_family_has_a_list_without_texts():
    """No list lets a text through: an address, a file and a name are texts."""
    for family in families():
        model = {
            "convnext": "convnext_atto",
            "efficientnet": "tf_efficientnet_lite0",
            "resnet": "resnet18",
            "swin": "swin_tiny_patch4_window7_224",
        }
        for kind in find_cut(model[family])[1].ARGUMENTS.values():
            assert not isinstance(kind, Name) and not kind.accepts("x") and not kind.accepts(["x"])


def test_kinds_say_what_they_accept():
    assert str(Several(Whole(1, 8), 4, 4)) == "a list of 4, each a whole number in 1..8"
    assert Number(0, 1).accepts(1) and not Number(0, 1).accepts(10**400)
    assert not Whole(0, 1).accepts(True) and TrueOrFalse().accepts(True) and not TrueOrFalse().accepts(1)


def test_the_committed_bundles_are_on_the_lists(street):
    bundle = Bundle.open(street)
    backbone = load_backbone(bundle)
    assert list(load_heads(bundle, backbone)) == bundle.server["heads"]
    load_blueprint(bundle, backbone)
    assert codec_id(bundle.codec.manifest) == bundle.codec.id
