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


def sketch(
    found: list[tuple[Step, Tiling]], where: Plan, images: int, requantizers: int, limit: int
) -> Sketch:
    """The instructions of `compile` in their order, as cycles.cpp has them.

    `limit` is `isa.allow_limit` of the hardware.

    What a layer may leave unwritten is counted backwards from its first vector, so it is the same
    for all images of a batch, and is found once.
    """
    history, rows = History(), []
    bounds: dict[tuple[int, int], Allow] = {}

    def step(i: int, image: int) -> None:
        fused, tiling = found[i]
        source, target = where.tensors[i], where.tensors[i + 1]
        last_image = fused.vector or image == images - 1
        beats, tail = _beats(fused, tiling, requantizers)
        for number, job in enumerate(tiling.jobs):
            first, last = number == 0, number == len(tiling.jobs) - 1
            releases = last and i == where.release
            if (i, number) not in bounds:
                source_image = image if source.count > 1 and not fused.vector else 0
                bounds[i, number] = encode.allow(
                    history, fused, tiling, job, i, source_image, limit, whole=releases
                )
            steps = encode.allow_fields(bounds[i, number], tiling)
            final = i == len(found) - 1
            emits = final and last and (last_image or target.count == 1)
            window = fused.window.kernel[0] * fused.window.kernel[1]
            ends = job.first_tile + job.tiles == tiling.tiles
            rows.append((
                window, job.columns * job.rows, tiling.kernel_rows, tiling.slices, job.tiles,
                job.blocks, *(steps[name] for name in ALLOW),
                shortest_pass(job.tiles, job.rows * job.columns * window) - 1,
                beats, tail if ends else beats, i == 0 and first, releases,
                final and first, target.bytes // 4 if emits else 0,
            ))  # fmt: skip
            if image == 0 or target.count > 1:
                image_of = image if target.count > 1 and not fused.vector else 0
                encode.record(history, fused, tiling, job, i + 1, target, image_of)
            else:
                history.issued += job.blocks * job.tiles * job.rows * job.columns

    for image in range(images if where.batched else 0):
        for i in range(where.batched):
            step(i, image)
    for i in range(where.batched, len(found)):
        step(i, 0)
    layers = np.array(rows, np.int64)
    passes = table = 0
    for fused, tiling in found:
        tiles = {job.first_tile: job.tiles for job in tiling.jobs}
        passes += sum(tiles.values()) * tiling.passes_per_tile
        beats, tail = _beats(fused, tiling, requantizers)
        table += (tiling.tiles - 1) * beats + tail
    words = len(rows) * isa.length(isa.Op.LAYER) + isa.length(isa.Op.END)
    return Sketch(layers, words, passes, table, int(np.count_nonzero(layers[:, -1])))


def _beats(step: Step, tiling: Tiling, requantizers: int) -> tuple[int, int]:
    """Cycles to requantize a tile, and the last one."""
    return (
        -(-tiling.tile_cols // requantizers),
        -(-encode.tail_cols(step, tiling) // requantizers),
    )
