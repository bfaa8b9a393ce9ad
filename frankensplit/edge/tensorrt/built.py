# SPDX-License-Identifier: Apache-2.0
"""Open engines that were built before."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from frankensplit.edge.tensorrt.container import Container, EngineDamaged
from frankensplit.edge.tensorrt.cudart import Cuda
from frankensplit.edge.tensorrt.engine import OFF, Engine
from frankensplit.edge.tensorrt.engine_cache import EngineCache
from frankensplit.edge.tensorrt.machine import Identity
from frankensplit.edge.tensorrt.profile import Profile, best
from frankensplit.edge.tensorrt.reference import EngineWrong, Reference
from frankensplit.errors import BundleError, RuntimeUnavailable

BAD = (EngineDamaged, EngineWrong, BundleError)


def open_container(
    trt: Any,
    cuda: Cuda,
    container: Container,
    expected: dict[str, Any],
    profile: Profile,
    zero_copy: str = OFF,
) -> Engine:
    """Return an engine that computes what its reference says.

    Raises:
        EngineWrong: it is of another machine, model or profile, does not load, or computes something else.
        BundleError: it is of no encoder.
        RuntimeUnavailable: GPU or TensorRT fail.
    """
    found = {key: container.description.get(key) for key in expected}
    if found != expected:
        differing = [key for key in expected if found[key] != expected[key]]
        raise EngineWrong(f"engine is of another {' and '.join(differing)}: {found[differing[0]]}")
    reference = Reference.from_json(container.description.get("reference", {}))
    engine = Engine(trt, cuda, container.plan, profile, zero_copy)
    try:
        engine.check(reference)
    except BaseException:
        engine.close()
        raise
    return engine


def open_built(
    trt: Any,
    cuda: Cuda,
    model_path: Path,
    identity: Identity,
    cache: EngineCache,
    largest: tuple[int, int] | None,
    zero_copy: str,
) -> Engine:
    """Return the engine for frames up to ``largest``; nothing is built.

    Raises:
        RuntimeUnavailable: there is none, or it is bad and was set aside; the text says how to build one.
    """
    command = build_command(model_path, largest)
    try:
        profile = best(identity.profiles(cache.names()), largest)
    except OSError as err:
        raise RuntimeUnavailable(f"engines in {cache.folder} cannot be read: {err.strerror}") from err
    if profile is None:
        raise RuntimeUnavailable(
            f"no engine of {model_path.name} for this GPU and TensorRT in {cache.folder}: build it with `{command}`"
        )
    name = identity.name(profile)
    try:
        container = cache.load(name)
        if container is None:
            raise RuntimeUnavailable(
                f"engine {cache.folder / name} cannot be read: build it with `{command}`"
            )
        engine = open_container(trt, cuda, container, identity.describe(profile), profile, zero_copy)
    except BAD as err:
        cache.set_aside(name, err)
        raise RuntimeUnavailable(
            f"the engine of {model_path.name} was set aside: {err}; build it with `{command}`"
        ) from err
    cache.touch(name)
    return engine


def build_command(model_path: Path, largest: tuple[int, int] | None) -> str:
    """Return the command that builds an engine of a codec's encoder."""
    folder = model_path.parent
    bundle = folder.parent if folder.name == "codec" else folder
    named = re.fullmatch(r"encoder\.([a-z0-9-]+)\.onnx", model_path.name)
    precision = f" --precision {named[1]}" if named else ""
    size = f" --size {largest[1]}x{largest[0]}" if largest else ""
    return f"frankensplit export {bundle} --tensorrt{precision}{size}"
