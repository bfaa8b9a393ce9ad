# SPDX-License-Identifier: Apache-2.0
"""Encoders that never end, take all memory, read other files, or are not what codec.json says."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import onnx
import pytest
from hostile_bundles import replace_file
from onnx import TensorProto, helper, numpy_helper
from tiny_codec import write_codec, write_encoder

from frankensplit.bundle import Bundle, Codec
from frankensplit.edge import onnx_file
from frankensplit.edge.encoder import FrameEncoder
from frankensplit.edge.onnx_file import check_encoder, read_encoder_file
from frankensplit.edge.runtimes import open_runtime
from frankensplit.errors import BundleError
from frankensplit.models.onnx_graph import read_encoder

FRAME = helper.make_tensor_value_info("frame", TensorProto.UINT8, [1, "h", "w", 3])
SYMBOLS = helper.make_tensor_value_info("symbols", TensorProto.INT32, [1, "c", "h", "w"])


def array(name: str, value, dtype=np.float32) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(value, dtype), name)


def model(*nodes: onnx.NodeProto, constants=(), frame=FRAME) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "g", [frame], [SYMBOLS], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def node(kind: str, *inputs: str, output: str = "symbols", **more) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, [output], **more)


def refused(found: onnx.ModelProto, said: str, tmp_path) -> None:
    """Both the check and a runtime's opening refuse the model, the latter before it is read by the runtime."""
    with pytest.raises(BundleError, match=said):
        check_encoder(found.SerializeToString())
    (tmp_path / "encoder.onnx").write_bytes(found.SerializeToString())
    for read in (
        lambda path: open_runtime("onnxruntime", path),
        read_encoder_file,
        lambda path: read_encoder(path, "s"),
    ):
        with pytest.raises(BundleError, match=rf"encoder\.onnx is not an encoder.*{said}"):
            read(tmp_path / "encoder.onnx")


def body() -> onnx.GraphProto:
    on = helper.make_tensor_value_info("on", TensorProto.BOOL, [])
    at = helper.make_tensor_value_info("at", TensorProto.INT64, [])
    out = helper.make_tensor_value_info("still", TensorProto.BOOL, [])
    return helper.make_graph([helper.make_node("Identity", ["on"], ["still"])], "body", [at, on], [out])


@pytest.mark.parametrize("kind", ["Loop", "Scan", "If", "SequenceMap"])
def test_loops_are_refused(tmp_path, kind):
    found = model(node(kind, "most", "", body=body()), constants=[array("most", 1 << 62, np.int64)])
    refused(found, "field 6|node", tmp_path)
    refused(model(node(kind, "frame")), f"node '{kind}'", tmp_path)


@pytest.mark.parametrize(
    ("kind", "domain"),
    [
        ("Expand", ""),
        ("ConstantOfShape", ""),
        ("Range", ""),
        ("Tile", ""),
        ("Pad", ""),
        ("Resize", ""),
        ("ConvTranspose", ""),
        ("Constant", ""),
        ("Relu", "evil"),
        ("QLinearAdd", ""),
        ("FusedMatMul", "com.microsoft"),
        ("", ""),
    ],
)
def test_other_nodes_are_refused(tmp_path, kind, domain):
    refused(model(node(kind, "frame", domain=domain)), "it has a node", tmp_path)


def test_functions_and_training_are_refused(tmp_path):
    found = model(node("Relu", "frame"))
    found.functions.add().name = "Relu"
    refused(found, "field 25", tmp_path)
    found = model(node("Relu", "frame"))
    found.training_info.add()
    refused(found, "field 20", tmp_path)


def test_data_in_other_files_is_refused(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(4))
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="secret")
    refused(model(node("Mul", "frame", "w"), constants=[tensor]), "field 1[34]", tmp_path)


def test_sparse_and_typed_data_are_refused(tmp_path):
    found = model(node("Relu", "frame"))
    found.graph.sparse_initializer.add()
    refused(found, "field 15", tmp_path)
    tensor = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
    refused(model(node("Mul", "frame", "w"), constants=[tensor]), "field 4", tmp_path)


@pytest.mark.parametrize(
    ("dims", "count"), [([1 << 62, 4], 1), ([-1, -4], 4), ([2], 1), ([1 << 40], 0), ([3], 4)]
)
def test_initialisers_hold_what_they_declare(tmp_path, dims, count):
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, raw_data=bytes(4 * count))
    refused(model(node("Mul", "frame", "w"), constants=[tensor]), "initialiser 'w'", tmp_path)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_initialisers_are_finite(tmp_path, dtype, bad):
    found = model(node("Mul", "frame", "w"), constants=[array("w", [1, bad], dtype)])
    refused(found, "'w' has values that are not finite", tmp_path)


def test_initialisers_of_other_types_are_refused(tmp_path):
    found = model(node("Mul", "frame", "w"), constants=[array("w", [1], np.float64)])
    refused(found, "type 11", tmp_path)


ONES = np.ones((1 << 16, 1))


@pytest.mark.parametrize(
    ("nodes", "constants"),
    [
        ([node("Mul", "a", "b")], [array("a", ONES), array("b", ONES.T)]),
        (
            [node("Cast", "frame", output="x", to=1), node("Mul", "x", "a")],
            [array("a", np.ones((1 << 13, 1, 1, 1)))],
        ),
    ],
    ids=["constants", "frame"],
)
def test_what_is_kept_at_a_time_is_bounded(tmp_path, nodes, constants):
    refused(model(*nodes, constants=constants), "it keeps more than", tmp_path)


def conv(**more):
    planes = node("Transpose", "frame", output="planes", perm=[0, 3, 1, 2])
    return [planes, node("Conv", "planes", "w", **more)]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"pads": [1 << 40] * 4}, "it computes more than"),
        ({"pads": [-1, 0, 0, 0]}, "pads"),
        ({"strides": [0, 1]}, "strides"),
        ({"strides": [1 << 62, 1], "kernel_shape": [3, 3, 3]}, "shape"),
        ({"auto_pad": "SAME_UPPER"}, "field 4"),
        ({"dilations": [1, 1]}, "attributes"),
        ({"group": 3}, "attributes"),
    ],
)
def test_convolutions_are_bounded(tmp_path, more, said):
    refused(model(*conv(**more), constants=[array("w", np.ones((4, 3, 3, 3)))]), said, tmp_path)


def test_a_convolution_of_other_channels_is_refused(tmp_path):
    refused(model(*conv(), constants=[array("w", np.ones((4, 2, 3, 3)))]), "does not fit", tmp_path)
    refused(
        model(*conv(), constants=[array("w", np.ones((4, 3, 1000, 3)))]), "larger than the frame", tmp_path
    )
    refused(model(*conv(), constants=[array("w", np.ones(3))]), "does not fit", tmp_path)


def test_work_is_bounded(tmp_path):
    nodes = [
        *conv(output="x0", pads=[3] * 4)[:1],
        node("Conv", "planes", "w", output="x0", pads=[31, 31, 32, 32]),
    ]
    nodes += [node("Conv", f"x{at}", "v", output=f"x{at + 1}", pads=[31, 31, 32, 32]) for at in range(40)]
    constants = [array("w", np.ones((16, 3, 64, 64))), array("v", np.ones((16, 16, 64, 64)))]
    refused(model(*nodes, node("Relu", "x40"), constants=constants), "it computes more than", tmp_path)


@pytest.mark.parametrize("shape", [[0, 0, -1, 7], [-1, -1], [1 << 62, 4], [0] * 9, [], [0, 0, 0, 0, 0]])
def test_reshapes_keep_the_number_of_values(tmp_path, shape):
    found = model(node("Reshape", "frame", "to"), constants=[array("to", shape, np.int64)])
    refused(found, "Reshape does not fit", tmp_path)


def test_graphs_are_in_order_and_whole(tmp_path):
    refused(model(node("Relu", "nothing")), "nothing gives", tmp_path)
    refused(model(node("Relu", "frame", output="other")), "nothing gives the value 'symbols'", tmp_path)
    refused(model(node("Relu", "frame"), node("Relu", "frame")), "given twice", tmp_path)
    refused(model(helper.make_node("Relu", ["frame"], ["symbols", "more"])), "2 values", tmp_path)
    refused(model(node("Transpose", "frame", perm=[0, 0, 1, 1])), "perm", tmp_path)
    refused(model(node("Relu")), "does not fit", tmp_path)
    large = helper.make_tensor_value_info("frame", TensorProto.UINT8, [1, 1 << 20, 1 << 20, 3])
    refused(model(node("Relu", "frame"), frame=large), "it keeps more than", tmp_path)


@pytest.mark.parametrize("to", [8, 11, 0, 1 << 40])
def test_values_stay_small(tmp_path, to):
    refused(model(node("Cast", "frame", to=to)), "to is", tmp_path)


@pytest.mark.parametrize("side", [0, -1])
def test_sides_are_named_or_positive(tmp_path, side):
    frame = helper.make_tensor_value_info("frame", TensorProto.UINT8, [1, side, "w", 3])
    refused(model(node("Relu", "frame"), frame=frame), "the input 'frame' has the shape", tmp_path)


def test_an_encoder_that_fails_on_a_frame_says_so(tmp_path):
    nodes = [node("Cast", "frame", output="x", to=1), node("Transpose", "x", output="y", perm=[0, 3, 1, 2])]
    nodes += [node("Add", "y", "w", output="z"), node("Cast", "z", to=6)]
    constants = [array("w", np.ones((1, 3, 512, 512)))]
    (tmp_path / "encoder.onnx").write_bytes(model(*nodes, constants=constants).SerializeToString())
    runtime = open_runtime("onnxruntime", tmp_path / "encoder.onnx")
    with pytest.raises(BundleError, match=r"failed on a frame of \(1, 64, 96, 3\)"):
        runtime(np.zeros((1, 64, 96, 3), np.uint8))


def test_two_graphs_are_refused():
    graph = model(node("Relu", "frame"))
    graph.ClearField("ir_version")
    graph.ClearField("opset_import")
    data = graph.SerializeToString()
    with pytest.raises(BundleError, match="graph twice"):
        check_encoder(data + data)


@pytest.mark.parametrize(
    "data", [b"", b"\xff" * 100, b"\x0a\xff\xff\xff\xff\x0f", b"PK\x03\x04", b"\x3b\x3c"]
)
def test_what_is_not_onnx_is_refused(data):
    with pytest.raises(BundleError):
        check_encoder(data)


def test_millions_of_empty_fields_are_refused():
    with pytest.raises(BundleError, match="more than 100000 fields"):
        check_encoder(b"\x42\x00" * 1_000_000)  # opset_import
    packed = b"\x08" * 1_000_000
    tensor = b"\x0a" + onnx_size(len(packed)) + packed
    graph = b"\x2a" + onnx_size(len(tensor)) + tensor
    with pytest.raises(BundleError, match="more than 100000 fields"):
        check_encoder(b"\x3a" + onnx_size(len(graph)) + graph)


def onnx_size(length: int) -> bytes:
    return bytes([length & 127 | 128, length >> 7 & 127 | 128, length >> 14])


def test_damaged_encoders_pass_or_are_refused(tmp_path):
    rng, whole = random.Random(0), write_encoder(tmp_path / "m.onnx").read_bytes()
    for number in range(1000):
        data = bytearray(whole)
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if number % 3 == 0:
            del data[rng.randrange(len(data)) :]
        try:
            check_encoder(bytes(data))
        except BundleError as err:
            assert len(str(err)) < 1000


@pytest.mark.parametrize("name", ["street", "street-nano"])
def test_encoders_that_come_with_the_package_pass_and_their_shape_is_foreseen(name):
    codec = Bundle.open(name).codec
    files = sorted(codec.path.glob("*.onnx"))
    assert len(files) == 4
    for file in files:
        for height, width in ((384, 480), (32, 64), (480, 384)):
            shape = check_encoder(file.read_bytes(), (height, width))
            assert shape == (1, codec.channels, height // 8, width // 8)


def test_an_encoder_of_another_shape_is_refused_at_opening(tmp_path):
    folder = write_codec(tmp_path / "codec")
    encoder = write_encoder(tmp_path / "other.onnx", channels=5).read_bytes()
    replace_file(folder, "encoder.onnx", "encoder_sha256", encoder)
    with pytest.raises(BundleError, match=r"symbols of shape \(1, 5, 48, 60\), expected \(1, 3, 48, 60\)"):
        FrameEncoder(Codec.open(folder))


def test_an_encoder_that_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "encoder.onnx"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(BundleError, match="expected at most 67108864"):
        open_runtime("onnxruntime", path)


def test_no_package_is_needed_to_check():
    lines = Path(onnx_file.__file__).read_text(encoding="utf-8").splitlines()
    assert not [line for line in lines if line.startswith(("import onnx", "from onnx"))]
