# SPDX-License-Identifier: Apache-2.0
"""The page's sentences that follow from results."""

from __future__ import annotations

from collections.abc import Mapping

from frankensplit.report.codecs import look_of
from frankensplit.report.numbers import interval, kilobytes, points, size
from frankensplit.report.read import HeadResult, Measured

LEAD = ("jpeg", "webp", "h264-intra", "h264-gop10", "h264-p")  # rivals named in the first paragraph


def title(first: Measured | None) -> str:
    """Return the page's title: what the first head's packets take and cost."""
    if first is None:
        return "What a packet costs"
    ours = next(iter(first.heads.values())).ours
    return f"{size(ours.bytes_per_frame)} a frame, {points(ours.loss_points)} points lost"


def lead(one: Measured) -> str:
    """Say what our packets cost on some data, and what the best known rivals need to lose no more."""
    head = next(iter(one.heads.values()))
    ours = head.ours
    known = f" (95 % interval {interval(ours.ci95)})" if ours.ci95 else ""
    against = "" if head.truth == "labels" else ", counted as disagreement with the unmodified backbone"
    said = (
        f"On {one.data} the packets of {one.bundle}{_in_precision(one)} take {size(ours.bytes_per_frame)} a frame "
        f"and cost {points(ours.loss_points)} "
        f"points of {head.metric}{known}, of {points(head.unmodified)} that the unmodified backbone reaches{against}."
    )
    needs = [_need(head, codec) for codec in LEAD if codec in head.bytes_at_our_loss]
    return f"{said} Bytes with which others lose no more: {', '.join(needs)}." if needs else said


def _in_precision(one: Measured) -> str:
    precision = one.raw.get("precision", "fp32")
    return "" if precision == "fp32" else f" in {precision}"


def _need(head: HeadResult, codec: str) -> str:
    return f"{look_of(codec).title} {kilobytes(*head.need(codec))} kB"


def facts(one: Measured) -> list[tuple[str, str]]:
    """Return what was measured, where and by which commit, as names and values."""
    frames = str(one.frames or "unknown")
    rate = rate_of(one)
    frames += f", {rate:g} a second" if rate else ""
    skipped = one.raw.get("skipped")
    frames += f", {len(skipped)} skipped" if isinstance(skipped, dict) and skipped else ""
    machine = machine_words(one.machine)
    names = ("bundle", "data", "frames", "machine", "commit")
    return list(zip(names, (one.bundle, one.data, frames, machine, one.commit), strict=True))


def machine_words(machine: Mapping[str, str]) -> str:
    """Return a machine in a line."""
    cores = f"{machine['cores']} cores" if "cores" in machine else ""
    versions = " ".join(f"{name} {machine[name]}" for name in ("python", "torch") if name in machine)
    known = filter(None, (machine.get("processor", ""), cores, machine.get("system", ""), versions))
    return ", ".join(known) or "unknown"


def bars(one: Measured) -> str:
    """Say what the bars in a plot are."""
    if not any(row.ci95 for head in one.heads.values() for row in head.rows):
        return "Without intervals: they were not measured."
    how = one.raw.get("bootstrap")
    if not isinstance(how, dict) or "resamples" not in how:
        return "Bars are 95 % intervals."
    blocks = f"{how['resamples']} resamples of blocks of {how.get('block_frames', 1)} frames"
    return f"Bars are 95 % intervals of the paired bootstrap ({blocks})."


def notes(one: Measured) -> list[str]:
    """Return what a reader should know about a result, as sentences."""
    listed = one.raw.get("notes")
    return [_sentence(str(note)) for note in listed] if isinstance(listed, list) else []


def unmeasured(one: Measured) -> list[str]:
    """Say what could not be measured, and why, as sentences."""
    reasons = one.raw.get("not_measured")
    if not isinstance(reasons, dict):
        return []
    return [_sentence(f"{look_of(str(name)).title} was not measured: {why}") for name, why in reasons.items()]


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."


def rate_of(one: Measured) -> float | None:
    """Return the frames a second of the data; None where they are not known."""
    return number(one.raw.get("rate_hz"))


def number(value: object) -> float | None:
    """Return a positive number of a file; None for anything else."""
    return float(value) if isinstance(value, (int, float)) and value > 0 else None
