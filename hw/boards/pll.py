"""Clocks out of the boards' own: dividers of the PLLs of both families, and the blocks."""

from dataclasses import dataclass
from typing import TypeVar

from amaranth import Const, Instance, Signal

from ..errors import ConfigError

FAR_OFF = 0.01
"""Share by which the frequency may be off the one that was asked for."""


D = TypeVar("D", "Ice40Dividers", "Ecp5Dividers")


@dataclass(frozen=True, kw_only=True)
class Ice40Dividers:
    """Of an SB_PLL40 in its simple mode; MHz."""

    reference: float
    divr: int
    divf: int
    divq: int

    @property
    def vco(self) -> float:
        """From 533 to 1,066."""
        return self.reference / (self.divr + 1) * (self.divf + 1)

    @property
    def output(self) -> float:
        """What comes out."""
        return self.vco / (1 << self.divq)

    @property
    def filter_range(self) -> int:
        """The setting that the phase detector's frequency asks for."""
        compared = self.reference / (self.divr + 1)
        limits = (17, 26, 44, 66, 101)
        return 1 + sum(compared >= limit for limit in limits)


@dataclass(frozen=True, kw_only=True)
class Ecp5Dividers:
    """Of an EHXPLLL: its first output is the feedback, its second the clock; MHz."""

    reference: float
    clki: int
    clkfb: int
    clkop: int
    clkos: int

    @property
    def vco(self) -> float:
        """From 400 to 800."""
        return self.reference / self.clki * self.clkfb * self.clkop

    @property
    def output(self) -> float:
        """What comes out."""
        return self.vco / self.clkos


def ice40_dividers(reference: float, megahertz: float) -> Ice40Dividers:
    """Those that come nearest to a frequency. ConfigError when none comes near."""
    found = [
        each
        for divr in range(16)
        if 10 <= reference / (divr + 1) <= 133
        for divf in range(128)
        for divq in range(1, 7)
        if 533 <= (
            each := Ice40Dividers(reference=reference, divr=divr, divf=divf, divq=divq)
        ).vco <= 1066
        and 16 <= each.output <= 275
    ]  # fmt: skip
    # Of equals the highest VCO, which jitters least.
    best = min(found, key=lambda d: (abs(d.output - megahertz), -d.vco), default=None)
    return _near(best, megahertz, "16 to 275")


def ecp5_dividers(reference: float, megahertz: float) -> Ecp5Dividers:
    """Those that come nearest to a frequency. ConfigError when none comes near."""
    found = [
        Ecp5Dividers(
            reference=reference, clki=clki, clkfb=clkfb, clkop=clkop,
            clkos=min(max(round(reference / clki * clkfb * clkop / megahertz), 2), 128),
        )
        for clki in range(1, int(reference / 3.125) + 1)
        for clkfb in range(1, 81)
        for clkop in range(1, 129)
        if 400 <= reference / clki * clkfb * clkop <= 800
    ]  # fmt: skip
    best = min(
        found, key=lambda d: (round(abs(d.output - megahertz), 6), d.clki, d.clkop), default=None
    )
    return _near(best, megahertz, "4 to 400")


def _near(best: D | None, megahertz: float, span: str) -> D:
    if best is None or abs(best.output / megahertz - 1) > FAR_OFF:
        raise ConfigError(f"the PLL makes no {megahertz:g} MHz; it makes about {span} MHz")
    return best


def ice40_pll(dividers: Ice40Dividers, pad: object, clock: Signal, lock: Signal) -> Instance:
    """The block for a clock that enters at a pad of the PLL's own, as on the iCEBreaker."""
    return Instance(
        "SB_PLL40_PAD",
        p_FEEDBACK_PATH="SIMPLE",
        p_DIVR=Const(dividers.divr, 4),
        p_DIVF=Const(dividers.divf, 7),
        p_DIVQ=Const(dividers.divq, 3),
        p_FILTER_RANGE=Const(dividers.filter_range, 3),
        i_PACKAGEPIN=pad,
        i_RESETB=Const(1),
        i_BYPASS=Const(0),
        o_PLLOUTGLOBAL=clock,
        o_LOCK=lock,
    )


def ecp5_pll(dividers: Ecp5Dividers, reference: Signal, clock: Signal, lock: Signal) -> Instance:
    """The block; the attributes are those that Lattice's tool writes for any frequency."""
    feedback = Signal()
    return Instance(
        "EHXPLLL",
        a_ICP_CURRENT="12",
        a_LPF_RESISTOR="8",
        a_MFG_ENABLE_FILTEROPAMP="1",
        a_MFG_GMCREF_SEL="2",
        p_CLKI_DIV=dividers.clki,
        p_CLKFB_DIV=dividers.clkfb,
        p_FEEDBK_PATH="CLKOP",
        p_CLKOP_ENABLE="ENABLED",
        p_CLKOP_DIV=dividers.clkop,
        p_CLKOP_CPHASE=dividers.clkop - 1,
        p_CLKOP_FPHASE=0,
        p_CLKOS_ENABLE="ENABLED",
        p_CLKOS_DIV=dividers.clkos,
        p_CLKOS_CPHASE=dividers.clkos - 1,
        p_CLKOS_FPHASE=0,
        i_CLKI=reference,
        i_CLKFB=feedback,
        i_RST=Const(0),
        i_STDBY=Const(0),
        i_PHASESEL0=Const(0),
        i_PHASESEL1=Const(0),
        i_PHASEDIR=Const(1),
        i_PHASESTEP=Const(1),
        i_PHASELOADREG=Const(1),
        i_PLLWAKESYNC=Const(0),
        i_ENCLKOP=Const(0),
        i_ENCLKOS=Const(0),
        o_CLKOP=feedback,
        o_CLKOS=clock,
        o_LOCK=lock,
    )
