"""How long a job waits for the results of jobs before it, in few numbers for the hardware.

Results are written in the order in which they were fed. A pass may start while up to ``allow``
results of earlier jobs are unwritten, where ``allow`` is linear in slice, kernel row and block.
"""

from dataclasses import dataclass, field

import numpy as np

NO_WAIT = 30_000
"""More than any `result_depth`."""


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


NEVER_WAIT = Allow(NO_WAIT, 0, 0, 0)


def fit(allowed: np.ndarray) -> Allow:
    """The linear bound from below on what each pass allows, of shape (blocks, kernel rows, slices).

    Slopes are the average differences; the start is then the largest that exceeds no pass. Where
    the sum would be below what it may be the hardware waits longer than needed, never too short.
    """
    if allowed.min() >= NO_WAIT:
        return NEVER_WAIT
    allowed = np.minimum(allowed, NO_WAIT)
    slopes = []
    for axis, size in enumerate(allowed.shape):
        ends = np.take(allowed, size - 1, axis) - np.take(allowed, 0, axis)
        slopes.append(int(np.floor(ends.min() / max(1, size - 1))))
    linear = np.tensordot(slopes, np.indices(allowed.shape), axes=1)
    start = int((allowed - linear).min())
    limit = 1 << 15
    values = start + linear
    # The hardware adds steps, of which an outer one takes back what the inner ones added.
    per_slice = slopes[2]
    per_row = slopes[1] - (allowed.shape[2] - 1) * per_slice
    per_block = slopes[0] - (allowed.shape[1] - 1) * slopes[1] - (allowed.shape[2] - 1) * per_slice
    added = (values.min(), values.max(), per_slice, per_row, per_block)
    if start < 0 or min(added) < -limit or max(added) >= limit:
        return Allow(max(0, int(allowed.min())), 0, 0, 0)
    per_block, per_kernel_row, per_slice = slopes
    return Allow(start, per_slice, per_kernel_row, per_block)
