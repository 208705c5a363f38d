"""host/compiler/dependencies.py"""

import numpy as np
import pytest

from host.compiler.dependencies import NO_WAIT, fit
from hw import isa

HALF = 1 << ({f.name: f.width for f in isa.LAYER}["allow_block"] - 1)


def added(bound, shape):
    """What the hardware adds to the bound as each loop advances, and every bound."""
    _, rows, slices = shape
    back = (slices - 1) * bound.per_slice
    steps = [
        bound.per_slice,
        bound.per_kernel_row - back,
        bound.per_block - (rows - 1) * bound.per_kernel_row - back,
    ]
    slopes = [bound.per_block, bound.per_kernel_row, bound.per_slice]
    return steps, bound.start + np.tensordot(slopes, np.indices(shape), axes=1)


@pytest.mark.parametrize("seed", range(40))
def test_a_bound_never_allows_more_and_its_steps_fit_their_fields(seed):
    """A step of 59,999, from the last slice back to the first, did not (`random_network(121)`)."""
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(1, 5, 3))
    few = rng.integers(0, 200, shape)
    allowed = np.where(rng.random(shape) < rng.random(), NO_WAIT, few)
    if seed % 2:
        # The first slices need nothing, the last ones nearly all.
        allowed = np.broadcast_to(np.where(np.arange(shape[2]) < 1, NO_WAIT, few), shape)
    steps, bounds = added(fit(allowed, HALF), shape)
    assert (np.maximum(bounds, 0) <= allowed).all()
    assert all(-HALF <= step < HALF for step in steps)


def test_the_longest_way_back_is_waited_for_instead():
    allowed = np.full((1, 3, 3), NO_WAIT)
    allowed[:, 1:, 2] = 0
    allowed[:, 2, 1:] = 0
    steps, bounds = added(fit(allowed, HALF), allowed.shape)
    assert (np.maximum(bounds, 0) <= allowed).all()
    assert max(map(abs, steps)) < HALF
