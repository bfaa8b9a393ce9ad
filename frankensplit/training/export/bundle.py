# SPDX-License-Identifier: Apache-2.0
"""Write a bundle from a finished codec run and the backbone run that taught it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from safetensors.torch import save
from torch import Tensor, nn

from frankensplit.bundle import BUNDLE, CODEC_FORMAT, Codec, canonical_json, sha256_of, write_manifest
from frankensplit.codec.tables import Ints, Tables
from frankensplit.geometry import MULTIPLE
from frankensplit.models.blueprints import complete_arguments
from frankensplit.models.encoder import STRIDE
from frankensplit.models.entropy import FactorizedPrior
from frankensplit.models.from_bundle import MEDIANS, NORMALISATION
from frankensplit.models.onnx_graph import encoder_graph
from frankensplit.models.pruning import keep_channels
from frankensplit.models.weights import WEIGHTS
from frankensplit.training.data.pools import held_out_sources
from frankensplit.training.data.sample import Frames, sample, spread
from frankensplit.training.export.coding_tables import fit_tables, ideal_bytes, write_level
from frankensplit.training.export.derive import write_labels, write_weights
from frankensplit.training.export.latents import Latents, read_latents
from frankensplit.training.export.precisions import FRAMES, differences, write_precisions
from frankensplit.training.loop.checkpoint import load_weights
from frankensplit.training.loop.cost import SAMPLES, samples_seen
from frankensplit.training.recipe import CodecRecipe
from frankensplit.training.tasks.codec import TrainBlueprint, TrainCodec
from frankensplit.training.tasks.codec_run import DENSITIES, KEPT_CODEC, load_codec
from frankensplit.training.tasks.head_run import export_head
from frankensplit.training.tasks.teacher import Teacher
from frankensplit.writing import new_folder, write_file

MOST_FRAMES = 500  # most training frames, and most held-out ones, that tables are fitted to


def export_run(
    run: Path, out: Path, name: str, nominal: tuple[int, int], data_root: Path, licence: str
) -> dict[str, Any]:
    """Write the bundle of a codec run, or that of a head run: its bundle with the head added.

    Args and returns are those of :func:`export_bundle`; a head takes the nominal size and licence of its bundle.

    Raises:
        RecipeError: the run is missing, or of another task.
    """
    if load_weights(run)[1]["task"] == "head":
        export_head(run, out, name)
        return {}
    return export_bundle(run, out, name, nominal, data_root, licence)


def export_bundle(
    run: Path, out: Path, name: str, nominal: tuple[int, int], data_root: Path, licence: str
) -> dict[str, Any]:
    """Write the bundle of a codec run to ``out``, whole or not at all.

    Both the density's tables and tables refitted to symbol counts over the training frames are tried on the frames
    that the recipe holds out (all training frames where it holds out none); the cheaper are kept. At most
    ``MOST_FRAMES`` of either kind are looked at; channels of the latent that are 0 in all of these are left out. The
    encoder is written in every precision.

    Args:
        run: codec run; its teacher's run lies beside it.
        out: folder of the bundle; a bundle there is replaced.
        name: the bundle's name.
        nominal: height and width of the box that images are scaled to fit.
        data_root: folder of the data sets.
        licence: of the weights, for the card.

    Returns:
        Bytes a frame of either tables on the held-out frames: ``density_bytes``, ``refitted_bytes``; of each level as
        ``write_level`` gives them: ``levels``; ``dropped_channels``; ``precisions`` as ``write_precisions`` gives
        them. Nothing where the codec was another bundle's and has got no levels: it is copied as it is, so that its
        packets are decoded.
    """
    task, recipe, teacher = load_codec(run)
    with new_folder(out, BUNDLE) as partial:
        medians, figures = _write_codec(partial / "codec", run, task, recipe, nominal, data_root)
        server = _write_server(partial, teacher, task.blueprint, medians, recipe)
        if isinstance(task, TrainCodec):
            write_densities(partial / "server" / f"{DENSITIES}.safetensors", task.prior, run)
        card = {
            "name": name,
            "licence": licence,
            "recipe": recipe.model_dump(mode="json"),
            "figures": figures,
        }
        (partial / "card.md").write_text(_card(card), encoding="utf-8")
        write_manifest(partial, {"name": name, "codec_id": Codec.open(partial).id_hex, "server": server})
    return figures


def _write_codec(
    folder: Path,
    run: Path,
    task: TrainCodec | TrainBlueprint,
    recipe: CodecRecipe,
    nominal: tuple[int, int],
    data_root: Path,
) -> tuple[Tensor, dict[str, Any]]:
    """Write a new codec, or a finished one with new levels or as it is; return its medians, and what packets cost."""
    if isinstance(task, TrainCodec):
        folder.mkdir()
        manifest = codec_manifest(recipe.encoder.size, nominal)
    else:
        shutil.copytree(run / KEPT_CODEC, folder)
        if not recipe.levels:
            return task.medians.flatten(), {}
        manifest = Codec.open(folder).manifest
    size = manifest["nominal_height"], manifest["nominal_width"]
    frames, held_out = (
        sample(sources, size, data_root, MOST_FRAMES)
        for sources in (recipe.data, held_out_sources(recipe.data))
    )
    return write_codec(folder, task, manifest, recipe.levels, frames, held_out)


def codec_manifest(encoder: str, nominal: tuple[int, int]) -> dict[str, Any]:
    """Return what ``codec.json`` says of an encoder's size and the box, height and width, that images are scaled to."""
    return {
        "format": CODEC_FORMAT,
        "nominal_height": nominal[0],
        "nominal_width": nominal[1],
        "stride": STRIDE,
        "multiple": MULTIPLE,
        "encoder": encoder,
    }


def write_codec(
    folder: Path,
    task: TrainCodec | TrainBlueprint,
    manifest: dict[str, Any],
    levels: Sequence[float],
    frames: Frames,
    held_out: Frames,
) -> tuple[Tensor, dict[str, Any]]:
    """Write encoders, tables and manifest; tables of a finished codec, which lies there, stay those of level 0.

    Args:
        folder: of the codec.
        task: the trained networks, which lose the channels of the latent that are left out.
        manifest: see ``codec_manifest``.
        levels: steps of further quality levels.
        frames: training frames as ``sample`` gives them.
        held_out: others, to choose tables by; none: ``frames``.

    Returns:
        The medians of the channels that are kept, float ``(C,)``, and figures as ``export_bundle`` gives them.
    """
    if isinstance(task, TrainCodec):
        task.prior.fit_quantiles()
        medians, tables = task.prior.medians, task.prior.tables()
    else:
        medians, tables = task.medians.flatten(), Codec.open(folder).tables
    encoder = _write_encoder(folder, task, medians, frames, held_out)
    tables = tables.of(encoder.kept)
    figures: dict[str, Any] = {}
    if isinstance(task, TrainCodec):
        tables, figures = _choose_tables(tables, *encoder.latents.rounded(1.0))
    figures["dropped_channels"] = len(medians) - tables.channels
    manifest = {**manifest, "channels": tables.channels}
    figures |= _write_levels(folder, manifest, tables, encoder.latents, levels)
    figures["precisions"] = write_precisions(folder, spread(frames, 2 * FRAMES))
    return encoder.medians, figures


@dataclass(frozen=True)
class _Written:
    """An encoder that was written: the channels kept of its latent, their medians ``(C,)``, and latents of frames."""

    kept: list[int]
    medians: Tensor
    latents: Latents


def _write_encoder(
    folder: Path,
    task: TrainCodec | TrainBlueprint,
    medians: Tensor,
    frames: Frames,
    held_out: Frames,
) -> _Written:
    """Write ``encoder.onnx`` without the channels that are 0 in every frame; the task's networks lose them too."""
    path = folder / "encoder.onnx"
    onnx.save(encoder_graph(task.encoder, medians), path)
    latents = read_latents(path, frames, held_out)
    kept = latents.live()
    if len(kept) < len(medians):
        if isinstance(task, TrainCodec):
            task.prior = task.prior.of(kept)
        keep_channels(task.encoder, task.blueprint, kept, medians)
        medians, latents = medians[kept], latents.of(kept)
        onnx.save(encoder_graph(task.encoder, medians), path)
    return _Written(kept, medians, latents)


def _write_levels(
    folder: Path, manifest: dict[str, Any], tables: Tables, latents: Latents, steps: Sequence[float]
) -> dict[str, Any]:
    """Write the tables of all levels, of which those of level 0 are known, and ``codec.json``."""
    hashes, figures = write_level(folder, 0, *latents.rounded(1.0), tables)
    levels, costs = [], [figures]
    for number, step in enumerate(steps, 1):
        named, figures = write_level(folder, number, *latents.rounded(step))
        levels.append({"step": step, **named})
        costs.append(figures)
    whole = {**manifest, "encoder_sha256": sha256_of(folder / "encoder.onnx"), **hashes}
    whole |= {"levels": levels} if levels else {}
    (folder / "codec.json").write_bytes(canonical_json(whole) + b"\n")
    return {"levels": costs}


def _choose_tables(
    density: Tables, frames: Sequence[Ints], held_out: Sequence[Ints]
) -> tuple[Tables, dict[str, Any]]:
    refitted = fit_tables(frames)
    costs = {
        "density_bytes": ideal_bytes(density, held_out),
        "refitted_bytes": ideal_bytes(refitted, held_out),
    }
    return (refitted if costs["refitted_bytes"] < costs["density_bytes"] else density), costs


def write_densities(path: Path, prior: FactorizedPrior, run: Path) -> None:
    """Write what another training needs to go on from the bundle, and how many samples the networks have seen."""
    densities = {name: parameter.detach() for name, parameter in prior.named_parameters()}
    write_file(path, save(densities, {SAMPLES: str(samples_seen(run))}))


def _write_server(
    folder: Path, teacher: Teacher, blueprint: nn.Module, medians: Tensor, recipe: CodecRecipe
) -> dict[str, Any]:
    built, backbone = teacher.backbone.as_built, teacher.task.backbone
    write_weights(folder, "blueprint", blueprint.state_dict() | {MEDIANS: medians})
    if WEIGHTS not in built:
        write_weights(folder, "backbone", backbone.state_dict())
    write_weights(folder, "heads", teacher.task.heads.state_dict())
    write_labels(folder, teacher.labels)
    return {
        "backbone": {**built, NORMALISATION: backbone.normalise.manifest()},
        "blueprint": {
            "family": recipe.blueprint.family,
            "arguments": complete_arguments(recipe.blueprint.family, backbone, recipe.blueprint.arguments),
        },
        "heads": list(teacher.task.heads),
    }


def _card(card: dict[str, Any]) -> str:
    recipe = card["recipe"]
    sources = "\n".join(f"- `{source['data']}`, share {source['share']:g}" for source in recipe["data"])
    return f"""# {card["name"]}

## Data
{sources}

## Recipe
`{recipe["name"]}`: {recipe["schedule"]["steps"]} steps of batch {recipe["schedule"]["batch"]},
{_rate(recipe, card["figures"])}

## Licence
{card["licence"]}

## Figures
"""


def _teacher(recipe: dict[str, Any]) -> str:
    teacher = recipe["teacher"]
    return str(teacher if isinstance(teacher, str) else teacher["model"])


def _rate(recipe: dict[str, Any], figures: dict[str, Any]) -> str:
    if recipe["encoder_from"]:
        lines = [f"teacher `{_teacher(recipe)}`; encoder and tables are those of `{recipe['encoder_from']}`."]
    else:
        kept = "refitted" if figures["refitted_bytes"] < figures["density_bytes"] else "density"
        lines = [
            f"rate weight {recipe['rate']['weight']:g}; teacher `{_teacher(recipe)}`.",
            f"Tables on held-out training frames, ideal bytes a frame: density {figures['density_bytes']:.0f},",
            f"refitted to symbol counts {figures['refitted_bytes']:.0f}; kept: {kept}.",
        ]
    if figures.get("dropped_channels"):
        lines += [f"Left out: {figures['dropped_channels']} latent channels that were 0 in every frame."]
    for step, one in zip((1, *recipe["levels"]), figures.get("levels", []), strict=False):
        lines += [
            f"Level of step {step:g}: {one['context_bytes']:.0f} bytes a held-out frame, "
            f"{one['static_bytes']:.0f} without contexts."
        ]
    for name, one in figures.get("precisions", {}).items():
        lines += [f"Encoder in {name}: {differences(one)} (training frames)."]
    return "\n".join(lines)
