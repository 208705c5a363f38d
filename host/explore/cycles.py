"""Cycles of thousands of configurations: the compiler's plan without its bytes, memoised, and the
cost model in C++. Equal to ``predict(compile(...))``; tests hold them together.
"""

import ctypes
import os
import subprocess
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from host.compiler import _Assembly, _check_multipliers, encode
from host.compiler.folding import choices, fitted
from host.compiler.jobs import Tiling
from host.compiler.memory import plan
from host.compiler.steps import Step, lower, permute_flattened
from host.cost import READ_CYCLES, READ_TO_STAMP, RETIRE, RUN_CHECK, result_latency
from host.errors import LeptonError
from host.program import Program
from host.qgraph import QGraph
from hw import isa
from hw.config import LIMITS, Config
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
    """Cycles until the first batch's output has been read."""
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


class _Sketch(_Assembly):
    """An assembly that counts the rows of weights and table instead of making them."""

    def _memories(self) -> None:
        self.weight_base, self.table_base = {}, []
        self.weight_count = self.table_count = 0
        for i, (step, tiling) in enumerate(zip(self.steps, self.tilings, strict=True)):
            for job in tiling.jobs:
                key = i, job.first_tile, job.tiles
                if key not in self.weight_base:
                    self.weight_base[key] = self.weight_count
                    rows = job.tiles * tiling.passes_per_tile * self.config.load_cycles
                    self.weight_count += rows
            self.table_base.append(self.table_count)
            beats = -(-tiling.tile_cols // self.config.requantizers)
            tail = -(-encode.tail_cols(step, tiling) // self.config.requantizers)
            self.table_count += (tiling.tiles - 1) * beats + tail
        self.weights = self.table = np.zeros((0, 1), np.uint32)


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
        _check_multipliers(steps, cfg)
        where = plan(steps, cfg, images)
        most = replace(cfg, **{name: LIMITS[name][1] for name in DEPTHS}) if deep else cfg
        reason: LeptonError | None = None
        for found in choices(
            len(steps), lambda i, folding: self._fit(i, steps[i], cfg, images, folding=folding)
        ):
            sketch = _Sketch(
                self.graph, most, images, False, [s for s, _ in found], [t for _, t in found], where
            )
            try:
                program = sketch.program()
            except LeptonError as error:
                reason = error
                continue
            stamps = _stamps(program)
            batches = len(stamps) // len(program.outputs)
            ends = stamps[len(program.outputs) - 1 :: len(program.outputs)]
            cycles = Cycles(
                per_image=float(ends[-1] - ends[0]) / ((batches - 1) * self.batch),
                latency=int(ends[0]),
                program_words=len(program.words),
                weight_words=sketch.weight_count,
                table_words=sketch.table_count,
                scratchpad_bytes=where.used,
            )
            misfit = cycles.misfit(most)
            if misfit is None:
                return cycles
            reason = LeptonError(f"the network {misfit}")
        assert reason is not None
        raise reason

    def _steps(self, cfg: Config) -> list[Step]:
        if cfg.acc_width not in self._lowered:
            steps = lower(self.graph, cfg.acc_width)
            for i, (before, step) in enumerate(pairwise(steps), 1):
                if before.flattened:
                    steps[i] = permute_flattened(step, before.output_shape)
            self._lowered[cfg.acc_width] = steps
        return self._lowered[cfg.acc_width]

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


def _stamps(program: Program) -> np.ndarray:
    """When each output of ``BATCHES`` batches has been read."""
    cfg = program.config
    rows = [_layer_row(v) for op, v in isa.decode(program.words.tolist()) if op is isa.Op.LAYER]
    layers = np.array(rows, np.int64)
    machine = np.array(
        [
            result_latency(cfg), cfg.load_cycles, cfg.result_depth, Sequencer.FETCH,
            Sequencer.END_FETCH, RETIRE, Inputs.RELEASE, RUN_CHECK, READ_CYCLES + cfg.lanes,
            READ_TO_STAMP, cfg.packet_words, max(1, cfg.link_width // 32), program.slots,
            program.slot_words, BATCHES, program.slots_per_batch,
        ],
        np.int64,
    )  # fmt: skip
    stamps = np.zeros(int(np.count_nonzero(layers[:, -1])) * BATCHES, np.int64)
    pointer = ctypes.POINTER(ctypes.c_int64)
    count = _library().lepton_stamps(
        machine.ctypes.data_as(pointer), layers.ctypes.data_as(pointer), len(rows),
        stamps.ctypes.data_as(pointer),
    )  # fmt: skip
    assert count == len(stamps)
    return stamps


def _layer_row(v: dict[str, int]) -> list[int]:
    """The fields of an instruction as cycles.cpp has them."""
    count = {name: v[f"{name}_last"] + 1 for name in isa.LEVELS}
    return [
        count["window_x"] * count["window_y"], count["x"] * count["y"], count["kernel_y"],
        count["slice"], count["tile"], count["block"], v["allow"] - ((v["allow"] >> 15) << 16),
        v["allow_slice"], v["allow_kernel_y"], v["allow_block"], v["pass_min"],
        v["beats_last"] + 1, v["tail_beats_last"] + 1, v["wait_input"], v["release_input"],
        v["wait_emit"], v["emit_words"],
    ]  # fmt: skip


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
