"""Bitstreams of whole boards, at a frequency that timing meets."""

import json
from dataclasses import asdict, dataclass

from host.synth.devices import on_board
from host.synth.flow import Synthesis, Tell, netlist_of
from host.synth.placement import Placement
from host.synth.tools import SynthesisError, Unfinished, tool
from hw.boards import Board
from hw.boards.top import dividers, divisor
from hw.config import Config
from sim.convert import converted

EMIT = """
import json, sys
from hw.boards.top import emit
from hw.config import Config
choice = json.load(sys.stdin)
sys.stdout.write(emit(choice.pop("name"), Config(**choice.pop("config")), **choice))
"""


@dataclass(frozen=True)
class Build:
    """A configuration on a board."""

    board: Board
    megahertz: float
    """What the PLL makes, and so what timing has to meet."""
    baud: int
    synthesis: Synthesis
    constraints: str

    def place(self, seeds: int, *, tell: Tell = print) -> Placement:
        """Places and routes until a seed meets timing; `SynthesisError` when none does.

        A seed that is given up says nothing of the next one.
        """
        found: Placement | None = None
        for seed in range(1, seeds + 1):
            try:
                placed = self.synthesis.place(
                    1, first=seed, megahertz=self.megahertz, constraints=self.constraints, tell=tell
                )
            except Unfinished:
                continue
            if found is None or placed.median > found.median:
                found = placed
            self._check_constraint(placed)
            if placed.slack >= 0:
                return placed
        if found is None:
            raise SynthesisError(
                f"none of {seeds} seeds was routed in time; try more of them, or a smaller core"
            )
        found.check_speed(self.megahertz, seeds)
        return found

    def _check_constraint(self, placed: Placement) -> None:
        """A slack means something only if nextpnr knew what the PLL makes."""
        known = placed.constraints
        if not any(abs(each / self.megahertz - 1) < 1e-3 for each in known):
            said = ", ".join(f"{each:g}" for each in known)
            raise SynthesisError(
                f"nextpnr was to know of a clock of {self.megahertz:g} MHz and knew of {said} MHz"
            )


def build(board: Board, cfg: Config, *, megahertz: float, baud: int, tell: Tell = print) -> Build:
    """Synthesizes a board. ConfigError where its clock makes no such frequency or baud rate."""
    exact = dividers(board, megahertz).output
    divisor(exact, baud)
    device = on_board(board)
    for name in ("yosys", f"nextpnr-{device.family}"):
        tool(name)
    choice = {"name": board.name, "config": asdict(cfg), "megahertz": megahertz, "baud": baud}
    design = json.loads(converted(EMIT, choice, what="RTLIL", progress=tell))
    synthesis = netlist_of(design["rtlil"], device, tell=tell)
    synthesis.check_fits()
    return Build(board, exact, baud, synthesis, design["pins"])
