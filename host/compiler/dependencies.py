"""How long a job waits for the results of jobs before it, in few numbers for the hardware.

Results are written in the order in which they were fed. A pass may start while up to ``allow``
results of earlier jobs are unwritten, where ``allow`` is linear in slice, kernel row and block.
"""

from dataclasses import dataclass, field

import numpy as np

NO_WAIT = 30_000
"""More than any `result_depth`, and than any bound that hardware keeps."""

STEPS = 1 << 15
"""Steps of a bound are below this, and not below its negative."""


@dataclass
class History:
    """What a program has written so far."""

    issued: int = 0
    """Results of all jobs so far."""
    tensors: dict[int, np.ndarray] = field(default_factory=dict)
    """For each byte of a tensor the number of the result that writes it last, counted from 1, or 0:
    int64 (count, height, width, channels), without the border."""


@dataclass(frozen=True)
class Allow:
    """``start + slice * s + kernel_row * k + block * b`` results may be pending."""

    start: int
    per_slice: int
    per_kernel_row: int
    per_block: int


def fit(allowed: np.ndarray, limit: int) -> Allow:
    """The linear bound from below on what each pass allows, of shape (blocks, kernel rows, slices),
    with values from -`limit` up to one below it.

    Slopes are the average differences; the start is then the largest that exceeds no pass. Where
    the sum would be below what it may be the hardware waits longer than needed, never too short.
    """
    for most in (NO_WAIT, limit - 1):
        bound, values = _linear(np.minimum(allowed, most))
        steps = _steps(bound, allowed.shape)
        fits = min(steps) >= -STEPS and max(steps) < STEPS
        if fits and bound.start >= 0 and -limit <= values.min() and values.max() < limit:
            return bound
    return Allow(max(0, int(allowed.min())), 0, 0, 0)


def _steps(bound: Allow, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """What the hardware adds as slice, kernel row and block advance: an outer loop takes back what
    the inner ones added."""
    _, rows, slices = shape
    back = (slices - 1) * bound.per_slice
    all_back = back + (rows - 1) * bound.per_kernel_row
    return bound.per_slice, bound.per_kernel_row - back, bound.per_block - all_back


def _linear(allowed: np.ndarray) -> tuple[Allow, np.ndarray]:
    """The bound, and what it is in each pass."""
    slopes = []
    for axis, size in enumerate(allowed.shape):
        ends = np.take(allowed, size - 1, axis) - np.take(allowed, 0, axis)
        slopes.append(int(np.floor(ends.min() / max(1, size - 1))))
    linear = np.tensordot(slopes, np.indices(allowed.shape), axes=1)
    start = int((allowed - linear).min())
    per_block, per_kernel_row, per_slice = slopes
    return Allow(start, per_slice, per_kernel_row, per_block), start + linear
