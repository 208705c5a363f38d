"""host/compiler/folding.py; that the hardware agrees is shown by tests/e2e"""

import numpy as np
import torch
from torch import nn

from host.compiler import compile
from host.compiler.folding import fitted, fold
from host.compiler.steps import lower
from host.cost import predict
from host.errors import LeptonError
from host.quantization import quantize
from hw.config import Config
from tests.host.networks import random_network

WIDE = Config(rows=16, cols=16, weight_ports=4, requantizers=2)


def conv(step, image):
    """int64 (height, width, channels) of windows' accumulators, by the definition, loop by loop.

    A kernel row is a run of bytes in memory; the compiler's may be longer than a row of the image.
    """
    height, width, channels = step.output_shape
    (window_y, window_x), (hop_y, hop_x) = step.window.kernel, step.window.stride
    out = np.zeros((height, width, window_y * window_x, channels), np.int64)
    weight = step.weight.astype(np.int64)
    weight = weight.reshape(*weight.shape[:2], -1)
    flat, (_, pitch, inputs) = image.astype(np.int64).ravel(), image.shape
    for y in range(height):
        for x in range(width):
            for i in range(window_y * window_x):
                top = (y * hop_y + i // window_x) * step.stride[0]
                left = (x * hop_x + i % window_x) * step.stride[1]
                for k in range(weight.shape[1]):
                    begin = ((top + k) * pitch + left) * inputs
                    run = flat[begin : begin + weight.shape[2]]
                    out[y, x, i] += weight[:, k] @ run
    return out.max(axis=2) + step.bias


def conv_steps(seed):
    module, inputs = random_network(seed)
    steps = lower(quantize(module, inputs), 32)
    return [s for s in steps if not s.diagonal and not s.vector]


def test_a_folded_step_computes_the_same_bytes_in_the_same_places():
    rng = np.random.default_rng(0)
    compared = 0
    for step in [step for seed in range(12) for step in conv_steps(seed)]:
        height, width, channels = step.input_shape
        top, bottom, left, right = step.padding
        shape = (height + top + bottom, width + left + right, channels)
        image = rng.integers(-128, 128, shape)
        expected = conv(step, image)
        for count in range(2, step.output_shape[1] + 1):
            if step.output_shape[1] % count == 0:
                folded = fold(step, count)
                got = conv(folded, image)
                assert (got.reshape(expected.shape) == expected).all(), (step.name, count)
                flat = folded.requant.multiplier.reshape(count, -1)
                assert (flat == step.requant.multiplier).all()
                compared += 1
    assert compared >= 10


def test_folding_is_chosen_only_where_it_is_faster():
    for seed in range(12):
        for step in conv_steps(seed):
            _, plain = fitted(step, WIDE, 1, folding=False)
            as_run, best = fitted(step, WIDE, 1, folding=True)
            assert best.cycles <= plain.cycles
            assert (as_run is step) == (best.cycles == plain.cycles)


def few_channels():
    """A grey image and 6 channels on 16 columns."""
    return nn.Sequential(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2)).eval(), (1, 32, 32)


def test_a_layer_of_few_channels_needs_half_the_vectors_on_a_wide_array(monkeypatch):
    module, shape = few_channels()
    torch.manual_seed(0)
    images = torch.randn(8, *shape)
    graph = quantize(module, images)
    with_folding = predict(compile(graph, WIDE)).total["fed"]
    monkeypatch.setattr("host.compiler.folding.MOST", 1)
    without = predict(compile(graph, WIDE)).total["fed"]
    assert 2 * with_folding == without


def test_what_fits_only_without_folding_is_not_folded():
    module, shape = few_channels()
    torch.manual_seed(0)
    images = torch.randn(8, *shape)
    graph = quantize(module, images)
    folded = compile(graph, WIDE)
    small = WIDE.with_fields({"table_depth": 3})
    assert len(folded.table) > small.table_depth
    assert len(compile(graph, small).table) <= small.table_depth


def test_one_layer_that_does_not_fit_folded_leaves_the_others_folded():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 4, 3), nn.ReLU()
    ).eval()
    images = torch.randn(8, 1, 32, 32)
    graph = quantize(module, images)

    def cycles(cfg):
        return predict(compile(graph, cfg)).total["fed"]

    best, needed = cycles(WIDE), len(compile(graph, WIDE).table)
    with_one = cycles(WIDE.with_fields({"table_depth": needed - 1}))
    with_none = cycles(WIDE.with_fields({"table_depth": _fewest_rows(graph)}))
    assert best < with_one < with_none


def _fewest_rows(graph):
    """The smallest table that is not refused: the one without any folding."""
    for depth in range(2, 100):
        try:
            compile(graph, WIDE.with_fields({"table_depth": depth}))
        except LeptonError:
            continue
        return depth
    raise AssertionError("nothing fits")
