# SPDX-License-Identifier: Apache-2.0
"""Saliency maps: the method against known answers, what they show, and the cache."""

from __future__ import annotations

import json
import warnings

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from frankensplit.bundle import Bundle
from frankensplit.cli import main
from frankensplit.data.street import Street
from frankensplit.errors import BundleError, DataError
from frankensplit.models.backbone import build_backbone
from frankensplit.models.heads import build_head
from frankensplit.models.heads.detections import boxes_from_mask
from frankensplit.models.normalisation import IMAGENET
from frankensplit.training.saliency import model as model_module
from frankensplit.training.saliency.cache import SaliencyCache
from frankensplit.training.saliency.cam import HeadMaps, StageCam, channel_weights, principal_maps
from frankensplit.training.saliency.model import SaliencyModel, open_model
from frankensplit.training.saliency.scaling import mean_map, unit_range
from frankensplit.training.saliency.targets import head_scores
from frankensplit.training.tasks.backbone import BackboneWithHeads


class TinyBackbone(nn.Module):
    """Three stages of non-negative features at strides 8, 16, 32."""

    def __init__(self, signed: bool = False) -> None:
        super().__init__()
        self.channels = [4, 6, 9]
        self.normalise = IMAGENET
        torch.manual_seed(0)
        self.shallow = nn.Sequential(nn.Conv2d(3, 4, 8, stride=8), nn.Identity() if signed else nn.ReLU())
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1), nn.ReLU()) for a, b in ((4, 6), (6, 9))
        )

    def tail(self, shallow):
        features = [shallow]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return features


class TinyHead(nn.Module):
    """Classes by pooled features of all stages; reads only the first ``stages``."""

    kind, threshold = "classes", 0.5

    def __init__(self, channels, classes=5, exclusive=True, stages=3) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.labels = {"exclusive": exclusive}
        self.stages = stages
        self.linear = nn.Linear(sum(channels[:stages]), classes)

    def forward(self, features):
        return self.linear(torch.cat([f.mean((2, 3)) for f in features[: self.stages]], 1))


class GivenGradient(nn.Module):
    """A head whose one logit is a given linear function of the only stage."""

    kind, threshold, labels = "classes", 0.5, {"exclusive": True}

    def __init__(self, gradient) -> None:
        super().__init__()
        self.gradient = nn.Parameter(torch.tensor(gradient, dtype=torch.float32))

    def forward(self, features):
        return (features[0] * self.gradient).sum((1, 2, 3))[:, None]


class OneStage(nn.Module):
    channels = (1,)

    def tail(self, shallow):
        return [shallow]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Small networks gain nothing from more, and tests may run beside others."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model(bundle_path):
    return SaliencyModel.of_bundle(Bundle.open(bundle_path))


@pytest.fixture(scope="module")
def frame():
    return Street(3).frame(20)


def tiny_model(exclusive=True, **changes):
    backbone = TinyBackbone()
    head = TinyHead(backbone.channels, exclusive=exclusive)
    return SaliencyModel("tiny", backbone, {"classes": head}, {}, **changes)


def some_frames(count, size=(64, 96), seed=0):
    return list(np.random.default_rng(seed).integers(0, 256, (count, *size, 3), np.uint8))


# -- the method ---------------------------------------------------------------------------------------------------


def test_weights_by_hand():
    activations = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[-1.0, 0.5], [0.0, 0.0]]]])
    gradients = torch.tensor([[[[0.5, 0.0], [1.0, -1.0]], [[2.0, 4.0], [9.0, 9.0]]]])
    # (0.5 + 0 + 3 - 4) / 10 and (-2 + 2 + 0 + 0) / -0.5
    assert torch.allclose(channel_weights(activations, gradients), torch.tensor([[-0.05, 0.0]]), atol=1e-7)


@pytest.mark.parametrize("sign", [1, -1])
def test_map_of_a_linear_model_is_the_analytic_one(sign):
    """One channel, known gradient: map = max(0, w (a - mean a)) over its maximum, w = sum(g a) / sum(a)."""
    activation = np.array([[1.0, 4.0, 0.0], [2.0, 7.0, 1.0]])
    gradient = sign * np.array([[[0.1, 0.9, -0.2], [0.3, 0.2, 0.4]]])
    weight = (gradient[0] * activation).sum() / activation.sum()
    expected = np.maximum(0, weight * (activation - activation.mean()))
    cam = StageCam(OneStage(), GivenGradient(gradient))
    shallow = torch.tensor(activation, dtype=torch.float32)[None, None]
    assert np.allclose(cam.maps(shallow, [None], (2, 3))[0], expected / expected.max(), atol=1e-5)


def test_plain_maps_agree_with_the_package_where_activations_are_positive():
    from pytorch_grad_cam.xgrad_cam import XGradCAM  # not before ours, which sees to torchvision

    backbone = TinyBackbone()
    ours = StageCam(backbone, TinyHead(backbone.channels))
    shallow = backbone.shallow(torch.rand(3, 3, 64, 96)).detach().requires_grad_(True)
    ours.scores.labels, ours._size = [0, 3, None], (8, 12)
    targets = [lambda score: score] * 3
    plain = ours(shallow, targets, eigen_smooth=False)
    package = XGradCAM(ours.scores, list(ours.scores.taps))
    theirs = package(shallow.detach().requires_grad_(True), targets, eigen_smooth=False)
    assert plain.shape == theirs.shape == (3, 8, 12) and plain.std() > 0.05
    assert np.allclose(plain, theirs, atol=1e-4)


@pytest.mark.parametrize("channels", [3, 80])
def test_principal_map_is_the_first_singular_projection(channels):
    weighted = torch.randn(4, channels, 5, 7, generator=torch.Generator().manual_seed(channels))
    for found, one in zip(principal_maps(weighted).numpy(), weighted.numpy(), strict=True):
        matrix = one.reshape(channels, -1).T.astype(np.float64)
        matrix = matrix - matrix.mean(axis=0)
        projection = matrix @ np.linalg.svd(matrix, full_matrices=False)[2][0]
        projection = projection / np.abs(projection).max()
        projection *= np.sign(projection @ matrix.sum(axis=1))  # the sign of the plain sum over the channels
        assert np.allclose(found.ravel(), projection, atol=1e-3)


@pytest.mark.parametrize("channels", [3, 80])
def test_sign_of_the_component_does_not_matter(channels, monkeypatch):
    weighted = torch.randn(4, channels, 5, 7, generator=torch.Generator().manual_seed(1))
    weighted[1] -= weighted[1].mean(0)  # sums to nothing over the channels: the top decile decides
    before = principal_maps(weighted)
    eigh = torch.linalg.eigh
    monkeypatch.setattr(torch.linalg, "eigh", lambda a: (eigh(a)[0], -eigh(a)[1]))
    assert torch.equal(principal_maps(weighted), before)


def test_tie_is_decided_by_the_strongest_cells():
    weighted = torch.zeros(1, 2, 2, 5)
    weighted[0, 0, 0, 3], weighted[0, 1, 0, 3] = 5.0, -5.0  # both channels cancel in the plain sum
    found = principal_maps(weighted)[0]
    assert found[0, 3] == 1 and found.flatten().argmax() == 3


def test_gradient_of_a_stage_is_the_whole_one():
    """Through the later stages too, not only what the head reads of the stage itself."""
    backbone = TinyBackbone()
    head = TinyHead(backbone.channels)
    cam = StageCam(backbone, head)
    shallow = backbone.shallow(torch.rand(1, 3, 64, 96)).detach()
    cam.maps(shallow, [2], (8, 12))
    features = backbone.tail(shallow.requires_grad_(True))
    expected = torch.autograd.grad(head(features)[0, 2], features)
    collected = cam.activations_and_grads.gradients
    assert len(collected) == 3
    for found, one in zip(collected, expected, strict=True):
        assert torch.allclose(found, one, atol=1e-7)


@pytest.mark.parametrize("total", [0.0, 1e-12, -1e-12, 1e-6, -1e-6])
def test_denominators_near_zero_are_guarded(total):
    activations = torch.tensor([[[[1.0, -1.0 + total]]]], dtype=torch.float64)
    weight = channel_weights(activations, torch.tensor([[[[2.0, 1.0]]]], dtype=torch.float64)).item()
    assert np.isfinite(weight) and abs(weight) < 1.1e7
    assert np.sign(weight) == (-1 if total < 0 else 1)


def test_signed_activations_do_not_blow_up():
    """A channel whose activations cancel must not decide the map."""
    torch.manual_seed(2)
    activations = torch.rand(1, 2, 6, 6)
    activations[0, 0, 2, 3] += 5
    activations[0, 1] -= activations[0, 1].mean() - 1e-7
    gradients = torch.rand(1, 2, 6, 6)
    cam = StageCam(TinyBackbone(), TinyHead([4, 6, 9]))
    found = cam.get_cam_image(None, None, None, activations.numpy(), gradients.numpy(), eigen_smooth=True)
    assert np.unravel_index(found[0].argmax(), (6, 6)) == (2, 3)


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_dead_or_broken_gradients_give_one_half_everywhere(value):
    cam = StageCam(OneStage(), GivenGradient(np.full((1, 2, 3), value)))
    maps = cam.maps(torch.rand(2, 1, 2, 3), [None, None], (2, 3))
    assert np.array_equal(maps, np.full((2, 2, 3), 0.5, np.float32))


def test_constant_image_gives_a_finite_map(model):
    small = SaliencyModel("small", model.backbone, model.heads, {})
    maps = HeadMaps(small)([np.full((96, 128, 3), 90, np.uint8)], [None])
    assert np.isfinite(maps).all() and maps.min() >= 0 and maps.max() <= 1


def test_head_that_reads_the_first_stages_only():
    backbone = TinyBackbone()
    shallow = backbone.shallow(torch.rand(1, 3, 64, 96)).detach()
    maps = StageCam(backbone, TinyHead(backbone.channels, stages=2)).maps(shallow, [1], (8, 12))
    assert np.isfinite(maps).all() and maps.std() > 0.05


def test_scaling():
    maps = np.stack([np.array([[2.0, 4.0, 3.0]]), np.full((1, 3), 7.0)]).astype(np.float32)
    assert np.array_equal(unit_range(maps), np.array([[[0, 1, 0.5]], [[0.5] * 3]], np.float32))
    assert np.array_equal(mean_map(maps), [[0, 1, 0.5]])  # a head without contrast changes nothing


# -- what is explained --------------------------------------------------------------------------------------------


class Named:
    def __init__(self, kind, threshold=0.5, labels=None) -> None:
        self.kind, self.threshold, self.labels = kind, threshold, labels or {}


def test_true_class_goes_before_the_predicted_one():
    raw = torch.tensor([[1.0, 5.0, 2.0], [1.0, 5.0, 2.0]])
    head = Named("classes", labels={"exclusive": True})
    assert head_scores(head, raw, [2, None]).tolist() == [2, 5]


def test_classes_that_may_be_together_are_averaged():
    raw = torch.tensor([[1.0, 3.0, -2.0], [-1.0, -3.0, -2.0]])
    assert head_scores(Named("classes"), raw, [None, None]).tolist() == [2, -1]


def test_true_class_that_the_head_lacks_is_named():
    with pytest.raises(DataError, match="true class is 3, expected 0 to 2"):
        head_scores(Named("classes", labels={"exclusive": True}), torch.rand(1, 3), [3])


def test_each_predicted_class_of_a_mask_counts_alike():
    raw = torch.zeros(1, 3, 2, 4)
    raw[0, 0] = 2.0  # seven pixels of class 0
    raw[0, 2, 1, 3] = 6.0  # one of class 2
    assert head_scores(Named("mask"), raw, [None]).tolist() == [4]


def test_peaks_of_a_heat_map_are_summed():
    raw = torch.full((1, 2, 5, 5), -9.0)
    raw[0, 0, 1, 1], raw[0, 0, 1, 2] = 2.0, 1.0  # the second is not a peak
    raw[0, 1, 4, 4], raw[0, 1, 0, 0] = 0.0, -2.0  # the second is below the threshold
    expected = torch.sigmoid(torch.tensor(2.0)) + 0.5
    assert torch.allclose(head_scores(Named("boxes", 0.3), (raw, None), [None]), expected)


def test_kind_without_target_is_named():
    with pytest.raises(BundleError, match="'keypoints'"):
        head_scores(Named("keypoints"), None, [None])


# -- what the maps show -------------------------------------------------------------------------------------------


def test_detection_map_is_higher_inside_boxes(model):
    """On the synthetic street, whose true boxes are known."""
    head = model.heads["detections"]
    maps = HeadMaps(SaliencyModel("street", model.backbone, {"detections": head}, {}, model.nominal))
    inside, outside = [], []
    for seed in (3, 11, 24):
        scene = Street(seed).frame(40)
        size = scene.rgb.shape[:2]
        boxes = boxes_from_mask(scene.mask, head.labels["mask_indices"]).corners
        objects = np.zeros(model.map_size(*size), bool)
        for x0, y0, x1, y1 in np.rint(boxes / 8).astype(int):
            objects[y0:y1, x0:x1] = True
        found = maps([scene.rgb], [None])[0, 0]
        assert objects.any()
        inside.append(found[objects].mean())
        outside.append(found[~objects].mean())
    assert np.mean(inside) > 1.5 * np.mean(outside)


def test_map_of_the_mirrored_frame_is_the_mirrored_map(model):
    rgb = Street(40).frame(40).rgb
    plain, mirrored = (HeadMaps(model)([x], [None])[0] for x in (rgb, rgb[:, ::-1].copy()))
    for one, other in zip(plain, mirrored, strict=True):
        assert np.corrcoef(one.ravel(), other[:, ::-1].ravel())[0, 1] > 0.7
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] < 0.4


class OwnClassifier(nn.Module):
    """The classifier that a backbone was trained with, in the shape of a head."""

    kind, threshold = "classes", 0.5

    def __init__(self, backbone):
        super().__init__()
        self.classifier, self.labels = backbone.classifier, {"exclusive": True}

    def forward(self, features):
        return self.classifier(features[-1])


SMALL_SWIN = {"embed_dim": 24, "depths": (1, 1, 1, 1), "num_heads": (1, 2, 4, 8)}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("convnext_atto", {}), ("resnet10t", {}), ("swin_tiny_patch4_window7_224", SMALL_SWIN)],
)
def test_every_family_by_its_own_classifier(name, arguments):
    torch.manual_seed(0)
    backbone = build_backbone(name, num_classes=7, **arguments)
    model = SaliencyModel(name, backbone, {"classifier": OwnClassifier(backbone)}, {"model": name})
    maps = HeadMaps(model)(some_frames(2, (64, 96)), [1, None])
    assert maps.shape == (2, 1, 8, 12) and maps.dtype == np.float32
    assert np.isfinite(maps).all() and (maps.min((1, 2, 3)) == 0).all() and (maps.max((1, 2, 3)) == 1).all()


def test_batch_gives_what_single_frames_give():
    maps = HeadMaps(tiny_model())
    frames = some_frames(3)
    together = maps(frames, [0, None, 4])
    for frame, label, expected in zip(frames, [0, None, 4], together, strict=True):
        assert np.allclose(maps([frame], [label])[0], expected, atol=1e-4)


# -- the cache ----------------------------------------------------------------------------------------------------


@pytest.fixture
def counted(monkeypatch):
    """Count the frames whose maps are computed."""
    computed = []
    compute = HeadMaps.__call__
    monkeypatch.setattr(
        HeadMaps,
        "__call__",
        lambda self, frames, labels: (computed.extend(frames), compute(self, frames, labels))[1],
    )
    return computed


def test_map_is_computed_once(tmp_path, counted):
    (rgb,) = some_frames(1)
    first = SaliencyCache.open(tiny_model(), tmp_path).map(rgb)
    again = SaliencyCache.open(tiny_model(), tmp_path).map(rgb)
    assert first.shape == (8, 12) and first.dtype == np.float32
    assert first.min() == 0 and first.max() == 1
    assert np.array_equal(first, again) and len(counted) == 1


def test_interrupted_fill_goes_on(tmp_path, counted):
    frames = [(rgb, None) for rgb in some_frames(5)]

    def interrupted():
        yield from frames[:3]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SaliencyCache.open(tiny_model(), tmp_path).fill(interrupted(), 5)
    assert len(counted) == 2  # the third was waiting for its turn
    assert SaliencyCache.open(tiny_model(), tmp_path).fill(frames, 5) == (2, 3)
    assert SaliencyCache.open(tiny_model(), tmp_path).fill(frames, 5) == (5, 0)
    assert len(counted) == 5 and not list(tmp_path.rglob(".*"))


def test_fill_takes_frames_of_several_sizes_in_batches(tmp_path, counted):
    frames = [(rgb, None) for rgb in (*some_frames(3), *some_frames(2, (32, 64)), *some_frames(2, seed=9))]
    cache = SaliencyCache.open(tiny_model(), tmp_path)
    assert cache.fill(frames, len(frames), batch=2) == (0, 7)
    assert [cache.map(rgb).shape for rgb, _ in frames] == [(8, 12)] * 3 + [(4, 8)] * 2 + [(8, 12)] * 2
    assert len(counted) == 7


@pytest.mark.parametrize("damage", [b"", b"no zip at all", "cut", "flipped", "other shape"])
def test_damaged_file_is_computed_again_with_a_warning(tmp_path, damage):
    (rgb,) = some_frames(1)
    cache = SaliencyCache.open(tiny_model(), tmp_path)
    expected = cache.map(rgb)
    (path,) = tmp_path.rglob("*.npz")
    content = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        content[len(content) // 3] ^= 0xFF
        path.write_bytes(content)
    elif damage == "other shape":
        np.savez(path, maps=np.zeros((1, 2, 2), np.uint8))
    else:
        path.write_bytes(damage)
    with pytest.warns(RuntimeWarning, match="damaged"):
        assert np.array_equal(cache.map(rgb), expected)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(cache.map(rgb), expected)


def test_other_weights_heads_sizes_and_methods_have_other_folders(tmp_path, monkeypatch):
    usual = SaliencyCache.open(tiny_model(), tmp_path).folder
    assert SaliencyCache.open(tiny_model(), tmp_path).folder == usual
    changed = tiny_model()
    with torch.no_grad():
        changed.backbone.stages[1][0].weight[0, 0, 0, 0] += 1e-6
    renamed = SaliencyModel("tiny", TinyBackbone(), {"other": TinyHead([4, 6, 9])}, {})
    models = [changed, renamed, tiny_model(exclusive=False), tiny_model(nominal=(64, 64))]
    folders = {SaliencyCache.open(model, tmp_path).folder for model in models}
    monkeypatch.setattr(model_module, "METHOD", "xgradcam-0")
    folders.add(SaliencyCache.open(tiny_model(), tmp_path).folder)
    assert len(folders | {usual}) == 6


def test_other_pixels_and_other_true_classes_have_other_maps(tmp_path, counted):
    (rgb,) = some_frames(1)
    cache = SaliencyCache.open(tiny_model(), tmp_path)
    changed = rgb.copy()
    changed[0, 0, 0] ^= 1
    maps = [cache.map(rgb, 0), cache.map(rgb, 1), cache.map(rgb), cache.map(changed), cache.map(rgb[::-1])]
    assert len(counted) == len(maps)
    assert not np.array_equal(maps[0], maps[1])


def test_maps_have_the_size_of_the_latent(model, frame, tmp_path):
    assert model.map_size(360, 480) == (48, 60)
    assert model.map_extent(360, 480) == (45, 60)
    cache = SaliencyCache.open(model, tmp_path)
    maps = cache.head_maps(frame.rgb)
    assert maps.shape == (3, 48, 60)
    assert np.array_equal(cache.map(frame.rgb), mean_map(maps))


# -- the command --------------------------------------------------------------------------------------------------


def test_make_then_show(bundle_path, tmp_path):
    cache, out = tmp_path / "cache", tmp_path / "out"
    common = [str(bundle_path), "--data", "street:demo", "--cache", str(cache)]
    for found in (0, 2):
        made = ["saliency", "make", *common, "--frames", "2", "--json", str(out / "made.json")]
        assert main(made) == 0
        result = json.loads((out / "made.json").read_text())
        assert (result["found"], result["made"]) == (found, 2 - found)
        assert result["heads"] == ["segmentation", "presence", "detections"]
    assert (
        main(["saliency", "show", *common, "--frames", "1", "--out", str(out), "--json", str(out / "s.json")])
        == 0
    )
    result = json.loads((out / "s.json").read_text())
    sheet = cv2.imread(result["picture"])
    assert len(result["frames"]) == 1
    assert sheet.shape[1] > 5 * 300 and sheet.shape[0] > 225
    assert sheet.std() > 40


def test_backbone_run_is_opened_by_its_folder(bundle_path, tmp_path):
    """The run that trained a backbone, as the engine leaves it."""
    labels = {"segmentation": Bundle.open(bundle_path).labels["segmentation"]}
    recipe = {
        "name": "teacher",
        "task": "backbone",
        "backbone": {"model": "convnext_atto"},
        "heads": {"segmentation": 1.0},
        "data": [{"data": "camvid:train"}],
        "schedule": {"steps": 1, "lr": 1e-3},
    }
    backbone = build_backbone("convnext_atto")
    head = build_head("segmentation", backbone.channels, labels["segmentation"], backbone.strides)
    task = BackboneWithHeads(backbone, {"segmentation": head}, {"segmentation": 1.0})
    torch.save({"recipe": recipe, "task": task.state_dict(), "average": None}, tmp_path / "checkpoint.pt")
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    model = open_model(str(tmp_path))
    assert model.name == "teacher" and list(model.heads) == ["segmentation"]
    assert model.map_size(100, 150) == (16, 20)  # frames keep their size
    assert model.key == open_model(str(tmp_path)).key
    assert torch.equal(
        model.backbone.state_dict()["shallow.0.0.weight"], task.state_dict()["backbone.shallow.0.0.weight"]
    )


def test_unknown_model_is_named(tmp_path):
    with pytest.raises(BundleError, match="no bundle"):
        open_model(str(tmp_path / "nothing"))


def test_unknown_data_are_an_error_of_the_command(bundle_path, tmp_path, capsys):
    assert main(["saliency", "make", str(bundle_path), "--data", str(tmp_path / "nothing")]) == 2
    assert "nothing" in capsys.readouterr().err
