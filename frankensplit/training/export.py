# SPDX-License-Identifier: Apache-2.0
"""Write a bundle from a finished codec run and the backbone run that taught it."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from frankensplit.bundle import CODEC_FORMAT, Codec, canonical_json, level_file, sha256_of, write_manifest
from frankensplit.codec.tables import Tables
from frankensplit.data.sources import STREET
from frankensplit.edge.runtimes import Runtime, RuntimeOptions, open_runtime
from frankensplit.geometry import Geometry
from frankensplit.models.blueprints import complete_arguments
from frankensplit.models.encoder import STRIDE
from frankensplit.models.from_bundle import MEDIANS
from frankensplit.models.onnx_graph import encoder_graph
from frankensplit.training.checkpoint import load_weights
from frankensplit.training.codec_run import KEPT_CODEC, load_codec
from frankensplit.training.codec_tasks import TrainBlueprint, TrainCodec
from frankensplit.training.derive import as_stored, new_folder, write_labels
from frankensplit.training.head_run import export_head
from frankensplit.training.pools import held_out_sources, read_pictures
from frankensplit.training.precisions import FRAMES, spread, write_precisions
from frankensplit.training.recipe import CodecRecipe
from frankensplit.training.teacher import Teacher

MULTIPLE = 32
STREET_FRAMES = 60  # of the synthetic street, whose symbols are counted
COUNT_MARGIN = 2  # symbols beyond the range seen in training that a refitted table still covers


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
    that the recipe holds out (all training frames where it holds out none); the cheaper are kept. The encoder is
    written in every precision.

    Args:
        run: codec run; its teacher's run lies beside it.
        out: folder of the bundle; replaced if it exists.
        name: the bundle's name.
        nominal: height and width of the box that images are scaled to fit.
        data_root: folder of the data sets.
        licence: of the weights, for the card.

    Returns:
        Bytes a frame of either tables on the held-out frames: ``density_bytes``, ``refitted_bytes``; ``precisions`` as
        ``write_precisions`` gives them. Nothing where the codec was another bundle's and has got no levels: it is
        copied as it is, so that its packets are decoded.
    """
    task, recipe, teacher = load_codec(run)
    with new_folder(out) as partial:
        (partial / "server").mkdir()
        figures: dict[str, Any] = {}
        if isinstance(task, TrainCodec):
            medians = task.prior.medians
            figures = _write_codec(partial / "codec", task, recipe, nominal, data_root)
        else:
            medians = task.medians.flatten()
            shutil.copytree(run / KEPT_CODEC, partial / "codec")
            if recipe.levels:
                figures = _add_levels(partial / "codec", task, recipe, data_root)
        if figures:
            pictures = spread(list(_frames(recipe, data_root)), 2 * FRAMES)
            figures["precisions"] = write_precisions(partial / "codec", pictures)
        server = _write_server(partial, teacher, task.blueprint, medians, recipe)
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
    folder: Path, task: TrainCodec, recipe: CodecRecipe, nominal: tuple[int, int], data_root: Path
) -> dict[str, Any]:
    """Write encoder, tables and manifest; return what the tables cost."""
    folder.mkdir()
    task.prior.fit_quantiles()
    onnx.save(encoder_graph(task.encoder, task.prior.medians), folder / "encoder.onnx")
    tables, figures = _choose_tables(folder, task.prior.tables(), recipe, nominal, data_root)
    tables.save(folder / "tables.npz")
    manifest = {
        "format": CODEC_FORMAT,
        "encoder_sha256": sha256_of(folder / "encoder.onnx"),
        "tables_sha256": sha256_of(folder / "tables.npz"),
        "nominal_height": nominal[0],
        "nominal_width": nominal[1],
        "stride": STRIDE,
        "multiple": MULTIPLE,
        "channels": tables.channels,
        "encoder": recipe.encoder.size,
    }
    _save_codec_manifest(folder, manifest)
    return figures


def _add_levels(folder: Path, task: TrainBlueprint, recipe: CodecRecipe, data_root: Path) -> dict[str, Any]:
    """Add quality levels to a finished codec, whose tables stay those of level 0; return bytes a frame of each."""
    codec = Codec.open(folder)
    nominal = codec.nominal_height, codec.nominal_width
    onnx.save(encoder_graph(task.encoder, task.medians.flatten()), folder / "encoder.onnx")
    runtime = open_runtime("onnxruntime", folder / "encoder.onnx", RuntimeOptions(threads=2))
    levels, costs = (
        [],
        [_mean_bytes(codec.tables, list(_held_out_symbols(runtime, recipe, data_root, nominal)))],
    )
    for number, step in enumerate(recipe.levels, 1):
        tables = _count(_symbols(runtime, _frames(recipe, data_root), nominal, step))
        file = folder / level_file("tables", number)
        tables.save(file)
        levels.append({"step": step, "tables_sha256": sha256_of(file)})
        costs.append(_mean_bytes(tables, list(_held_out_symbols(runtime, recipe, data_root, nominal, step))))
    manifest = {**codec.manifest, "encoder_sha256": sha256_of(folder / "encoder.onnx"), "levels": levels}
    _save_codec_manifest(folder, manifest)
    return {"level_bytes": costs}


def _save_codec_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    (folder / "codec.json").write_bytes(canonical_json(manifest) + b"\n")


def _choose_tables(
    folder: Path, density: Tables, recipe: CodecRecipe, nominal: tuple[int, int], data_root: Path
) -> tuple[Tables, dict[str, Any]]:
    runtime = open_runtime("onnxruntime", folder / "encoder.onnx", RuntimeOptions(threads=2))
    refitted = _count(_symbols(runtime, _frames(recipe, data_root), nominal))
    held_out = list(_held_out_symbols(runtime, recipe, data_root, nominal))
    costs = {
        "density_bytes": _mean_bytes(density, held_out),
        "refitted_bytes": _mean_bytes(refitted, held_out),
    }
    return (refitted if costs["refitted_bytes"] < costs["density_bytes"] else density), costs


def _frames(recipe: CodecRecipe, data_root: Path) -> Iterable[NDArray[np.uint8]]:
    for source in recipe.data:
        some = min(source.frames or STREET_FRAMES, STREET_FRAMES)
        street = source.data.startswith(f"{STREET}:")
        yield from read_pictures(source.model_copy(update={"frames": some}) if street else source, data_root)


def _held_out_symbols(
    runtime: Runtime, recipe: CodecRecipe, data_root: Path, nominal: tuple[int, int], step: float = 1.0
) -> Iterable[NDArray[np.int32]]:
    """Yield the symbols of the frames that the recipe holds out, or of all training frames where it holds out none."""
    sources = held_out_sources(recipe.data)
    pictures = (rgb for source in sources for rgb in read_pictures(source, data_root))
    return _symbols(runtime, pictures if sources else _frames(recipe, data_root), nominal, step)


def _symbols(
    runtime: Runtime, pictures: Iterable[NDArray[np.uint8]], nominal: tuple[int, int], step: float = 1.0
) -> Iterable[NDArray[np.int32]]:
    for rgb in pictures:
        geometry = Geometry(rgb.shape[0], rgb.shape[1], nominal[0], nominal[1], MULTIPLE)
        yield runtime(geometry.prepare(rgb)[None], 1 / step)[0].copy()


def _count(frames: Iterable[NDArray[np.int32]]) -> Tables:
    stacked = [np.concatenate([c.ravel() for c in channel]) for channel in zip(*frames, strict=True)]
    counts = []
    for symbols in stacked:
        low, high = int(symbols.min()) - COUNT_MARGIN, int(symbols.max()) + COUNT_MARGIN
        counts.append((low, np.bincount(symbols - low, minlength=high - low + 1)))
    return Tables.from_counts(counts)


def _mean_bytes(tables: Tables, frames: list[NDArray[np.int32]]) -> float:
    return float(np.mean([tables.ideal_bits(symbols) for symbols in frames])) / 8


def _write_server(
    folder: Path, teacher: Teacher, blueprint: nn.Module, medians: Tensor, recipe: CodecRecipe
) -> dict[str, Any]:
    weights = folder / "server"
    save_file(as_stored(blueprint.state_dict() | {MEDIANS: medians}), weights / "blueprint.safetensors")
    save_file(as_stored(teacher.task.backbone.state_dict()), weights / "backbone.safetensors")
    save_file(as_stored(teacher.task.heads.state_dict()), weights / "heads.safetensors")
    write_labels(folder, teacher.labels)
    return {
        "backbone": teacher.backbone.as_built,
        "blueprint": {
            "family": recipe.blueprint.family,
            "arguments": complete_arguments(
                recipe.blueprint.family, teacher.task.backbone, recipe.blueprint.arguments
            ),
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


def _rate(recipe: dict[str, Any], figures: dict[str, Any]) -> str:
    if recipe["encoder_from"]:
        lines = [
            f"teacher `{recipe['teacher']}`; encoder and tables are those of `{recipe['encoder_from']}`."
        ]
    else:
        kept = "refitted" if figures["refitted_bytes"] < figures["density_bytes"] else "density"
        lines = [
            f"rate weight {recipe['rate']['weight']:g}; teacher `{recipe['teacher']}`.",
            f"Tables on held-out training frames, ideal bytes a frame: density {figures['density_bytes']:.0f},",
            f"refitted to symbol counts {figures['refitted_bytes']:.0f}; kept: {kept}.",
        ]
    if recipe["levels"]:
        sizes = ", ".join(f"{one:.0f}" for one in figures["level_bytes"])
        steps = ", ".join(f"{step:g}" for step in (1, *recipe["levels"]))
        lines += [f"Quality levels of steps {steps}; ideal bytes a held-out frame: {sizes}."]
    for name, one in figures.get("precisions", {}).items():
        lines += [
            f"Encoder in {name}: {100 * one['differing_symbols']:.2f} % of the integers differ from fp32's, by at most "
            f"{one['largest_difference']}; {one['bytes_ratio']:.4f} times the bytes (training frames)."
        ]
    return "\n".join(lines)
