"""hw/results.py"""

import numpy as np
import pytest

from hw.config import Config
from hw.results import Results
from tests.hw.simulation import play

SHAPES = [(1, 1), (2, 1), (2, 2), (5, 1), (5, 2), (5, 3), (5, 4), (5, 5), (6, 4), (7, 2)]
"""Columns and requantizers, not always a multiple."""


forms = pytest.mark.parametrize("tree", [0, 1], ids=["skewed", "in step"])


def waits(cfg):
    """Cycles from column 0 until as many beats are left as columns still come."""
    return 0 if cfg.adder_tree else cfg.cols - cfg.beats


def run(cfg, starts, read_starts):
    """Vector ``i`` comes, skewed, from ``starts[i]`` on and is read from ``read_starts[i]`` on."""
    rng = np.random.default_rng(seed=len(starts))
    top = 1 << (cfg.acc_width - 1)
    vectors = rng.integers(-top, top, (len(starts), cfg.cols))
    vectors[0], vectors[1] = -top, top - 1
    cycles = read_starts[-1] + cfg.beats + Results.LATENCY
    push = np.zeros(cycles + cfg.cols, int)
    i = rng.integers(-top, top, (cycles + cfg.cols, cfg.cols))
    skew = 0 if cfg.adder_tree else 1
    for start, vector in zip(starts, vectors, strict=True):
        for c in range(cfg.cols):
            push[start + c * skew] |= 1 << c
            i[start + c * skew, c] = vector[c]
    index, beat = np.zeros((2, cycles), int)
    for n, start in enumerate(read_starts):
        index[start : start + cfg.beats] = n % cfg.result_depth
        beat[start : start + cfg.beats] = range(cfg.beats)

    dut = Results(cfg)
    inputs = [(dut.push, push.tolist()), (dut.i, i.tolist())]
    inputs += [(dut.index, index.tolist()), (dut.beat, beat.tolist())]
    seen = play(dut, inputs, [dut.pushed, dut.o], cycles)
    for n, (vector, start) in enumerate(zip(vectors, read_starts, strict=True)):
        got = [v for _, o in seen[start + Results.LATENCY :][: cfg.beats] for v in o]
        assert got[: cfg.cols] == vector.tolist(), f"vector {n}"
    return [t for t, (pushed, _) in enumerate(seen) if pushed]


def as_soon_as_pushed(cfg, starts):
    """Cycles in which a reader begins that counts what was pushed up to the cycle before."""
    reads, free = [], 0
    for start in starts:
        free = max(free, start + waits(cfg) + 1)
        reads.append(free)
        free += cfg.beats
    return reads


@forms
@pytest.mark.parametrize(("cols", "requantizers"), SHAPES)
def test_single_vectors_are_pushed_so_that_the_last_beat_just_finds_the_last_column(
    cols, requantizers, tree
):
    cfg = Config(rows=8, cols=cols, requantizers=requantizers, result_depth=4, adder_tree=tree)
    starts = [3, 40]
    pushed = run(cfg, starts, as_soon_as_pushed(cfg, starts))
    assert pushed == [s + waits(cfg) for s in starts]


@forms
@pytest.mark.parametrize(("cols", "requantizers"), SHAPES)
def test_a_burst_fills_the_buffer_and_wraps(cols, requantizers, tree):
    cfg = Config(
        rows=8, cols=cols, requantizers=requantizers, result_depth=8, acc_width=40, adder_tree=tree
    )
    # Eight at once, five times over, each read before the next that takes its place.
    starts, free = [], 0
    for _ in range(5):
        starts += range(free, free + 8)
        free = as_soon_as_pushed(cfg, starts)[-1] + cfg.beats
    run(cfg, starts, as_soon_as_pushed(cfg, starts))


@forms
@pytest.mark.parametrize(("cols", "requantizers"), SHAPES)
def test_random_bursts_and_a_reader_that_rests(cols, requantizers, tree):
    cfg = Config(rows=8, cols=cols, requantizers=requantizers, result_depth=16, adder_tree=tree)
    rng = np.random.default_rng(seed=cols)
    starts, reads, free, at = [], [], 0, 0
    for n in range(120):
        at += 1 if rng.random() < 0.7 else int(rng.integers(2, 20))
        if n >= cfg.result_depth:
            at = max(at, reads[n - cfg.result_depth] + cfg.beats)
        starts.append(at)
        free = max(free, at + waits(cfg) + 1) + (
            int(rng.integers(0, 30)) if rng.random() < 0.1 else 0
        )
        reads.append(free)
        free += cfg.beats
    run(cfg, starts, reads)
