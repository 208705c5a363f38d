"""Folding: neighbouring results of a row become channels, where columns would be idle.

A convolution of 6 channels leaves 10 of 16 columns without a weight. Two results beside each other
are 12 channels of one result: a kernel wider by the distance between them, that holds the same
weights twice, the second time shifted. In memory nothing changes, because channels of neighbouring
positions lie behind each other anyway, so the hardware knows nothing of it.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache

import numpy as np

from host.compiler.jobs import Tiling, tile
from host.compiler.steps import Step
from host.qgraph import Window
from hw.config import Config

MOST = 16
"""Results in one, at most: each shift makes the kernel wider and the table longer."""


@lru_cache(64)
def fold(step: Step, count: int) -> Step:
    """The same step with `count` results of a row as one. `count` divides their number."""
    height, width, channels = step.output_shape
    out, kernel_y, kernel_x, inputs = step.weight.shape
    (hop_y, hop_x), stride_x = step.window.stride, step.stride[1]
    shift = hop_x * stride_x
    weight = np.zeros((count, out, kernel_y, kernel_x + (count - 1) * shift, inputs), np.int8)
    for i in range(count):
        weight[i, :, :, i * shift : i * shift + kernel_x] = step.weight
    requant = replace(
        step.requant,
        multiplier=np.tile(step.requant.multiplier, count),
        shift=np.tile(step.requant.shift, count),
    )
    return replace(
        step,
        weight=weight.reshape(count * out, *weight.shape[2:]),
        bias=np.tile(step.bias, count),
        requant=requant,
        window=Window(step.window.kernel, (hop_y, hop_x * count)),
        output_shape=(height, width // count, channels * count),
        unfolded=step.weights,
    )


def fitted(step: Step, cfg: Config, images: int, *, folding: bool) -> tuple[Step, Tiling]:
    """The step as the array runs it in the fewest cycles, folded where that is faster."""
    best = step, tile(step, cfg, images)
    if not folding or step.vector or step.diagonal:
        return best
    width = step.output_shape[1]
    for count in range(2, min(width, MOST) + 1):
        if width % count == 0 and _least(step, cfg, count) < best[1].cycles:
            folded = fold(step, count)
            tiling = tile(folded, cfg, images)
            if tiling.cycles < best[1].cycles:
                best = folded, tiling
    return best


def foldings(
    count: int, fit: Callable[[int, bool], tuple[Step, Tiling]]
) -> Iterator[list[tuple[Step, Tiling]]]:
    """All `count` steps as they would run, the most folded first.

    Folded weights and tables are larger. So one folded step after the other is unfolded, the one
    that loses the fewest cycles by it first. `fit` is `fitted` of a step by its number, folding
    allowed or not.
    """
    found = [fit(i, True) for i in range(count)]
    yield list(found)
    plain = {i: fit(i, False) for i in range(count) if found[i][0].unfolded}
    for i in sorted(plain, key=lambda i: plain[i][1].cycles - found[i][1].cycles):
        found[i] = plain[i]
        yield list(found)


def _least(step: Step, cfg: Config, count: int) -> int:
    """Vectors of the folded step, which no tiling can be faster than."""
    height, width, channels = step.output_shape
    _, kernel_y, kernel_x, inputs = step.weight.shape
    kernel_x += (count - 1) * step.window.stride[1] * step.stride[1]
    slices, tiles = -(-kernel_x * inputs // cfg.rows), -(-channels * count // cfg.cols)
    window = step.window.kernel[0] * step.window.kernel[1]
    return height * (width // count) * window * kernel_y * slices * tiles
