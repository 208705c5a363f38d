"""The Verilated core as something that takes packets and gives packets back."""

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from . import build, coverage
from .errors import SimulationError

if TYPE_CHECKING:
    from hw.config import Config

NEVER = (1 << 64) - 1

SLICE_SECONDS = 0.1
"""How long C++ runs before Python gets to see Ctrl-C and to report progress."""

RUNNING, DONE, STUCK, FAILED = range(4)


@dataclass(frozen=True, kw_only=True)
class Stall:
    """When one side of the link pauses. Whatever is chosen adds up."""

    probability: float = 0.0
    """Share of cycles, drawn at random, in which it pauses."""
    every: int = 1
    """Moves in every k-th cycle only."""
    window: tuple[int, int] = (0, 0)
    """Pauses from the first of these cycles up to the second."""
    patient: bool = False
    """Of the output: pauses until the core has offered something, and again behind every beat."""


@dataclass(frozen=True, kw_only=True)
class Stalls:
    """Pauses of both sides: of the words going in, and of the readiness for those coming out."""

    input: Stall = Stall()
    output: Stall = Stall()
    seed: int = 0


class Device:
    """A core in simulation, reset and ready.

    `source` is a configuration, or a library that `sim.build` made. Waves go to the file `waves`,
    in the format of its suffix, `.fst` or `.vcd`; cycle c of the file lies at 2c ns and counts
    resets as well. A core on whose link nothing moves for `idle_limit` cycles counts as stuck.
    After an error, or Ctrl-C, nothing but `reset` and `close` is left to do.
    """

    output_cycles: NDArray[np.uint64]
    """For each packet of the last `exchange`, the cycle of its last beat."""

    input_cycle: int | None
    """Cycle in which the core took the first beat of the last `exchange`."""

    def __init__(
        self,
        source: "Config | Path",
        *,
        waves: Path | None = None,
        stalls: Stalls | None = None,
        idle_limit: int = 1_000_000,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self.idle_limit = idle_limit
        self._core: int | None = None
        if waves is not None and waves.suffix not in (".fst", ".vcd"):
            raise SimulationError(f"waves are written as .fst or .vcd, not as {waves.name}")
        if isinstance(source, Path):
            path = source
        else:
            form = None if waves is None else cast(build.WaveFormat, waves.suffix[1:])
            path = build.library(source, waves=form, progress=progress)
        self._path = path
        self._library = _load(path)
        stalls = stalls or Stalls()
        if stalls.input.patient:
            raise SimulationError(
                "only the output can be patient: a core may wait for input before it is ready"
            )
        self._core = self._library.lepton_create(
            _stall(stalls.input, 2 * stalls.seed),
            _stall(stalls.output, 2 * stalls.seed + 1),
            None if waves is None else str(waves).encode(),
        )
        if self._core is None:
            raise SimulationError(f"the waves file {waves} cannot be written")
        self._slice = 10_000
        self.reset()

    @property
    def cycles(self) -> int:
        """Cycles since the last reset."""
        return self._library.lepton_cycle(self._handle)

    def exchange(
        self,
        words: NDArray[np.uint32],
        last: NDArray[np.bool_],
        packets: int,
        *,
        on_progress: Callable[[int], None] | None = None,
        max_cycles: int | None = None,
    ) -> list[NDArray[np.uint32]]:
        """Sends words, `last` marking those that end a packet, and collects that many packets.

        Both happen at once, and as fast as the core goes. Packets beyond those asked for are kept
        for the next call. `on_progress` is told now and then how many have come.
        """
        if self._unusable:
            raise SimulationError("the simulated core was interrupted and has to be reset first")
        words = np.ascontiguousarray(words, np.uint32)
        last = np.ascontiguousarray(last, np.bool_)
        if words.ndim != 1 or words.shape != last.shape:
            raise ValueError(f"{words.shape} words, but {last.shape} marks of the last ones")
        run = _Run(
            words=words.ctypes.data,
            last=last.ctypes.data,
            count=len(words),
            packets=packets,
            idle_limit=self.idle_limit,
        )
        self._run(run, NEVER if max_cycles is None else max_cycles, on_progress)
        self.input_cycle = run.first_taken if len(words) else None
        return self._take(packets)

    def wait(self, cycles: int) -> None:
        """Lets the core run without input; packets that come are kept for the next `exchange`."""
        run = _Run(packets=NEVER, idle_limit=NEVER)
        self._run(run, cycles, None)

    def reset(self) -> None:
        """Puts the core and the link into their first state; memories keep what they hold."""
        self._library.lepton_reset(self._handle)
        self._unusable = False
        self.output_cycles = np.zeros(0, np.uint64)
        self.input_cycle = None

    def close(self) -> None:
        """Ends the simulation and its waves; nothing else works afterwards."""
        if self._core is not None:
            coverage.collect(self._library, self._core, self._path.parent)
            self._library.lepton_destroy(self._core)
            self._core = None

    def __enter__(self) -> "Device":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    @property
    def _handle(self) -> int:
        if self._core is None:
            raise SimulationError("the simulated core is closed")
        return self._core

    def _run(self, run: "_Run", cycles: int, on_progress: Callable[[int], None] | None) -> None:
        """Runs in slices until done; `cycles` ends a wait, and is too many for an exchange."""
        handle = self._handle
        self._unusable = True
        while True:
            run.cycles = min(self._slice, cycles)
            start = time.monotonic()
            outcome = self._library.lepton_run(handle, run)
            seconds = time.monotonic() - start
            cycles -= run.cycles
            if outcome == DONE:
                break
            if outcome == FAILED:
                text = self._library.lepton_error(handle).decode()
                raise SimulationError(f"the simulated core failed: {text}")
            if outcome == STUCK:
                raise SimulationError(self._unfinished(run, "stopped after"))
            if cycles == 0 and run.packets == NEVER:
                break
            if cycles == 0:
                raise SimulationError(self._unfinished(run, "was not done within"))
            if on_progress is not None:
                on_progress(self._library.lepton_packets(handle))
            # Doubled at most, so that one slow moment of the machine has no lasting effect.
            ratio = SLICE_SECONDS / max(seconds, 1e-6)
            self._slice = int(self._slice * min(max(ratio, 0.5), 2.0)) + 1
        self._unusable = False

    def _unfinished(self, run: "_Run", what: str) -> str:
        came = min(self._library.lepton_packets(self._handle), run.packets)
        return (
            f"the simulated core {what} {self.cycles:,} cycles: {came:,} of {run.packets:,} output "
            f"packets came, {run.taken:,} of {run.count:,} input words were accepted"
        )

    def _take(self, packets: int) -> list[NDArray[np.uint32]]:
        words = np.empty(self._library.lepton_words(self._handle), np.uint32)
        marks = np.empty((packets, 2), np.uint64)
        self._library.lepton_take(self._handle, packets, words.ctypes.data, marks.ctypes.data)
        self.output_cycles = marks[:, 1].copy()
        ends = marks[:, 0].astype(np.int64)
        # Copies, lest one small packet keep all of them in memory.
        return [part.copy() for part in np.split(words, ends)[:packets]]


class _Stall(ctypes.Structure):
    """`Stall` of harness.cpp."""

    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in ("threshold", "every", "from_", "until", "seed", "patient")
    )


class _Run(ctypes.Structure):
    """`Run` of harness.cpp."""

    words: int
    last: int
    count: int
    packets: int
    cycles: int
    idle_limit: int
    taken: int
    beat: int
    idle: int
    first_taken: int

    _fields_ = (
        ("words", ctypes.c_void_p),
        ("last", ctypes.c_void_p),
        *(
            (name, ctypes.c_uint64)
            for name in (
                "count",
                "packets",
                "cycles",
                "idle_limit",
                "taken",
                "beat",
                "idle",
                "first_taken",
            )
        ),
    )


def _stall(stall: Stall, seed: int) -> _Stall:
    threshold = round(stall.probability * (1 << 32))
    return _Stall(threshold, stall.every, *stall.window, seed, stall.patient)


@lru_cache
def _load(path: Path) -> Any:
    library = ctypes.CDLL(str(path))
    handle, count = ctypes.c_void_p, ctypes.c_uint64
    for name, result, *arguments in (
        ("create", handle, ctypes.POINTER(_Stall), ctypes.POINTER(_Stall), ctypes.c_char_p),
        ("destroy", None, handle),
        ("reset", None, handle),
        ("run", ctypes.c_int, handle, ctypes.POINTER(_Run)),
        ("error", ctypes.c_char_p, handle),
        ("cycle", count, handle),
        ("packets", count, handle),
        ("words", count, handle),
        ("take", None, handle, count, handle, handle),
    ):
        function = getattr(library, f"lepton_{name}")
        function.restype, function.argtypes = result, arguments
    return library
