"""The Verilated core in this process."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from host.errors import LeptonError
from hw.config import Config
from sim.device import Device, Stalls
from sim.errors import SimulationError


class Simulated:
    """A transport to a core in simulation, built when it is first needed.

    `source` is a configuration, or a library that `sim.build` made.
    """

    def __init__(
        self, source: Config | Path, *, waves: Path | None = None, stalls: Stalls | None = None,
        idle_limit: int = 1_000_000, progress: Callable[[str], None] | None = None,
    ) -> None:  # fmt: skip
        try:
            self.device = Device(
                source, waves=waves, stalls=stalls, idle_limit=idle_limit, progress=progress
            )
        except SimulationError as error:
            raise LeptonError(str(error)) from error
        self.on_progress: Callable[[int], None] | None = None

    def exchange(self, words: np.ndarray, last: np.ndarray, packets: int) -> list[np.ndarray]:
        """See `Transport`."""
        try:
            return self.device.exchange(words, last, packets, on_progress=self.on_progress)
        except SimulationError as error:
            raise LeptonError(str(error)) from error

    def cycles_to(self, packet: int) -> int:
        """From the first word that the core took of the last exchange to the end of a packet that
        it then sent."""
        assert self.device.input_cycle is not None
        return int(self.device.output_cycles[packet]) - self.device.input_cycle

    def close(self) -> None:
        """Ends the simulation."""
        self.device.close()
