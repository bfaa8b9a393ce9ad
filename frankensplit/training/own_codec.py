# SPDX-License-Identifier: Apache-2.0
"""Train encoder, tables and blueprint of a bundle on, for one's own camera, from its unlabelled frames.

A codec for one camera needs far fewer samples than a general one. The backbone and the heads stay as they are: the new
codec is trained and measured by what the frozen backbone makes of the frames. It is another codec, with another id.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from frankensplit.bundle import BUNDLE, Bundle, canonical_json, copy_files
from frankensplit.data.frames import Frames, LabelledFrame
from frankensplit.edge.encoder import FrameEncoder
from frankensplit.errors import BundleError
from frankensplit.evaluation.agreement import Agreement, agreement
from frankensplit.evaluation.curves import bytes_at_loss
from frankensplit.inference.predictor import Predictor
from frankensplit.models.backbone import freeze
from frankensplit.models.encoder import normalise
from frankensplit.models.entropy import FactorizedPrior
from frankensplit.models.from_bundle import ADAPTER, MEDIANS, load_blueprint
from frankensplit.models.onnx_graph import read_encoder
from frankensplit.models.placement import place
from frankensplit.progress import track
from frankensplit.training.data.batches import Batches
from frankensplit.training.data.pools import Pool
from frankensplit.training.data.sample import spread
from frankensplit.training.data.site import Site, channel_weights, site_batches
from frankensplit.training.export.bundle import codec_manifest, write_codec, write_densities
from frankensplit.training.export.derive import derive_bundle, write_weights
from frankensplit.training.finished import read_json
from frankensplit.training.loop.checkpoint import CHECKPOINT, held, load_weights
from frankensplit.training.loop.cost import COST
from frankensplit.training.loop.engine import fit
from frankensplit.training.recipe import Rate, Schedule
from frankensplit.training.tasks.codec import TrainCodec
from frankensplit.training.tasks.codec_run import DENSITIES, begin_with_densities
from frankensplit.training.tasks.objectives import StageDistillation
from frankensplit.training.tasks.teacher import teacher_of_bundle
from frankensplit.training.where import Where
from frankensplit.writing import new_folder

LR, DENSITY_LR, WARMUP, EMA, CHECKPOINT_EVERY = 5e-4, 5.0, 50, 0.99, 100
LEVELS = (1.4, 2.0, 2.8)  # levels for a bundle that has none
CROP = (192, 256)
FIRST_STEPS, FIRST_LR = 150, 0.02  # the densities are trained alone first if the bundle has none
FITTED_TO = 200  # frames at most, to which tables are fitted
MEASURED_ON = 40  # frames at most of a set


class CodecSettings(NamedTuple):
    """How to train: weight of the rate in bits a pixel, steps, crops a step, learning rate, seed of random draws."""

    rate: float
    steps: int
    batch: int
    lr: float
    seed: int


class CodecRow(NamedTuple):
    """What one level of the codec before or after did to the frames of a set."""

    data: str
    codec: str  # "before" or "after"
    level: int
    found: Agreement

    def figures(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "data": self.data,
            "codec": self.codec,
            "level": self.level,
            "frames": self.found.frames,
            "bytes_per_frame": round(self.found.bytes_per_frame, 1),
            "distortion": round(self.found.distortion, 5),
            "heads": {name: round(value, 3) for name, value in self.found.heads.items()},
        }


@dataclass(frozen=True)
class OwnCodec:
    """A bundle with a codec of its own, beside its run, and what it did to frames that were kept apart."""

    bundle: Bundle
    made: Bundle
    site: Site
    settings: CodecSettings
    run: Path
    trained_on: int
    rows: Sequence[CodecRow]

    @property
    def worse(self) -> list[str]:
        """``features`` where the new codec restores them worse than the old one did with as many bytes.

        Beyond its own range the new codec counts as it is at the range's end.
        """
        (sizes, errors), new = (self._errors(codec) for codec in ("before", "after"))
        return ["features"] if np.interp(sizes, *new).mean() > errors.mean() else []

    def _errors(self, codec: str) -> NDArray[np.float64]:
        """Return log bytes and errors, cheapest first."""
        found = [row.found for row in self._of(self.site.spec.data, codec)]
        points = sorted((np.log(one.bytes_per_frame), one.distortion) for one in found)
        curve: NDArray[np.float64] = np.array(points, np.float64).T
        return curve

    def _of(self, data: str, codec: str) -> list[CodecRow]:
        return [row for row in self.rows if (row.data, row.codec) == (data, codec)]

    @property
    def bytes_at_equal_agreement(self) -> list[dict[str, Any]]:
        """Return, for each set and head, the old codec's bytes at level 0 and the new one's for the same agreement."""
        return [
            {"data": data, "head": head, **self._bytes(data, head)}
            for data in dict.fromkeys(row.data for row in self.rows)
            for head in self.rows[0].found.metrics
        ]

    def _bytes(self, data: str, head: str) -> dict[str, float | None]:
        first = self._of(data, "before")[0].found
        losses = [
            {"bytes_per_frame": row.found.bytes_per_frame, "loss_points": 100 - row.found.heads[head]}
            for row in self._of(data, "after")
        ]
        return {
            "agreement": round(first.heads[head], 3),
            "before": round(first.bytes_per_frame, 1),
            "after": bytes_at_loss(losses, 100 - first.heads[head]),
        }

    def figures(self) -> dict[str, Any]:
        """Return what was done and found, as JSON values."""
        return {
            "bundle": self.bundle.name,
            "codec_id_before": self.bundle.codec.id_hex,
            "codec_id_after": self.made.codec.id_hex,
            **self.site.spec._asdict(),
            "trained_on_frames": self.trained_on,
            "skipped": self.site.skipped,
            **self.settings._asdict(),
            "seconds": read_json(self.run / COST)["seconds"],
            "metrics": {name: metric.name for name, metric in self.rows[0].found.metrics.items()},
            "rows": [row.figures() for row in self.rows],
            "bytes_at_equal_agreement": self.bytes_at_equal_agreement,
            "worse": self.worse,
        }

    def write(self, out: Path) -> None:
        """Write the bundle, whole or not at all; see ``adapt.check_out``."""
        with new_folder(out, BUNDLE) as partial:
            copy_files(self.made, partial)


def own_codec(
    bundle: Bundle, name: str, site: Site, other: Frames, settings: CodecSettings, where: Where
) -> OwnCodec:
    """Train, write a bundle beside the run, and measure the bundle and it at each of their levels.

    An interrupted training goes on from its run, ``runs/own-...``.

    Args:
        bundle: a verified bundle; it stays as it is.
        name: of the new bundle.
        site: frames of the camera, which need no labels.
        other: frames that the codec is not made for; they are only measured.
        settings: how to train.
        where: folder of the runs, and device.

    Raises:
        BundleError: the bundle has an adapter behind its blueprint.
        DataError: none of the frames to train on, or of those kept apart, can be read.
        TrainingStopped: the loss is not finite.
    """
    torch.manual_seed(settings.seed)
    pool = site.pool(bundle.codec)
    batches = site_batches(pool, settings.seed, settings.batch, settings.steps, CROP)
    task, schedule = _task(bundle, settings), _schedule(settings)
    weights = channel_weights(task.objective.teacher.backbone, batches).numpy()
    recipe = _recipe(bundle, site, settings, schedule)
    run = where.runs / f"own-{bundle.name}-{hashlib.sha256(canonical_json(recipe)).hexdigest()[:12]}"
    with held(run):
        if not (run / CHECKPOINT).is_file() and not bundle.weights(DENSITIES).is_file():
            _fit_densities(task, batches)
        place(task.objective.teacher, where.device)
        fit(task, batches, schedule, run, recipe, where.device)
        task.load_state_dict(load_weights(run)[0])
        made = _write(bundle, name, place(task, "cpu"), pool, run, _note(site, settings, len(pool)))
    sets = {site.spec.data: spread([*site.held_out()], MEASURED_ON)}
    if other.name != site.spec.data:
        sets[other.name] = [*other]
    rows = [
        row
        for data, frames in sets.items()
        for codec, one in (("before", bundle), ("after", made))
        for row in _measured(data, codec, one, frames, weights, where.device)
    ]
    return OwnCodec(bundle, made, site, settings, run, len(pool), rows)


def _task(bundle: Bundle, settings: CodecSettings) -> TrainCodec:
    """Return the training of the bundle's encoder, densities and blueprint from where they are."""
    if ADAPTER in bundle.server["blueprint"]:
        raise BundleError(f"{bundle.name} has an adapter: train the codec of the bundle that it came from")
    encoder, _ = read_encoder(bundle.codec.encoder_path, bundle.codec.manifest["encoder"])
    teacher = teacher_of_bundle(bundle).task
    blueprint, medians = load_blueprint(bundle, teacher.backbone)
    freeze(teacher)
    prior = FactorizedPrior(len(medians))
    steps = [level.step for level in bundle.codec.levels[1:]] or LEVELS
    rate = Rate(weight=settings.rate, warmup=0.0)
    task = TrainCodec(encoder, prior, blueprint, StageDistillation(teacher), rate, DENSITY_LR, steps)
    if bundle.weights(DENSITIES).is_file():
        begin_with_densities(bundle, task)
    return task


def _schedule(settings: CodecSettings) -> Schedule:
    return Schedule(
        steps=settings.steps,
        batch=settings.batch,
        lr=settings.lr,
        warmup=WARMUP,
        ema=EMA,
        sanity_steps=0,  # a trained start does not overfit a batch as a fresh one does
        checkpoint_every=CHECKPOINT_EVERY,
    )


def _recipe(bundle: Bundle, site: Site, settings: CodecSettings, schedule: Schedule) -> dict[str, Any]:
    """Return all that the result depends on."""
    return {
        "task": "own codec",
        "files": bundle.files_in_use,
        "site": site.digest,
        **settings._asdict(),
        "schedule": schedule.model_dump(mode="json"),
    }


def _fit_densities(task: TrainCodec, batches: Batches) -> None:
    """Fit the densities to the encoder's latents, so that the encoder does not follow the rate of untrained ones."""
    optimiser = torch.optim.Adam(task.prior.density_parameters(), FIRST_LR)
    for step in track(range(FIRST_STEPS), "densities", FIRST_STEPS):
        with torch.no_grad():
            latent = task.encoder(normalise(batches[step % len(batches)]["image"]))
        _, bits = task.prior(latent)
        optimiser.zero_grad(set_to_none=True)
        (bits.sum() / latent.numel()).backward()
        optimiser.step()


def _write(bundle: Bundle, name: str, task: TrainCodec, pool: Pool, run: Path, note: str) -> Bundle:
    """Write the bundle beside its run, with encoders, tables and levels as the exporter makes them."""
    old, frames = bundle.codec.manifest, [shot.rgb for shot in spread(pool, FITTED_TO)]
    manifest = codec_manifest(old["encoder"], (old["nominal_height"], old["nominal_width"]))

    def parts(folder: Path) -> None:
        shutil.rmtree(folder / "codec")
        (folder / "codec").mkdir()
        medians, _ = write_codec(folder / "codec", task, manifest, task.steps[1:], frames, [])
        write_densities(folder / "server" / f"{DENSITIES}.safetensors", task.prior, run)
        write_weights(folder, "blueprint", task.blueprint.state_dict() | {MEDIANS: medians})

    folder = run.with_name(f"{run.name}-bundle")
    derive_bundle(bundle, folder, name, note, parts=parts)
    return Bundle.open(folder)


def _measured(
    data: str,
    codec: str,
    bundle: Bundle,
    frames: Sequence[LabelledFrame],
    weights: NDArray[np.float32],
    device: str,
) -> list[CodecRow]:
    """Measure each level of a bundle."""
    predictor, encoder = Predictor(bundle, device), FrameEncoder(bundle.codec)
    levels, seen = range(len(bundle.codec.levels)), track(frames, f"{data} {codec}", len(frames))
    found = agreement(predictor, encoder, weights, seen, levels)
    return [CodecRow(data, codec, level, one) for level, one in zip(levels, found, strict=True)]


def _note(site: Site, settings: CodecSettings, frames: int) -> str:
    return (
        f"Encoder, tables and blueprint were trained on, as a codec of its own, on {frames} unlabelled frames of "
        f"`{site.spec.data}` for {settings.steps} steps of batch {settings.batch}, rate weight {settings.rate:g}. "
        f"Packets of `{site.spec.data}` are what this codec is for; other pictures may lose."
    )
