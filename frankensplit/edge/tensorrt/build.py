# SPDX-License-Identifier: Apache-2.0
"""Build a plan from an ONNX encoder: strongly typed, so the graph says each precision and no flag does."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass
from typing import Any

from frankensplit.edge.tensorrt.library import Journal, TensorRTError, make, need
from frankensplit.edge.tensorrt.profile import Profile
from frankensplit.errors import BundleError

FRAME, SCALE = "frame", "scale"


@dataclass(frozen=True)
class Settings:
    """What is told to the builder; part of an engine's key.

    Args:
        workspace_bytes: scratch memory that a layer may use; TensorRT's own default is all of the device.
        tf32: let float32 convolutions round to 10 bits of mantissa; off, so that fp32 is fp32.
    """

    workspace_bytes: int = 256 << 20
    tf32: bool = False

    def describe(self) -> dict[str, Any]:
        """Return the settings for the key."""
        return {**asdict(self), "strongly_typed": True}


class BuildCancelled(TensorRTError):
    """The build was told to stop."""


class Progress:
    """How far a build is, and the wish to end it; TensorRT's threads write, ours read."""

    def __init__(self) -> None:
        self._phases: dict[str, tuple[str | None, int, int]] = {}  # name: parent, steps, steps done
        self._lock = threading.Lock()
        self._most = 0.0
        self.cancelled = threading.Event()

    @property
    def fraction(self) -> float:
        """Between 0 and 1; never falls."""
        with self._lock:
            tops = [name for name, (parent, _, _) in self._phases.items() if parent not in self._phases]
            self._most = max([self._most, *map(self._part, tops)])
            return self._most

    def _part(self, name: str) -> float:
        _, steps, done = self._phases[name]
        below = [self._part(one) for one, (parent, _, _) in self._phases.items() if parent == name != one]
        return min(1.0, (done + min(1.0, max(below, default=0.0))) / max(steps, 1))

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """A phase begins."""
        with self._lock:
            self._phases[name] = (parent, steps, 0)

    def step(self, name: str, step: int) -> bool:
        """A step is done; the answer False ends the build."""
        with self._lock:
            if name in self._phases:
                parent, steps, _ = self._phases[name]
                self._phases[name] = (parent, steps, step + 1)
        return not self.cancelled.is_set()

    def finish(self, name: str) -> None:
        """A phase ends; the outermost one stays, since all is done then."""
        with self._lock:
            if self._phases.get(name, (None,))[0] in self._phases:
                del self._phases[name]


def build_plan(
    trt: Any,
    journal: Journal,
    model: bytes,
    profile: Profile,
    settings: Settings,
    timings: bytes = b"",
    progress: Progress | None = None,
) -> tuple[bytes, bytes]:
    """Return the plan and the timing cache, which makes the next build faster.

    Args:
        trt: the module ``tensorrt``.
        journal: what it logs to.
        model: the ONNX file.
        profile: the frame sizes.
        settings: the builder's.
        timings: of an earlier build on this GPU, or empty.
        progress: is told how far the build is, and may cancel it.

    Raises:
        BundleError: TensorRT does not read the model.
        BuildCancelled: it was cancelled.
        TensorRTError: it does not build.
    """
    progress = progress or Progress()
    builder = make(journal, trt.Builder)
    network = _parse(trt, journal, builder, model)
    config = need(builder.create_builder_config(), "make a builder configuration", journal)
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, settings.workspace_bytes)
    if not settings.tf32:
        config.clear_flag(trt.BuilderFlag.TF32)
    _add_profile(builder, network, config, profile, journal)
    cache = _use_timings(config, timings)
    config.progress_monitor = monitor = _monitor(trt, progress)
    plan = builder.build_serialized_network(network, config)
    if progress.cancelled.is_set():
        raise BuildCancelled("the build of the engine was cancelled; nothing is kept of it")
    need(plan, f"build an engine for frames of {profile}", journal)
    kept = cache.serialize() if cache is not None else None
    del monitor  # must live until here: the configuration only refers to it
    return bytes(plan), b"" if kept is None else bytes(kept)


def _parse(trt: Any, journal: Journal, builder: Any, model: bytes) -> Any:
    # The number behind the flag differs between 10 and 11; in 11 every network is strongly typed.
    flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = need(builder.create_network(flags), "make a network", journal)
    parser = trt.OnnxParser(network, journal.logger)
    if parser.parse(model):
        return network
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    said = "; ".join(f"{one.node_operator()} {one.node_name()}: {one.desc()}" for one in errors)
    raise BundleError(
        f"TensorRT {trt.__version__} does not read the encoder: {said or 'no reason given'}; export the codec "
        f"again, or choose another precision{journal.why()}"
    )


def _add_profile(builder: Any, network: Any, config: Any, profile: Profile, journal: Journal) -> None:
    shapes = builder.create_optimization_profile()
    largest = (1, profile.height, profile.width, 3)
    names = [network.get_input(index).name for index in range(network.num_inputs)]
    if FRAME not in names:
        raise BundleError(f"the encoder's inputs are {names}, expected {FRAME!r}; export the codec again")
    shapes.set_shape(FRAME, (1, *profile.smallest, 3), largest, largest)
    if config.add_optimization_profile(shapes) < 0:
        raise TensorRTError(f"TensorRT refuses frames of {profile}{journal.why()}")


def _use_timings(config: Any, timings: bytes) -> Any:
    """Timings of another GPU or release are refused by TensorRT itself; it then begins anew."""
    for content in (timings, b"") if timings else (b"",):
        cache = config.create_timing_cache(content)
        if cache is not None and config.set_timing_cache(cache, False):
            return cache
    return None


def _monitor(trt: Any, progress: Progress) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """Called by TensorRT from any of its threads; must raise nothing."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            progress.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return progress.step(phase_name, step)

        def phase_finish(self, phase_name: str) -> None:
            progress.finish(phase_name)

    return Monitor()
