"""The requantizer equals docs/numerics.md for every input.

It has no feedback: its output is a function of what entered `LATENCY` cycles before. So a bounded
check that is a little deeper than that holds for ever. The one thing that no solver decides at full
width, that two products of halves add up to the product, is proven at a smaller one, and everything
behind the product at full width, for any product.
"""

from functools import partial
from typing import Any
from unittest.mock import patch

from amaranth import Const, Mux, Signal, signed

from hw import requant
from hw.config import Config
from hw.requant import Requant
from tests.formal.harness import Checks, Harness
from tests.formal.prove import Bug, Task

BIAS, PRODUCT = 1, 4
"""Cycles until the sum with the bias, and until the product, are registered."""


class AnyProduct(Requant):
    """The requantizer behind its multiplier: the product is anything that one may be."""

    def _multiply(self, m: Any, biased: Any, multiplier: Any) -> Signal:
        self.product = Signal(signed(len(biased) + len(multiplier)))
        return self.product


class OnlyProduct(Requant):
    """Shows the product."""

    def _multiply(self, m: Any, biased: Any, multiplier: Any) -> Signal:
        self.product = super()._multiply(m, biased, multiplier)
        return self.product


def delayed(check: Checks, value: Any, cycles: int) -> Any:
    for _ in range(cycles):
        value = check.before(value)
    return value


def age(check: Checks, cycles: int) -> Any:
    """Whether so many cycles have gone by since reset."""
    return delayed(check, check.past, cycles - 1) if cycles > 1 else check.past


def behind_the_product(check: Checks, dut: AnyProduct) -> None:
    """``clamp(zero_point + round_half_even(product / 2**shift), lo, hi)``, written as it stands."""
    width = len(dut.product)
    product = check.any_value(signed(width), "product")
    check.m.d.comb += dut.product.eq(product)
    before = Requant.LATENCY - PRODUCT
    value = Signal(signed(width))
    check.m.d.comb += value.eq(delayed(check, product, before))
    entry = {
        name: delayed(check, dut.entry[name], Requant.LATENCY)
        for name in ("shift", "zero_point", "lo", "hi")
    }
    check.assume(entry["shift"] <= 47)
    clamped = rounded(check, value, entry)
    check.prove(~age(check, Requant.LATENCY) | (dut.o == clamped))


def rounded(check: Checks, value: Signal, entry: Any) -> Any:
    """``clamp(zero_point + round_half_even(value / 2**shift), lo, hi)``, written as it stands."""
    # As wide as the largest shift, which moves a narrow product out altogether.
    whole = max(len(value), 64) + 1
    floor, remainder = Signal(signed(whole)), Signal(whole)
    one, half = Signal(whole), Signal(whole)
    nearest = Signal(signed(whole + 1))
    moved = Signal(signed(whole + 2))
    check.m.d.comb += [
        floor.eq(value >> entry["shift"]),
        remainder.eq(value - (floor << entry["shift"])),
        one.eq(Const(1) << entry["shift"]),
        half.eq(one >> 1),
        nearest.eq(
            floor
            + Mux(
                entry["shift"] == 0,
                0,
                (remainder > half) | ((remainder == half) & floor[0]),
            )
        ),
        moved.eq(nearest + entry["zero_point"].as_signed()),
    ]
    lo, hi = entry["lo"].as_signed(), entry["hi"].as_signed()
    check.assume(lo <= hi)
    return Mux(moved < lo, lo, Mux(moved > hi, hi, moved))


def product(check: Checks, dut: OnlyProduct) -> None:
    """``(acc + bias) * multiplier``, where the compiler has proven that the sum fits."""
    width = dut.cfg.acc_width
    total = dut.acc + dut.entry.bias
    fits = (total >= -(1 << (width - 1))) & (total < 1 << (width - 1))
    check.assume(fits)
    wanted = total * dut.entry.multiplier
    check.prove(~age(check, PRODUCT) | (dut.product == delayed(check, wanted, PRODUCT).as_signed()))


def anything_behind(cfg: Config) -> Harness:
    return Harness(AnyProduct(cfg), behind_the_product)


class Narrow:
    """A configuration narrower than a person may choose."""

    serial_requant = 1
    requant_digits = Config.requant_digits
    requant_cycles = Config.requant_cycles

    def __init__(self, acc_width: int, multiplier_width: int) -> None:
        self.acc_width, self.multiplier_width = acc_width, multiplier_width


def product_of(acc_width: int, multiplier_width: int, half: int) -> Harness:
    with patch.object(requant, "HALF", half):
        # `Narrow` has only the two fields of a configuration that a requantizer reads.
        dut: Any = OnlyProduct(Narrow(acc_width, multiplier_width))  # type: ignore[arg-type]
        harness = Harness(dut, product)
        elaborate = harness.elaborate

    def halved(platform: object) -> Any:
        with patch.object(requant, "HALF", half):
            return elaborate(platform)

    harness.elaborate = halved  # type: ignore[method-assign]
    return harness


ROUNDED_UP = Bug("hw.requant", "guard & (sticky | floor[0])", "guard", Requant.LATENCY + 2)
UNSIGNED = Bug(
    "hw.requant", "min(HALF, width - 1) :].as_signed()", "min(HALF, width - 1) :]",
    PRODUCT + 2,
)  # fmt: skip

TASKS = [
    Task(
        "requantizer behind its product, 24 + 12 bits",
        partial(anything_behind, Config(rows=3, cols=2, acc_width=24, multiplier_width=12)),
        "bmc", Requant.LATENCY + 3,
        "shift, rounding and clamp equal docs/numerics.md for every product of 36 bits",
        ROUNDED_UP, no_feedback=True,
    ),
    Task(
        "requantizer behind its product, 32 + 16 bits",
        partial(anything_behind, Config()), "bmc", Requant.LATENCY + 3,
        "shift, rounding and clamp equal docs/numerics.md for every product of 48 bits",
        ROUNDED_UP, no_feedback=True,
    ),
    Task(
        "requantizer's product, 8 x 4 bits", partial(product_of, 8, 4, 4), "bmc", PRODUCT + 3,
        "the halves' products add up to the product of sum and multiplier", UNSIGNED,
        quick=True, no_feedback=True,
    ),
    Task(
        "requantizer's product, 10 x 6 bits", partial(product_of, 10, 6, 5), "bmc", PRODUCT + 3,
        "the halves' products add up to the product of sum and multiplier", UNSIGNED,
        no_feedback=True,
    ),
]  # fmt: skip
