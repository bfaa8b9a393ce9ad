# SPDX-License-Identifier: Apache-2.0
"""Check an ONNX encoder before any runtime reads it: what it computes is known, bounded, and all in the file.

A graph is a program. This one may hold only the nodes that our exporters write, which always end and whose sizes follow
from the frame's; so what a frame costs at most is known at opening. A robot has no package ``onnx``, so the few fields
that are allowed are read here; a file with any other (subgraphs, functions, data in other files) is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from frankensplit.bundle import MAX_ENCODER_BYTES
from frankensplit.errors import BundleError, shown
from frankensplit.reading import read_bytes

MAX_FIELDS = 100_000  # most fields of a file; ours have 1,500
MAX_LIVE = 1 << 29  # values kept at one time for the largest frame, 2 GiB in float32; ours keep 30 a pixel
# Multiply-accumulates for the largest frame, about a minute of one core; ours do 10,000 a pixel.
MAX_WORK = 1 << 40
VALUE_WORK = 16  # multiply-accumulates that take as long as giving a value
SIZE = (512, 512)  # the frame's size if the largest one is not known

Shape = tuple[int, ...]

# Fields by number, as onnx.proto names them; a list is repeated, a dict is a message. Other fields are refused.
_ENTRY = {1: ("key", "text"), 2: ("value", "text")}
_DIM = {1: ("dim_value", "int"), 2: ("dim_param", "text"), 3: ("denotation", "text")}
_TENSOR_TYPE = {1: ("elem_type", "int"), 2: ("shape", {1: ("dim", [_DIM])})}
_VALUE = {
    1: ("name", "text"),
    2: ("type", {1: ("tensor_type", _TENSOR_TYPE), 6: ("denotation", "text")}),
    3: ("doc_string", "text"),
}
_ATTRIBUTE = {
    1: ("name", "text"),
    2: ("f", "float"),
    3: ("i", "int"),
    8: ("ints", ["int"]),
    13: ("doc_string", "text"),
    20: ("type", "int"),
}
_NODE = {
    1: ("input", ["text"]),
    2: ("output", ["text"]),
    3: ("name", "text"),
    4: ("op_type", "text"),
    5: ("attribute", [_ATTRIBUTE]),
    6: ("doc_string", "text"),
    7: ("domain", "text"),
}
_TENSOR = {
    1: ("dims", ["int"]),
    2: ("data_type", "int"),
    8: ("name", "text"),
    9: ("raw_data", "bytes"),
    12: ("doc_string", "text"),
}
_GRAPH = {
    1: ("node", [_NODE]),
    2: ("name", "text"),
    5: ("initializer", [_TENSOR]),
    10: ("doc_string", "text"),
    11: ("input", [_VALUE]),
    12: ("output", [_VALUE]),
    13: ("value_info", [_VALUE]),
}
_MODEL = {
    1: ("ir_version", "int"),
    2: ("producer_name", "text"),
    3: ("producer_version", "text"),
    4: ("domain", "text"),
    5: ("model_version", "int"),
    6: ("doc_string", "text"),
    7: ("graph", _GRAPH),
    8: ("opset_import", [{1: ("domain", "text"), 2: ("version", "int")}]),
    14: ("metadata_props", [_ENTRY]),
}
_WIRE = {"int": 0, "float": 5}  # protobuf's wire type of each kind; all others have 2, a length and bytes

DTYPES = {1: "<f4", 2: "u1", 3: "i1", 6: "<i4", 7: "<i8", 10: "<f2"}  # dtype of each ONNX type number


def read_encoder_file(
    path: Path, largest: tuple[int, int] | None = None, latent: Shape | None = None
) -> bytes:
    """Return the content of an ONNX encoder that :func:`check_encoder` lets through.

    Args:
        path: of the file.
        largest: height and width in pixels of the largest frame to come; None: ``SIZE``.
        latent: ``(C, h, w)`` that it has to give for this frame; None: any.

    Raises:
        BundleError: it is something else.
    """
    data = read_bytes(path, MAX_ENCODER_BYTES)
    try:
        found = check_encoder(data, largest)
    except BundleError as err:
        raise BundleError(
            f"{path} is not an encoder that is run here: {err}; export the codec again"
        ) from err
    if latent is not None and found != (1, *latent):
        raise BundleError(
            f"{path} gives symbols of shape {found}, expected {(1, *latent)} as codec.json says; export the codec again"
        )
    return data


def check_encoder(data: bytes, largest: tuple[int, int] | None = None) -> Shape:
    """Check an ONNX file, and return the shape of its output.

    Args:
        data: the file.
        largest: height and width in pixels of the largest frame to come; None: ``SIZE``.

    Returns:
        The output's shape for a frame of this size.

    Raises:
        BundleError: it is damaged, holds a field, node or attribute that is not listed here, an initialiser that is
            not finite or not whole, or costs more than ``MAX_LIVE`` or ``MAX_WORK`` for a frame.
    """
    model = _Reader().message(memoryview(data), _MODEL)
    if "graph" not in model:
        raise BundleError("there is no graph")
    return _Graph(model["graph"], largest or SIZE).check()


class _Reader:
    """Read protobuf messages by their schema; counts fields, since a file may hold millions of empty ones."""

    def __init__(self) -> None:
        self._fields = 0

    def message(self, data: memoryview, schema: dict[int, Any]) -> dict[str, Any]:
        """Return the fields by name; lists of those that repeat are always there."""
        values: dict[str, Any] = {name: [] for name, kind in schema.values() if isinstance(kind, list)}
        for number, wire, value in self._split(data):
            if number not in schema:
                raise BundleError(
                    f"it has field {number} beside {', '.join(name for name, _ in schema.values())}"
                )
            name, kind = schema[number]
            if isinstance(kind, list):
                values[name] += self._repeated(kind[0], wire, value)
            elif name in values:  # readers differ in how they merge two values
                raise BundleError(f"it has {name} twice")
            else:
                values[name] = self._value(kind, wire, value)
        return values

    def _split(self, data: memoryview) -> Iterator[tuple[int, int, Any]]:
        at = 0
        while at < len(data):
            self._count()
            key, at = _varint(data, at)
            number, wire = key >> 3, key & 7
            if wire == 0:
                value, at = _varint(data, at)
                yield number, wire, value
                continue
            length, at = _varint(data, at) if wire == 2 else ({1: 8, 5: 4}.get(wire, -1), at)
            if not 0 <= length <= len(data) - at:
                raise BundleError("it is cut off, or not ONNX")
            yield number, wire, data[at : at + length]
            at += length

    def _count(self) -> None:
        self._fields += 1
        if self._fields > MAX_FIELDS:
            raise BundleError(f"it has more than {MAX_FIELDS} fields")

    def _repeated(self, kind: Any, wire: int, value: Any) -> list[Any]:
        if kind != "int" or wire != 2:
            return [self._value(kind, wire, value)]
        values, at = [], 0
        while at < len(value):  # packed
            self._count()
            one, at = _varint(value, at)
            values.append(_signed(one))
        return values

    def _value(self, kind: Any, wire: int, value: Any) -> Any:
        expected = _WIRE.get(kind, 2) if isinstance(kind, str) else 2
        if wire != expected:
            raise BundleError(f"it has a field of kind {wire}, expected {expected}")
        if isinstance(kind, dict):
            return self.message(value, kind)
        if kind == "int":
            return _signed(value)
        if kind == "text":
            try:
                return str(value, "utf-8")
            except UnicodeDecodeError as err:
                raise BundleError("it has a text that is not UTF-8") from err
        return value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & (1 << 64) - 1, at
    raise BundleError("it is cut off, or not ONNX")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


@dataclass(frozen=True)
class _Node:
    """A node with the shapes of its inputs."""

    op: str
    inputs: list[Shape]
    names: list[str]
    ints: dict[str, Any]
    constants: dict[str, np.ndarray[Any, Any]]


class _Graph:
    """The shape of every value for a frame of one size."""

    def __init__(self, graph: dict[str, Any], size: tuple[int, int]) -> None:
        self._graph, self._size = graph, size
        self._constants: dict[str, np.ndarray[Any, Any]] = {}
        self._shapes: dict[str, Shape] = {}
        self._live = self._work = 0

    def check(self) -> Shape:
        for tensor in self._graph["initializer"]:
            name = tensor.get("name", "")
            self._constants[name] = _constant(tensor)
            self._add(name, self._constants[name].shape)
        for value in self._graph["input"]:
            if value.get("name") not in self._constants:  # older versions list initialisers there too
                self._add(value.get("name", ""), self._declared(value))
        outputs = [value.get("name", "") for value in self._graph["output"]]
        last_read = {name: at for at, node in enumerate(self._graph["node"]) for name in node["input"]}
        for at, node in enumerate(self._graph["node"]):
            self._run(node)
            for name in {*node["input"], *node["output"]} - {*outputs}:
                if last_read.get(name, at) == at:
                    self._live -= prod(self._shapes[name])
        if len(outputs) != 1:
            raise BundleError(f"it has {len(outputs)} outputs, expected one")
        return self._shape_of(outputs[0])

    def _add(self, name: str, shape: Shape) -> None:
        if not name or name in self._shapes:
            raise BundleError(f"the value {shown(name)} is given twice, or has no name")
        self._shapes[name] = shape
        self._live += prod(shape)
        if self._live > MAX_LIVE:
            raise BundleError(
                f"it keeps more than {MAX_LIVE} values for a frame of {self._size[1]}x{self._size[0]}; "
                f"{shown(name)} has the shape {shown(shape)}"
            )

    def _shape_of(self, name: str) -> Shape:
        if name not in self._shapes:
            raise BundleError(f"nothing gives the value {shown(name)}")
        return self._shapes[name]

    def _declared(self, value: dict[str, Any]) -> Shape:
        """Return an input's shape, with the frame's sides where it leaves them free."""
        dims = value.get("type", {}).get("tensor_type", {}).get("shape", {}).get("dim", [])
        free = (1, *self._size, 3) if len(dims) == 4 else (1,) * len(dims)
        shape = tuple(dim.get("dim_value", side) for dim, side in zip(dims, free, strict=True))
        if min(shape, default=1) < 1:
            raise BundleError(f"the input {shown(value.get('name'))} has the shape {shown(shape)}")
        return shape

    def _run(self, node: dict[str, Any]) -> None:
        domain = node.get("domain", "")
        op = f"{domain}.{node.get('op_type', '')}".removeprefix("ai.onnx").removeprefix(".")
        if op not in _NODES:
            raise BundleError(f"it has a node {shown(op)}, expected only {', '.join(_NODES)}")
        shape_of, attributes = _NODES[op]
        ints = {one.get("name", ""): one["ints"] or one.get("i", 0) for one in node["attribute"]}
        if not ints.keys() <= set(attributes) or len(ints) != len(node["attribute"]):
            raise BundleError(
                f"{op} has attributes {shown(sorted(ints))}, expected only {', '.join(attributes)}"
            )
        told = _Node(
            op, [self._shape_of(name) for name in node["input"]], node["input"], ints, self._constants
        )
        try:
            shape, macs = shape_of(told)
        except (IndexError, TypeError, ValueError) as err:
            raise BundleError(f"{op} does not fit its inputs {shown(told.inputs)}: {err}") from err
        self._work += macs + VALUE_WORK * prod(shape)
        if self._work > MAX_WORK:
            raise BundleError(f"it computes more than {MAX_WORK} multiply-accumulates a frame")
        if len(node["output"]) != 1:
            raise BundleError(f"{op} gives {len(node['output'])} values, expected one")
        self._add(node["output"][0], shape)


def _constant(tensor: dict[str, Any]) -> np.ndarray[Any, Any]:
    name, dims = shown(tensor.get("name", "")), tensor["dims"]
    dtype = DTYPES.get(tensor.get("data_type", 0))
    if dtype is None:
        raise BundleError(
            f"initialiser {name} has the type {tensor.get('data_type')}, expected one of {list(DTYPES)}"
        )
    raw = tensor.get("raw_data", b"")
    if min(dims, default=0) < 0 or prod(dims) * np.dtype(dtype).itemsize != len(raw):
        raise BundleError(f"initialiser {name} of shape {shown(dims)} has {len(raw)} bytes")
    values: np.ndarray[Any, Any] = np.frombuffer(raw, dtype).reshape(dims)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise BundleError(f"initialiser {name} has values that are not finite")
    return values


Sized = tuple[Shape, int]  # the output's shape, and multiply-accumulates


def _like_first(node: _Node) -> Sized:
    return node.inputs[0], 0


def _cast(node: _Node) -> Sized:
    if node.ints.get("to") not in DTYPES:  # strings would take ten times the memory
        raise ValueError(f"to is {shown(node.ints.get('to'))}, expected one of {list(DTYPES)}")
    return node.inputs[0], 0


def _broadcast(node: _Node) -> Sized:
    return _joined(node.inputs), 0


def _integer_sum(node: _Node) -> Sized:
    return _joined([node.inputs[0], node.inputs[3]]), 0


def _joined(shapes: Sequence[Shape]) -> Shape:
    sides = [set(column) - {1} for column in zip_longest(*map(reversed, shapes), fillvalue=1)]
    if any(len(side) > 1 for side in sides):
        raise ValueError("their sides differ")
    return tuple(side.pop() if side else 1 for side in reversed(sides))


def _transposed(node: _Node) -> Sized:
    shape, axes = node.inputs[0], node.ints.get("perm", [])
    if sorted(axes) != list(range(len(shape))):
        raise ValueError(f"perm is {shown(axes)}")
    return tuple(shape[axis] for axis in axes), 0


def _reshaped(node: _Node) -> Sized:
    shape = node.inputs[0]
    wanted = node.constants[node.names[1]].tolist() if node.names[1] in node.constants else []
    sides = [shape[at] if side == 0 else side for at, side in enumerate(wanted)]
    if sides.count(-1) == 1:
        sides[sides.index(-1)] = prod(shape) // max(1, -prod(sides))
    if not sides or prod(sides) != prod(shape):
        raise ValueError(f"their number of values is not that of {shown(wanted)}")
    return tuple(sides), 0


def _convolved(node: _Node) -> Sized:
    at = 3 if node.op == "QLinearConv" else 1
    (batch, channels, *sides), (outputs, inputs, *kernel) = node.inputs[0], node.inputs[at]
    strides, pads = node.ints.get("strides", [1, 1]), node.ints.get("pads", [0] * 4)
    told = len(sides), len(kernel), len(strides), len(pads)
    if told != (2, 2, 2, 4) or node.ints.get("kernel_shape", kernel) != kernel or inputs != channels:
        raise ValueError("its kernel, strides or pads are of another shape")
    if min(strides) < 1 or min(pads) < 0:
        raise ValueError(f"strides are {shown(strides)}, pads {shown(pads)}")
    sides = [
        (side + before + after - size) // stride + 1
        for side, before, after, size, stride in zip(sides, pads[:2], pads[2:], kernel, strides, strict=True)
    ]
    if min(sides) < 1:
        raise ValueError("its kernel is larger than the frame")
    shape = (batch, outputs, *sides)
    return shape, prod(shape) * inputs * prod(kernel)


# The nodes that our exporters write: each with its output's shape and its attributes.
_CONV = ("kernel_shape", "strides", "pads")
_NODES: dict[str, tuple[Callable[[_Node], Sized], tuple[str, ...]]] = {
    "Add": (_broadcast, ()),
    "Cast": (_cast, ("to",)),
    "Clip": (_like_first, ()),
    "Conv": (_convolved, _CONV),
    "DequantizeLinear": (_like_first, ("axis",)),
    "Mul": (_broadcast, ()),
    "QLinearConv": (_convolved, _CONV),
    "QuantizeLinear": (_like_first, ("axis",)),
    "Relu": (_like_first, ()),
    "Reshape": (_reshaped, ()),
    "Round": (_like_first, ()),
    "Sub": (_broadcast, ()),
    "Transpose": (_transposed, ("perm",)),
    "com.microsoft.QLinearAdd": (_integer_sum, ()),
}
