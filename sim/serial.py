"""The Verilated core behind a UART, as a serial port of this machine: a pseudo-terminal.

``python -m sim.serial`` shows one until Ctrl-C, for any program that opens serial ports.
"""

import argparse
import ctypes
import os
import select
import threading
import tty
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from . import build, coverage
from .errors import SimulationError

if TYPE_CHECKING:
    from hw.config import Config

SLICE = 20_000
"""Cycles between two looks at the pseudo-terminal; those of 50 bytes with a divisor of 40."""

QUIET = 500
"""Cycles after which a line without traffic, of a core that does not run, stands still."""

ROOM = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Noise:
    """What happens to bytes on their way, in both directions: the probability for each byte."""

    drop: float = 0.0
    flip: float = 0.0
    """One of its bits."""
    double: float = 0.0
    seed: int = 0


class SerialCore:
    """A core in simulation, reset and ready, at the other end of a serial line.

    It runs in a thread of its own while there is something to do, as fast as it can: the baud rate
    that the port is opened with means nothing, and cycles in which nothing would happen are left
    out.
    """

    port: str
    """Path of the serial port."""

    def __init__(
        self, cfg: "Config", *, divisor: int = 8, slots: int = 8, noise: Noise | None = None
    ) -> None:
        self._path = build.serial_library(cfg, divisor, slots=slots)
        self._library = _load(self._path)
        self._core = self._library.lepton_create(divisor)
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.port = os.ttyname(self._slave)
        self.noise = noise
        seeds = np.random.SeedSequence(noise.seed if noise else 0).spawn(2)
        self._random = [np.random.default_rng(seed) for seed in seeds]
        self._end, self._reset = threading.Event(), threading.Event()
        self.error: Exception | None = None
        self.cycles = 0
        """So far."""
        self.carried = [0, 0]
        """Bytes to the core and from it, before any noise."""
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def reset(self) -> None:
        """Presses the reset button of the board."""
        self._reset.set()

    def close(self) -> None:
        """Pulls the plug."""
        if self._end.is_set():
            return
        self._end.set()
        self._thread.join()
        coverage.collect(self._library, self._core, self._path.parent)
        self._library.lepton_destroy(self._core)
        os.close(self._master)
        os.close(self._slave)
        if self.error is not None:
            raise self.error

    def __enter__(self) -> "SerialCore":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _serve(self) -> None:
        try:
            waiting, idle = b"", True
            while not self._end.is_set():
                if self._reset.is_set():
                    self._library.lepton_reset(self._core)
                    self._reset.clear()
                    waiting, idle = b"", False
                if select.select([self._master], [], [], 0.01 if idle and not waiting else 0)[0]:
                    came = os.read(self._master, ROOM)
                    self.carried[0] += len(came)
                    waiting += self._spoiled(came, 0)
                elif idle and not waiting:
                    continue
                waiting, idle = self._step(waiting)
        except Exception as error:
            self.error = error

    def _step(self, waiting: bytes) -> tuple[bytes, bool]:
        """Runs a slice: what is still to be sent, and whether the core stands still."""
        out = ctypes.create_string_buffer(ROOM)
        run = _Run(waiting, len(waiting), ctypes.addressof(out), ROOM, SLICE, QUIET)
        if self._library.lepton_run(self._core, run):
            text = self._library.lepton_error(self._core).decode()
            raise SimulationError(f"the simulated core failed: {text}")
        self.cycles = self._library.lepton_cycle(self._core)
        self.carried[1] += run.given
        given = self._spoiled(out.raw[: run.given], 1)
        while given and not self._end.is_set():
            # Nobody may be reading; a real line would lose what is beyond, too.
            if not select.select([], [self._master], [], 0.1)[1]:
                break
            given = given[os.write(self._master, given) :]
        return waiting[run.taken :], bool(run.idle)

    def _spoiled(self, data: bytes, direction: int) -> bytes:
        if self.noise is None or not data:
            return data
        noise, random = self.noise, self._random[direction]
        values = np.frombuffer(data, np.uint8).copy()
        flipped = random.random(len(values)) < noise.flip
        values[flipped] ^= (1 << random.integers(0, 8, np.count_nonzero(flipped))).astype(np.uint8)
        fate = random.random(len(values))
        copies = np.where(fate < noise.drop, 0, np.where(fate < noise.drop + noise.double, 2, 1))
        return np.repeat(values, copies).tobytes()


class _Run(ctypes.Structure):
    """`Run` of serial.cpp."""

    taken: int
    given: int
    idle: int

    _fields_ = (
        ("in_", ctypes.c_char_p),
        ("in_count", ctypes.c_uint64),
        ("out", ctypes.c_void_p),
        *(
            (name, ctypes.c_uint64)
            for name in ("out_count", "cycles", "quiet", "taken", "given", "idle")
        ),
    )


@lru_cache
def _load(path: Path) -> Any:
    library = ctypes.CDLL(str(path))
    handle, count = ctypes.c_void_p, ctypes.c_uint64
    for name, result, *arguments in (
        ("create", handle, count),
        ("destroy", None, handle),
        ("reset", None, handle),
        ("run", ctypes.c_int, handle, ctypes.POINTER(_Run)),
        ("error", ctypes.c_char_p, handle),
        ("cycle", count, handle),
    ):
        function = getattr(library, f"lepton_{name}")
        function.restype, function.argtypes = result, arguments
    return library


def main() -> None:
    """Shows a core as a serial port until Ctrl-C."""
    from hw.config import NAMED, named

    parser = argparse.ArgumentParser(description="A simulated core behind a serial port.")
    parser.add_argument("--config", default="tiny", help=", ".join(NAMED))
    parser.add_argument("--divisor", type=int, default=8, help="cycles of a bit")
    for fault in ("drop", "flip", "double"):
        parser.add_argument(f"--{fault}", type=float, default=0.0, help="probability for a byte")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    noise = Noise(drop=given.drop, flip=given.flip, double=given.double, seed=given.seed)
    with SerialCore(named(given.config), divisor=given.divisor, noise=noise) as core:
        print(f"lepton run MODEL --config {given.config} --target uart:{core.port}", flush=True)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
