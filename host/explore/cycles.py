"""Cycles of thousands of configurations: the compiler's plan without its bytes, memoised, and the
cost model in C++. Equal to ``predict(compile(...))``; tests hold them together.
"""

import ctypes
import os
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from host.compiler import check_multipliers, encode
from host.compiler.dependencies import Allow, History
from host.compiler.folding import choices, fitted
from host.compiler.jobs import Tiling, shortest_pass
from host.compiler.memory import Plan, plan
from host.compiler.steps import Step, lower, permute_flattened
from host.cost import READ_CYCLES, READ_TO_STAMP, RETIRE, RUN_CHECK, latency, result_latency
from host.errors import LeptonError
from host.qgraph import QGraph
from hw import isa
from hw.config import Config
from hw.inputs import Inputs
from hw.sequencer import Sequencer
from sim import toolchain
from sim.cache import cached, digest

SOURCE = Path(__file__).with_name("cycles.cpp")
FIELDS = (
    "window", "results", "kernel_y", "slice", "tile", "block", "allow", "allow_slice",
    "allow_kernel_y", "allow_block", "pass_min", "beats", "tail_beats", "wait_input",
    "release_input", "wait_emit", "emit_words",
)  # fmt: skip
"""Of a layer in cycles.cpp."""
ALLOW = FIELDS[6:10]
BATCHES = 3
"""As many as `lepton cost` runs."""
DEPTHS = ("weight_depth", "table_depth", "program_depth")
"""Memories whose depth only says whether a program fits, never how long it takes."""
TIMING = (
    "rows", "cols", "lanes", "weight_ports", "requantizers", "acc_width", "multiplier_width",
    "acc_depth", "result_depth", "packet_words", "link_width", "product_registers",
    "scratchpad_bytes",
)  # fmt: skip
"""Fields that may change cycles; two configurations that agree in these share one evaluation."""


@dataclass(frozen=True)
class Cycles:
    """What a network takes on a configuration whose memories are deep enough."""

    per_image: float
    latency: int
    """Cycles from the first word of input to the last of the first batch's output."""
    program_words: int
    weight_words: int
    table_words: int
    scratchpad_bytes: int

    def misfit(self, cfg: Config) -> str | None:
        """Which memory of ``cfg`` is too small, if one is."""
        needs = (self.weight_words, self.table_words, self.program_words)
        for name, need in zip(DEPTHS, needs, strict=True):
            if need > getattr(cfg, name):
                return f"needs {name}={need} and there is {getattr(cfg, name)}"
        return None


@dataclass(frozen=True)
class _Sketch:
    """What decides a program's cycles and its sizes, without its bytes."""

    layers: np.ndarray
    """int64 (instructions, FIELDS)."""
    words: int
    passes: int
    """Tiles of weights in memory; each takes `load_cycles` words."""
    table: int
    outputs: int


def _sketch(
    found: list[tuple[Step, Tiling]], where: Plan, images: int, requantizers: int
) -> _Sketch:
    """The instructions of `compile` in their order, as cycles.cpp has them.

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
            if (i, number) not in bounds:
                source_image = image if source.count > 1 and not fused.vector else 0
                bounds[i, number] = encode.allow(history, fused, tiling, job, i, source_image)
            steps = encode.allow_fields(bounds[i, number], tiling)
            final = i == len(found) - 1
            emits = final and last and (last_image or target.count == 1)
            window = fused.window.kernel[0] * fused.window.kernel[1]
            ends = job.first_tile + job.tiles == tiling.tiles
            rows.append((
                window, job.columns * job.rows, tiling.kernel_rows, tiling.slices, job.tiles,
                job.blocks, *(steps[name] for name in ALLOW),
                shortest_pass(job.tiles, job.rows * job.columns * window) - 1,
                beats, tail if ends else beats, i == 0 and first, i == 0 and last,
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
    return _Sketch(layers, words, passes, table, int(np.count_nonzero(layers[:, -1])))


def _beats(step: Step, tiling: Tiling, requantizers: int) -> tuple[int, int]:
    """Cycles to requantize a tile, and the last one."""
    return (
        -(-tiling.tile_cols // requantizers),
        -(-encode.tail_cols(step, tiling) // requantizers),
    )


class Evaluator:
    """Cycles of one network at one batch size on any configuration.

    Not for several threads at once. What the compiler finds for a layer and an array is kept, and
    so is the result of configurations that differ only in memory depths.
    """

    def __init__(self, graph: QGraph, batch: int) -> None:
        self.graph, self.batch = graph, batch
        self.evaluations = 0
        """Distinct ones: what was not answered from memory."""
        self._lowered: dict[int, list[Step]] = {}
        self._fitted: dict[tuple, tuple[Step, Tiling]] = {}
        self._known: dict[tuple, Cycles | str] = {}
        self._plans: dict[tuple, Plan | str] = {}
        self._sketches: dict[tuple, _Sketch] = {}
        _library()

    def __call__(self, cfg: Config) -> Cycles:
        """LeptonError, with the reason, where the network does not run on ``cfg``."""
        key = tuple(getattr(cfg, name) for name in TIMING)
        if key not in self._known:
            self.evaluations += 1
            try:
                self._known[key] = self._evaluate(cfg)
            except LeptonError as error:
                self._known[key] = str(error)
        found = self._known[key]
        if isinstance(found, str):
            raise LeptonError(found)
        misfit = found.misfit(cfg)
        if misfit:
            # Folding makes memories larger; the compiler then does without. So this asks it.
            return self._evaluate(cfg, deep=False)
        return found

    def _evaluate(self, cfg: Config, *, deep: bool = True) -> Cycles:
        if self.batch % cfg.lanes:
            raise LeptonError(f"a batch of {self.batch} does not fill {cfg.lanes} lanes evenly")
        images = self.batch // cfg.lanes
        steps = self._steps(cfg)
        check_multipliers(steps, cfg)
        where = self._plan(steps, cfg, images)
        reason: LeptonError | None = None
        for found in choices(
            len(steps), lambda i, folding: self._fit(i, steps[i], cfg, images, folding=folding)
        ):
            cycles = self._timed(found, where, cfg, images)
            misfit = None if deep else cycles.misfit(cfg)
            if misfit is None:
                return cycles
            reason = LeptonError(f"the network {misfit}")
        assert reason is not None
        raise reason

    def _timed(
        self, found: list[tuple[Step, Tiling]], where: Plan, cfg: Config, images: int
    ) -> Cycles:
        key = (
            tuple((step.output_shape, tiling) for step, tiling in found), images, cfg.requantizers,
        )  # fmt: skip
        if key not in self._sketches:
            self._sketches[key] = _sketch(found, where, images, cfg.requantizers)
        sketch = self._sketches[key]
        slots_per_batch = images if where.batched else 1
        stamps = _stamps(sketch, where, cfg, slots_per_batch)
        per_batch = sketch.outputs
        ends = stamps[per_batch - 1 :: per_batch]
        return Cycles(
            per_image=float(ends[-1] - ends[0]) / ((BATCHES - 1) * self.batch),
            latency=latency(cfg, int(ends[0]), where.slots),
            program_words=sketch.words,
            weight_words=sketch.passes * cfg.load_cycles,
            table_words=sketch.table,
            scratchpad_bytes=where.used,
        )

    def _steps(self, cfg: Config) -> list[Step]:
        if cfg.acc_width not in self._lowered:
            steps = lower(self.graph, cfg.acc_width)
            for i, (before, step) in enumerate(pairwise(steps), 1):
                if before.flattened:
                    steps[i] = permute_flattened(step, before.output_shape)
            self._lowered[cfg.acc_width] = steps
        return self._lowered[cfg.acc_width]

    def _plan(self, steps: list[Step], cfg: Config, images: int) -> Plan:
        key = cfg.scratchpad_bytes, images
        if key not in self._plans:
            try:
                self._plans[key] = plan(steps, cfg, images)
            except LeptonError as error:
                self._plans[key] = str(error)
        found = self._plans[key]
        if isinstance(found, str):
            raise LeptonError(found)
        return found

    def _fit(
        self, i: int, step: Step, cfg: Config, images: int, *, folding: bool
    ) -> tuple[Step, Tiling]:
        key = (
            i, cfg.rows, cfg.cols, cfg.load_cycles, cfg.beats, cfg.requantizers, cfg.acc_depth,
            cfg.result_depth, cfg.acc_width, images if step.vector else 1, folding,
        )  # fmt: skip
        if key not in self._fitted:
            self._fitted[key] = fitted(step, cfg, images, folding=folding)
        return self._fitted[key]


def _stamps(sketch: _Sketch, where: Plan, cfg: Config, slots_per_batch: int) -> np.ndarray:
    """When each output of ``BATCHES`` batches has been read."""
    machine = np.array(
        [
            result_latency(cfg), cfg.load_cycles, cfg.result_depth, Sequencer.FETCH,
            Sequencer.END_FETCH, RETIRE, Inputs.RELEASE, RUN_CHECK, READ_CYCLES + cfg.lanes,
            READ_TO_STAMP, cfg.packet_words, max(1, cfg.link_width // 32), where.slots,
            where.slot_bytes // 4 * cfg.lanes, BATCHES, slots_per_batch,
        ],
        np.int64,
    )  # fmt: skip
    stamps = np.zeros(sketch.outputs * BATCHES, np.int64)
    pointer = ctypes.POINTER(ctypes.c_int64)
    count = _library().lepton_stamps(
        machine.ctypes.data_as(pointer), sketch.layers.ctypes.data_as(pointer),
        len(sketch.layers), stamps.ctypes.data_as(pointer),
    )  # fmt: skip
    assert count == len(stamps)
    return stamps


@lru_cache
def _library() -> Any:
    """cycles.cpp, compiled unless the cache has it."""
    flags = ["-O2", "-std=c++17", "-shared", "-fPIC"]
    text = SOURCE.read_text()
    compiler = toolchain.compiler()

    def make(folder: Path) -> None:
        command = [compiler, *flags, str(SOURCE), "-o", str(folder / "cycles.so")]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
        if done.returncode:
            raise LeptonError(f"the compiler failed: {done.stderr.strip().splitlines()[-1]}")

    folder = cached("cycles", digest(text, *flags), make)
    library = ctypes.CDLL(str(folder / "cycles.so"))
    library.lepton_stamps.restype = ctypes.c_int64
    pointer = ctypes.POINTER(ctypes.c_int64)
    library.lepton_stamps.argtypes = [pointer, pointer, ctypes.c_int64, pointer]
    return library
