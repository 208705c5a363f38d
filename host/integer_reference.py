"""The integer network in PyTorch integers: what all else must equal, in every byte.

Written from ``docs/numerics.md`` alone, for clearness first; it shares no code with the compiler or
the gateware. Everything is int64, so it is exact in any order of summation. (Float64 matrices would
be exact, too, and halve the 2 s that 10,000 LeNet images take; the proof is not worth that.)
"""

from collections.abc import Iterator
from typing import Literal, overload

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

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
    Requant,
    Window,
)

Images = np.ndarray | Tensor


@overload
def reference(
    qgraph: QGraph,
    images: Images,
    *,
    layers: Literal[False] = False,
    dequantize: bool = True,
    batch: int = 256,
) -> np.ndarray: ...


@overload
def reference(
    qgraph: QGraph, images: Images, *, layers: Literal[True], batch: int = 256
) -> dict[str, np.ndarray]: ...


def reference(
    qgraph: QGraph,
    images: Images,
    *,
    layers: bool = False,
    dequantize: bool = True,
    batch: int = 256,
) -> np.ndarray | dict[str, np.ndarray]:
    """Run ``images`` (N, *input_shape), float or already int8, ``batch`` at a time.

    Returns the logits, float32 or with ``dequantize=False`` int8; with ``layers=True`` instead the
    int8 output of every layer by its name, in order.
    """
    parts: dict[str, list[np.ndarray]] = {layer.name: [] for layer in qgraph.layers}
    kept = parts if layers else {qgraph.layers[-1].name}
    for chunk in _quantized(qgraph, images, batch):
        for name, activation in _run(qgraph, chunk):
            if name in kept:
                parts[name].append(activation.numpy().astype(np.int8))
    if layers:
        return {name: np.concatenate(chunks) for name, chunks in parts.items()}
    logits = np.concatenate(parts[qgraph.layers[-1].name])
    return qgraph.output.dequantize(logits) if dequantize else logits


def _quantized(qgraph: QGraph, images: Images, batch: int) -> Iterator[Tensor]:
    """The images as int8 values in int64, in batches (at least one, maybe an empty one)."""
    array = images.detach().numpy() if isinstance(images, Tensor) else np.asarray(images)
    if array.shape[1:] != qgraph.input_shape:
        raise LeptonError(f"images are {array.shape[1:]}; the network takes {qgraph.input_shape}")
    if array.dtype != np.int8 and not np.issubdtype(array.dtype, np.floating):
        raise LeptonError(f"images are {array.dtype}; give floats, or int8 if already quantized")
    for start in range(0, max(len(array), 1), batch):
        chunk = array[start : start + batch]
        q = chunk if chunk.dtype == np.int8 else qgraph.input.quantize(chunk)
        yield torch.from_numpy(q.astype(np.int64))


def _run(qgraph: QGraph, q: Tensor) -> Iterator[tuple[str, Tensor]]:
    for before, layer in qgraph:
        q = _layer(layer, q, before.zero_point)
        yield layer.name, q


def _layer(layer: Layer, q: Tensor, zero_point: int) -> Tensor:
    match layer:
        case Conv2d():
            sums = _convolve(q - zero_point, layer)
            if layer.sum_pool:
                sums = _sum_windows(sums, layer.sum_pool)
            return requantize(sums, layer.requant)
        case Linear():
            sums = (q - zero_point) @ torch.from_numpy(layer.weight).long().mT
            return requantize(sums + torch.from_numpy(layer.bias), layer.requant)
        case MaxPool2d():
            # Below every int8, so that a position of the padding never wins.
            return _windows(_pad(q, layer.padding, -129), layer.window).amax(-1)
        case AvgPool2d():
            sums = _sum_windows(_pad(q - zero_point, layer.padding), layer.window)
            return requantize(sums, layer.requant)
        case Clamp():
            return q.clamp(layer.lo, layer.hi)
        case Flatten():
            return q.flatten(1)
    raise TypeError(f"no numerics for a {type(layer).__name__}")


def requantize(acc: Tensor, requant: Requant) -> Tensor:
    """``clamp(zero_point + round_half_even(acc * M / 2**S), lo, hi)``; int64 (N, C, ...)."""
    per_channel = (-1,) + (1,) * (acc.ndim - 2)
    multiplier = torch.from_numpy(requant.multiplier).reshape(per_channel)
    shift = torch.from_numpy(requant.shift).reshape(per_channel)
    product = acc * multiplier
    floor = product >> shift
    # Twice the remainder, compared with the divisor, says on which side of a half it lies.
    excess = 2 * (product - (floor << shift)) - (1 << shift)
    # A shift of 0 leaves a remainder of 0 and an excess of -1: it never rounds up.
    up = (excess > 0) | ((excess == 0) & (floor & 1 == 1))
    return (requant.zero_point + floor + up).clamp(requant.lo, requant.hi)


def _convolve(x: Tensor, layer: Conv2d) -> Tensor:
    out, height, width = layer.conv_shape
    kernel = layer.weight.shape[2:]
    windows = _windows(_pad(x, layer.padding), Window((kernel[0], kernel[1]), layer.stride))
    # (N, C, Y, X, ky*kx) to (N, C*ky*kx, Y*X): the order of the weights, positions last.
    columns = windows.permute(0, 1, 4, 2, 3).reshape(len(x), -1, height * width)
    sums = torch.from_numpy(layer.weight).long().reshape(out, -1) @ columns
    return (sums + torch.from_numpy(layer.bias)[:, None]).reshape(-1, out, height, width)


def _pad(x: Tensor, padding: Padding, value: int = 0) -> Tensor:
    top, bottom, left, right = padding
    return functional.pad(x, (left, right, top, bottom), value=value)


def _windows(x: Tensor, window: Window) -> Tensor:
    """The positions of each window, as a last axis: (N, C, Y, X, ky*kx)."""
    (ky, kx), (sy, sx) = window.kernel, window.stride
    return x.unfold(2, ky, sy).unfold(3, kx, sx).flatten(-2)


def _sum_windows(x: Tensor, window: Window) -> Tensor:
    return _windows(x, window).sum(-1)
