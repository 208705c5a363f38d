"""Boards that Lepton runs on, behind a serial port; see docs/boards.md."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from amaranth.build import Attrs

from ..errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Board:
    """One board: its platform in amaranth-boards, and which of its resources do what."""

    name: str
    title: str
    platform: str
    """``module:class`` in amaranth_boards."""
    device: str
    """The part, as `lepton synth --device` names it."""
    config: str
    """The configuration that is built when none is asked for."""
    megahertz: float
    """Its clock, when none is asked for."""
    clock: str
    """Resource of the oscillator."""
    reset: tuple[str, int]
    """Resource of the button that resets."""
    busy: tuple[str, int, str | None]
    """Resource of the LED that a run lights, with its part."""
    error: tuple[str, int, str | None]
    """Resource of the LED that a damaged frame lights until the link is opened again."""
    slots: int = 8
    """Frames that the UART keeps for each direction."""
    slots_in_luts: bool = False
    """Where the core leaves no block RAM for them."""
    uart: tuple[str, str] | None = None
    """Pins (rx, tx) of connector ``io`` for an adapter, where the board itself has none."""

    def make_platform(self) -> Any:
        """A fresh platform of amaranth-boards."""
        module, name = self.platform.split(":")
        platform = getattr(import_module(f"amaranth_boards.{module}"), name)()
        if self.uart is not None:
            resources = import_module("amaranth_boards.resources")
            rx, tx = self.uart
            platform.add_resources([
                resources.UARTResource(
                    0, rx=rx, tx=tx, conn=("io", 0), attrs=Attrs(IO_TYPE="LVCMOS33", PULLMODE="UP")
                )
            ])  # fmt: skip
        return platform


BOARDS: dict[str, Board] = {
    board.name: board
    for board in (
        Board(
            name="icebreaker",
            title="iCEBreaker",
            platform="icebreaker:ICEBreakerPlatform",
            device="up5k",
            config="up5k",
            megahertz=39,
            clock="clk12",
            reset=("button", 0),
            busy=("led_g", 0, None),
            error=("led_r", 0, None),
            # With 8, four block RAMs, where the core leaves three.
            slots=4,
        ),
        Board(
            name="ulx3s-85f",
            title="ULX3S with LFE5U-85F",
            platform="ulx3s:ULX3S_85F_Platform",
            device="ecp5-85k",
            config="ecp5-85k",
            megahertz=100,
            clock="clk25",
            reset=("button_fire", 0),
            busy=("led", 0, None),
            error=("led", 7, None),
        ),
        Board(
            name="orangecrab-25f",
            title="OrangeCrab r0.2 with LFE5U-25F",
            platform="orangecrab_r0_2:OrangeCrabR0_2_25FPlatform",
            device="ecp5-25k",
            config="ecp5-25k",
            megahertz=120,
            clock="clk",
            reset=("button", 0),
            busy=("rgb_led", 0, "g"),
            error=("rgb_led", 0, "r"),
            uart=("0", "1"),
            slots=4,
            slots_in_luts=True,
        ),
    )
}


def board(name: str) -> Board:
    """The board of that name; an unknown one is refused with those there are."""
    if name not in BOARDS:
        raise ConfigError(f"no board is named {name!r}; there are {', '.join(BOARDS)}")
    return BOARDS[name]
