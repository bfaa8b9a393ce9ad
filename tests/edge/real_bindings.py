# SPDX-License-Identifier: Apache-2.0
"""Load NVIDIA's real Python bindings of TensorRT without TensorRT, and hold the table of what we use against them.

Run as a program, since a process can load one version: ``real_bindings.py WHEEL_FOLDER STUB_FOLDER`` prints JSON. The
bindings need three libraries, of which a few plain functions that return nothing are enough to load.
"""

from __future__ import annotations

import ast
import ctypes
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

STUBS = {
    "libnvinfer": (
        "createInferBuilder_INTERNAL",
        "createInferRuntime_INTERNAL",
        "createInferRefitter_INTERNAL",
        "getBuilderPluginRegistry",
        "getPluginRegistry",
    ),
    "libnvonnxparser": (
        "createNvOnnxParser_INTERNAL",
        "createNvOnnxParserRefitter_INTERNAL",
        "getNvOnnxParserVersion",
    ),
    "libnvinfer_plugin": ("initLibNvInferPlugins",),
}
OPEN, CLOSE = "([{<", ")]}>"


def compile_stubs(compiler: str, folder: Path, major: str) -> None:
    """Write the three libraries."""
    for name, functions in STUBS.items():
        source = "".join(f"void *{function}(void) {{ return 0; }}\n" for function in functions)
        library = folder / f"{name}.so.{major}"
        command = [
            compiler,
            "-shared",
            "-fPIC",
            f"-Wl,-soname,{library.name}",
            "-xc",
            "-",
            "-o",
            str(library),
        ]
        subprocess.run(command, input=source, text=True, check=True, timeout=60)


def load(wheel: Path, stubs: Path):
    """Return the module, under the name that a full installation gives it."""
    for library in sorted(stubs.glob("*.so.*")):
        ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)
    sys.path.insert(0, str(wheel))
    import tensorrt_bindings

    sys.modules["tensorrt"] = tensorrt_bindings
    return tensorrt_bindings


def problems(trt, classes, enums, values) -> Iterator[str]:
    """Yield where the bindings differ from the table."""
    yield from (f"no {name}" for name in values if not hasattr(trt, name))
    for name, members in enums.items():
        found = _follow(trt, name)
        have = set(getattr(found, "__members__", ()))
        yield from (f"no {name}.{one}" for one in members if one not in have)
    for name, members in classes.items():
        for member, kind in members.items():
            yield from _problems_of(_follow(trt, name), name, member, kind)


def _follow(trt, name: str):
    found = trt
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _problems_of(owner, name: str, member: str, kind) -> Iterator[str]:
    try:
        found = inspect.getattr_static(owner, member)
    except AttributeError:
        yield f"no {name}.{member}"
        return
    if not hasattr(kind, "parameters"):
        if not isinstance(found, property):
            yield f"{name}.{member} is not a property"
        elif kind.written and found.fset is None:
            yield f"{name}.{member} is read-only"
        return
    overloads = list(signatures(getattr(owner, member).__doc__ or ""))
    if not any(_fits(kind, overload) for overload in overloads):
        yield f"{name}.{member} takes {overloads}, the table says {kind.parameters}"


def _fits(kind, overload: list[tuple[str, str | None]]) -> bool:
    """Say whether calls that fit the table fit an overload; what is overridden must have just these parameters."""
    ours, more = kind.parameters, overload[len(kind.parameters) :]
    if len(overload) < len(ours) or [name for name, _ in ours] != [name for name, _ in overload[: len(ours)]]:
        return False
    if any(default is None for _, default in more) or (kind.overridden and more):
        return False
    return all(_same(wanted, found) for (_, wanted), (_, found) in zip(ours, overload, strict=False))


def _same(wanted: object, found: str | None) -> bool:
    if type(wanted) is object:  # the table has no default: whether the bindings have one is all the same
        return True
    return found is not None and ast.literal_eval(found) == wanted


def signatures(doc: str) -> Iterator[list[tuple[str, str | None]]]:
    """Yield name and default of the parameters of each overload, without self."""
    for line in doc.splitlines():
        match = re.match(r"(?:\d+\. )?\w+\((.*)\) -> ", line.strip())
        if match:
            yield [_parameter(part) for part in _split(match[1])[1:]]


def _split(text: str) -> list[str]:
    parts, depth = [""], 0
    for character in text:
        depth += (character in OPEN) - (character in CLOSE)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def _parameter(text: str) -> tuple[str, str | None]:
    named, equals, default = text.partition(" = ")
    return named.partition(":")[0].strip(), default if equals else None


def _what_raises(make, journal, kind) -> str:
    try:
        make(journal, kind)
    except Exception as err:
        return f"{type(err).__name__}: {err}"
    return "nothing"


def main() -> None:
    """Print what was found."""
    trt = load(Path(sys.argv[1]), Path(sys.argv[2]))
    from tensorrt_surface import CLASSES, ENUMS, NEEDED, VALUES, Method, Property

    from frankensplit.edge.tensorrt.build import Progress, _monitor
    from frankensplit.edge.tensorrt.library import journal_of, load_tensorrt, make

    wrong = {
        "Builder": {"create_network": Method((("flag", 0),)), "create_engine": Method(())},
        "OnnxParser": {"parse": Method((("model", NEEDED), ("path", "x")))},
        "ICudaEngine": {"num_io_tensors": Property(written=True)},
        "IProgressMonitor": {"step_complete": Method((("phase_name", NEEDED),), overridden=True)},
    }
    progress = Progress()
    monitor = _monitor(trt, progress)
    monitor.phase_start("a", None, 2)
    went_on = monitor.step_complete("a", 0)
    progress.cancelled.set()
    journal = journal_of(trt)
    journal.logger.log(trt.ILogger.Severity.ERROR, "kept")
    journal.logger.log(trt.ILogger.Severity.INFO, "not kept")
    found = {
        "version": load_tensorrt().__version__,
        "problems": list(problems(trt, CLASSES, ENUMS, VALUES)),
        "wrong": list(problems(trt, wrong, {"BuilderFlag": ("TF33",)}, ("__verison__",))),
        "flags": 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED),
        "monitor": [went_on, progress.fraction, monitor.step_complete("a", 1)],
        "why": journal.why(),
        "raised": [_what_raises(make, journal, kind) for kind in (trt.Builder, trt.Runtime)],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
