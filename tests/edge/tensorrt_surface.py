# SPDX-License-Identifier: Apache-2.0
"""Every name of the module ``tensorrt`` that is used here, one table, the same from TensorRT 10.3 to 11.4.

The tests hold it against NVIDIA's real bindings of several versions, and make from it the module that stands in for
TensorRT where there is no GPU. A name that is not here must not be used.
"""

from __future__ import annotations

from dataclasses import dataclass

NEEDED = object()  # the default of a parameter that has none


@dataclass(frozen=True)
class Method:
    """A method: its parameters without ``self``, each with its default or NEEDED."""

    parameters: tuple[tuple[str, object], ...]
    overridden: bool = False  # we write it, TensorRT calls it


@dataclass(frozen=True)
class Property:
    """A property, and whether we write it."""

    written: bool = False


def _call(*needed: str, **defaults: object) -> Method:
    return Method((*((name, NEEDED) for name in needed), *defaults.items()))


def _callback(*needed: str) -> Method:
    return Method(tuple((name, NEEDED) for name in needed), overridden=True)


_LOGGED, _READ, _WRITTEN = _call("logger"), Property(), Property(written=True)

CLASSES: dict[str, dict[str, Method | Property]] = {
    "ILogger": {"__init__": _call(), "log": _callback("severity", "msg")},
    "IProgressMonitor": {
        "__init__": _call(),
        "phase_start": _callback("phase_name", "parent_phase", "num_steps"),
        "step_complete": _callback("phase_name", "step"),
        "phase_finish": _callback("phase_name"),
    },
    "Builder": {
        "__init__": _LOGGED,
        "create_network": _call(flags=0),
        "create_builder_config": _call(),
        "create_optimization_profile": _call(),
        "build_serialized_network": _call("network", "config"),
    },
    "INetworkDefinition": {
        "num_inputs": _READ,
        "get_input": _call("index"),
    },
    "ITensor": {"name": _READ},
    "OnnxParser": {
        "__init__": _call("network", "logger"),
        "parse": _call("model", path=None),
        "num_errors": _READ,
        "get_error": _call("index"),
    },
    "ParserError": {"desc": _call(), "node_name": _call(), "node_operator": _call()},
    "IBuilderConfig": {
        "set_memory_pool_limit": _call("pool", "pool_size"),
        "clear_flag": _call("flag"),
        "add_optimization_profile": _call("profile"),
        "create_timing_cache": _call("serialized_timing_cache"),
        "set_timing_cache": _call("cache", "ignore_mismatch"),
        "progress_monitor": _WRITTEN,
    },
    "IOptimizationProfile": {"set_shape": _call("input", "min", "opt", "max")},
    "ITimingCache": {"serialize": _call()},
    "IHostMemory": {},  # has the buffer protocol
    "Runtime": {"__init__": _LOGGED, "deserialize_cuda_engine": _call("serialized_engine")},
    "ICudaEngine": {
        "num_io_tensors": _READ,
        "get_tensor_name": _call("index"),
        "get_tensor_mode": _call("name"),
        "get_tensor_dtype": _call("name"),
        "get_tensor_shape": _call("name"),
        "get_tensor_profile_shape": _call("name", "profile_index"),
        "create_execution_context": _call(),
    },
    "IExecutionContext": {
        "set_tensor_address": _call("name", "memory"),
        "set_input_shape": _call("name", "shape"),
        "get_tensor_shape": _call("name"),
        "execute_async_v3": _call("stream_handle"),
    },
}

ENUMS: dict[str, tuple[str, ...]] = {  # by name only: their integers moved between 10 and 11
    "ILogger.Severity": ("WARNING", "INFO", "VERBOSE"),
    "NetworkDefinitionCreationFlag": ("STRONGLY_TYPED",),
    "MemoryPoolType": ("WORKSPACE",),
    "BuilderFlag": ("TF32",),
    "DataType": ("FLOAT", "INT32", "UINT8"),
    "TensorIOMode": ("INPUT", "OUTPUT"),
}

VALUES = ("__version__",)
