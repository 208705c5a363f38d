"""From the quantize-dequantize graph that PT2E makes to the layers of the integer network."""

from typing import Any, cast

import numpy as np
import torch
from torch.fx import GraphModule, Node

from host.capture import tensor_of
from host.errors import LeptonError
from host.qgraph import (
    AvgPool2d,
    Clamp,
    Conv2d,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    Quantization,
    Requant,
)
from host.quantizer import spine
from host.requant import encode_factor
from host.steps import (
    AvgPoolStep,
    ClampStep,
    FlattenStep,
    Group,
    LinearStep,
    MaxPoolStep,
    Step,
)

_QUANTIZE = torch.ops.quantized_decomposed.quantize_per_tensor.default


def read(
    converted: GraphModule, groups: list[Group], width: int
) -> tuple[Quantization, list[Layer]]:
    """The quantization of the input and the layers, with multipliers of ``width`` bits."""
    path = spine(converted.graph)
    nodes = {node.name: node for node in path}
    outputs = [
        Quantization(cast(float, node.args[1]), cast(int, node.args[2]))
        for node in path
        if node.target is _QUANTIZE
    ]
    before = outputs[0]
    layers: list[Layer] = []
    for group, after in zip(groups, outputs, strict=True):
        if group.head:
            node = nodes[group.head.node.name]
            constants = _constants(converted, node) if group.has_weights else {}
            layers.append(_head(group, before, after, constants, width))
        layers += _rest(group, after)
        before = after
    return outputs[0], layers


def _constants(converted: GraphModule, node: Node) -> dict[str, np.ndarray]:
    """The int8 weight, its scales and the float bias of a convolution or Linear."""
    dequantize, bias = cast(Node, node.args[1]), cast(Node, node.args[2])
    weight, scale = cast(Node, dequantize.args[0]), cast(Node, dequantize.args[1])
    return {
        "weight": tensor_of(converted, weight).numpy(),
        "scale": tensor_of(converted, scale).numpy().astype(np.float64),
        "bias": tensor_of(converted, bias).numpy().astype(np.float64),
    }


def _head(
    group: Group,
    before: Quantization,
    after: Quantization,
    constants: dict[str, np.ndarray],
    width: int,
) -> Layer:
    head = group.head
    assert head
    unit = before.scale * constants.get("scale", np.ones(1))
    try:
        multiplier, shift = encode_factor(unit / (after.scale * group.window), width)
    except LeptonError as error:
        raise LeptonError(f"layer {head.name!r}: {error}") from None
    shared = _shared(head, after)
    shared["requant"] = Requant(multiplier, shift, after.zero_point, *_bounds(group, after))
    if isinstance(head, AvgPoolStep):
        return AvgPool2d(**shared, window=head.window, padding=head.padding)
    shared["weight"] = constants["weight"]
    shared["bias"] = np.rint(constants["bias"] / unit).astype(np.int64)
    if isinstance(head, LinearStep):
        return Linear(**shared)
    pool = group.sum_pool
    if pool:
        shared["output_shape"] = pool.output_shape
    window = pool.window if pool else None
    return Conv2d(**shared, stride=head.stride, padding=head.padding, sum_pool=window)


def _rest(group: Group, after: Quantization) -> list[Layer]:
    """The layers behind the head; it has taken over their clamps, unless it is the input."""
    layers: list[Layer] = []
    for step in group.rest:
        shared = _shared(step, after)
        match step:
            case MaxPoolStep():
                layers.append(MaxPool2d(**shared, window=step.window, padding=step.padding))
            case FlattenStep():
                layers.append(Flatten(**shared))
            case ClampStep() if not group.head:
                lo, hi = _clamp(step, after)
                layers.append(Clamp(**shared, lo=lo, hi=hi))
    return layers


def _shared(step: Step, output: Quantization) -> dict[str, Any]:
    return {
        "name": step.name,
        "input_shape": step.input_shape,
        "output_shape": step.output_shape,
        "output": output,
    }


def _bounds(group: Group, output: Quantization) -> tuple[int, int]:
    """All clamps of a group at once: a MaxPool2d or Flatten between them changes nothing."""
    bounds = [_clamp(step, output) for step in group.rest if isinstance(step, ClampStep)]
    return max([-128, *(lo for lo, _ in bounds)]), min([127, *(hi for _, hi in bounds)])


def _clamp(step: ClampStep, output: Quantization) -> tuple[int, int]:
    zero = output.zero_point
    upper = 127 if step.upper is None else min(127, zero + round(step.upper / output.scale))
    return max(-128, zero), upper
