"""What decides a program's cycles and its sizes: the compiler's plan without its bytes."""

from dataclasses import dataclass

import numpy as np

from host.compiler import encode
from host.compiler.dependencies import Allow, History
from host.compiler.jobs import Tiling, shortest_pass
from host.compiler.memory import Plan
from host.compiler.steps import Step
from hw import isa

FIELDS = (
    "window", "results", "kernel_y", "slice", "tile", "block", "allow", "allow_slice",
    "allow_kernel_y", "allow_block", "pass_min", "beats", "tail_beats", "wait_input",
    "release_input", "wait_emit", "emit_words",
)  # fmt: skip
"""Of a layer in cycles.cpp."""
ALLOW = FIELDS[6:10]


@dataclass(frozen=True)
class Sketch:
    """What decides a program's cycles and its sizes, without its bytes."""

    layers: np.ndarray
    """int64 (instructions, FIELDS)."""
    words: int
    passes: int
    """Tiles of weights in memory; each takes `load_cycles` words."""
    table: int
    outputs: int


class Sketcher:
    """Makes the instructions of `compile` in their order, as cycles.cpp has them, of one network.

    Layers that run for one image after the other are the same ones for many ways to run those
    behind them, so they are remembered.
    """

    def __init__(self) -> None:
        self._begun: dict[tuple, _Rows] = {}

    def __call__(
        self, found: list[tuple[Step, Tiling]], where: Plan, images: int, requantizers: int,
        limit: int,
    ) -> Sketch:  # fmt: skip
        """`limit` is `isa.allow_limit` of the hardware."""
        batched = where.batched
        key = (
            tuple((step.output_shape, tiling) for step, tiling in found[:batched]), len(found),
            images, requantizers, limit, where.release,
        )  # fmt: skip
        if key not in self._begun:
            begun = _Rows(found, where, images, requantizers, limit)
            for image in range(images if batched else 0):
                for i in range(batched):
                    begun.step(i, image)
            self._begun[key] = begun
        rows = self._begun[key].copy(found, where)
        for i in range(batched, len(found)):
            rows.step(i, 0)
        return rows.sketch()


class _Rows:
    """The instructions so far.

    What a layer may leave unwritten is counted backwards from its first vector, so it is the same
    for all images of a batch, and is found once.
    """

    def __init__(
        self, found: list[tuple[Step, Tiling]], where: Plan, images: int, requantizers: int,
        limit: int,
    ) -> None:  # fmt: skip
        self.found, self.where, self.images = found, where, images
        self.requantizers, self.limit = requantizers, limit
        self.history, self.rows = History(), []
        self.bounds: dict[tuple[int, int], Allow] = {}

    def copy(self, found: list[tuple[Step, Tiling]], where: Plan) -> "_Rows":
        """The same beginning, of a network that may go on differently."""
        rows = _Rows(found, where, self.images, self.requantizers, self.limit)
        rows.history = History(self.history.issued, dict(self.history.tensors))
        rows.rows = list(self.rows)
        return rows

    def step(self, i: int, image: int) -> None:
        """Adds a step for one image, or for the batch."""
        fused, tiling = self.found[i]
        source, target = self.where.tensors[i], self.where.tensors[i + 1]
        last_image = fused.vector or image == self.images - 1
        beats, tail = _beats(fused, tiling, self.requantizers)
        final = i == len(self.found) - 1
        window = fused.window.kernel[0] * fused.window.kernel[1]
        for number, job in enumerate(tiling.jobs):
            first, last = number == 0, number == len(tiling.jobs) - 1
            releases = last and i == self.where.release
            if (i, number) not in self.bounds:
                source_image = image if source.count > 1 and not fused.vector else 0
                self.bounds[i, number] = encode.allow(
                    self.history, fused, tiling, job, i, source_image, self.limit, whole=releases
                )
            steps = encode.allow_fields(self.bounds[i, number], tiling)
            emits = final and last and (last_image or target.count == 1)
            ends = job.first_tile + job.tiles == tiling.tiles
            self.rows.append((
                window, job.columns * job.rows, tiling.kernel_rows, tiling.slices, job.tiles,
                job.blocks, *(steps[name] for name in ALLOW),
                shortest_pass(job.tiles, job.rows * job.columns * window) - 1,
                beats, tail if ends else beats, i == 0 and first, releases,
                final and first, target.bytes // 4 if emits else 0,
            ))  # fmt: skip
            if image == 0 or target.count > 1:
                image_of = image if target.count > 1 and not fused.vector else 0
                encode.record(self.history, fused, tiling, job, i + 1, target, image_of)
            else:
                self.history.issued += job.blocks * job.tiles * job.rows * job.columns

    def sketch(self) -> Sketch:
        """All of the instructions, with their sizes."""
        layers = np.array(self.rows, np.int64)
        passes = table = 0
        for fused, tiling in self.found:
            tiles = {job.first_tile: job.tiles for job in tiling.jobs}
            passes += sum(tiles.values()) * tiling.passes_per_tile
            beats, tail = _beats(fused, tiling, self.requantizers)
            table += (tiling.tiles - 1) * beats + tail
        words = len(self.rows) * isa.length(isa.Op.LAYER) + isa.length(isa.Op.END)
        return Sketch(layers, words, passes, table, int(np.count_nonzero(layers[:, -1])))


def _beats(step: Step, tiling: Tiling, requantizers: int) -> tuple[int, int]:
    """Cycles to requantize a tile, and the last one."""
    return (
        -(-tiling.tile_cols // requantizers),
        -(-encode.tail_cols(step, tiling) // requantizers),
    )
