"""The top of a board: clock, reset, serial port, lamps."""

import json
import os
from typing import Any

from amaranth import ClockDomain, ClockSignal, DomainRenamer, Module, ResetSignal, Signal
from amaranth.hdl import Elaboratable
from amaranth.lib import io, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..errors import ConfigError
from ..rtlil import TOP, renamed
from ..target import target
from ..uart import UARTCore
from . import Board, board
from .pll import Ecp5Dividers, Ice40Dividers, ecp5_dividers, ecp5_pll, ice40_dividers, ice40_pll

BAUD_OFF = 0.015
"""Share by which the baud rate may be off; docs/uart.md has what both ends bear together."""

RESET_US = 20
"""After the clock is there: the memories of iCE40 read as zero for 3 us after configuration."""


def dividers(chosen: Board, megahertz: float) -> Ice40Dividers | Ecp5Dividers:
    """Of the board's PLL for about that frequency."""
    platform = chosen.make_platform()
    reference = platform.lookup(chosen.clock).clock.frequency / 1e6
    part = target(platform)
    assert part is not None, f"{chosen.name} has a part that hw.target does not know"
    make = ice40_dividers if part.family == "ice40" else ecp5_dividers
    return make(reference, megahertz)


def divisor(megahertz: float, baud: int) -> int:
    """Cycles of a bit; ConfigError when the clock makes no such rate."""
    cycles = max(1, round(megahertz * 1e6 / baud))
    made = megahertz * 1e6 / cycles
    if abs(made / baud - 1) > BAUD_OFF:
        raise ConfigError(
            f"a clock of {megahertz:g} MHz makes {made:,.0f} baud, not {baud:,}; "
            "choose another baud rate or frequency"
        )
    return cycles


class ResetHold(wiring.Component):
    """Holds the reset until the clock has been good, and the button up, for a while.

    Attributes
    ----------
    lock, button : In
        The PLL has found its frequency; the button is down. Both asynchronous.
    reset : Out
        From a register, and on from the start.
    """

    lock: Signal
    button: Signal
    reset: Signal

    def __init__(self, cycles: int) -> None:
        self.cycles = cycles
        super().__init__({"lock": In(1), "button": In(1), "reset": Out(1, init=1)})  # pyright: ignore[reportCallIssue]  # stubs lack it

    def elaborate(self, platform: object) -> Module:
        m = Module()
        good = Signal()
        m.submodules.good = FFSynchronizer(self.lock & ~self.button, good)
        left = Signal(range(self.cycles + 1), init=self.cycles)
        with m.If(~good):
            m.d.sync += [left.eq(self.cycles), self.reset.eq(1)]
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        with m.Else():
            m.d.sync += self.reset.eq(0)
        return m


class BoardTop(Elaboratable):
    """A core behind the board's serial port.

    The lamps show a run, and damaged frames. The button resets everything but the memories.
    """

    def __init__(self, chosen: Board, cfg: Config, *, megahertz: float, baud: int) -> None:
        self.board = chosen
        self.dividers = dividers(chosen, megahertz)
        self.core = UARTCore(
            cfg,
            divisor=divisor(self.dividers.output, baud),
            slots=chosen.slots,
            slots_in_luts=chosen.slots_in_luts,
        )
        self._requested: dict[tuple[str, int], Any] = {}

    def elaborate(self, platform) -> Module:
        m = Module()
        lock = Signal()
        self._clock(m, platform, lock)
        self._reset(m, platform, lock)
        m.submodules.core = core = self.core
        uart = self._request(platform, "uart", 0)
        m.submodules.rx = rx = io.Buffer(io.Direction.Input, uart.rx)
        m.submodules.tx = tx = io.Buffer(io.Direction.Output, uart.tx)
        m.d.comb += [core.rx.eq(rx.i), tx.o.eq(core.tx)]
        lamps = {"busy": (self.board.busy, core.running), "error": (self.board.error, core.error)}
        for name, ((resource, number, part), shown) in lamps.items():
            pins = self._request(platform, resource, number)
            m.submodules[name] = lamp = io.Buffer(
                io.Direction.Output, getattr(pins, part) if part else pins
            )
            m.d.comb += lamp.o.eq(shown)
        return m

    def _clock(self, m: Module, platform, lock: Signal) -> None:
        pin = platform.request(self.board.clock, dir="-")
        m.domains.sync = sync = ClockDomain()
        m.domains.early = ClockDomain(reset_less=True, local=True)
        if isinstance(self.dividers, Ice40Dividers):
            m.submodules.pll = ice40_pll(self.dividers, pin.io, sync.clk, lock)
        else:
            m.submodules.clock_in = entering = io.Buffer(io.Direction.Input, pin)
            m.submodules.pll = ecp5_pll(self.dividers, entering.i, sync.clk, lock)
        # nextpnr constrains it by the oscillator's frequency and the dividers.
        m.d.comb += ClockSignal("early").eq(sync.clk)

    def _reset(self, m: Module, platform, lock: Signal) -> None:
        m.submodules.button = button = io.Buffer(
            io.Direction.Input, self._request(platform, *self.board.reset)
        )
        hold = ResetHold(round(RESET_US * self.dividers.output))
        m.submodules.hold = DomainRenamer("early")(hold)
        m.d.comb += [hold.lock.eq(lock), hold.button.eq(button.i), ResetSignal().eq(hold.reset)]

    def _request(self, platform, resource: str, number: int):
        """A resource as bare ports; one of several parts, such as three lamps, is asked for once
        and shared."""
        key = (resource, number)
        if key not in self._requested:
            ios = platform.lookup(*key).ios
            parts = {each.name: "-" for each in ios} if hasattr(ios[0], "ios") else "-"
            self._requested[key] = platform.request(*key, dir=parts)
        return self._requested[key]


def emit(name: str, cfg: Config, *, megahertz: float, baud: int) -> str:
    """As JSON: the design in RTLIL, and what nextpnr is to know of pins and the oscillator."""
    os.environ.setdefault("AMARANTH_USE_YOSYS", "builtin")
    chosen = board(name)
    platform = chosen.make_platform()
    top = BoardTop(chosen, cfg, megahertz=megahertz, baud=baud)
    files = platform.prepare(top, name=TOP, emit_src=False).files
    pins = next(text for file, text in files.items() if file.endswith((".pcf", ".lpf")))
    return json.dumps({"rtlil": renamed(_text(files[f"{TOP}.il"])), "pins": _text(pins)})


def _text(content: str | bytes) -> str:
    return content if isinstance(content, str) else content.decode()
