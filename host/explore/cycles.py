"""Cycles of thousands of configurations: the compiler's plan without its bytes, memoised, and the
cost model in C++. Equal to ``predict(compile(...))``; tests hold them together.
"""

import ctypes
import os
import subprocess
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from host.compiler import check_multipliers, least
from host.compiler.choices import Found, choices
from host.compiler.folding import fitted
from host.compiler.jobs import Tiling
from host.compiler.memory import SLOTS, Plan, plan, plan_apart, plan_room
from host.compiler.steps import Step, lower, permute_flattened
from host.compiler.tapering import tapered
from host.errors import LeptonError
from host.explore.sketch import Sketch, Sketcher
from host.explore.style import style
from host.latencies import result_latency, retire
from host.link_cycles import (
    BUFFER_ROOM,
    PACKET_HEADER,
    PACKET_STORED,
    READ_TO_STAMP,
    RUN_CHECK,
    beat_words,
    buffer_places,
    latency,
    read_cycles,
    send_cycles,
    word_beats,
)
from host.qgraph import QGraph
from hw import isa
from hw.config import LIMITS, Config
from hw.feeder import Feeder
from hw.inputs import Inputs
from hw.sequencer import Sequencer
from sim import toolchain
from sim.cache import cached, digest

SOURCE = Path(__file__).with_name("cycles.cpp")
BATCHES = 3
"""As many as `lepton cost` runs."""
DEPTHS = ("weight_depth", "table_depth", "program_depth")
"""Memories whose depth only says whether a program fits, never how long it takes."""
TIMING = tuple(f.name for f in fields(Config) if f.name not in (*DEPTHS, "trace_depth"))
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
        self._tapered: dict[tuple, Found] = {}
        self._known: dict[tuple, Cycles | str] = {}
        self._plans: dict[tuple, Plan | LeptonError | None] = {}
        self._sketches: dict[tuple, Sketch] = {}
        self._sketch = Sketcher()
        self._sizes: dict[int, list[int]] = {}
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

    @cached_property
    def acc_width(self) -> int:
        """The narrowest accumulator that the network cannot overflow, before any array's own."""
        low, high = LIMITS["acc_width"]
        while low < high:
            middle = (low + high) // 2
            try:
                lower(self.graph, middle)
                high = middle
            except LeptonError:
                low = middle + 1
        return low

    def scratchpads(self, cfg: Config) -> list[int]:
        """Sizes of the scratchpad worth trying, the largest first: more is of no use, and of less
        it is known at once that it is too little."""
        images, least = max(1, self.batch // cfg.lanes), 4 * cfg.bank_bytes
        if images not in self._sizes:
            self._sizes[images] = self._found_sizes(self._steps(cfg), images)
        sizes = self._sizes[images]
        return [size for size in sizes if size >= least] or [least]

    def _found_sizes(self, steps: list[Step], images: int) -> list[int]:
        size, most = LIMITS["scratchpad_bytes"]
        while size < plan_room(steps, images) and size < most:
            size *= 2
        sizes = [size]
        while sizes[0] < most:
            where = self._plan_apart(steps, sizes[0], images)
            if where is not None and where.slots == SLOTS:
                # A slot is filled while another one is read.
                break
            sizes.insert(0, 2 * sizes[0])
        return sizes

    def _evaluate(self, cfg: Config, *, deep: bool = True) -> Cycles:
        if self.batch % cfg.lanes:
            raise LeptonError(f"a batch of {self.batch} does not fill {cfg.lanes} lanes evenly")
        images = self.batch // cfg.lanes
        steps = self._steps(cfg)
        check_multipliers(steps, cfg)
        reason: LeptonError | None = None
        for found in choices(
            len(steps),
            lambda i, folding: self._fit(i, steps[i], cfg, images, folding=folding),
            lambda found: self._taper(found, cfg),
        ):
            try:
                where = self._plan(steps, found, cfg, images)
            except LeptonError as error:
                reason = least(reason, error)
                continue
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
        limit = isa.allow_limit(cfg)
        key = (
            tuple((step.output_shape, tiling) for step, tiling in found), images, cfg.requantizers,
            limit, where.release, style(cfg),
        )  # fmt: skip
        if key not in self._sketches:
            self._sketches[key] = self._sketch(found, where, images, cfg.requantizers, limit)
        plain = self._sketches[key]
        slots_per_batch = images if where.batched else 1
        stamps = _stamps(plain, where, cfg, slots_per_batch)
        per_batch = plain.outputs
        ends = stamps[per_batch - 1 :: per_batch]
        return Cycles(
            per_image=float(ends[-1] - ends[0]) / ((BATCHES - 1) * self.batch),
            latency=latency(cfg, int(ends[0]), where.slots),
            program_words=plain.words,
            weight_words=plain.passes * cfg.load_cycles,
            table_words=plain.table,
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

    def _plan(
        self, steps: list[Step], found: list[tuple[Step, Tiling]], cfg: Config, images: int
    ) -> Plan:
        apart = self._plan_apart(steps, cfg.scratchpad_bytes, images)
        if apart is not None:
            return apart
        key = cfg.scratchpad_bytes, images, tuple(tiling.jobs for _, tiling in found)
        if key not in self._plans:
            try:
                self._plans[key] = plan(steps, found, cfg, images)
            except LeptonError as error:
                self._plans[key] = error
        where = self._plans[key]
        if isinstance(where, LeptonError):
            raise where
        assert where is not None
        return where

    def _plan_apart(self, steps: list[Step], scratchpad_bytes: int, images: int) -> Plan | None:
        key = scratchpad_bytes, images
        if key not in self._plans:
            self._plans[key] = plan_apart(steps, scratchpad_bytes, images)
        where = self._plans[key]
        assert not isinstance(where, LeptonError)
        return where

    def _fit(
        self, i: int, step: Step, cfg: Config, images: int, *, folding: bool
    ) -> tuple[Step, Tiling]:
        key = (
            i, cfg.rows, cfg.cols, cfg.load_cycles, cfg.beats, cfg.requantizers, cfg.acc_depth,
            cfg.result_depth, cfg.acc_width, images if step.vector else 1, folding, style(cfg),
        )  # fmt: skip
        if key not in self._fitted:
            self._fitted[key] = fitted(step, cfg, images, folding=folding)
        return self._fitted[key]

    def _taper(self, found: Found, cfg: Config) -> Found:
        tilings = tuple(tiling for _, tiling in found)
        key = (
            tilings, result_latency(cfg), retire(cfg), cfg.load_cycles, cfg.requantizers,
            cfg.result_depth,
        )  # fmt: skip
        if key not in self._tapered:
            self._tapered[key] = tapered(found, cfg)
        return self._tapered[key]


def _stamps(sketch: Sketch, where: Plan, cfg: Config, slots_per_batch: int) -> np.ndarray:
    """When each output of ``BATCHES`` batches has been read."""
    machine = np.array(
        [
            result_latency(cfg), cfg.load_cycles, cfg.result_depth, Sequencer.FETCH,
            Sequencer.END_FETCH, retire(cfg), Inputs.RELEASE, RUN_CHECK, read_cycles(cfg),
            send_cycles(cfg), READ_TO_STAMP, cfg.packet_words, beat_words(cfg), word_beats(cfg),
            buffer_places(cfg), BUFFER_ROOM, where.slots, where.slot_bytes // 4 * cfg.lanes,
            BATCHES, slots_per_batch, PACKET_STORED, PACKET_HEADER, cfg.prefetch, Feeder.FREED,
            cfg.requant_cycles,
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
