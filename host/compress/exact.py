"""The integer network in floating point, several times as fast as the reference and equal to it.

Where all sums of a layer stay within the integers that float32 holds, or float64, every one of them
is exact, in any order.
"""

from math import prod

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from host.data import Images, normalize
from host.integer_reference import requantize
from host.qgraph import AvgPool2d, Clamp, Conv2d, Flatten, Layer, Linear, MaxPool2d, QGraph

BATCH = 250


def logits(graph: QGraph, inputs: Tensor) -> Tensor:
    """int64 (N, classes): the output of the network for normalized images (N, C, H, W)."""
    q = torch.from_numpy(graph.input.quantize(inputs.numpy())).double()
    for before, layer in graph:
        q = _layer(layer, q, before.zero_point)
    return q.long()


def accuracy(graph: QGraph, images: Images, dataset: str) -> float:
    """The share of the images that the integers classify right."""
    right = 0
    for start in range(0, len(images), BATCH):
        found = logits(graph, normalize(images.pixels[start : start + BATCH], dataset))
        labels = torch.from_numpy(images.labels[start : start + BATCH])
        right += int((found.argmax(1) == labels).sum())
    return right / len(images)


def _layer(layer: Layer, q: Tensor, zero_point: int) -> Tensor:
    match layer:
        case Conv2d():
            weight, bias = _constants(layer)
            top, bottom, left, right = layer.padding
            padded = functional.pad(q.to(weight) - zero_point, (left, right, top, bottom))
            sums = functional.conv2d(padded, weight, bias, layer.stride)
            if layer.sum_pool:
                window = layer.sum_pool
                sums = functional.avg_pool2d(sums, window.kernel, window.stride, divisor_override=1)
            return requantize(sums.long(), layer.requant).double()
        case Linear():
            weight, bias = _constants(layer)
            sums = functional.linear(q.to(weight) - zero_point, weight, bias)
            return requantize(sums.long(), layer.requant).double()
        case MaxPool2d():
            top, bottom, left, right = layer.padding
            padded = functional.pad(q, (left, right, top, bottom), value=-129)
            return functional.max_pool2d(padded, layer.window.kernel, layer.window.stride)
        case AvgPool2d():
            top, bottom, left, right = layer.padding
            padded = functional.pad(q - zero_point, (left, right, top, bottom))
            window = layer.window
            sums = functional.avg_pool2d(padded, window.kernel, window.stride, divisor_override=1)
            return requantize(sums.long(), layer.requant).double()
        case Clamp():
            return q.clamp(layer.lo, layer.hi)
        case Flatten():
            return q.flatten(1)
    raise TypeError(f"no numerics for a {type(layer).__name__}")


def _constants(layer: Conv2d | Linear) -> tuple[Tensor, Tensor]:
    """Weights and biases in the fastest type that holds every sum, of pools too."""
    weights = np.abs(layer.weight.astype(np.int64)).reshape(len(layer.weight), -1).sum(1)
    largest = int((weights * 255 + np.abs(layer.bias)).max())
    if isinstance(layer, Conv2d) and layer.sum_pool:
        largest *= prod(layer.sum_pool.kernel)
    kind = torch.float32 if largest < 2**24 else torch.float64
    return torch.from_numpy(layer.weight).to(kind), torch.from_numpy(layer.bias).to(kind)
