"""A program on several simulated cores at once, each in a process of its own, over many images."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from host.driver import Counters, Session, as_int8
from host.farm import Farm
from host.program import Program
from sim import build

PIECES = 4
"""Pieces for each worker: so the last one does not keep all others waiting."""
LEAST = 3
"""Batches of a piece, so that it has steady cycles to count."""


@dataclass(frozen=True)
class MergedCounters(Counters):
    """Of several runs of one program. Totals are sums; stamps and layers are the first run's."""

    parts: tuple[Counters, ...] = ()

    @property
    def cycles_per_image(self) -> float:
        """Between outputs, over the runs of more than one batch; else over all of each run."""
        steady = [part for part in self.parts if part.batches > 1]
        if not steady:
            return self.cycles / (self.batches * self.batch)
        cycles = sum(int(part.stamps[-1] - part.stamps[0]) for part in steady)
        return cycles / sum((part.batches - 1) * part.batch for part in steady)


def merged(parts: list[Counters]) -> Counters:
    """The counters of several runs of one program."""
    total = {name: sum(part.total[name] for part in parts) for name in parts[0].total}
    first = parts[0]
    return MergedCounters(
        total, sum(part.batches for part in parts), first.batch, first.stamps, first.layers,
        first.latency, parts=tuple(parts),
    )  # fmt: skip


def run_piece(work: tuple[Program, np.ndarray]) -> tuple[dict[str, np.ndarray], Counters]:
    """One piece, in a worker: int8 outputs of the layers that the program sends, and counters."""
    program, images = work
    with Session(program) as session:
        found = session.run_layers(images)
        assert session.counters is not None
        return found, session.counters


def run_layers(
    program: Program, images: np.ndarray, farm: Farm, on_progress: Callable[[int], None],
) -> tuple[dict[str, np.ndarray], Counters]:  # fmt: skip
    """As `Session.run_layers`, piece by piece, and the counters of all."""
    # Built once, here; the workers find it in the cache.
    build.library(program.config)
    values = as_int8(images, program.input_shape, program.input)
    batches = -(-len(values) // program.batch)
    count = max(1, min(farm.workers * PIECES, batches // LEAST))
    size = -(-batches // count) * program.batch
    pieces = [values[start : start + size] for start in range(0, len(values), size)]
    found: list = [None] * len(pieces)
    done = 0
    for i, result in farm.map(run_piece, [(program, piece) for piece in pieces]):
        found[i] = result
        done += len(pieces[i])
        on_progress(done)
    outputs = [outputs for outputs, _ in found]
    joined = {name: np.concatenate([o[name] for o in outputs]) for name in outputs[0]}
    return joined, merged([counters for _, counters in found])
