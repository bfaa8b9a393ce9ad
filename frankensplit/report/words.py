# SPDX-License-Identifier: Apache-2.0
"""The page's sentences that follow from results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from frankensplit.report.codecs import look_of
from frankensplit.report.curves import LINEAR_TO, most_lost, outside
from frankensplit.report.numbers import digits, interval, points, size
from frankensplit.report.read import Head, Measured

LEAD = ("jpeg", "webp", "h264-intra", "h264-gop10", "h264-p")  # rivals named in the first paragraph


def title(first: Measured | None) -> str:
    """Return the page's title: what the first head's packets take and cost."""
    if first is None:
        return "What a packet costs"
    ours = next(iter(first.heads.values())).ours
    return f"{size(ours.bytes_per_frame)} a frame, {points(ours.loss_points)} points lost"


def lead(head: Head) -> list[str]:
    """Say what the first picture shows: our loss, who needs more for it, who needs less, who never gets there."""
    needs = {codec: head.bytes_at_our_loss[codec] for codec in LEAD if codec in head.bytes_at_our_loss}
    reached = sorted((need, codec) for codec, need in needs.items() if need)
    ours = head.ours.bytes_per_frame
    more = [codec for need, codec in reached if need >= ours]
    less = [codec for need, codec in reached if need < ours]
    never = [codec for codec, need in needs.items() if not need]
    said = [_our_loss(head)]
    if more:
        said.append(f"To lose no more, {_with_needs(more, head)} need{_s(more)} more.")
    if less:
        alone = any(look_of(codec).family.alone for codec in less)
        but = "" if alone else ", but their frames cannot be decoded without those before them"
        said.append(f"{_with_needs(less, head)} need{_s(less)} less{but}.")
    if never:
        names = _listed([f"{look_of(codec).title} (up to {size(head.need(codec)[0])})" for codec in never])
        said.append(f"{names} lose{_s(never)} more at every quality measured.")
    return said


def elsewhere(one: Measured) -> str:
    """Say the same of further data, whose picture comes later."""
    said = " ".join(lead(next(iter(one.heads.values()))))
    return f"On {one.data} ({one.frames or 'unknown'} frames): {said[:1].lower()}{said[1:]}"


def _our_loss(head: Head) -> str:
    ours = head.ours
    known = f" (95 % interval {interval(ours.ci95)})" if ours.ci95 else ""
    against = "" if head.truth == "labels" else ", counted as disagreement with the unmodified backbone"
    return (
        f"Our packets take {size(ours.bytes_per_frame)} a frame and cost {points(ours.loss_points)} points of "
        f"{head.metric}{known}, of {points(head.unmodified)} that the unmodified backbone reaches{against}."
    )


def _with_needs(codecs: Sequence[str], head: Head) -> str:
    def one(codec: str) -> str:
        need = head.bytes_at_our_loss[codec] or 0.0
        return f"{look_of(codec).title} ({size(need)}, {digits(need / head.ours.bytes_per_frame)} times ours)"

    return _listed([one(codec) for codec in codecs])


def _s(subjects: Sequence[str]) -> str:
    return "s" if len(subjects) == 1 else ""


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def facts(one: Measured) -> list[tuple[str, str]]:
    """Return what was measured, where and by which commit, as names and values."""
    frames = str(one.frames or "unknown")
    rate = rate_of(one)
    frames += f", {rate:g} a second" if rate else ""
    skipped = one.raw.get("skipped")
    frames += f", {len(skipped)} skipped" if isinstance(skipped, dict) and skipped else ""
    return [
        ("bundle", one.bundle),
        ("data", one.data),
        ("frames", frames),
        ("machine", machine_words(one.machine)),
        ("commit", one.commit),
    ]


def machine_words(machine: Mapping[str, str]) -> str:
    """Return a machine in a line."""
    cores = f"{machine['cores']} cores" if "cores" in machine else ""
    versions = " ".join(f"{name} {machine[name]}" for name in ("python", "torch") if name in machine)
    return (
        ", ".join(filter(None, (machine.get("processor", ""), cores, machine.get("system", ""), versions)))
        or "unknown"
    )


def bars(one: Measured) -> str:
    """Say what the bars in a plot are."""
    if not any(row.ci95 for head in one.heads.values() for row in head.rows):
        return "Without intervals: they were not measured."
    how = one.raw.get("bootstrap")
    if not isinstance(how, dict) or "resamples" not in how:
        return "Bars are 95 % intervals."
    return (
        f"Bars are 95 % intervals of the paired bootstrap ({how['resamples']} resamples of blocks of "
        f"{how.get('block_frames', 1)} frames)."
    )


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
    rate = one.raw.get("rate_hz")
    return float(rate) if isinstance(rate, (int, float)) and rate > 0 else None


def headline_caption(one: Measured, head: Head) -> str:
    """Say how to read the first picture."""
    cut = outside(head)
    return (
        f"{head.name.capitalize()} on {one.data}. Lower left is better. The scale of points lost is linear to "
        f"{LINEAR_TO:g} and logarithmic above, and ends at {most_lost(head):g}: {cut or 'no'} "
        f"setting{' lies' if cut == 1 else 's lie'} outside. {bars(one)} Solid and dashed curves decode each "
        "frame alone; dash-dotted and dotted ones need the frames before it. The figures in the legend are kB a "
        "frame to lose no more than our packets, and > the most that was measured where none of it gets there."
    )


def links_caption(one: Measured) -> str:
    """Say how to read the bars of latency."""
    limit = one.raw.get("at_loss_points")
    at = f" with which it loses at most {limit:g} points" if isinstance(limit, (int, float)) else ""
    return (
        f"Each codec at its cheapest quality{at}, fewest bytes first. Each panel has its own scale; bars with a cut "
        "are longer than drawn."
    )


def network_caption(one: Measured) -> str:
    """Say how to read the curves over packets lost."""
    link = one.raw.get("link")
    mbit_s = link.get("mbit_s") if isinstance(link, dict) else None
    rate_hz, known = rate_of(one), isinstance(mbit_s, (int, float))
    what = one.data + (f" at {rate_hz:g} frames/s" if rate_hz else "")
    what += f" over a link of {mbit_s:g} Mbit/s" if known else ""
    agreement = one.raw.get("truth", "labels") != "labels"
    scored = "Without labels, accuracy is agreement with the unmodified backbone. " if agreement else ""
    return (
        f"{what}. {scored}Thin lines are the 95th percentile of the age. On the right, each frame is scored against "
        "the newest prediction at hand when the next frame is due; the horizontal line is the unmodified backbone."
    )
