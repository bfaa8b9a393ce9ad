# SPDX-License-Identifier: Apache-2.0
"""A module ``tensorrt`` without a GPU, made from the table of what the code uses: a name that is not in the table is
not there, and calls must fit its parameters. Engines are run by ONNX Runtime on the addresses that they are given.
"""

from __future__ import annotations

import enum
import inspect
import json
import sys
import types
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnxruntime as ort
from fake_cudart import FakeCudart
from tensorrt_surface import CLASSES, ENUMS, NEEDED, VALUES, Method

MAGIC = b"FAKEPLAN"
NOT_IN_PYBIND = "pybind11::init(): factory function returned nullptr"


@dataclass
class Behaviour:
    """Knobs, and what was seen."""

    version: str = "10.3.0"
    unusable: bool = False  # the GPU
    says: list[str] = field(default_factory=list)  # error lines before a failure
    refuses: set[str] = field(default_factory=set)  # methods that answer None, False or -1
    wrong: int = 0  # this many engines compute something else
    steps: int = 4
    at_step: object = None  # called at each step
    builds: list[dict] = field(default_factory=list)
    executed: int = 0
    captured: int = 0
    fails_in_capture: bool = False


class Fake:
    """The module and what stands behind it."""

    def __init__(self, cudart: FakeCudart, **knobs) -> None:
        self.cudart, self.behaviour = cudart, Behaviour(**knobs)
        self.module = types.ModuleType("tensorrt")
        self.loggers = []
        for name in VALUES:
            setattr(self.module, name, self.behaviour.version)
        for name, members in CLASSES.items():
            setattr(self.module, name, self._facade(name, members, BODIES[name]))
        for name, members in ENUMS.items():
            *owner, last = name.split(".")
            holder = getattr(self.module, owner[0]) if owner else self.module
            # Other integers than NVIDIA's, so that none can be relied on.
            setattr(holder, last, enum.Enum(last, {one: 40 + at for at, one in enumerate(members)}))
        flag = enum.IntEnum("NetworkDefinitionCreationFlag", {"STRONGLY_TYPED": self._typed()})
        self.module.NetworkDefinitionCreationFlag = flag

    def _typed(self) -> int:
        return 1 if self.behaviour.version.startswith("10.") else 0

    def wrap(self, name: str, *arguments):
        """Return an object of a class as TensorRT gives them."""
        one = object.__new__(getattr(self.module, name))
        one._body = BODIES[name](self, *arguments)
        return one

    def error(self, *lines: str) -> None:
        """Log, as TensorRT does before it fails; only the first logger ever given is used."""
        for line in (*self.behaviour.says, *lines):
            self.loggers[0].log("ERROR", line)

    def refuses(self, name: str) -> bool:
        """Say whether a method is to fail."""
        if name not in self.behaviour.refuses:
            return False
        self.error()
        return True

    def _facade(self, name: str, members: dict, body: type) -> type:
        fake = self
        namespace = {"__slots__": ("_body", "__weakref__")}
        for member, kind in members.items():
            if not isinstance(kind, Method):
                namespace[member] = _property(member, kind.written)
            elif member == "__init__":
                namespace[member] = _initialiser(fake, kind, body)
            elif kind.overridden:
                namespace[member] = _abstract(name, member)
            else:
                namespace[member] = _method(member, kind)
        if name == "IHostMemory":  # has the buffer protocol
            namespace["__bytes__"] = lambda self: self._body.content
        return type(name, (), namespace)


def _signature(kind: Method) -> inspect.Signature:
    return inspect.Signature(
        [
            inspect.Parameter(
                name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=inspect.Parameter.empty if default is NEEDED else default,
            )
            for name, default in kind.parameters
        ]
    )


def _bind(kind: Method, arguments, named) -> tuple:
    bound = _signature(kind).bind(*arguments, **named)
    bound.apply_defaults()
    return bound.args


def _method(member: str, kind: Method):
    return lambda self, *arguments, **named: getattr(self._body, member)(*_bind(kind, arguments, named))


def _initialiser(fake: Fake, kind: Method, body: type):
    def initialise(self, *arguments, **named) -> None:
        object.__setattr__(self, "_body", body(fake, *_bind(kind, arguments, named)))

    return initialise


def _abstract(owner: str, member: str):
    def method(self, *arguments):
        raise NotImplementedError(f"Tried to call pure virtual function {owner}::{member}")

    return method


def _property(member: str, written: bool) -> property:
    def write(self, value) -> None:
        setattr(self._body, member, value)

    return property(lambda self: getattr(self._body, member), write if written else None)


class Body:
    """What stands behind an object."""

    def __init__(self, fake: Fake) -> None:
        self.fake = fake


class Logged(Body):
    """An object that needs a logger and a GPU."""

    def __init__(self, fake: Fake, logger) -> None:
        super().__init__(fake)
        if not isinstance(logger, fake.module.ILogger) or not hasattr(logger, "_body"):
            raise TypeError("incompatible constructor arguments")
        fake.loggers.append(logger)
        if fake.behaviour.unusable:
            fake.error("CUDA initialization failure with error: 35")
            raise TypeError(NOT_IN_PYBIND)


class Builder(Logged):
    def create_network(self, flags):
        if flags != 1 << self.fake._typed():
            return None
        return self.fake.wrap("INetworkDefinition")

    def create_builder_config(self):
        return None if self.fake.refuses("create_builder_config") else self.fake.wrap("IBuilderConfig")

    def create_optimization_profile(self):
        return self.fake.wrap("IOptimizationProfile")

    def build_serialized_network(self, network, config):
        fake, told = self.fake, config._body
        if fake.refuses("build_serialized_network") or not self._steps(told.progress_monitor):
            return None
        profile = told.profiles[0]._body.shapes["frame"]
        fake.behaviour.builds.append(
            {"workspace": told.workspace, "tf32": told.tf32, "timings": told.cache._body.content}
        )
        told.cache._body.content = b"timings of " + str(profile).encode()
        wrong = fake.behaviour.wrong > 0
        fake.behaviour.wrong -= wrong
        header = json.dumps({"version": fake.behaviour.version, "frame": profile, "wrong": wrong}).encode()
        return fake.wrap("IHostMemory", MAGIC + header + b"\n" + network._body.model)

    def _steps(self, monitor) -> bool:
        fake = self.fake
        monitor.phase_start("build", None, 2)
        for outer in range(2):
            monitor.phase_start("tactics", "build", fake.behaviour.steps)
            for step in range(fake.behaviour.steps):
                if fake.behaviour.at_step:
                    fake.behaviour.at_step()
                if not monitor.step_complete("tactics", step):
                    return False
            monitor.phase_finish("tactics")
            if not monitor.step_complete("build", outer):
                return False
        monitor.phase_finish("build")
        return True


class NetworkDefinition(Body):
    model, inputs = b"", ()

    @property
    def num_inputs(self):
        return len(self.inputs)

    def get_input(self, index):
        return self.fake.wrap("ITensor", self.inputs[index])


class Tensor(Body):
    def __init__(self, fake, value) -> None:
        super().__init__(fake)
        self.name = value.name


class OnnxParser(Body):
    def __init__(self, fake, network, logger) -> None:
        super().__init__(fake)
        self._network, self._errors = network._body, []

    def parse(self, model, path):
        if self.fake.refuses("parse"):
            self._errors = [("QLinearConv", "node_7", "no plugin of that name")]
            return False
        try:
            inputs = tuple(onnx.load_from_string(model).graph.input)
        except Exception as err:
            self._errors = [("", "", f"Failed to parse the ONNX model: {err}")]
            return False
        self._network.model, self._network.inputs = bytes(model), inputs
        return True

    @property
    def num_errors(self):
        return len(self._errors)

    def get_error(self, index):
        return self.fake.wrap("ParserError", *self._errors[index])


class ParserError(Body):
    def __init__(self, fake, operator, name, text) -> None:
        super().__init__(fake)
        self._operator, self._name, self._text = operator, name, text

    def desc(self):
        return self._text

    def node_name(self):
        return self._name

    def node_operator(self):
        return self._operator


class BuilderConfig(Body):
    workspace, tf32, cache, progress_monitor = None, True, None, None

    def __init__(self, fake) -> None:
        super().__init__(fake)
        self.profiles = []

    def set_memory_pool_limit(self, pool, pool_size):
        assert pool is self.fake.module.MemoryPoolType.WORKSPACE
        self.workspace = pool_size

    def clear_flag(self, flag):
        assert flag is self.fake.module.BuilderFlag.TF32
        self.tf32 = False

    def add_optimization_profile(self, profile):
        if self.fake.refuses("add_optimization_profile"):
            return -1
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def create_timing_cache(self, serialized_timing_cache):
        return self.fake.wrap("ITimingCache", bytes(serialized_timing_cache))

    def set_timing_cache(self, cache, ignore_mismatch):
        assert not ignore_mismatch
        if cache._body.content and not cache._body.content.startswith(b"timings of "):
            return False
        self.cache = cache
        return True


class Content(Body):
    def __init__(self, fake, content) -> None:
        super().__init__(fake)
        self.content = content

    def serialize(self):
        return self.fake.wrap("IHostMemory", self.content)


class OptimizationProfile(Body):
    def __init__(self, fake) -> None:
        super().__init__(fake)
        self.shapes = {}

    def set_shape(self, name, smallest, usual, largest):
        if not all(a <= b <= c for a, b, c in zip(smallest, usual, largest, strict=True)):
            raise ValueError("min <= opt <= max")
        self.shapes[name] = (smallest, usual, largest)


class Runtime(Logged):
    def deserialize_cuda_engine(self, serialized_engine):
        if self.fake.refuses("deserialize_cuda_engine"):
            return None
        if not serialized_engine.startswith(MAGIC):
            self.fake.error("Magic tag does not match")
            return None
        header, _, model = serialized_engine[len(MAGIC) :].partition(b"\n")
        description = json.loads(header)
        if description["version"] != self.fake.behaviour.version:
            self.fake.error("The engine plan file is not compatible with this version of TensorRT")
            return None
        return self.fake.wrap("ICudaEngine", description, model)


TYPES = {"tensor(uint8)": "UINT8", "tensor(float)": "FLOAT", "tensor(int32)": "INT32"}


class CudaEngine(Body):
    def __init__(self, fake, description, model) -> None:
        super().__init__(fake)
        self.frame, self.wrong = [tuple(shape) for shape in description["frame"]], description["wrong"]
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.inputs = {one.name: one for one in self.session.get_inputs()}
        self.outputs = {one.name: one for one in self.session.get_outputs()}
        self.tensors = {**self.inputs, **self.outputs}

    @property
    def num_io_tensors(self):
        return len(self.tensors)

    def get_tensor_name(self, index):
        return list(self.tensors)[index]

    def get_tensor_mode(self, name):
        return getattr(self.fake.module.TensorIOMode, "INPUT" if name in self.inputs else "OUTPUT")

    def get_tensor_dtype(self, name):
        known = TYPES.get(self.tensors[name].type)
        return getattr(self.fake.module.DataType, known) if known else "DataType.OTHER"

    def get_tensor_shape(self, name):
        return tuple(side if isinstance(side, int) else -1 for side in self.tensors[name].shape)

    def get_tensor_profile_shape(self, name, profile_index):
        assert (name, profile_index) == ("frame", 0)
        return self.frame

    def create_execution_context(self):
        refused = self.fake.refuses("create_execution_context")
        return None if refused else self.fake.wrap("IExecutionContext", self)


class ExecutionContext(Body):
    def __init__(self, fake, engine) -> None:
        super().__init__(fake)
        self.engine, self.addresses, self.shape, self.ran = engine, {}, None, set()

    def set_tensor_address(self, name, memory):
        if self.fake.refuses("set_tensor_address") or name not in self.engine.tensors:
            return False
        self.addresses[name] = memory
        return True

    def set_input_shape(self, name, shape):
        smallest, _, largest = self.engine.frame
        inside = all(a <= b <= c for a, b, c in zip(smallest, shape, largest, strict=True))
        if self.fake.refuses("set_input_shape") or name != "frame" or not inside:
            return False
        self.shape = tuple(shape)
        return True

    def get_tensor_shape(self, name):
        if name == "frame":
            return self.shape
        channels = self.engine.outputs[name].shape[1]
        return (1, channels, self.shape[1] // 8, self.shape[2] // 8) if self.shape else (1, channels, -1, -1)

    def execute_async_v3(self, stream_handle):
        fake, engine, shape, addresses = self.fake, self.engine, self.shape, dict(self.addresses)
        if fake.refuses("execute_async_v3") or set(addresses) != set(engine.tensors) or stream_handle == 0:
            return False
        if fake.cudart.capturing(stream_handle):
            if fake.behaviour.fails_in_capture or shape not in self.ran:
                fake.error("operation would allocate while the stream is capturing")
                return False
            fake.behaviour.captured += 1
        self.ran.add(shape)

        def work() -> None:
            fake.behaviour.executed += 1
            raw = fake.cudart.read(addresses["frame"], int(np.prod(shape)))
            feeds = {"frame": np.frombuffer(raw, np.uint8).reshape(shape)}
            if "scale" in engine.inputs:
                feeds["scale"] = np.frombuffer(fake.cudart.read(addresses["scale"], 4), np.float32)
            symbols = engine.session.run(["symbols"], feeds)[0] + int(engine.wrong)
            fake.cudart.write(addresses["symbols"], symbols.astype(np.int32).tobytes())

        return fake.cudart.enqueue(stream_handle, work)


BODIES = {
    "ILogger": Body,
    "IProgressMonitor": Body,
    "Builder": Builder,
    "INetworkDefinition": NetworkDefinition,
    "ITensor": Tensor,
    "OnnxParser": OnnxParser,
    "ParserError": ParserError,
    "IBuilderConfig": BuilderConfig,
    "IOptimizationProfile": OptimizationProfile,
    "ITimingCache": Content,
    "IHostMemory": Content,
    "Runtime": Runtime,
    "ICudaEngine": CudaEngine,
    "IExecutionContext": ExecutionContext,
}


def install(monkeypatch, *, integrated: bool = False, **knobs) -> Fake:
    """Put the fakes where the code looks for TensorRT and CUDA."""
    from frankensplit.edge.tensorrt import cudart, library

    fake = Fake(FakeCudart(integrated=integrated), **knobs)
    library.journal_of.cache_clear()
    monkeypatch.setitem(sys.modules, "tensorrt", fake.module)
    monkeypatch.setattr(cudart, "load_library", lambda: fake.cudart)
    return fake
