"""The integer network: what quantization makes, and what reference and compiler read.

Plain data, without behaviour beyond shapes and counts; ``docs/numerics.md`` says what each layer
computes. Shapes are without the batch: (C, H, W) for feature maps, (F,) for vectors.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod

import numpy as np

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Quantization:
    """``x = scale * (q - zero_point)`` for one tensor of int8."""

    scale: float
    zero_point: int

    def quantize(self, x: np.ndarray) -> np.ndarray:
        """Float32 to int8, rounded half to even (numerics, *Input*)."""
        q = np.rint(np.asarray(x, np.float32) / np.float32(self.scale)) + np.float32(
            self.zero_point
        )
        return np.clip(q, -128, 127).astype(np.int8)

    def dequantize(self, q: np.ndarray) -> np.ndarray:
        """int8 to float32 (numerics, *Output*)."""
        return np.float32(self.scale) * (q.astype(np.int32) - self.zero_point).astype(np.float32)


@dataclass(frozen=True)
class Requant:
    """``clamp(zero_point + round_half_even(acc * multiplier / 2**shift), lo, hi)``."""

    multiplier: np.ndarray
    """int64 (channels,), each in [1, 2**16) or as wide as `encode_factor` was asked for."""
    shift: np.ndarray
    """int64 (channels,), each in [0, MAX_SHIFT]."""
    zero_point: int
    lo: int = -128
    hi: int = 127


MAX_SHIFT = 47
"""Largest right shift that a requantizer makes."""


@dataclass(frozen=True)
class Window:
    """A pooling window: (vertical, horizontal) sizes in positions."""

    kernel: tuple[int, int]
    stride: tuple[int, int]


Padding = tuple[int, int, int, int]
"""Positions added at (top, bottom, left, right)."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """What every layer has."""

    name: str
    input_shape: Shape
    output_shape: Shape
    output: Quantization

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image that the model asks for (pooling has none)."""
        return 0


@dataclass(frozen=True, kw_only=True)
class Conv2d(Layer):
    weight: np.ndarray
    """int8 (out, in, kernel_y, kernel_x)."""
    bias: np.ndarray
    """int64 (out,), without any zero point folded in."""
    stride: tuple[int, int] = (1, 1)
    padding: Padding = (0, 0, 0, 0)
    requant: Requant
    sum_pool: Window | None = None
    """Add the accumulators of each window before requantizing; the output shape is behind it."""

    @property
    def conv_shape(self) -> Shape:
        """Shape before the sum pool."""
        (_, height, width), (top, bottom, left, right) = self.input_shape, self.padding
        out, _, ky, kx = self.weight.shape
        return (
            out,
            (height + top + bottom - ky) // self.stride[0] + 1,
            (width + left + right - kx) // self.stride[1] + 1,
        )

    @property
    def macs(self) -> int:
        return prod(self.conv_shape) * prod(self.weight.shape[1:])


@dataclass(frozen=True, kw_only=True)
class Linear(Layer):
    weight: np.ndarray
    """int8 (out, in)."""
    bias: np.ndarray
    """int64 (out,)."""
    requant: Requant

    @property
    def macs(self) -> int:
        return prod(self.weight.shape)


@dataclass(frozen=True, kw_only=True)
class MaxPool2d(Layer):
    window: Window
    padding: Padding = (0, 0, 0, 0)


@dataclass(frozen=True, kw_only=True)
class AvgPool2d(Layer):
    window: Window
    padding: Padding = (0, 0, 0, 0)
    requant: Requant
    """One channel: the same factor for all."""


@dataclass(frozen=True, kw_only=True)
class Clamp(Layer):
    lo: int
    hi: int


@dataclass(frozen=True, kw_only=True)
class Flatten(Layer):
    pass


@dataclass(frozen=True, kw_only=True)
class QGraph:
    """A sequential integer network."""

    input: Quantization
    input_shape: Shape
    layers: tuple[Layer, ...]
    info: dict[str, str] = field(default_factory=dict)
    """Where it came from (model, calibration), for people."""

    def __iter__(self) -> Iterator[tuple[Quantization, Layer]]:
        """Each layer with the quantization of its input."""
        before = self.input
        for layer in self.layers:
            yield before, layer
            before = layer.output

    @property
    def output(self) -> Quantization:
        return self.layers[-1].output

    @property
    def output_shape(self) -> Shape:
        return self.layers[-1].output_shape

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)
