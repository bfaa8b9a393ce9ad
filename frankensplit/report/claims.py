# SPDX-License-Identifier: Apache-2.0
"""What the paper claims, held against what was measured here: each claim has a rule, and the results decide.

A claimed ratio counts as confirmed from 95 % of its figure on. Where results allow a range only (a sweep that ends too
early, an interval around the claim), the claim is out of reach until they allow more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from frankensplit.evaluation import OURS
from frankensplit.evaluation.curves import bytes_at_loss
from frankensplit.report.codecs import look_of
from frankensplit.report.numbers import count, digits, duration, interval, points, size
from frankensplit.report.read import Head, Measured, Results, Row

CONFIRMED, REFUTED, OUT_OF_REACH = "confirmed", "refuted", "out of reach"
NEARLY = 0.95  # of a claimed ratio
NEAR = (
    0.5  # of a loss: a setting that loses less than this share of it is no measure of the bytes that it takes
)
LOSSLESS = 0.4  # points, by the paper's definition


@dataclass(frozen=True)
class Finding:
    """A claim's verdict, the figure measured here, and why it stands as it does."""

    verdict: str
    measured: str
    why: str


Rule = Callable[[Results], Finding]


@dataclass(frozen=True)
class Claim:
    """One statement, where it stands, the figure that is claimed, and the rule that judges it."""

    statement: str
    place: str
    figure: str
    rule: Rule

    def judge(self, results: Results) -> Finding:
        """Return the verdict that results allow."""
        try:
            return self.rule(results)
        except _OutOfReachError as err:
            return Finding(OUT_OF_REACH, "not measured", str(err))


class _OutOfReachError(Exception):
    """Results do not hold what a rule needs; the text says what, and how to get it."""


@dataclass(frozen=True)
class _Range:
    """Where a quantity lies: both ends are equal where it is known."""

    low: float
    high: float

    def over(self, other: _Range) -> _Range:
        low = self.low / other.high if math.isfinite(other.high) else 0.0
        return _Range(low, self.high / other.low if other.low > 0 else math.inf)

    def __str__(self) -> str:
        if self.low == self.high:
            return f"{digits(self.low)}x"
        if not math.isfinite(self.high):
            return f"at least {digits(self.low)}x" if self.low > 0 else "any ratio"
        return (
            f"{digits(self.low)}x to {digits(self.high)}x"
            if self.low > 0
            else f"at most {digits(self.high)}x"
        )


def judged(claims: Sequence[Claim], results: Results) -> list[dict[str, str]]:
    """Return claims with their verdicts, as JSON values."""
    return [
        {"statement": claim.statement, "place": claim.place, "figure": claim.figure}
        | asdict(claim.judge(results))
        for claim in claims
    ]


def _ratio_finding(
    ratio: _Range, claimed: float, measured: str, unsure: str, share: float = NEARLY
) -> Finding:
    """Judge a ratio against the one that is claimed."""
    if ratio.low >= share * claimed:
        return Finding(CONFIRMED, measured, "")
    if ratio.high < share * claimed:
        return Finding(REFUTED, measured, "")
    return Finding(OUT_OF_REACH, measured, unsure)


# Bytes


def _head(results: Results) -> Head:
    if results.head is None:
        raise _OutOfReachError("needs frankensplit evaluate")
    return results.head


def _bytes(results: Results, codec: str, loss_points: float) -> _Range:
    """Return between how many bytes a codec loses just this.

    A sweep that begins far below the loss says only that fewer bytes would do, except of a codec without a setting.
    """
    rows = _head(results).rows_of(codec)
    if not rows:
        raise _OutOfReachError(_why_not(results, codec))
    need = bytes_at_loss([asdict(row) for row in rows], loss_points)
    if need is None:
        return _Range(rows[-1].bytes_per_frame, math.inf)
    cheapest = rows[0]
    known = not cheapest.quality or cheapest.loss_points >= NEAR * loss_points
    return _Range(need if known else 0.0, need)


def _why_not(results: Results, codec: str) -> str:
    for one in results.all:
        reason = one.raw.get("not_measured", {})
        if isinstance(reason, dict) and codec in reason:
            return f"{look_of(codec).title} was not measured: {reason[codec]}"
    return f"{look_of(codec).title} was not measured; evaluate with --rival {codec}"


def _told(what: _Range) -> str:
    if what.low == what.high:
        return size(what.low)
    return f"more than {size(what.low)}" if math.isinf(what.high) else f"at most {size(what.high)}"


def _times_smaller(codec: str, loss_points: float, claimed: float, share: float = NEARLY) -> Rule:
    """Return a rule: at this loss, ours is so many times smaller than a rival's."""

    def rule(results: Results) -> Finding:
        head = _head(results)
        theirs, ours = _bytes(results, codec, loss_points), _bytes(results, OURS, loss_points)
        ratio = theirs.over(ours)
        at = f"at {loss_points:g} points of {head.metric}: {_told(theirs)}, ours {_told(ours)}"
        return _ratio_finding(ratio, claimed, f"{ratio} ({at})", "the sweeps do not reach far enough", share)

    return rule


def _lossless_rate(results: Results) -> Finding:
    """Judge: at most 0.4 points lost with at most 0.81 bits a pixel."""
    rows = [row for row in _head(results).rows_of(OURS) if row.bpp <= 0.81 / NEARLY]
    if not rows:
        raise _OutOfReachError("no setting of ours has so few bits a pixel")
    best = min(rows, key=lambda row: row.loss_points)
    low, high = _loss_range(best)
    measured = f"{points(best.loss_points)} points at {points(best.bpp)} bpp, {size(best.bytes_per_frame)}"
    measured += f", interval {interval(best.ci95)}" if best.ci95 else ""
    if high <= LOSSLESS:
        return Finding(
            CONFIRMED, measured, "" if best.ci95 else "by the value alone: no interval was measured"
        )
    if low > LOSSLESS:
        return Finding(REFUTED, measured, "")
    return Finding(OUT_OF_REACH, measured, f"the interval holds {LOSSLESS} points: more frames are needed")


def _loss_range(row: Row) -> tuple[float, float]:
    return row.ci95 or (row.loss_points, row.loss_points)


# Sizes and times of networks


def _component(results: Results, codec: str, *names: str, needed: int | None = None) -> dict[str, float]:
    """Return figures of a codec's row of ``bench components``; only the first ``needed`` must be there."""
    if not results.components:
        raise _OutOfReachError("needs frankensplit bench components")
    rows = [row for one in results.components for row in one.rows if row["codec"] == codec]
    if not rows:
        raise _OutOfReachError(_why_not(results, codec))
    absent = [name for name in names[:needed] if rows[0][name] is None]
    if absent:
        raise _OutOfReachError(f"{look_of(codec).title} has no {absent[0]} in the components")
    return {name: rows[0][name] for name in names if rows[0][name] is not None}


def _encoder_smaller(codec: str, claimed: float) -> Rule:
    def rule(results: Results) -> Finding:
        ours, theirs = (
            _component(results, name, "encoder_parameters")["encoder_parameters"] for name in (OURS, codec)
        )
        return _known_ratio(theirs / ours, claimed, f"{count(theirs)} against {count(ours)}")

    return rule


def _encoder_size(results: Results) -> Finding:
    ours = _component(results, OURS, "encoder_parameters")["encoder_parameters"]
    return Finding(CONFIRMED if ours <= 140_000 / NEARLY else REFUTED, f"{count(ours)} parameters", "")


def _smaller_than_printed(printed: float, claimed: float) -> Rule:
    def rule(results: Results) -> Finding:
        ours = _component(results, OURS, "encoder_parameters")["encoder_parameters"]
        return _known_ratio(
            printed / ours, claimed, f"their {count(printed)} as printed, our {count(ours)} counted"
        )

    return rule


def _encoder_faster(codec: str, claimed: float) -> Rule:
    def rule(results: Results) -> Finding:
        ours, theirs = (_encode_ms(results, name) for name in (OURS, codec))
        return _known_ratio(theirs / ours, claimed, f"{duration(theirs)} against {duration(ours)}")

    return rule


def _encode_ms(results: Results, codec: str) -> float:
    """Return the time until the bytes are there, entropy coding included."""
    parts = _component(results, codec, "encode_ms", "entropy_encode_ms", needed=1)
    return sum(parts.values())


def _known_ratio(ratio: float, claimed: float, of: str) -> Finding:
    return _ratio_finding(_Range(ratio, ratio), claimed, f"{digits(ratio)}x ({of})", "")


def _server_no_slower(results: Results) -> Finding:
    """Judge: the blueprint takes no longer than the layers it replaces, or with the tail than the whole backbone."""
    for one in results.checks:
        for row in one.rows:
            if row["name"] == "time_blueprint_over_shallow_layers":
                measured = f"{digits(row['value'])} times as long as those layers"
                return Finding(CONFIRMED if row["value"] <= 1 / NEARLY else REFUTED, measured, "")
    ours = sum(_component(results, OURS, "decode_ms", "tail_ms").values())
    whole = _component(results, "jpeg", "tail_ms")["tail_ms"]
    measured = f"blueprint and tail {duration(ours)}, whole backbone {duration(whole)}"
    return Finding(CONFIRMED if ours <= whole / NEARLY else REFUTED, measured, "")


def _entropy_share(results: Results) -> Finding:
    """Judge whether leaving entropy coding out changes a comparison: up to 5 % of the whole counts as no."""
    parts = _component(results, OURS, "entropy_encode_ms", "entropy_decode_ms", "total_ms")
    total = parts.pop("total_ms")
    coding = sum(parts.values())
    measured = f"{duration(coding)} of {duration(total)}, {100 * coding / total:.1f} %"
    return Finding(CONFIRMED if coding <= 0.05 * total else REFUTED, measured, "ours, both ends, rANS in C")


def _overhead(results: Results) -> Finding:
    """Judge: encoder and blueprint have at most 3.5 % as many parameters as the backbone."""
    ours = _component(results, OURS, "encoder_parameters", "decoder_parameters")
    backbone = results.components[0].raw.get("backbone")
    whole = backbone.get("parameters") if isinstance(backbone, dict) else None
    if not isinstance(whole, (int, float)) or whole <= 0:
        raise _OutOfReachError("the components do not count the backbone's parameters")
    share = 100 * sum(ours.values()) / whole
    measured = f"{share:.1f} % of {count(whole)}, with nothing taken off for the layers replaced"
    if share <= 3.5 / NEARLY:
        return Finding(CONFIRMED, measured, "")
    return Finding(
        OUT_OF_REACH, measured, "the paper's count is net of those layers, which results do not count"
    )


# Links


def _link(results: Results, mbit_s: float) -> tuple[Measured, str]:
    """Return the benchmark and the name of the link that has this rate."""
    if not results.links:
        raise _OutOfReachError("needs frankensplit bench link")
    for one in results.links:
        for entry in one.raw.get("links", []):
            rate = entry.get("mbit_s") if isinstance(entry, dict) else None
            if isinstance(rate, (int, float)) and math.isclose(rate, mbit_s, rel_tol=0.01):
                return one, str(entry.get("name"))
    raise _OutOfReachError(f"no link of {mbit_s:g} Mbit/s among those measured")


def _faster_over(codec: str, mbit_s: float, claimed: float) -> Rule:
    def rule(results: Results) -> Finding:
        one, name = _link(results, mbit_s)
        totals = {row["codec"]: row["total_ms"] for row in one.rows if row["link"] == name}
        for needed in (OURS, codec):
            if totals.get(needed) is None:
                raise _OutOfReachError(_why_not(results, needed))
        of = f"{duration(totals[codec])} against {duration(totals[OURS])}"
        return _known_ratio(totals[codec] / totals[OURS], claimed, of)

    return rule


def _never(why: str) -> Rule:
    """Return a rule for what nothing here can test."""
    return lambda results: Finding(OUT_OF_REACH, "not measured", why)


CLAIMS = (
    Claim(
        "Prediction is as good as without compression (at most 0.4 points lost) at 5.08 kB, 0.81 bits a pixel",
        "6.3, Table 4",
        "0.40 points at 0.81 bpp",
        _lossless_rate,
    ),
    Claim(
        "Files are 7x smaller than Balle-FP's at about 5 % loss",
        "6.3.3",
        "7x",
        _times_smaller("fp", 5.0, 7.0),
    ),
    Claim(
        "WebP needs 6.1x the bytes to lose no accuracy",
        "Table 7",
        "29.2 against 4.81 kB",
        _times_smaller("webp", LOSSLESS, 6.1),
    ),
    Claim(
        "PNG needs 17.8x the bytes", "Table 7", "85.5 against 4.81 kB", _times_smaller("png", LOSSLESS, 17.8)
    ),
    Claim(
        "32 % fewer bytes than Entropic Student without loss, 63 % with saliency",
        "6.3.2, abstract",
        "32 %",
        _times_smaller("entropic-student", LOSSLESS, 1 / (1 - 0.32)),
    ),
    Claim(
        "Saliency guidance lowers the bit rate by 25 % at equal loss",
        "6.3.1",
        "25 %",
        _never("no bundle was trained with saliency maps yet"),
    ),
    Claim("The encoder has about 140,000 parameters", "5.3.3", "0.14 M", _encoder_size),
    Claim("The encoder is 25x smaller than Balle-FP's", "6.3.3", "25x", _encoder_smaller("fp", 25.0)),
    Claim(
        "Up to 260x fewer encoder parameters than Chen-BJHAP",
        "6.3.3",
        "260x",
        _smaller_than_printed(36.73e6, 260.0),
    ),
    Claim(
        "The encoder is 9.3x faster than Balle-FP's",
        "Table 6, Xavier NX",
        "27.27 against 2.92 ms",
        _encoder_faster("fp", 9.3),
    ),
    Claim(
        "The encoder is 742x faster than Cheng-JHAP's",
        "Table 6, Xavier NX",
        "2167 against 2.92 ms",
        _encoder_faster("cheng", 742.0),
    ),
    Claim(
        "Decoder overhead is 1 to 3.5 % of the backbone's parameters", "Table 5", "3.5 % at most", _overhead
    ),
    Claim(
        "The blueprint takes no longer than the layers that it replaces",
        "5.3.3",
        "no slower",
        _server_no_slower,
    ),
    Claim("Latencies can be compared without entropy coding", "6.4", "left out", _entropy_share),
    Claim("16x less latency than PNG over BLE", "abstract, Table 7", "16x", _faster_over("png", 0.27, 16.0)),
    Claim("3.3x less latency than PNG over 4G", "6.4, Table 7", "3.3x", _faster_over("png", 12.0, 3.3)),
    Claim(
        "5.5x less latency than WebP over BLE",
        "Table 7",
        "879 against 159 ms",
        _faster_over("webp", 0.27, 5.5),
    ),
    Claim(
        "1.5x less latency than WebP over 4G",
        "Table 7",
        "32.6 against 21.1 ms",
        _faster_over("webp", 12.0, 1.5),
    ),
    Claim(
        "More latent channels give smaller files at equal loss",
        "6.3.8, Fig. 18",
        "a curve",
        _never("one size of encoder has been trained so far"),
    ),
    Claim(
        "Large backbones of a family need about the same rate, small ones 3 to 4 % more",
        "Fig. 15",
        "3 to 4 %",
        _never("one backbone has been trained so far"),
    ),
    Claim(
        "One frozen encoder serves decoders of other backbones",
        "6.3.6, Fig. 16",
        "within 0.25 points",
        _never("one backbone has been trained so far"),
    ),
    Claim(
        "Other tasks need only a new last layer",
        "6.3.7",
        "87.7 to 89.0 %",
        _never("neither ImageNet weights nor Food-101, CIFAR-100 and Flower-102 are at hand"),
    ),
)

AIMS = (
    Claim(
        "A quarter of JPEG's bytes", "own aim", "4x at 0.4 points", _times_smaller("jpeg", LOSSLESS, 4.0, 1.0)
    ),
    Claim("Half of WebP's bytes", "own aim", "2x at 0.4 points", _times_smaller("webp", LOSSLESS, 2.0, 1.0)),
    Claim(
        "Half of H.264's bytes with key frames only",
        "own aim",
        "2x at 0.4 points",
        _times_smaller("h264-intra", LOSSLESS, 2.0, 1.0),
    ),
    Claim(
        "No more bytes than H.264 with a key frame every 10",
        "own aim",
        "1x at 0.4 points",
        _times_smaller("h264-gop10", LOSSLESS, 1.0, 1.0),
    ),
)
