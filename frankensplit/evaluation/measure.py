# SPDX-License-Identifier: Apache-2.0
"""Measure settings frame by frame, over processes; each finished part is a file and is not measured again.

A part is a range of frames at one setting: 32 frames, or all of them for a codec whose packets need earlier ones. The
unmodified backbone comes first, since its predictions stand in for truth that the data do not have.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from frankensplit.bundle import Bundle, sha256_of
from frankensplit.data.frames import Frames, LabelledFrame, open_frames
from frankensplit.evaluation.channel import open_channel, open_ends
from frankensplit.evaluation.lower_bound import prediction_bytes
from frankensplit.evaluation.metrics import Statistics, metric_for
from frankensplit.evaluation.records import (
    FrameRecord,
    load_records,
    load_results,
    save_records,
    save_results,
)
from frankensplit.evaluation.rivals import Options, Quality, load_rival, rival_files, rival_names
from frankensplit.models.heads import head_class, heads_with_truth, truth_classes
from frankensplit.processes import ENDING, ends_with_us
from frankensplit.progress import ProgressMeter
from frankensplit.results import BoxesResult, Result

UNMODIFIED = "unmodified"
PART_FRAMES = 32
FRAMES_WORTH_A_PROCESS = 150  # starting one costs some seconds
PACKAGE = Path(__file__).resolve().parents[1]
# The files that figures depend on: when one changes, finished parts are measured again.
SOURCES = ("bundle.py", "geometry.py", "codec", "data", "edge", "evaluation", "inference", "models")
LIBRARIES = ("av", "compressai", "numpy", "onnxruntime", "opencv-python-headless", "pillow", "timm", "torch")


@dataclass(frozen=True)
class Setting:
    """A codec at one quality."""

    codec: str
    quality: Quality = None


@dataclass(frozen=True)
class Setup:
    """What a worker needs to measure any part."""

    bundle: str
    data: str
    data_root: Path
    topic: str | None = None
    limit: int | None = None
    device: str = "cpu"
    threads: int = 1
    precision: str = "fp32"  # precision of the robot's network
    weights: Mapping[str, str] = field(default_factory=dict)
    agreement: bool = False  # whether the unmodified backbone's predictions count, even where there is truth

    def open_bundle(self) -> Bundle:
        """Open the bundle."""
        return Bundle.open(self.bundle)

    def open_frames(self, bundle: Bundle) -> Frames:
        """Open the data, with truth in the bundle's indices."""
        classes = truth_classes({name: bundle.labels[name] for name in bundle.server["heads"]})
        return open_frames(
            self.data,
            self.data_root,
            topic=self.topic,
            limit=self.limit,
            truth=not self.agreement,
            **classes,
        )


@dataclass(frozen=True)
class Part:
    """Frames ``start`` to before ``stop`` at one setting, and the file that says it is done."""

    setting: Setting
    start: int
    stop: int
    path: Path

    @property
    def results_path(self) -> Path:
        """File of the unmodified backbone's predictions, kept for data without truth."""
        return self.path.with_suffix(".results.npz")


class Worker:
    """Measures parts; one a process."""

    def __init__(self, setup: Setup, folder: Path) -> None:
        self.bundle = setup.open_bundle()
        self.frames = setup.open_frames(self.bundle)
        self.predictor, self.encoder = open_ends(self.bundle, setup.device, setup.threads, setup.precision)
        self.setup, self.folder = setup, folder
        self.metrics = {
            name: metric_for(head.kind, self.bundle.labels[name])
            for name, head in self.predictor.heads.items()
        }
        self.labelled = set(labelled_heads(self.bundle, self.frames))

    def measure(self, part: Part) -> None:
        """Measure a part and write its file."""
        if part.setting.codec == UNMODIFIED:
            self._measure_unmodified(part)
        else:
            save_records(part.path, list(self._coded(part)))

    def _measure_unmodified(self, part: Part) -> None:
        records, kept = [], []
        for frame in self.frames.select(part.start, part.stop):
            results = self.predictor.predict_image(frame.rgb).results
            record = self._record(frame, 0, results, self._agreed(results))
            for name, result in results.items():
                size = prediction_bytes(result, self.predictor.heads[name].threshold)
                record.statistics[name]["prediction_bytes"] = np.array(size)
            records.append(record)
            kept.append({name: one for name, one in results.items() if name not in self.labelled})
        save_results(part.results_path, kept)
        save_records(part.path, records)

    def _coded(self, part: Part) -> Iterator[FrameRecord]:
        codec, quality = part.setting.codec, part.setting.quality
        options = Options(self.frames.rate_hz or 15.0, self.setup.threads, self.setup.weights.get(codec))
        channel = open_channel(codec, quality, options, self.predictor, self.encoder)
        frames = self.frames.select(part.start, part.stop)
        for frame, unmodified in zip(frames, self._unmodified(part), strict=True):
            arrival = channel.send(frame.rgb)
            yield self._record(frame, arrival.payload_bytes, arrival.results, self._agreed(unmodified))

    def _unmodified(self, part: Part) -> Iterator[dict[str, Result]]:
        """Yield the unmodified backbone's predictions for the heads without truth, for each frame of a part."""
        kinds = {name: head.kind for name, head in self.predictor.heads.items()}
        for one in parts_of(Setting(UNMODIFIED), part.start, part.stop, self.folder):
            yield from load_results(one.results_path, kinds)

    def _record(
        self, frame: LabelledFrame, payload_bytes: int, results: dict[str, Result], agreed: dict[str, Result]
    ) -> FrameRecord:
        truths = agreed | self._truths(frame)
        geometry = self.bundle.codec.geometry(*frame.rgb.shape[:2])
        statistics: dict[str, Statistics] = {
            name: self.metrics[name].frame(result, truths[name]) for name, result in results.items()
        }
        pixels = geometry.scaled_height * geometry.scaled_width
        return FrameRecord(frame.key, payload_bytes, pixels, statistics)

    def _truths(self, frame: LabelledFrame) -> dict[str, Result]:
        labels = {name: self.bundle.labels[name] for name in self.labelled}
        return {name: head_class(name, one).truth(frame.truth, one) for name, one in labels.items()}

    def _agreed(self, unmodified: Mapping[str, Result]) -> dict[str, Result]:
        """Return the unmodified backbone's predictions as truth."""
        heads = self.predictor.heads
        return {name: as_truth(result, heads[name].threshold) for name, result in unmodified.items()}


def labelled_heads(bundle: Bundle, frames: Frames) -> list[str]:
    """Return the heads whose truth the data have."""
    return heads_with_truth({name: bundle.labels[name] for name in bundle.server["heads"]}, frames.truth)


def measure(
    setup: Setup, frames: Frames, settings: Sequence[Setting], folder: Path, workers: int
) -> dict[Setting, list[FrameRecord]]:
    """Measure all settings, the unmodified backbone included, with progress; finished parts are read.

    Args:
        setup: bundle and data.
        frames: the data of ``setup``, opened: counting those of a video decodes it, which once is enough for.
        settings: what to measure.
        folder: where the parts' files are; must be of this bundle, data and code, see ``parts_folder``.
        workers: processes, at least 1.

    Returns:
        the records of each setting, frame by frame in order.
    """
    count = len(frames)
    everything = (Setting(UNMODIFIED), *settings)
    parts = {one: parts_of(one, 0, count, folder) for one in everything}
    missing = [part for one in everything for part in parts[one] if not part.path.exists()]
    total = sum(part.stop - part.start for part in missing)
    workers = max(1, min(workers, total // FRAMES_WORTH_A_PROCESS))
    with ProgressMeter("evaluate", count * len(everything), count * len(everything) - total) as meter:
        first = [part for part in missing if part.setting.codec == UNMODIFIED]
        # Long parts first, so that no process is left alone with one at the end.
        rest = sorted((p for p in missing if p not in first), key=lambda p: p.start - p.stop)
        _run(setup, folder, [first, rest], workers, meter)
    return {one: [record for part in parts[one] for record in load_records(part.path)] for one in everything}


def _run(
    setup: Setup, folder: Path, rounds: Sequence[Sequence[Part]], workers: int, meter: ProgressMeter
) -> None:
    """Measure the parts of one round after another."""
    if not any(rounds):
        return
    if workers == 1:
        worker = Worker(setup, folder)
        for part in (part for parts in rounds for part in parts):
            worker.measure(part)
            meter.advance(part.setting.codec, part.stop - part.start)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _begin, (setup, folder, ends_with_us(signal.SIGKILL))) as pool:
        try:
            for parts in rounds:
                futures = {pool.submit(_measure, part): part for part in parts}
                for future in as_completed(futures):
                    future.result()
                    part = futures[future]
                    meter.advance(part.setting.codec, part.stop - part.start)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.kill()
            raise


_worker: Worker | None = None  # one per process


def _begin(setup: Setup, folder: Path, end_with_parent: Callable[[], None]) -> None:
    global _worker
    end_with_parent()
    for one in ENDING:  # the parent ends us, whoever else gets a signal for the whole group
        signal.signal(one, signal.SIG_IGN)
    _worker = Worker(setup, folder)


def _measure(part: Part) -> None:
    assert _worker is not None
    _worker.measure(part)


def parts_of(setting: Setting, start: int, stop: int, folder: Path) -> list[Part]:
    """Return the parts of a setting that cover these frames, in order."""
    rival = setting.codec in rival_names()
    step = stop - start if rival and load_rival(setting.codec).sequence else PART_FRAMES
    quality = "" if setting.quality is None else f"-{setting.quality}"
    name = f"{setting.codec}{quality}-{_rival_digest(setting.codec)}"
    return [
        Part(setting, at, min(at + step, stop), folder / f"{name}-{at:06d}-{min(at + step, stop):06d}.npz")
        for at in range(start, stop, max(step, 1))
    ]


def parts_folder(setup: Setup, cache: Path) -> Path:
    """Return the folder for parts of this bundle, these data and this code, below ``cache``."""
    bundle = setup.open_bundle()
    digest = hashlib.sha256()
    for text in (
        *(sha for _, sha in sorted(bundle.files_in_use.items())),
        setup.open_frames(bundle).digest,
        repr((setup.limit, setup.device, setup.precision, sorted(setup.weights.items()), setup.agreement)),
        *(_version(library) for library in LIBRARIES),
        *(sha256_of(path) for path in _sources()),
    ):
        digest.update(text.encode())
    return cache / digest.hexdigest()[:20]


def _sources() -> Iterator[Path]:
    """Yield the source files that all figures depend on; a rival's own only void its own parts."""
    for name in SOURCES:
        path = PACKAGE / name
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        yield from (file for file in files if file.parent.name != "rivals" or file.name == "__init__.py")


def _rival_digest(codec: str) -> str:
    own = rival_files().get(codec)  # none of our own packets
    files = [own] if own else []
    files += sorted((PACKAGE / "evaluation" / "rivals").glob("_[!_]*.py"))
    return hashlib.sha256("".join(map(sha256_of, files)).encode()).hexdigest()[:8]


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "none"


def as_truth(result: Result, threshold: float) -> Result:
    """Return a prediction as truth: boxes and classes from the threshold on count as there."""
    if isinstance(result, BoxesResult):
        there = result.scores >= threshold
        return BoxesResult(result.boxes[there], result.class_ids[there], result.scores[there])
    return result
