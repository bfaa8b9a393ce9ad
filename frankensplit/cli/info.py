# SPDX-License-Identifier: Apache-2.0
"""``frankensplit info BUNDLE``: what a bundle or codec holds, with every hash verified; or what blueprints cost."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frankensplit.arguments import add_json, write_json
from frankensplit.bundle import (
    MAX_CARD_BYTES,
    PIN,
    Bundle,
    Codec,
    digest,
    files_of_codec,
    find_bundle,
    sha256_of,
)
from frankensplit.cli import FINDING
from frankensplit.doctor.checks.bundle import beyond_reading
from frankensplit.errors import BundleError, bounded, one_line
from frankensplit.manifest import check_files as listed_by
from frankensplit.places import share_folders
from frankensplit.reading import files_in, read_bytes, read_json

if TYPE_CHECKING:
    from rich.console import Console

MANIFEST = "manifest.json"
SHOWN_CLASSES = 20  # a head with more shows this many; labels.json has them all
# These lie at the top of a folder and list its other files.
LISTS = (MANIFEST, "codec.json", "precisions.json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "bundle",
        nargs="?",
        help="folder or installed name of a bundle, or a codec folder; @sha256:DIGEST behind it pins it; without one, "
        "the installed bundles are listed",
    )
    what.add_argument(
        "--table5",
        action="store_true",
        help="instead: build the paper's nine backbones and some others and print what their blueprints add in "
        "parameters and time (about a minute)",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="say too what the bundle would do beyond being read, and give its digest in the JSON",
    )
    add_json(parser)


def main(args: argparse.Namespace) -> int:
    """Print what the folder holds; return 1 if it is not as it says, or a blueprint costs too much."""
    from rich.console import Console

    console = Console(stderr=args.json == "-", markup=False, emoji=False)
    if args.table5:
        return _table5(console, args.json)
    if args.bundle is None:
        return _list_bundles(console, args.json)
    path = find_bundle(args.bundle)
    files = check_files(path)
    result: dict[str, Any] = {"path": str(path), "files": files}
    whole = all(file["state"] == "ok" for file in files.values())
    if args.verify:
        result |= {"digest": digest(path), "beyond_reading": beyond_reading(path)}
        for line in result["beyond_reading"] or ["nothing beyond being read"]:
            console.print(f"would do: {line}", markup=False, soft_wrap=True)
    if whole:
        result |= describe(path)
        _print_description(console, result)
    _print_files(console, files)
    if whole:
        pinned = args.bundle.partition(PIN)[0] + PIN + digest(path)
        console.print(f"exactly this one: {pinned}", markup=False, highlight=False, soft_wrap=True)
    write_json(result, args.json)
    return 0 if whole else FINDING


def _list_bundles(console: Console, out: str | None) -> int:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    found = installed_bundles()
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("bundle", no_wrap=True)
    for column in ("codec", "backbone", "heads"):
        table.add_column(column)
    for name, one in found.items():
        cells = one["error"] and ("", "", one["error"])
        table.add_row(name, *(cells or (one["codec_id"], one["backbone"], ", ".join(one["heads"]))))
    console.print(
        table if found else f"no bundle in {', '.join(map(str, bundle_folders()))}: install one there"
    )
    write_json({"bundles": found}, out)
    return 0


def installed_bundles() -> dict[str, dict[str, Any]]:
    """Return what the manifests of the installed bundles say, by name; their files are not verified.

    Returns:
        ``path``, ``codec_id``, ``backbone``, ``heads``, and ``error``, which says why a manifest cannot be read.
    """
    found: dict[str, dict[str, Any]] = {}
    for folder in bundle_folders():
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if (path / MANIFEST).is_file():
                found.setdefault(path.name, _told(path))
    return found


def bundle_folders() -> list[Path]:
    """Return where a bundle is looked for by name."""
    return [place / "bundles" for place in share_folders()]


def _told(path: Path) -> dict[str, Any]:
    told: dict[str, Any] = {"path": str(path), "codec_id": None, "backbone": None, "heads": [], "error": None}
    try:
        manifest = read_json(path / MANIFEST)
        server = manifest["server"]
        heads = [one_line(str(head)) for head in server["heads"]]
        backbone = one_line(str(server["backbone"]["model"]))
    except (BundleError, LookupError, TypeError) as err:
        return told | {"error": f"cannot be read: {one_line(str(err))}"}
    return told | {"codec_id": one_line(str(manifest["codec_id"])), "backbone": backbone, "heads": heads}


def _table5(console: Console, out: str | None) -> int:
    from rich.table import Table

    from frankensplit.evaluation.table5 import keeps_to_paper, measure_table5

    result = measure_table5()
    table = Table(title="parameters added and time taken by blueprints (paper's Table 5)")
    table.add_column("backbone", no_wrap=True)
    for column in ("added, %", "paper, %", "decoder, ms", "replaced, ms", "ratio"):
        table.add_column(column, justify="right")
    for row in result["rows"]:
        figures = (
            f"{row['overhead_percent']:.2f}",
            "" if row["paper_overhead_percent"] is None else f"{row['paper_overhead_percent']:.2f}",
            f"{row['decoder_ms']:.1f}",
            f"{row['head_ms']:.1f}",
            f"{row['decoder_over_head_time']:.2f}",
        )
        table.add_row(row["backbone"], *figures, style=None if keeps_to_paper(row) else "bold red")
    console.print(table)
    write_json(result, out)
    return 0 if all(map(keeps_to_paper, result["rows"])) else FINDING


def check_files(path: Path) -> dict[str, dict[str, Any]]:
    """Compare each listed file of a bundle or codec folder with its hash.

    Returns:
        By name: ``bytes``, ``sha256`` (as found; None where the file is missing), ``state``: ok, changed, missing, or
        unlisted where the folder does not list the file.

    Raises:
        BundleError: the folder has no readable list of files, or has links.
    """
    listed = _listed(path)
    return {
        name: _check_file(path / name, listed.get(name))
        for name in (*listed, *sorted(files_in(path).keys() - listed.keys() - set(LISTS)))
    }


def describe(path: Path) -> dict[str, Any]:
    """Return what a whole bundle or codec is, as ``--json`` writes it.

    Raises:
        BundleError: it is of an unknown format or its parts do not belong together.
    """
    if not (path / MANIFEST).exists():
        return {"codec": _describe_codec(Codec.open(path))}
    bundle = Bundle.open(path)
    heads = {name: bundle.labels[name]["classes"] for name in bundle.server["heads"]}
    return {
        "bundle": bundle.name,
        "codec": _describe_codec(bundle.codec),
        "server": bundle.server,
        "heads": heads,
        "card": _card(path / "card.md"),
    }


def _listed(path: Path) -> dict[str, str]:
    """Return the expected hash of each file."""
    source = path / MANIFEST
    if not source.exists() and (path / "codec.json").exists():
        return files_of_codec(path)
    return listed_by(source, read_json(source).get("files"))


def _card(path: Path) -> str:
    """Return the text of a card, without what a terminal would obey."""
    text = read_bytes(path, MAX_CARD_BYTES).decode("utf-8", "replace") if path.exists() else ""
    return "".join(letter for letter in text if letter == "\n" or letter.isprintable())


def _check_file(path: Path, expected: str | None) -> dict[str, Any]:
    if not path.is_file():
        return {"bytes": 0, "sha256": None, "state": "missing"}
    found = sha256_of(path)
    state = "unlisted" if expected is None else "ok" if found == expected else "changed"
    return {"bytes": path.stat().st_size, "sha256": found, "state": state}


def _describe_codec(codec: Codec) -> dict[str, Any]:
    from frankensplit.evaluation.encoder_cost import encoder_cost

    cost = encoder_cost(codec.encoder_path, *codec.largest)
    return {
        "id": codec.id_hex,
        "format": codec.manifest["format"],
        "encoder": codec.manifest["encoder"],
        "parameters": cost.parameters if cost else None,
        "macs_a_frame": cost.macs if cost else None,
        "nominal_height": codec.nominal_height,
        "nominal_width": codec.nominal_width,
        "latent_shape": codec.latent_shape(codec.nominal_height, codec.nominal_width),
        "level_steps": [level.step for level in codec.levels],
        "context_coded": all(level.contexts is not None for level in codec.levels),
        "precisions": list(codec.precisions),
        "robot_bytes": sum(p.stat().st_size for p in codec.path.iterdir() if p.is_file()),
    }


def _print_description(console: Console, result: dict[str, Any]) -> None:
    from rich.markdown import Markdown
    from rich.table import Table

    table = Table(title=result.get("bundle", "codec"), show_header=False)
    for name, value in (*_codec_lines(result["codec"]), *_server_lines(result)):
        table.add_row(name, bounded(value))
    console.print(table)
    _, _, figures = result.get("card", "").partition("## Figures\n")
    if figures.strip():
        console.print(Markdown(bounded(figures, MAX_CARD_BYTES), hyperlinks=False))


def _codec_lines(codec: dict[str, Any]) -> list[tuple[str, str]]:
    unknown = "unknown (install onnx to count)"
    parameters = unknown if codec["parameters"] is None else f"{codec['parameters']:,}"
    macs = (
        unknown
        if codec["macs_a_frame"] is None
        else f"{codec['macs_a_frame'] / 1e6:,.0f} M multiply-accumulates a frame"
    )
    channels, rows, columns = codec["latent_shape"]
    return [
        ("codec", f"{codec['id']} ({codec['format']})"),
        ("encoder", f"{codec['encoder']}, {parameters} parameters, {macs}"),
        ("nominal size", f"{codec['nominal_width']}x{codec['nominal_height']}"),
        ("latent", f"{channels} channels of {columns}x{rows}"),
        ("quality levels", _levels(codec["level_steps"])),
        ("precisions", ", ".join(codec["precisions"])),
        ("needed on the robot", _size(codec["robot_bytes"])),
    ]


def _levels(steps: list[float]) -> str:
    """Say what the steps of the levels mean: the features are rounded to their multiples."""
    if len(steps) == 1:
        return "one"
    listed = ", ".join(f"{step:g}" for step in steps)
    return (
        f"{len(steps)}, which round features to steps of {listed}: larger steps, smaller packets, more loss"
    )


def _server_lines(result: dict[str, Any]) -> list[tuple[str, str]]:
    if "server" not in result:
        return []
    server = result["server"]
    blueprint = server["blueprint"]
    adapter = f", with an adapter of width {blueprint['adapter']}" if "adapter" in blueprint else ""
    parts = [("backbone", server["backbone"]["model"]), ("blueprint", blueprint["family"] + adapter)]
    heads = [(f"head {name}", _classes(classes)) for name, classes in result["heads"].items()]
    return [*parts, *heads]


def _classes(classes: list[str]) -> str:
    """Name the classes; of a thousand the first, and how many more there are."""
    more = len(classes) - SHOWN_CLASSES
    listed = ", ".join(classes[:SHOWN_CLASSES])
    return f"{listed} and {more:,} more, see labels.json" if more > 0 else listed


def _print_files(console: Console, files: dict[str, dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table(title="files")
    for column, justify in (("file", "left"), ("size", "right"), ("SHA-256", "left"), ("", "left")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for name, file in files.items():
        digest = (file["sha256"] or "")[:16]
        style = None if file["state"] == "ok" else "bold red"
        table.add_row(one_line(name), _size(file["bytes"]), digest, file["state"], style=style)
    console.print(table)


def _size(count: int) -> str:
    return f"{count:,} B" if count < 10_000 else f"{count / 1000:,.0f} kB"
