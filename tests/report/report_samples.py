# SPDX-License-Identifier: Apache-2.0
"""Made-up results of every kind, as the measuring commands write them; the curves are formulas, not measurements."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

# Bytes at which a codec loses one point, the steepness of its curve, and its sweep.
CURVES: dict[str, tuple[float, float, tuple[int | None, ...]]] = {
    "jpeg": (14000, 2.6, (5, 10, 15, 20, 30, 40, 60, 80)),
    "webp": (7600, 1.5, (1, 4, 8, 14, 20, 35, 50, 75)),
    "avif": (5200, 1.6, (20, 30, 40, 50, 60, 70)),
    "jxl": (6900, 1.7, (10, 20, 30, 50, 70)),
    "h264-intra": (6100, 1.8, (40, 37, 34, 31, 28, 25)),
    "h265-intra": (4900, 1.7, (40, 37, 34, 31, 28)),
    "av1-intra": (4300, 1.7, (58, 50, 40, 30)),
    "h264-gop10": (1900, 1.5, (40, 37, 34, 31, 28, 25)),
    "h265-gop10": (1600, 1.5, (40, 37, 34, 31, 28)),
    "av1-gop10": (1750, 1.4, (58, 50, 40, 30)),
    "h264-p": (1000, 1.4, (40, 37, 34, 31, 28, 25)),
    "h265-p": (860, 1.4, (40, 37, 34, 31, 28)),
    "av1-p": (1300, 1.3, (58, 50, 40, 30)),
    "training-free": (52000, 2.0, (2, 3, 4, 6)),
}
LOSSLESS = {"webp-lossless": 178_000.0, "png": 268_000.0}
SAME_ACCURACY = {"zlib": 7100.0, "zstd": 6900.0}
OUR_BYTES, OUR_LOSS = 4666.0, 0.33
MACHINE = {
    "processor": "Made-up CPU",
    "cores": 2,
    "system": "Linux x86_64",
    "python": "3.11.7",
    "torch": "2.13.0+cpu",
}


def evaluation(
    data: str = "camvid:val", truth: str = "labels", frames: int = 101, heads: int = 3
) -> dict[str, Any]:
    """What ``frankensplit evaluate`` writes; of fewer heads where a test wants to be quick."""
    metrics = {
        "segmentation": ("mIoU", 57.24, 1.0),
        "presence": ("F1", 88.62, 0.25),
        "detections": ("mAP50", 39.93, 1.6),
    }
    return {
        "bundle": "street",
        "data": data,
        "frames": frames,
        "skipped": {},
        "rate_hz": 15.0,
        "bootstrap": {"resamples": 1000, "block_frames": 10, "seed": 0},
        "command": f"frankensplit evaluate bundles/street --data {data} --rival all --json docs/results/sample.json",
        "commit": "0123456789ab",
        "machine": MACHINE,
        "notes": ["no rate_hz in labels.json: taken as 15 frames a second"],
        "not_measured": {
            "fp": "no weights: give them with --weights",
            "cheng": "no weights: give them with --weights",
        },
        "heads": {
            name: _head(metric, 100.0 if truth != "labels" else value, hardness, truth)
            for name, (metric, value, hardness) in list(metrics.items())[:heads]
        },
    }


def _head(metric: str, unmodified: float, hardness: float, truth: str) -> dict[str, Any]:
    def row(codec: str, quality: int | None, payload_bytes: float, loss: float) -> dict[str, Any]:
        spread = 0.18 + 0.12 * abs(loss) ** 0.7
        return {
            "codec": codec,
            "quality": quality,
            "bytes_per_frame": round(payload_bytes, 1),
            "bpp": round(8 * payload_bytes / 172_800, 5),
            "value": round(unmodified - loss, 3),
            "loss_points": round(loss, 3),
            "ci95": [round(loss - spread, 3), round(loss + 1.1 * spread, 3)],
        }

    rows = [row("frankensplit", 0, OUR_BYTES, OUR_LOSS * hardness)]
    needs: dict[str, float | None] = {}
    for codec, (at_one, steepness, sweep) in CURVES.items():
        sizes = [at_one * 2.6 ** (-1.6 + 3.4 * i / (len(sweep) - 1)) for i in range(len(sweep))]
        losses = [hardness * (at_one / each) ** steepness - 0.05 for each in sizes]
        rows += [row(codec, *each) for each in zip(sweep, sizes, losses, strict=True)]
        needs[codec] = round(at_one * (OUR_LOSS + 0.05) ** (-1 / steepness), 1)
        if needs[codec] > sizes[-1]:  # type: ignore[operator]
            needs[codec] = None
    for codec, payload_bytes in LOSSLESS.items():
        rows.append(row(codec, None, payload_bytes, 0.0))
        needs[codec] = payload_bytes
    for codec, payload_bytes in SAME_ACCURACY.items():
        rows.append(row(codec, None, payload_bytes, OUR_LOSS * hardness))
        needs[codec] = payload_bytes
    return {
        "metric": metric,
        "truth": truth,
        "unmodified": unmodified,
        "rows": rows,
        "bytes_at_our_loss": needs,
        "bd_rate_percent": dict.fromkeys(CURVES),
        "bd_rate_over_jpeg_percent": {
            codec: -40.0 - 3 * i for i, codec in enumerate(CURVES) if codec != "jpeg"
        },
        "prediction_bytes": {"mIoU": 1234.0, "F1": 2.0, "mAP50": 61.0}[metric],
    }


LINKS = (
    ("LoRa class", 0.05),
    ("802.15.4", 0.25),
    ("BLE", 0.27),
    ("4G", 12.0),
    ("Wi-Fi", 54.0),
    ("5G", 66.9),
    ("measured", 31.4),
)
AT_LOSS: dict[str, tuple[int | None, float, float, float]] = {  # quality, bytes, encode_ms, decode_ms
    "frankensplit": (0, 4666.0, 19.0, 24.0),
    "jpeg": (60, 20_300.0, 1.2, 1.0),
    "webp": (35, 13_900.0, 14.5, 2.1),
    "png": (None, 268_000.0, 11.0, 4.0),
    "avif": (50, 9_100.0, 61.0, 6.0),
    "jxl": (30, 11_800.0, 38.0, 9.0),
    "h264-intra": (31, 9_900.0, 4.2, 1.5),
    "h264-gop10": (31, 3_500.0, 3.4, 1.3),
    "h264-p": (31, 1_950.0, 3.1, 1.2),
    "h265-p": (34, 1_700.0, 15.0, 1.9),
    "av1-p": (40, 2_700.0, 21.0, 2.2),
}


def link() -> dict[str, Any]:
    """What ``frankensplit bench link`` writes."""
    rows = []
    for name, rate in LINKS:
        for codec, (quality, payload_bytes, encode, decode) in AT_LOSS.items():
            transfer = 8 * payload_bytes * 1.04 / rate / 1000
            inference = 31.0 if codec == "frankensplit" else 42.0
            slowest = max(encode, transfer, decode + inference)
            rows.append(
                {
                    "codec": codec,
                    "quality": quality,
                    "bytes_per_frame": payload_bytes,
                    "loss_points": 0.0 if codec == "png" else 0.35,
                    "link": name,
                    "encode_ms": encode,
                    "transfer_ms": round(transfer, 3),
                    "decode_ms": decode,
                    "inference_ms": inference,
                    "total_ms": round(encode + transfer + decode + inference, 3),
                    "frames_per_s": round(1000 / slowest, 3),
                }
            )
    links = [
        {"name": name, "mbit_s": rate, "mtu_bytes": 1500, "overhead_bytes": 52, "source": "made up"}
        for name, rate in LINKS
    ]
    return _bench("link") | {"at_loss_points": 0.4, "links": links, "rows": rows}


def components() -> dict[str, Any]:
    """What ``frankensplit bench components`` writes."""
    networks = {  # parameters of encoder and decoder, MACs of both
        "frankensplit": (141_696, 2_058_974, 1_830_000_000, 3_100_000_000),
        "fp": (3_505_000, 3_505_000, 31_000_000_000, 30_000_000_000),
        "cheng": (16_350_000, 22_270_000, 190_000_000_000, 310_000_000_000),
    }
    times = {codec: (encode, decode) for codec, (_, _, encode, decode) in AT_LOSS.items()} | {
        "fp": (410.0, 395.0),
        "cheng": (5200.0, 8300.0),
    }
    rows = []
    for codec, (encode, decode) in times.items():
        ours = codec == "frankensplit"
        sizes = networks.get(codec, (None, None, None, None))
        entropy = (1.1, 1.4) if ours else (3.0, 4.0) if codec in networks else (None, None)
        tail = 14.0 if ours else 26.0
        rows.append(
            {
                "codec": codec,
                "quality": AT_LOSS[codec][0] if codec in AT_LOSS else 4,
                "bytes_per_frame": AT_LOSS[codec][1] if codec in AT_LOSS else 9_000.0,
                **dict(
                    zip(
                        ("encoder_parameters", "decoder_parameters", "encoder_macs", "decoder_macs"),
                        sizes,
                        strict=True,
                    )
                ),
                "encode_ms": encode,
                "entropy_encode_ms": entropy[0],
                "entropy_decode_ms": entropy[1],
                "decode_ms": decode,
                "tail_ms": tail,
                "heads_ms": 16.0,
                "total_ms": encode + sum(part or 0.0 for part in entropy) + decode + tail + 16.0,
                "peak_memory_mb": 412.0,
                "encode_joules": None,
            }
        )
    return _bench("components") | {"repeats": 20, "energy": "not measured: no RAPL here", "rows": rows}


def network() -> dict[str, Any]:
    """What ``frankensplit bench network`` writes."""
    streams = {  # quality, bytes, share of frames that one lost packet spoils, age without loss
        "raw": (None, 518_400.0, 40.0, 640.0),
        "jpeg": (60, 20_300.0, 3.0, 96.0),
        "h264-intra": (31, 9_900.0, 2.0, 84.0),
        "h264-gop10": (31, 3_500.0, 5.5, 82.0),
        "h264-p": (31, 1_950.0, 60.0, 81.0),
        "frankensplit": (0, 4_666.0, 1.0, 110.0),
    }
    rows = []
    for codec, (quality, payload_bytes, spoiled, age) in streams.items():
        for loss in (0, 1, 5, 10, 20):
            arrives = (1 - loss / 100) ** spoiled
            rate = (0.9 if codec == "raw" else 15.0) * arrives
            rows.append(
                {
                    "codec": codec,
                    "quality": quality,
                    "loss_percent": loss,
                    "sent": 300,
                    "sent_fps": 15.0,
                    "bytes_per_frame": payload_bytes,
                    "delivered": round(20 * rate),
                    "delivered_fps": round(rate, 2),
                    "age_p50_ms": round(age + 33 / max(arrives, 0.02), 1),
                    "age_p95_ms": round(age + 120 / max(arrives, 0.02), 1),
                    "value_held": round(57.2 * (0.35 + 0.65 * min(1, rate / 15) ** 0.4), 2),
                    "value_delivered": 56.9 if rate > 0.1 else None,
                }
            )
    return _bench("network") | {
        "skipped": None,
        "link": {"mbit_s": 12.0, "goodput_mbit_s": 11.2},
        "metric": "mIoU",
        "unmodified": 57.2,
        "rows": rows,
    }


def check() -> dict[str, Any]:
    """What ``frankensplit bench check --update`` writes."""
    figures = {
        "bytes_per_frame": 5210.0,
        "segmentation_loss_points": 0.31,
        "time_blueprint_over_shallow_layers": 0.92,
    }
    return {
        "bundle": "street",
        "runs": 5,
        "command": "frankensplit bench check --update",
        "commit": "0123456789ab",
        "machine": MACHINE,
        "figures": {
            name: {"value": value, "spread": 0.01, "allowed": 1.25 * value} for name, value in figures.items()
        },
    }


def _bench(what: str) -> dict[str, Any]:
    return {
        "bundle": "street",
        "data": "camvid:val",
        "frames": 20,
        "command": f"frankensplit bench {what} bundles/street --json docs/results/{what}.json",
        "commit": "0123456789ab",
        "machine": MACHINE,
    }


def write_results(folder: Path, **others: Any) -> Path:
    """Write one file of each kind into a folder; ``name=None`` leaves one out, another value replaces it."""
    files = {
        "street-camvid-val": evaluation(),
        "street-highway-clip": evaluation("driving-highway-960x540-25fps.mp4", "unmodified backbone", 90),
        "components": components(),
        "link": link(),
        "network": network(),
        "bench": check(),
    } | {name.replace("_", "-"): value for name, value in others.items()}
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        if value is not None:
            (folder / f"{name}.json").write_text(json.dumps(value, indent=1), encoding="utf-8")
    return folder
