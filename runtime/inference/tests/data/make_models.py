"""Writes the small models and the picture that the tests read. Run once, by hand:

    pip install onnx==1.23.2 pillow==13.0.0 && python make_models.py

The results are checked in, so that the tests need neither Python nor these packages.
"""

import pathlib

import onnx
from onnx import TensorProto, helper
from PIL import Image, ImageDraw, ImageFont

HERE = pathlib.Path(__file__).parent
FONT = "DejaVuSans.ttf"  # found by name among the installed fonts


def save(name, graph):
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    (HERE / name).write_bytes(model.SerializeToString())


def value(name, datatype, shape):
    return helper.make_tensor_value_info(name, datatype, shape)


def matmul():
    """y = a x b. The two inputs share the named dimension k; a third, fixed one is added."""
    save(
        "matmul.onnx",
        helper.make_graph(
            [
                helper.make_node("MatMul", ["a", "b"], ["product"]),
                helper.make_node("Add", ["product", "bias"], ["y"]),
            ],
            "matmul",
            [
                value("a", TensorProto.FLOAT, ["m", "k"]),
                value("b", TensorProto.FLOAT, ["k", 2]),
                value("bias", TensorProto.FLOAT, [1]),
            ],
            [value("y", TensorProto.FLOAT, ["m", 2])],
        ),
    )


def countdown():
    """Adds 1 to zero `steps` times, one loop turn each: as long a run as the caller asks for."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["keep_going"], ["keep_going_out"]),
            helper.make_node("Add", ["sum", "one"], ["sum_out"]),
        ],
        "turn",
        [
            value("turn", TensorProto.INT64, []),
            value("keep_going", TensorProto.BOOL, []),
            value("sum", TensorProto.FLOAT, [1]),
        ],
        [value("keep_going_out", TensorProto.BOOL, []), value("sum_out", TensorProto.FLOAT, [1])],
    )
    save(
        "countdown.onnx",
        helper.make_graph(
            [
                helper.make_node("Squeeze", ["steps", "axis"], ["turns"]),
                helper.make_node("Loop", ["turns", "", "zero"], ["sum"], body=body),
            ],
            "countdown",
            [value("steps", TensorProto.INT64, [1])],
            [value("sum", TensorProto.FLOAT, [1])],
            initializer=[
                helper.make_tensor("axis", TensorProto.INT64, [1], [0]),
                helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0]),
                helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0]),
            ],
        ),
    )


def echo():
    """Gives every input back: one input and one output for each datatype of the protocol."""
    kinds = {
        "bool": TensorProto.BOOL,
        "uint8": TensorProto.UINT8,
        "uint16": TensorProto.UINT16,
        "uint32": TensorProto.UINT32,
        "uint64": TensorProto.UINT64,
        "int8": TensorProto.INT8,
        "int16": TensorProto.INT16,
        "int32": TensorProto.INT32,
        "int64": TensorProto.INT64,
        "fp16": TensorProto.FLOAT16,
        "bf16": TensorProto.BFLOAT16,
        "fp32": TensorProto.FLOAT,
        "fp64": TensorProto.DOUBLE,
        "bytes": TensorProto.STRING,
    }
    save(
        "echo.onnx",
        helper.make_graph(
            [helper.make_node("Identity", [f"in_{name}"], [f"out_{name}"]) for name in kinds],
            "echo",
            [value(f"in_{name}", kind, ["n"]) for name, kind in kinds.items()],
            [value(f"out_{name}", kind, ["n"]) for name, kind in kinds.items()],
        ),
    )


def pick():
    """Gathers rows of a table by index: an index outside it is a mistake that only the run can find."""
    save(
        "pick.onnx",
        helper.make_graph(
            [helper.make_node("Gather", ["table", "index"], ["picked"])],
            "pick",
            [value("index", TensorProto.INT64, ["n"])],
            [value("picked", TensorProto.FLOAT, ["n"])],
            initializer=[helper.make_tensor("table", TensorProto.FLOAT, [3], [10.0, 20.0, 30.0])],
        ),
    )


def loose():
    """z = x + y, which take any sizes: that they go together is not in the signature."""
    save(
        "loose.onnx",
        helper.make_graph(
            [helper.make_node("Add", ["x", "y"], ["z"])],
            "loose",
            [value("x", TensorProto.FLOAT, ["m"]), value("y", TensorProto.FLOAT, ["n"])],
            [value("z", TensorProto.FLOAT, [None])],
        ),
    )


def external(name, location):
    """A model whose one weight lies in another file."""
    weight = TensorProto(name="weight", data_type=TensorProto.FLOAT, dims=[1])
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    weight.external_data.add(key="offset", value="0")
    weight.external_data.add(key="length", value="4")
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "weight"], ["y"])],
        "external",
        [value("x", TensorProto.FLOAT, [1])],
        [value("y", TensorProto.FLOAT, [1])],
        initializer=[weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (HERE / name).write_bytes(model.SerializeToString())


def line():
    """One line of black text on white, as a scanner might see it."""
    text, margin = "Forebay serves 2026", 6
    font = ImageFont.truetype(FONT, 32)
    left, top, right, bottom = font.getbbox(text)
    picture = Image.new("L", (right - left + 2 * margin, bottom - top + 2 * margin), 255)
    ImageDraw.Draw(picture).text((margin - left, margin - top), text, font=font, fill=0)
    picture.save(HERE / "line.png", optimize=True)


if __name__ == "__main__":
    matmul()
    countdown()
    echo()
    pick()
    loose()
    external("external_inside.onnx", "weight.bin")
    external("external_outside.onnx", "../weight.bin")
    line()
