"""Tapering: the last job of a fully connected layer is cut where the next layer waits for it.

All results of a job come within its last slice, and leave the requantizers one by one, while the
next layer is fed already and soon wants the last of them. Of a small job there are few, and those
of the job before it leave while it is fed. So a cut costs the cycles between two instructions and
saves most of the wait. Where the layer waits itself it costs more: what waits together in one job
is done one after the other in two.

So cuts are tried on the layers behind each other, with the times of `host.cost`, tile by tile.
"""

from dataclasses import replace
from typing import NamedTuple

from host.compiler import encode
from host.compiler.choices import Found
from host.compiler.jobs import Job, Tiling, shortest_pass
from host.compiler.steps import Step
from host.latencies import result_latency, retire
from hw.config import Config
from hw.feeder import Feeder
from hw.sequencer import Sequencer

Sizes = list[list[int]]
"""Of each layer its jobs, in tiles."""

LONG_AGO = -(1 << 30)


def tapered(found: Found, cfg: Config) -> Found:
    """The same steps, the last jobs of the fully connected ones at the end cut where that takes
    fewer cycles.

    Requantizers that take a result bit by bit leave that to `tile`, which weighs it for each job.
    """
    first = len(found)
    while first and _applies(*found[first - 1]):
        first -= 1
    if cfg.requant_cycles > 1 or len(found) - first < 2:
        return found
    layers = [_layer(found, i, cfg) for i in range(first, len(found))]
    sizes = [[job.tiles for job in tiling.jobs] for _, tiling in found[first:]]
    columns = found[first][1].jobs[0].columns
    best = _run(layers, sizes, columns, cfg)
    while True:
        waiting = [i for i, waited in enumerate(best.waits[1:]) if waited and best.sizes[i][-1] > 1]
        cuts = [_best_cut(layers, best.sizes, i, columns, cfg) for i in waiting]
        shortest = min(cuts, key=_cycles, default=best)
        if shortest.cycles >= best.cycles:
            return [*found[:first], *map(_with_jobs, found[first:], best.sizes)]
        best = shortest


def _applies(step: Step, tiling: Tiling) -> bool:
    """A job has all vectors of the batch, and a pass reads a slice of all channels."""
    whole = len({job.first_column for job in tiling.jobs}) == 1
    return step.vector and not step.diagonal and whole


def _with_jobs(found: tuple[Step, Tiling], sizes: list[int]) -> tuple[Step, Tiling]:
    step, tiling = found
    if len(sizes) == len(tiling.jobs):
        return found
    whole, jobs = tiling.jobs[0], list[Job]()
    for tiles in sizes:
        first = jobs[-1].first_tile + jobs[-1].tiles if jobs else 0
        jobs.append(replace(whole, first_tile=first, tiles=tiles))
    return step, replace(tiling, jobs=tuple(jobs))


def _best_cut(layers: list["_Layer"], sizes: Sizes, i: int, columns: int, cfg: Config) -> "_Timed":
    """The last job of a layer as two, the second as large as saves most."""
    *others, last = sizes[i]
    best = None
    for second in range(1, last):
        cut = [*sizes[:i], [*others, last - second, second], *sizes[i + 1 :]]
        timed = _run(layers, cut, columns, cfg)
        if best is None or timed.cycles < best.cycles:
            best = timed
        elif timed.cycles > best.cycles:
            # The second job is too large by now.
            break
    assert best is not None
    return best


class _Layer(NamedTuple):
    slices: int
    beats: list[int]
    """Cycles to requantize a result of each tile."""
    needs: list[int]
    """For each slice the tile of the layer before that it waits for."""


def _layer(found: Found, i: int, cfg: Config) -> _Layer:
    step, tiling = found[i]
    channels = [tiling.tile_cols] * (tiling.tiles - 1) + [encode.tail_cols(step, tiling)]
    ends = [min((s + 1) * tiling.slice_bytes, step.input_shape[2]) for s in range(tiling.slices)]
    before = found[i - 1][1].tile_cols if i else 1
    return _Layer(
        tiling.slices,
        [-(-count // cfg.requantizers) for count in channels],
        [(end - 1) // before for end in ends],
    )


class _Timed(NamedTuple):
    """Layers, and how long they take."""

    cycles: int
    """When a job could follow the last of them, counted from their first vector."""
    waits: list[int]
    """Of each layer, for results of the one before."""
    sizes: Sizes


def _cycles(timed: _Timed) -> int:
    return timed.cycles


def _run(layers: list[_Layer], sizes: Sizes, columns: int, cfg: Config) -> _Timed:
    """Times layers that are cut into jobs of these sizes."""
    core, waits = _Core(columns, cfg), []
    written: list[int] = []
    for layer, jobs in zip(layers, sizes, strict=True):
        source, written = written, []
        waits.append(0)
        for number, tiles in enumerate(jobs):
            one_slice = tiles * core.one_pass(tiles)
            if number == 0 and source:
                # The other jobs find all of the source written.
                for need in layer.needs:
                    waited = max(0, source[need] - core.now)
                    waits[-1] += waited
                    core.now += waited + one_slice
                core.now -= one_slice
            else:
                core.now += (layer.slices - 1) * one_slice
            core.finish(layer.beats[len(written) : len(written) + tiles], written)
    return _Timed(core.now, waits, sizes)


class _Core:
    """The core between two slices of a job, as `host.cost` has it between two passes."""

    def __init__(self, columns: int, cfg: Config) -> None:
        self.columns, self.cfg, self.load = columns, cfg, cfg.load_cycles
        self.latency, self.retire = result_latency(cfg), retire(cfg)
        self.now, self.taken = 0, -1
        """When the next vector can follow, and when the instruction was taken."""
        self.queue: list[tuple[int, int, int]] = []
        """Of each tile: its last result, when the requantizers have had it, cycles of each."""
        self.free = self.count = 0
        """Of the last of them."""

    def one_pass(self, tiles: int) -> int:
        """Cycles of a pass in a job of so many tiles."""
        return max(self.columns, self.load, shortest_pass(tiles, self.columns))

    def finish(self, beats: list[int], written: list[int]) -> None:
        """The last slice of a job of so many tiles and what lies between it and the next job; adds
        when the last result of each tile is written."""
        columns, cfg = self.columns, self.cfg
        one_pass = self.one_pass(len(beats))
        start = last = self.now
        for cycles in beats:
            start = self.now
            self.count += columns
            free = max(self.free, start + self.latency) + columns * cycles
            self.queue.append((self.count, free, cycles))
            last = max(start + columns - 1, self._free_of(self.count - cfg.result_depth))
            self.free = max(free, last + self.latency + cycles)
            self.queue[-1] = self.count, self.free, cycles
            written.append(self.free + self.retire)
            self.now = max(start + one_pass, last + 1)
        # The next instruction, its first tile of weights, its first vector.
        valid = (self.taken if cfg.prefetch else last + Feeder.FREED) + Sequencer.FETCH
        loaded = start if valid <= start else max(valid, start + 1)
        self.taken = max(loaded, last) + 1
        self.now = max(self.taken + 1, loaded + self.load)

    def _free_of(self, result: int) -> int:
        """When a result, counted from 1, makes room for another; long ago for one before."""
        if result < 1:
            return LONG_AGO
        for count, free, cycles in self.queue:
            if result <= count:
                return free - (count - result) * cycles + self.retire
        raise AssertionError(f"result {result} was not fed")
