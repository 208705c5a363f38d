"""Lowering: layers of the integer network to steps that the array can run.

A step is a convolution in the widest sense: windows of kernel rows, weights, a pool of
accumulators, a requantization. A fully connected layer is one with a single position; pooling and
clamps that no convolution takes along are channel by channel ("diagonal") convolutions with weights
of one.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from host.errors import LeptonError
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

MAX_WINDOW = 4
"""Largest pooling window of the hardware, each way."""

NO_PADDING: Padding = (0, 0, 0, 0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """One thing for the array to do; shapes are (height, width, channels), a vector's (1, 1, F).

    It is equal to itself alone, so what is made of one can be remembered.
    """

    name: str
    """Of the layer that it computes, the first of them."""
    layers: tuple[str, ...]
    """All layers of the network that it covers."""
    macs: int
    vector: bool
    """Its input and output have no extent, so that a whole batch may run at once."""
    diagonal: bool
    weight: np.ndarray
    """int8 (out, kernel_y, kernel_x, in); diagonal: (1, kernel_y, kernel_x, 1)."""
    bias: np.ndarray
    """int64 (out,), the input zero point folded in."""
    requant: Requant
    stride: tuple[int, int]
    input_shape: tuple[int, int, int]
    padding: Padding
    padding_value: int
    """What a position of the padding holds."""
    window: Window
    """Pool of accumulators; 1 x 1 for none."""
    pool_sum: bool
    output_shape: tuple[int, int, int]
    graph_shape: tuple[int, ...]
    """Shape of the last layer's output in the network: (C, H, W) or (F,)."""
    flattened: bool
    """The network has flattened this output, channels first."""
    bound: int = 0
    """Largest magnitude that an accumulator can have."""

    unfolded: int = 0
    """Weights that a folded step had before; 0 for one that is not folded."""

    @property
    def weights(self) -> int:
        """How many weights the network has; a diagonal step has the same ones for each channel."""
        return self.unfolded or self.weight.size * (self.output_shape[2] if self.diagonal else 1)


ONE = Window((1, 1), (1, 1))
IDENTITY_SHIFT = 7


def identity(channels: int, zero_point: int, lo: int = -128, hi: int = 127) -> Requant:
    """Requantization by a factor of one."""
    return Requant(
        np.full(channels, 1 << IDENTITY_SHIFT),
        np.full(channels, IDENTITY_SHIFT),
        zero_point,
        lo,
        hi,
    )


def lower(graph: QGraph, acc_width: int) -> list[Step]:
    """Steps of a network, or LeptonError for what this hardware cannot run."""
    steps: list[Step] = []
    for before, layer in graph:
        if isinstance(layer, Flatten):
            if steps:
                last = steps[-1]
                steps[-1] = replace(
                    last, layers=(*last.layers, layer.name), graph_shape=layer.output_shape,
                    flattened=last.flattened or len(last.graph_shape) == 3,
                )  # fmt: skip
            continue
        fused = fuse(steps[-1], layer) if steps else None
        if fused:
            steps[-1] = fused
        else:
            steps.append(lower_layer(layer, before))
    if not steps:
        raise LeptonError(
            "the network has no layer that computes anything; add a Linear or a Conv2d"
        )
    return [prove(step, acc_width) for step in steps]


def fuse(step: Step, layer: Layer) -> Step | None:
    """The step with the layer added to it, or None where it needs one of its own."""
    if isinstance(layer, Clamp):
        # A clamp behind a clamp is a clamp to the bounds of the first, clamped by the second.
        lo, hi = (min(max(x, layer.lo), layer.hi) for x in (step.requant.lo, step.requant.hi))
        requant = replace(step.requant, lo=lo, hi=hi)
        return replace(step, requant=requant, layers=(*step.layers, layer.name))
    if not isinstance(layer, MaxPool2d) or step.diagonal or step.window != ONE or step.flattened:
        return None
    kernel, stride = layer.window.kernel, layer.window.stride
    # Overlapping windows would compute their common accumulators again.
    if layer.padding != NO_PADDING or max(kernel) > MAX_WINDOW:
        return None
    if stride[0] < kernel[0] or stride[1] < kernel[1]:
        return None
    channels, height, width = layer.output_shape
    return replace(
        step,
        layers=(*step.layers, layer.name),
        window=layer.window,
        pool_sum=False,  # of an average of 1 x 1, which is none
        output_shape=(height, width, channels),
        graph_shape=layer.output_shape,
    )


def lower_layer(layer: Layer, before: Quantization) -> Step:
    """A step for one layer alone."""
    if isinstance(layer, Conv2d):
        return lower_conv(layer, before)
    if isinstance(layer, Linear):
        return lower_linear(layer, before)
    zero = before.zero_point
    channels, height, width = as_map(layer.input_shape)
    out_channels, out_height, out_width = as_map(layer.output_shape)
    common: dict[str, Any] = {
        "name": layer.name,
        "layers": (layer.name,),
        "macs": 0,
        "vector": len(layer.input_shape) == 1,
        "diagonal": True,
        "input_shape": (height, width, channels),
        "output_shape": (out_height, out_width, out_channels),
        "graph_shape": layer.output_shape,
        "flattened": False,
        "pool_sum": False,
    }
    if isinstance(layer, AvgPool2d):
        ky, kx = layer.window.kernel
        requant = replace(
            layer.requant,
            multiplier=np.repeat(layer.requant.multiplier, channels),
            shift=np.repeat(layer.requant.shift, channels),
        )
        return Step(
            **common, weight=np.ones((1, ky, kx, 1), np.int8),
            bias=np.full(channels, -zero * ky * kx), requant=requant, stride=layer.window.stride,
            padding=layer.padding, padding_value=zero, window=ONE,
        )  # fmt: skip
    ones = {"weight": np.ones((1, 1, 1, 1), np.int8), "bias": np.full(channels, -zero)}
    if isinstance(layer, MaxPool2d):
        if max(layer.window.kernel) > MAX_WINDOW:
            raise LeptonError(
                f"layer {layer.name!r}: a MaxPool2d window of {layer.window.kernel} is more than "
                f"the {MAX_WINDOW} x {MAX_WINDOW} of the hardware; use two smaller ones"
            )
        return Step(
            **common, **ones, requant=identity(channels, zero), stride=(1, 1),
            padding=layer.padding, padding_value=-128, window=layer.window,
        )  # fmt: skip
    if isinstance(layer, Clamp):
        return Step(
            **common, **ones, requant=identity(channels, zero, layer.lo, layer.hi), stride=(1, 1),
            padding=NO_PADDING, padding_value=zero, window=ONE,
        )  # fmt: skip
    raise LeptonError(f"layer {layer.name!r}: {type(layer).__name__} is not known to the compiler")


def lower_conv(layer: Conv2d, before: Quantization) -> Step:
    channels, height, width = layer.input_shape
    weight = layer.weight.transpose(0, 2, 3, 1)
    out, ky, kx, _ = weight.shape
    if kx == width + layer.padding[2] + layer.padding[3]:
        # A window as wide as the map lies in one piece: one long kernel row has fewer slices.
        weight = weight.reshape(out, 1, ky * kx, channels)
    pool = layer.sum_pool or ONE
    if max(pool.kernel) > MAX_WINDOW:
        raise LeptonError(
            f"layer {layer.name!r}: an AvgPool2d of {pool.kernel} directly behind a convolution is "
            f"more than the {MAX_WINDOW} x {MAX_WINDOW} of the hardware; put a ReLU between them"
        )
    count = pool.kernel[0] * pool.kernel[1]
    sums = layer.weight.astype(np.int64).sum(axis=(1, 2, 3))
    return Step(
        name=layer.name, layers=(layer.name,), macs=layer.macs, vector=False, diagonal=False,
        weight=weight, bias=count * (layer.bias - before.zero_point * sums), requant=layer.requant,
        stride=layer.stride, input_shape=(height, width, channels), padding=layer.padding,
        padding_value=before.zero_point, window=pool, pool_sum=layer.sum_pool is not None,
        output_shape=(layer.output_shape[1], layer.output_shape[2], out),
        graph_shape=layer.output_shape, flattened=False,
    )  # fmt: skip


def lower_linear(layer: Linear, before: Quantization) -> Step:
    out, inputs = layer.weight.shape
    return Step(
        name=layer.name, layers=(layer.name,), macs=layer.macs, vector=True, diagonal=False,
        weight=layer.weight.reshape(out, 1, 1, inputs),
        bias=layer.bias - before.zero_point * layer.weight.astype(np.int64).sum(axis=1),
        requant=layer.requant, stride=(1, 1), input_shape=(1, 1, inputs), padding=NO_PADDING,
        padding_value=before.zero_point, window=ONE, pool_sum=False, output_shape=(1, 1, out),
        graph_shape=layer.output_shape, flattened=False,
    )  # fmt: skip


def as_map(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(C, H, W) of a map, or of a vector as one position."""
    return (shape[0], 1, 1) if len(shape) == 1 else (shape[0], shape[1], shape[2])


def prove(step: Step, acc_width: int) -> Step:
    """The step with the bound on its accumulators, or LeptonError if they might overflow."""
    weights = np.abs(step.weight.astype(np.int64)).sum(axis=(1, 2, 3))
    window = step.window.kernel[0] * step.window.kernel[1] if step.pool_sum else 1
    # Raw products while they add up, then with the bias; see docs/numerics.md.
    raw = 128 * weights * window
    bound = int(np.max(np.maximum(raw, raw + np.abs(step.bias))))
    if bound >= 1 << (acc_width - 1) or np.any(np.abs(step.bias) >= 1 << 31):
        raise LeptonError(
            f"layer {step.name!r} may reach an accumulator of {bound}, which needs "
            f"{bound.bit_length() + 1} bits; the hardware has acc_width={acc_width}"
        )
    return replace(step, bound=bound)


def permute_flattened(step: Step, shape: tuple[int, int, int]) -> Step:
    """A step whose input the network flattened (C, H, W) first, for one that lies (H, W, C) in
    memory."""
    height, width, channels = shape
    if step.diagonal:
        return step
    out = step.weight.shape[0]
    weight = step.weight.reshape(out, channels, height, width).transpose(0, 2, 3, 1)
    return replace(step, weight=weight.reshape(out, 1, 1, -1))
