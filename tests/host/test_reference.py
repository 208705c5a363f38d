"""The reference against loops over Python integers, written from docs/numerics.md once more."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import torch

from host.errors import LeptonError
from host.integer_reference import reference, requantize
from host.qgraph import (
    AvgPool2d,
    Clamp,
    Conv2d,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    QGraph,
    Quantization,
    Requant,
    Window,
)

SOURCE = Quantization(0.5, -11)


def run(layer: Layer, images: np.ndarray) -> np.ndarray:
    graph = QGraph(input=SOURCE, input_shape=layer.input_shape, layers=(layer,))
    result = reference(graph, images, dequantize=False, batch=2)
    assert result.dtype == np.int8
    return result


def draw(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """int8 with the extreme values more often than by chance."""
    values = rng.integers(-128, 128, shape)
    return np.where(rng.random(shape) < 0.2, rng.choice([-128, 127], shape), values).astype(np.int8)


def draw_requant(rng: np.random.Generator, channels: int, acc: int) -> Requant:
    """Factors that spread accumulators of size ``acc`` over a few times the int8 range."""
    shift = rng.integers(8, 30, channels)
    multiplier = np.clip((2.0**shift * 300 / acc).astype(np.int64), 1, 2**16 - 1)
    return Requant(multiplier, shift, int(rng.integers(-128, 128)), -100, 101)


def rounded(acc: int, requant: Requant, channel: int) -> int:
    channel = min(channel, len(requant.multiplier) - 1)
    factor = Fraction(int(requant.multiplier[channel]), 2 ** int(requant.shift[channel]))
    # Python rounds a Fraction half to even.
    return min(max(requant.zero_point + round(acc * factor), requant.lo), requant.hi)


def at(image: np.ndarray, i: int, y: int, x: int) -> int | None:
    """The value at a position, None in the padding."""
    _, height, width = image.shape
    return int(image[i, y, x]) if 0 <= y < height and 0 <= x < width else None


def window_values(
    image: np.ndarray, layer: MaxPool2d | AvgPool2d, c: int, y: int, x: int
) -> list[int | None]:
    (ky, kx), (sy, sx) = layer.window.kernel, layer.window.stride
    top, _, left, _ = layer.padding
    return [
        at(image, c, y * sy + dy - top, x * sx + dx - left)
        for dy, dx in product(range(ky), range(kx))
    ]


def conv_sum(image: np.ndarray, layer: Conv2d, c: int, y: int, x: int) -> int:
    _, inputs, ky, kx = layer.weight.shape
    total = int(layer.bias[c])
    for i, dy, dx in product(range(inputs), range(ky), range(kx)):
        row = y * layer.stride[0] + dy - layer.padding[0]
        column = x * layer.stride[1] + dx - layer.padding[2]
        value = at(image, i, row, column)
        if value is not None:
            total += (value - SOURCE.zero_point) * int(layer.weight[c, i, dy, dx])
    return total


def naive_conv(image: np.ndarray, layer: Conv2d) -> np.ndarray:
    result = np.zeros(layer.output_shape, np.int64)
    kernel, stride = (1, 1), (1, 1)
    if layer.sum_pool:
        kernel, stride = layer.sum_pool.kernel, layer.sum_pool.stride
    for c, y, x in np.ndindex(*layer.output_shape):
        total = sum(
            conv_sum(image, layer, c, y * stride[0] + dy, x * stride[1] + dx)
            for dy, dx in product(range(kernel[0]), range(kernel[1]))
        )
        result[c, y, x] = rounded(total, layer.requant, c)
    return result


def side(size: int, padding: int, kernel: int, stride: int) -> int:
    return (size + padding - kernel) // stride + 1


@pytest.mark.parametrize("sum_pool", [None, Window((2, 3), (2, 1))], ids=["plain", "sum_pool"])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [
        ((1, 1), (1, 1), (0, 0, 0, 0)),
        ((3, 3), (1, 1), (1, 1, 1, 1)),
        ((2, 3), (2, 1), (0, 1, 2, 0)),
        ((5, 1), (1, 2), (3, 3, 0, 0)),
    ],
)
def test_convolution(kernel, stride, padding, sum_pool):
    rng = np.random.default_rng(1)
    height = side(8, padding[0] + padding[1], kernel[0], stride[0])
    width = side(9, padding[2] + padding[3], kernel[1], stride[1])
    if sum_pool:
        height = side(height, 0, sum_pool.kernel[0], sum_pool.stride[0])
        width = side(width, 0, sum_pool.kernel[1], sum_pool.stride[1])
    layer = Conv2d(
        name="conv",
        input_shape=(2, 8, 9),
        output_shape=(3, height, width),
        output=Quantization(1.0, 3),
        weight=np.maximum(draw(rng, 3, 2, *kernel), -127),
        bias=rng.integers(-5000, 5000, 3),
        stride=stride,
        padding=padding,
        requant=draw_requant(rng, 3, 30_000),
        sum_pool=sum_pool,
    )
    images = draw(rng, 3, 2, 8, 9)
    expected = np.stack([naive_conv(image, layer) for image in images])
    np.testing.assert_array_equal(run(layer, images), expected)


def test_linear():
    rng = np.random.default_rng(2)
    layer = Linear(
        name="fc",
        input_shape=(13,),
        output_shape=(4,),
        output=Quantization(1.0, 3),
        weight=np.maximum(draw(rng, 4, 13), -127),
        bias=rng.integers(-5000, 5000, 4),
        requant=draw_requant(rng, 4, 50_000),
    )
    vectors = draw(rng, 5, 13)
    expected = np.zeros((5, 4), np.int64)
    for n, c in np.ndindex(5, 4):
        terms = zip(vectors[n].tolist(), layer.weight[c].tolist(), strict=True)
        total = int(layer.bias[c]) + sum((q - SOURCE.zero_point) * w for q, w in terms)
        expected[n, c] = rounded(total, layer.requant, c)
    np.testing.assert_array_equal(run(layer, vectors), expected)


@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (1, 1, 0, 0), (0, 1, 1, 1)])
def test_max_pool_never_chooses_the_padding(padding):
    rng = np.random.default_rng(3)
    height, width = side(7, sum(padding[:2]), 3, 2), side(6, sum(padding[2:]), 2, 3)
    layer = MaxPool2d(
        name="pool",
        input_shape=(2, 7, 6),
        output_shape=(2, height, width),
        output=SOURCE,
        window=Window((3, 2), (2, 3)),
        padding=padding,
    )
    images = draw(rng, 3, 2, 7, 6)
    images[0] = -128
    expected = np.zeros((3, 2, height, width), np.int64)
    for n, c, y, x in np.ndindex(*expected.shape):
        values = window_values(images[n], layer, c, y, x)
        expected[n, c, y, x] = max(v for v in values if v is not None)
    np.testing.assert_array_equal(run(layer, images), expected)


@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (1, 1, 1, 1)])
def test_average_counts_the_padding_as_zero(padding):
    rng = np.random.default_rng(4)
    height, width = side(7, sum(padding[:2]), 3, 2), side(6, sum(padding[2:]), 2, 1)
    layer = AvgPool2d(
        name="pool",
        input_shape=(2, 7, 6),
        output_shape=(2, height, width),
        output=Quantization(0.5, -20),
        window=Window((3, 2), (2, 1)),
        padding=padding,
        requant=Requant(np.array([43691]), np.array([18]), -20),
    )
    images = draw(rng, 3, 2, 7, 6)
    expected = np.zeros((3, 2, height, width), np.int64)
    for n, c, y, x in np.ndindex(*expected.shape):
        values = window_values(images[n], layer, c, y, x)
        total = sum(v - SOURCE.zero_point for v in values if v is not None)
        expected[n, c, y, x] = rounded(total, layer.requant, c)
    np.testing.assert_array_equal(run(layer, images), expected)


def test_clamp_and_flatten_keep_scale_and_order():
    images = draw(np.random.default_rng(5), 3, 2, 2, 3)
    shape = {"input_shape": (2, 2, 3), "output": SOURCE}
    clamp = Clamp(name="relu", output_shape=(2, 2, 3), lo=-11, hi=40, **shape)
    flatten = Flatten(name="flat", output_shape=(12,), **shape)
    np.testing.assert_array_equal(run(clamp, images), np.clip(images, -11, 40))
    np.testing.assert_array_equal(run(flatten, images), images.reshape(3, 12))


@pytest.mark.parametrize("shift", [0, 1, 2, 16, 47])
def test_requantization_rounds_ties_to_even(shift):
    # Around each multiple of a half, with a multiplier that keeps the ties.
    halves = np.arange(-9, 10) * 2**shift // 2
    accs = np.concatenate([halves - 1, halves, halves + 1])
    requant = Requant(np.array([1]), np.array([shift]), 2, -5, 6)
    result = requantize(torch.from_numpy(accs)[:, None], requant)[:, 0]
    assert result.tolist() == [rounded(int(acc), requant, 0) for acc in accs]
    if shift:
        # -2.5, -1.5, -0.5, 0.5, 1.5, 2.5 behind a zero point of 2
        ties = torch.tensor([[-5], [-3], [-1], [1], [3], [5]]) << (shift - 1)
        assert requantize(ties, requant)[:, 0].tolist() == [0, 0, 2, 2, 4, 4]


def test_requantization_of_the_largest_accumulators_is_exact():
    rng = np.random.default_rng(6)
    accs = np.concatenate([rng.integers(-(2**31), 2**31, 500), [-(2**31), 2**31 - 1]])
    multiplier, shift = rng.integers(1, 2**24, 502), rng.integers(24, 48, 502)
    requant = Requant(multiplier, shift, -3)
    result = requantize(torch.from_numpy(accs)[None], requant)[0].tolist()
    assert result == [rounded(int(acc), requant, c) for c, acc in enumerate(accs)]


def two_layers() -> QGraph:
    shape = {"input_shape": (2,), "output_shape": (2,), "output": SOURCE}
    layers = (Clamp(name="a", lo=-11, hi=127, **shape), Clamp(name="b", lo=-128, hi=0, **shape))
    return QGraph(input=SOURCE, input_shape=(2,), layers=layers)


def test_every_layer_is_returned_by_name_in_order():
    q = np.array([[-128, 127], [5, -5], [0, 1]], np.int8)
    outputs = reference(two_layers(), q, layers=True, batch=2)
    assert list(outputs) == ["a", "b"]
    np.testing.assert_array_equal(outputs["a"], np.clip(q, -11, 127))
    np.testing.assert_array_equal(outputs["b"], np.clip(q, -11, 0))


def test_float_images_are_quantized_and_logits_dequantized():
    images = torch.tensor([[-100.0, 0.25], [0.75, 3.0]])
    # 0.25 / 0.5 is a tie, it goes to 0; 0.75 / 0.5 goes to 2.
    assert reference(two_layers(), images, dequantize=False).tolist() == [[-11, -11], [-9, -5]]
    assert reference(two_layers(), images.numpy()).tolist() == [[0, 0], [1, 3]]


def test_no_images_give_no_logits():
    result = reference(two_layers(), np.zeros((0, 2), np.float32))
    assert result.shape == (0, 2)


def test_images_of_another_shape_or_type_are_refused():
    with pytest.raises(LeptonError, match=r"images are \(3,\); the network takes \(2,\)"):
        reference(two_layers(), np.zeros((1, 3), np.float32))
    with pytest.raises(LeptonError, match="images are uint8"):
        reference(two_layers(), np.zeros((1, 2), np.uint8))
