# SPDX-License-Identifier: Apache-2.0
"""Build engines before they are needed: each is built once, checked against its reference, and kept."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from frankensplit.edge.onnx_file import read_encoder_file
from frankensplit.edge.tensorrt import reference as references
from frankensplit.edge.tensorrt.build import Progress, Settings, build_plan
from frankensplit.edge.tensorrt.built import BAD, open_container
from frankensplit.edge.tensorrt.container import Container
from frankensplit.edge.tensorrt.cudart import Cuda, open_cuda
from frankensplit.edge.tensorrt.engine import OFF, Engine
from frankensplit.edge.tensorrt.engine_cache import LOCK_TIMEOUT_S, EngineCache
from frankensplit.edge.tensorrt.library import journal_of, load_tensorrt
from frankensplit.edge.tensorrt.machine import Identity
from frankensplit.edge.tensorrt.profile import Profile
from frankensplit.edge.tensorrt.reference import EngineWrong, Reference
from frankensplit.errors import RuntimeUnavailable

POLL_S = 0.1
_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Encoders(Protocol):
    """What of :class:`frankensplit.bundle.Codec` is needed."""

    def encoder_file(self, precision: str) -> Path:
        """Return the ONNX encoder of a precision; raises BundleError."""
        ...


@dataclass(frozen=True)
class Built:
    """An engine that is there now.

    Args:
        precision: of the network's arithmetic.
        profile: the frames it takes.
        path: its file.
        fresh: it was built now; otherwise it was there and passed its check.
        kept: the file is written; False where the folder cannot be.
        size: of the plan in bytes.
        checked_by: who computed the reference symbols.
    """

    precision: str
    profile: Profile
    path: Path
    fresh: bool
    kept: bool
    size: int
    checked_by: str


Told = Callable[[str, str, float], None]  # arguments: the engine's name, the step, the progress from 0 to 1


def build_engines(
    codec: Encoders,
    precisions: Sequence[str],
    profiles: Sequence[Profile],
    cache: EngineCache,
    told: Told = lambda engine, doing, fraction: None,
    *,
    settings: Settings | None = None,
    lock_timeout_s: float = LOCK_TIMEOUT_S,
) -> list[Built]:
    """Have an engine for each precision and profile, building those that are missing or bad.

    ``KeyboardInterrupt`` cancels the running build at its next step; nothing half-written stays, and finished engines
    do.

    Args:
        codec: whose encoders.
        precisions: names of precisions that the codec has.
        profiles: frame sizes.
        cache: where engines are kept.
        told: is told of progress, from the calling thread.
        settings: the builder's.
        lock_timeout_s: how long to wait for another process that builds the same engine.

    Raises:
        RuntimeUnavailable: TensorRT, the GPU or memory is missing, or a build fails.
        BundleError: there is no such encoder, or TensorRT does not read it.
        EngineWrong: an engine failed its check, and the one built anew did too.
    """
    trt, cuda = load_tensorrt(), open_cuda()
    builds = [
        _Build(
            trt, cuda, precision, codec.encoder_file(precision), profile, cache, settings or Settings(), told
        )
        for precision in precisions
        for profile in profiles
    ]
    done = [build.run(lock_timeout_s) for build in builds]
    cache.prune()
    return done


class _Build:
    """One engine."""

    def __init__(
        self,
        trt: Any,
        cuda: Cuda,
        precision: str,
        model_path: Path,
        profile: Profile,
        cache: EngineCache,
        settings: Settings,
        told: Told,
    ) -> None:
        self._trt, self._cuda, self._cache, self._settings = trt, cuda, cache, settings
        self._precision, self._model_path, self._profile = precision, model_path, profile
        self._model = read_encoder_file(model_path, (profile.height, profile.width))
        self._identity = Identity.of(trt, cuda, self._model, settings)
        self._name = self._identity.name(profile)
        self._told = told

    def _tell(self, doing: str, fraction: float) -> None:
        self._told(f"{self._precision} {self._profile}", doing, fraction)

    def run(self, lock_timeout_s: float) -> Built:
        with self._cache.lock(
            self._name, lock_timeout_s, lambda: self._tell("built by another process", 0.0)
        ):
            # This must follow the lock: its last holder may have built the engine.
            container = self._kept()
            if container is not None:
                return self._result(container, fresh=False, kept=True)
            try:
                container = self._build_checked(self._cache.timings(self._identity.machine_key))
            except EngineWrong as err:
                _log.warning("engine of %s is built once more: %s", self._model_path.name, str(err))
                # TensorRT may choose other kernels without its timing cache.
                container = self._build_checked(b"")
            return self._result(container, fresh=True, kept=self._cache.store(self._name, container))

    def _result(self, container: Container, *, fresh: bool, kept: bool) -> Built:
        path = self._cache.folder / f"{self._name}.engine"
        checked_by = str(container.description["reference"]["origin"])
        return Built(self._precision, self._profile, path, fresh, kept, len(container.plan), checked_by)

    def _kept(self) -> Container | None:
        """Return the engine that lies in the cache if it is good; a bad one is set aside."""
        self._tell("checking", 0.0)
        try:
            container = self._cache.load(self._name)
            if container is not None:
                expected = self._identity.describe(self._profile)
                open_container(self._trt, self._cuda, container, expected, self._profile).close()
        except BAD as err:
            self._cache.set_aside(self._name, err)
            return None
        return container

    def _build_checked(self, timings: bytes) -> Container:
        plan, learnt = self._build(timings)
        expected = self._identity.describe(self._profile)
        description = {**expected, "precision": self._precision, "reference": self._reference(plan).to_json()}
        container = Container(description, plan)
        open_container(self._trt, self._cuda, container, expected, self._profile).close()
        if learnt:
            self._cache.store_timings(self._identity.machine_key, learnt)
        return container

    def _build(self, timings: bytes) -> tuple[bytes, bytes]:
        progress = Progress()
        return _interruptible(
            lambda: build_plan(
                self._trt,
                journal_of(self._trt),
                self._model,
                self._profile,
                self._settings,
                timings,
                progress,
            ),
            progress,
            lambda: self._tell("building", progress.fraction),
        )

    def _reference(self, plan: bytes) -> Reference:
        computed = references.compute(self._model_path, self._profile, self._precision)
        if computed is not None:
            return computed
        _log.warning(
            "ONNX Runtime is not installed: the engine is compared with itself only, at each start; "
            "pip install onnxruntime and build again to compare it with its model"
        )
        engine = Engine(self._trt, self._cuda, plan, self._profile, OFF)
        height, width = references.reference_size(self._profile)
        symbols = engine(references.synthetic_frame(height, width))
        engine.close()
        return Reference(height, width, symbols, "this engine", references.limit_of(self._precision))


def _interruptible(work: Callable[[], _T], progress: Progress, tell: Callable[[], None]) -> _T:
    """Do the work on a thread of its own: TensorRT's call would keep Ctrl-C waiting for minutes on this one."""
    outcome: list[_T] = []
    problem: list[BaseException] = []

    def worker() -> None:
        try:
            outcome.append(work())
        except BaseException as err:  # raised again on the calling thread
            problem.append(err)

    thread = threading.Thread(target=worker, name="tensorrt-build", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            tell()
            thread.join(POLL_S)
    except BaseException:
        progress.cancelled.set()
        thread.join()
        raise
    tell()
    if problem:
        raise problem[0]
    if not outcome:
        raise RuntimeUnavailable("the build ended without a result; please report it")
    return outcome[0]
