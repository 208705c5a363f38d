"""The integer network as ONNX, for a second opinion: other runtimes read it and run it.

One QLinear operator for each layer, with the requantization factor ``M * 2**-S`` in the scale of
its weights. A runtime multiplies that factor in float32 where the hardware multiplies integers, so
what it computes may differ by one where the exact result lies at a half; docs/verification.md says
how often.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from host.errors import LeptonError
from host.program import write_whole
from host.qgraph import (
    AvgPool2d,
    Clamp,
    Conv2d,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    Padding,
    QGraph,
    Quantization,
    Requant,
    Window,
)

OPSET = 19
IR_VERSION = 9
"""Of 2023: what runtimes of the years behind it read as well."""

INPUT, OUTPUT = "images", "logits"

BIAS_ROWS = 1 << 14
"""Most rows that a bias may add to the weights of a Linear."""


def export(qgraph: QGraph, *, layers: bool = False) -> onnx.ModelProto:
    """The network from float images (N, *input_shape) to float logits, any N.

    With ``layers`` the int8 output of every layer is an output as well, by the layer's name.
    LeptonError for what ONNX has no operator for.
    """
    graph = _Graph()
    x = graph.add("QuantizeLinear", [INPUT, *graph.quantization(qgraph.input)], "quantized")
    for before, layer in qgraph:
        x = _layer(graph, layer, x, before)
    graph.add("DequantizeLinear", [x, *graph.quantization(qgraph.output)], OUTPUT)
    outputs = [_value(OUTPUT, TensorProto.FLOAT, qgraph.output_shape)]
    if layers:
        outputs += [_value(one.name, TensorProto.INT8, one.output_shape) for one in qgraph.layers]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            qgraph.info.get("model", "lepton"),
            [_value(INPUT, TensorProto.FLOAT, qgraph.input_shape)],
            outputs,
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="lepton",
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def save(qgraph: QGraph, path: Path, *, layers: bool = False) -> None:
    """Writes the file that `export` makes, whole or not at all."""
    write_whole(path, export(qgraph, layers=layers).SerializeToString())


def _value(name: str, kind: int, shape: tuple[int, ...]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, ["N", *shape])


@dataclass
class _Graph:
    """Nodes in order, and constants."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Appends a node; returns the name of its output."""
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def constant(self, value: np.ndarray) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def quantization(self, q: Quantization) -> list[str]:
        scale, zero = np.array(q.scale, np.float32), np.array(q.zero_point, np.int8)
        return [self.constant(scale), self.constant(zero)]

    def weights(
        self, weight: np.ndarray, requant: Requant, before: Quantization, after: Quantization
    ) -> list[str]:
        """Weight, scales and zero points; the scales carry the factor of the requantizer."""
        factor = np.ldexp(requant.multiplier.astype(np.float64), -requant.shift)
        scale = factor * np.float32(after.scale) / np.float32(before.scale)
        zero = np.zeros(len(scale), np.int8)
        return [self.constant(v) for v in (weight, scale.astype(np.float32), zero)]


def _layer(graph: _Graph, layer: Layer, x: str, before: Quantization) -> str:
    """Adds a layer behind `x`; returns its output, which has the layer's name."""
    match layer:
        case Conv2d() if layer.sum_pool:
            return _summed(graph, layer, layer.sum_pool, x, before)
        case Conv2d():
            weights = (layer.weight, layer.bias, layer.stride, layer.padding)
            return _convolution(graph, layer, layer.requant, x, before, *weights)
        case AvgPool2d():
            channels, ones = layer.input_shape[0], (1, *layer.window.kernel)
            weight = np.ones((channels, *ones), np.int8)
            bias = np.zeros(channels, np.int64)
            shared = layer.requant
            requant = Requant(
                shared.multiplier.repeat(channels), shared.shift.repeat(channels),
                shared.zero_point, shared.lo, shared.hi,
            )  # fmt: skip
            form = (weight, bias, layer.window.stride, layer.padding)
            return _convolution(graph, layer, requant, x, before, *form, group=channels)
        case Linear():
            return _linear(graph, layer, x, before)
        case MaxPool2d():
            return graph.add(
                "MaxPool", [x], layer.name, kernel_shape=layer.window.kernel,
                strides=layer.window.stride, pads=_pads(layer.padding),
            )  # fmt: skip
        case Clamp():
            return _clip(graph, x, layer.lo, layer.hi, layer.name)
        case Flatten():
            return graph.add("Flatten", [x], layer.name, axis=1)
    raise TypeError(f"no ONNX for a {type(layer).__name__}")


def _convolution(
    graph: _Graph, layer: Layer, requant: Requant, x: str, before: Quantization,
    weight: np.ndarray, bias: np.ndarray, stride: tuple[int, int], padding: Padding,
    group: int = 1,
) -> str:  # fmt: skip
    inputs = [
        x, *graph.quantization(before), *graph.weights(weight, requant, before, layer.output),
        *graph.quantization(layer.output), graph.constant(_int32(layer, bias)),
    ]  # fmt: skip
    output, bounded = _names(layer, requant)
    graph.add(
        "QLinearConv", inputs, output, kernel_shape=weight.shape[2:], strides=stride,
        pads=_pads(padding), group=group,
    )  # fmt: skip
    return _clip(graph, output, requant.lo, requant.hi, layer.name) if bounded else output


def _linear(graph: _Graph, layer: Linear, x: str, before: Quantization) -> str:
    """QLinearMatMul has no bias: constant inputs behind the real ones meet rows of weights."""
    zero = before.zero_point
    large = 127 if zero <= 0 else -128
    # b = (large - zero) * sum(high) + 1 * low, with as many rows of `high` as the largest needs.
    unit = large - zero
    whole = np.rint(layer.bias / unit).astype(np.int64)
    low = layer.bias - whole * unit
    rows = max(1, int(-(-np.abs(whole).max() // 127)))
    if rows > BIAS_ROWS:
        raise LeptonError(
            f"layer {layer.name!r}: its bias of {np.abs(layer.bias).max():,} would add {rows:,} "
            f"rows of weights, as QLinearMatMul has no bias; supported: {BIAS_ROWS:,}"
        )
    # Row i holds what is left behind i rows of as much as an int8 takes.
    full = 127 * np.arange(rows)[:, None]
    high = np.sign(whole) * np.clip(np.abs(whole) - full, 0, 127)
    one = zero + 1 if zero < 127 else zero - 1
    weight = np.concatenate([layer.weight.T, high, [low * (one - zero)]])
    for name, value, count in (("large", large, rows), ("one", one, 1)):
        ends = np.array([0, 0, 0, count], np.int64)
        inputs = [x, graph.constant(ends), graph.constant(np.array(value, np.int8))]
        x = graph.add("Pad", inputs, f"{layer.name}.{name}")
    inputs = [
        x, *graph.quantization(before),
        *graph.weights(weight.astype(np.int8), layer.requant, before, layer.output),
        *graph.quantization(layer.output),
    ]  # fmt: skip
    output, bounded = _names(layer, layer.requant)
    graph.add("QLinearMatMul", inputs, output)
    return (
        _clip(graph, output, layer.requant.lo, layer.requant.hi, layer.name) if bounded else output
    )


def _summed(graph: _Graph, layer: Conv2d, window: Window, x: str, before: Quantization) -> str:
    """A sum of accumulators: no QLinear operator has one, so integers and float64, exactly."""
    name, requant = layer.name, layer.requant
    zero = graph.constant(np.array(before.zero_point, np.int8))
    # ORT wants the zero point of weights, too, and pads with that of the input.
    none = graph.constant(np.array(0, np.int8))
    sums = graph.add(
        "ConvInteger", [x, graph.constant(layer.weight), zero, none], f"{name}.sums",
        kernel_shape=layer.weight.shape[2:], strides=layer.stride, pads=_pads(layer.padding),
    )  # fmt: skip
    bias = graph.constant(_int32(layer, layer.bias)[:, None, None])
    sums = graph.add("Add", [sums, bias], f"{name}.biased")
    (ky, kx), (sy, sx) = window.kernel, window.stride
    _, height, width = layer.output_shape
    axes, steps = graph.constant(np.array([2, 3])), graph.constant(np.array([sy, sx]))
    parts = []
    for y in range(ky):
        for x_at in range(kx):
            start = np.array([y, x_at])
            end = start + np.array([(height - 1) * sy + 1, (width - 1) * sx + 1])
            bounds = [graph.constant(start), graph.constant(end), axes, steps]
            parts.append(graph.add("Slice", [sums, *bounds], f"{name}.{y}.{x_at}"))
    total = parts[0]
    for i, part in enumerate(parts[1:]):
        total = graph.add("Add", [total, part], f"{name}.total.{i}")
    value = graph.add("Cast", [total], f"{name}.float", to=TensorProto.DOUBLE)
    factor = np.ldexp(requant.multiplier.astype(np.float64), -requant.shift)[:, None, None]
    value = graph.add("Mul", [value, graph.constant(factor)], f"{name}.scaled")
    value = graph.add("Round", [value], f"{name}.rounded")
    offset = graph.constant(np.array(requant.zero_point, np.float64))
    value = graph.add("Add", [value, offset], f"{name}.moved")
    bounds = [graph.constant(np.array(v, np.float64)) for v in (requant.lo, requant.hi)]
    value = graph.add("Clip", [value, *bounds], f"{name}.clamped")
    return graph.add("Cast", [value], name, to=TensorProto.INT8)


def _names(layer: Layer, requant: Requant) -> tuple[str, bool]:
    """What the QLinear operator's output is called, and whether a Clip must follow."""
    bounded = (requant.lo, requant.hi) != (-128, 127)
    return (f"{layer.name}.unbounded" if bounded else layer.name), bounded


def _clip(graph: _Graph, x: str, lo: int, hi: int, name: str) -> str:
    bounds = [graph.constant(np.array(v, np.int8)) for v in (lo, hi)]
    return graph.add("Clip", [x, *bounds], name)


def _pads(padding: Padding) -> list[int]:
    top, bottom, left, right = padding
    return [top, left, bottom, right]


def _int32(layer: Layer, bias: np.ndarray) -> np.ndarray:
    if (np.abs(bias) >= 1 << 31).any():
        raise LeptonError(f"layer {layer.name!r}: its bias does not fit ONNX's int32")
    return bias.astype(np.int32)
