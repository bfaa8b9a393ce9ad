# SPDX-License-Identifier: Apache-2.0
"""Fit a bundle's blueprint, or a small adapter behind it, to a site's unlabelled frames; nothing else changes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from frankensplit.bundle import BUNDLE, Bundle, canonical_json
from frankensplit.edge.encoder import FrameEncoder
from frankensplit.errors import BundleError
from frankensplit.evaluation.agreement import Agreement, agreement
from frankensplit.inference.predictor import Predictor
from frankensplit.models.adapter import AdaptedBlueprint
from frankensplit.models.backbone import freeze
from frankensplit.models.from_bundle import ADAPTER, MEDIANS, load_blueprint
from frankensplit.models.onnx_graph import read_encoder
from frankensplit.models.placement import place
from frankensplit.training.data.batches import Batches
from frankensplit.training.data.site import Site, channel_weights, site_batches
from frankensplit.training.export.derive import as_stored, derive_bundle
from frankensplit.training.finished import read_json
from frankensplit.training.loop.checkpoint import held, load_weights
from frankensplit.training.loop.cost import COST
from frankensplit.training.loop.engine import fit
from frankensplit.training.recipe import Schedule
from frankensplit.training.tasks.codec import TrainBlueprint
from frankensplit.training.tasks.objectives import HeadDistillation
from frankensplit.training.tasks.teacher import teacher_of_bundle
from frankensplit.training.where import Where
from frankensplit.writing import check_replaceable

BLUEPRINT_LR, ADAPTER_LR = 2e-4, 2e-3
WARMUP, EMA, CHECKPOINT_EVERY = 20, 0.98, 50


@dataclass(frozen=True)
class AdapterSettings:
    """How to adapt: width of the adapter, steps, frames a batch, learning rate, seed of all random draws.

    Without ``adapter`` the whole blueprint is trained, or the adapter that the bundle has; without ``lr`` the rate is
    one that suits what is trained.
    """

    adapter: int | None
    steps: int
    batch: int
    lr: float | None
    seed: int


@dataclass(frozen=True)
class Adapted:
    """A finished adaptation that is not written yet, and what it did to the frames that were kept apart."""

    bundle: Bundle
    site: Site
    schedule: Schedule
    adapter: int | None
    state: dict[str, Tensor]  # the blueprint's weights, as stored
    run: Path
    trained_on: int
    trained_parameters: int
    before: Agreement
    after: Agreement

    @cached_property
    def gains(self) -> dict[str, tuple[float, float]]:
        """The 95 % interval of the points that each head gained."""
        return self.after.gains(self.before)

    @property
    def worse(self) -> list[str]:
        """What got worse: ``features``, and heads that agree less by more than the choice of frames explains."""
        lost = [name for name, (_, high) in self.gains.items() if high < 0]
        return ["features", *lost] if self.after.distortion > self.before.distortion else lost

    def figures(self) -> dict[str, Any]:
        """Return what was done and found, as JSON values."""
        return {
            "bundle": self.bundle.name,
            "codec_id": self.bundle.codec.id_hex,
            **self.site.spec._asdict(),
            "trained_on_frames": self.trained_on,
            "held_out_frames": self.before.frames,
            "skipped": self.site.skipped,
            "adapter": self.adapter,
            "trained_parameters": self.trained_parameters,
            "steps": self.schedule.steps,
            "batch": self.schedule.batch,
            "lr": self.schedule.lr,
            "seconds": read_json(self.run / COST)["seconds"],
            "metrics": {name: metric.name for name, metric in self.after.metrics.items()},
            "before": _figures(self.before),
            "after": _figures(self.after),
            "gain_ci95": {name: [round(low, 3), round(high, 3)] for name, (low, high) in self.gains.items()},
            "worse": self.worse,
        }

    def write(self, out: Path) -> None:
        """Write the bundle, whole or not at all; see ``check_out``."""
        spec = self.bundle.server["blueprint"] | ({ADAPTER: self.adapter} if self.adapter else {})
        derive_bundle(
            self.bundle,
            out,
            out.name,
            self._note(),
            server={"blueprint": spec},
            weights={"blueprint": self.state},
        )

    def _note(self) -> str:
        what = f"An adapter of width {self.adapter} behind the blueprint" if self.adapter else "The blueprint"
        before = self.before.heads
        heads = ", ".join(
            f"{name} {before[name]:.2f} to {value:.2f} ({self.after.metrics[name].name})"
            for name, value in self.after.heads.items()
        )
        return (
            f"{what} was trained on {self.trained_on} unlabelled frames of `{self.site.spec.data}` for "
            f"{self.schedule.steps} steps of batch {self.schedule.batch}. On the {self.after.frames} last frames, kept "
            f"apart, the error of the features went from {self.before.distortion:.4f} to "
            f"{self.after.distortion:.4f}, agreement with the unmodified backbone: {heads}."
        )


def _figures(one: Agreement) -> dict[str, Any]:
    return {
        "distortion": round(one.distortion, 5),
        "bytes_per_frame": round(one.bytes_per_frame, 1),
        "heads": {name: round(value, 3) for name, value in one.heads.items()},
    }


def check_out(bundle: Bundle, out: Path) -> None:
    """Refuse to write a bundle over the one that it derives from, or over what is not a bundle.

    Raises:
        BundleError: ``out`` is the bundle.
        OutputError: it is something else.
    """
    if check_replaceable(out, BUNDLE) == bundle.path:
        raise BundleError(f"{out} is the bundle that is adapted: give another --out")


def adapt(bundle: Bundle, site: Site, settings: AdapterSettings, where: Where) -> Adapted:
    """Measure, train, and measure again; an interrupted training goes on from its run, ``runs/adapt-...``.

    Args:
        bundle: a verified bundle; it stays as it is.
        site: frames, which need no labels.
        settings: what is trained, and how.
        where: folder of the runs, and device.

    Raises:
        BundleError: the bundle has an adapter of another width.
        DataError: none of the frames to train on, or of those kept apart, can be read.
        TrainingStopped: the loss is not finite.
    """
    torch.manual_seed(settings.seed)
    width = _adapter_width(bundle, settings.adapter)
    schedule = _schedule(settings, width)
    pool = site.pool(bundle.codec)
    batches = site_batches(pool, settings.seed, settings.batch, settings.steps)
    objective = _objective(bundle, batches, where.device)
    weights = objective.channel_weights.flatten().numpy()
    predictor, encoder = Predictor(bundle, where.device), FrameEncoder(bundle.codec)

    (before,) = agreement(predictor, encoder, weights, site.held_out())
    task = _task(bundle, objective, width)
    recipe = _recipe(bundle, site, settings.seed, width, schedule)
    run = where.runs / f"adapt-{bundle.name}-{hashlib.sha256(canonical_json(recipe)).hexdigest()[:12]}"
    with held(run):
        fit(task, batches, schedule, run, recipe, where.device)
    trained = sum(parameter.numel() for parameter in task.parameters() if parameter.requires_grad)
    state = as_stored(load_weights(run, "blueprint.")[0])
    task.blueprint.load_state_dict(state)  # judged as it is stored
    predictor.blueprint = place(freeze(task.blueprint), where.device)
    (after,) = agreement(predictor, encoder, weights, site.held_out())
    return Adapted(
        bundle=bundle,
        site=site,
        schedule=schedule,
        adapter=width,
        state=state | {MEDIANS: task.medians.flatten().cpu()},
        run=run,
        trained_on=len(pool),
        trained_parameters=trained,
        before=before,
        after=after,
    )


def _adapter_width(bundle: Bundle, asked: int | None) -> int | None:
    own: int | None = bundle.server["blueprint"].get(ADAPTER)
    if own is not None and asked not in (None, own):
        raise BundleError(
            f"{bundle.name} has an adapter of width {own}, not {asked}: leave --adapter out to train that one on, or "
            "adapt the bundle that it came from"
        )
    return own or asked


def _schedule(settings: AdapterSettings, width: int | None) -> Schedule:
    return Schedule(
        steps=settings.steps,
        batch=settings.batch,
        lr=settings.lr or (ADAPTER_LR if width else BLUEPRINT_LR),
        warmup=WARMUP,
        ema=EMA,
        sanity_steps=0,  # a trained start does not overfit a batch as a fresh one does
        checkpoint_every=CHECKPOINT_EVERY,
    )


def _recipe(bundle: Bundle, site: Site, seed: int, width: int | None, schedule: Schedule) -> dict[str, Any]:
    """Return all that the result depends on."""
    return {
        "task": "adapt",
        "files": bundle.files_in_use,
        "site": site.digest,
        "adapter": width,
        "seed": seed,
        "schedule": schedule.model_dump(mode="json"),
    }


def _objective(bundle: Bundle, batches: Batches, device: str) -> HeadDistillation:
    """Return the distance to the unmodified backbone's features, each channel over its variance at the site."""
    teacher = teacher_of_bundle(bundle).task
    weights = channel_weights(teacher.backbone, batches)
    freeze(place(teacher, device))
    return HeadDistillation(teacher, weights)


def _task(bundle: Bundle, objective: HeadDistillation, width: int | None) -> TrainBlueprint:
    """Return the training of the bundle's blueprint, or of an adapter behind it, from where they are."""
    encoder, _ = read_encoder(bundle.codec.encoder_path, bundle.codec.manifest["encoder"])
    blueprint, medians = load_blueprint(bundle, objective.teacher.backbone)
    if width and not isinstance(blueprint, AdaptedBlueprint):
        blueprint = AdaptedBlueprint(blueprint, objective.teacher.backbone.channels[0], width)
    return TrainBlueprint(encoder, medians, blueprint, objective)
