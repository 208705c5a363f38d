"""Tiling: a step is cut into jobs, each of which is one layer instruction.

A job is a run of whole rows of results and a run of column tiles of one step. Within it, the
hardware goes through blocks of rows, kernel rows, slices, tiles and positions, in that order from
the outside.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

from host.compiler.steps import Step
from host.errors import LeptonError
from hw import isa
from hw.accumulator import Accumulators
from hw.config import Config
from hw.feeder import Feeder
from hw.sequencer import Sequencer

SERIAL_JOB = 200
"""Cycles that a job more must save where its only gain is that fewer results come at once: it takes
words of a program memory that is small where requantizers are."""

WIDTHS = {field.name: field.width for field in isa.LAYER}
"""Bits of each field of an instruction."""


@dataclass(frozen=True)
class Job:
    """One layer instruction, in units of results, tiles and slices."""

    first_tile: int
    tiles: int
    first_row: int
    """Of results; a batch counts as one row."""
    rows: int
    """In a block."""
    blocks: int
    first_column: int
    columns: int


@dataclass(frozen=True)
class Tiling:
    """How a step maps to the array."""

    tile_cols: int
    """Channels of a tile."""
    tiles: int
    kernel_rows: int
    slices: int
    slice_bytes: int
    """From one slice of a kernel row to the next."""
    jobs: tuple[Job, ...]
    cycles: int
    """What it was chosen by: cycles for one image, or for all where the step is a vector."""

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        # The explorer looks thousands of them up, each with dozens of jobs.
        return hash((self.tile_cols, self.kernel_rows, self.slices, self.jobs))

    @property
    def passes_per_tile(self) -> int:
        return self.kernel_rows * self.slices


def tile(step: Step, cfg: Config, images: int) -> Tiling:
    """Chooses the blocks of a step: the fewest cycles, then the fewest jobs, then the smallest
    blocks, whose results come in the shortest bursts.

    `images` of each lane run at once where the step is a vector, else one. Raises LeptonError when
    no block fits the accumulators or a count does not fit its field.
    """
    _, ky, kx, inputs = step.weight.shape
    channels = step.output_shape[2]
    if step.diagonal:
        tile_cols, slices, slice_bytes = min(cfg.rows, cfg.cols), kx, channels
    else:
        tile_cols, slice_bytes = cfg.cols, cfg.rows
        slices = -(-kx * inputs // cfg.rows)
    tiles = -(-channels // tile_cols)
    rows, columns = (1, images) if step.vector else step.output_shape[:2]
    window = step.window.kernel[0] * step.window.kernel[1]
    if window > cfg.acc_depth:
        raise LeptonError(
            f"layer {step.name!r}: a window of {window} accumulators is more than the "
            f"acc_depth={cfg.acc_depth} of the hardware"
        )
    passes = ky * slices
    best = None
    least = rows * columns * window * tiles * passes
    for block_columns in _splits(columns, cfg.acc_depth // window):
        column_pieces = _pieces(columns, block_columns)
        for block_rows in _splits(rows, cfg.acc_depth // (window * block_columns)):
            row_pieces = _pieces(rows, block_rows)
            # Rows of one size are blocks of one job.
            block_jobs = column_pieces.count * len(row_pieces.sizes)
            pieces = None
            vectors = block_rows * block_columns * window
            for job_tiles in _splits(tiles, cfg.acc_depth // vectors):
                tile_pieces = _pieces(tiles, job_tiles)
                if best is not None and best[0][0] == least:
                    # Nothing takes fewer cycles, so more jobs cannot be better, nor fewer tiles.
                    if block_jobs * tile_pieces.count > best[0][1]:
                        break
                if pieces is None:
                    pieces = [
                        (r * c, n, m) for c, m in column_pieces.sizes for r, n in row_pieces.sizes
                    ]
                cost, count = _cost(cfg, pieces, tile_pieces.sizes, passes, window)
                if cfg.requant_cycles > 1 and step.vector:
                    cost += _drain(cfg, pieces, tile_pieces.sizes, passes) + SERIAL_JOB * count
                if best is None or (cost, count, vectors * job_tiles) < best[0]:
                    shape = block_rows, block_columns, job_tiles
                    best = (cost, count, vectors * job_tiles), shape
    assert best is not None
    jobs = tuple(_jobs(rows, columns, tiles, *best[1]))
    tiling = Tiling(tile_cols, tiles, ky, slices, slice_bytes, jobs, best[0][0])
    _check_fields(step, tiling)
    return tiling


def shortest_pass(tiles: int, vectors: int) -> int:
    """Cycles that a pass must take, so that an accumulator is written before it is read."""
    if tiles * vectors >= Accumulators.HAZARD:
        return 1
    return -(-Accumulators.HAZARD // tiles)


@lru_cache(1 << 16)
def _splits(count: int, most: int) -> list[int]:
    """Sizes of pieces worth trying: for each number of pieces the smallest size that gives it."""
    sizes = {-(-count // pieces) for pieces in range(1, count + 1)}
    return sorted((s for s in sizes if s <= most), reverse=True)


def _cost(
    cfg: Config, blocks: list[tuple[int, int, int]], tiles: Sequence[tuple[int, int]], passes: int,
    window: int,
) -> tuple[int, int]:  # fmt: skip
    """Cycles of a step, with what its bursts of results cost (see docs/architecture.md), and how
    many jobs it takes.

    `blocks` are positions of a block, blocks in a job and such jobs; `tiles` tiles of a job and
    such jobs. The explorer asks this of thousands of arrays, so equal jobs are counted, not made.
    """
    total = count = 0
    load, beats = cfg.load_cycles, cfg.beats * cfg.requant_cycles
    waiting = cfg.result_depth * beats
    behind = Feeder.FREED + Sequencer.FETCH + load
    for some_tiles, tile_jobs in tiles:
        for positions, some_blocks, block_jobs in blocks:
            vectors = positions * window
            one_pass = max(vectors, load, shortest_pass(some_tiles, vectors)) * some_tiles
            block = one_pass * passes
            results = positions * some_tiles * beats
            burst = results - one_pass - waiting
            if burst > 0:
                block += burst
            block = max(block, results)
            same = tile_jobs * block_jobs
            job = block * some_blocks
            # The next instruction is fetched meanwhile, or behind.
            total += (max(job, Sequencer.FETCH) if cfg.prefetch else job + behind) * same
            count += same
    return total, count


def _drain(
    cfg: Config, blocks: list[tuple[int, int, int]], tiles: Sequence[tuple[int, int]], passes: int
) -> int:
    """Cycles behind a vector's last pass until its last result: the next layer needs them all, and
    each job has its results at its end."""
    fed = free = 0
    value = cfg.beats * cfg.requant_cycles
    for some_tiles, tile_jobs in tiles:
        for positions, some_blocks, block_jobs in blocks:
            shortest = max(positions, cfg.load_cycles, shortest_pass(some_tiles, positions))
            one_pass = shortest * some_tiles
            for _ in range(tile_jobs * block_jobs * some_blocks):
                fed += one_pass * passes
                free = max(free, fed - one_pass) + positions * some_tiles * value
    return max(0, free - fed)


class _Pieces(NamedTuple):
    """A count, cut."""

    sizes: tuple[tuple[int, int], ...]
    """A size, and how many pieces have it."""
    count: int
    """Of all pieces."""


@lru_cache(1 << 16)
def _pieces(count: int, size: int) -> _Pieces:
    """A count cut into pieces of one size, and what is left."""
    whole, rest = divmod(count, size)
    sizes = ((size, whole), (rest, 1)) if rest else ((size, whole),)
    return _Pieces(sizes, -(-count // size))


def _jobs(rows, columns, tiles, block_rows, block_columns, job_tiles):
    """Pieces of equal size, and the remainders as jobs of their own."""
    for first_tile in range(0, tiles, job_tiles):
        for first_column in range(0, columns, block_columns):
            blocks, rest = divmod(rows, block_rows)
            some_tiles = min(job_tiles, tiles - first_tile)
            some_columns = min(block_columns, columns - first_column)
            if blocks:
                yield Job(first_tile, some_tiles, 0, block_rows, blocks, first_column, some_columns)
            if rest:
                yield Job(
                    first_tile, some_tiles, blocks * block_rows, rest, 1, first_column, some_columns
                )


def _check_fields(step: Step, tiling: Tiling) -> None:
    """Refuses what the fields of an instruction do not hold."""
    for job in tiling.jobs:
        for name, value in (
            ("kernel_y_last", tiling.kernel_rows),
            ("slice_last", tiling.slices),
            ("tile_last", job.tiles),
            ("x_last", job.columns),
            ("y_last", job.rows),
            ("block_last", job.blocks),
        ):
            if value > 1 << WIDTHS[name]:
                raise LeptonError(
                    f"layer {step.name!r} needs {name}={value - 1}, which does not fit the "
                    f"{WIDTHS[name]} bits of that field"
                )
