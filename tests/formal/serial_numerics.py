"""The serial requantizer equals docs/numerics.md for every input.

At a width where a solver decides all of it at once; and at full width in two parts, as the other
one in numerics.py: that steps put out the bits of the product, and what follows from those of any.
"""

from functools import partial
from typing import Any

from amaranth import Mux, Signal, signed

from hw.config import Config
from hw.serial_requant import SerialRequant
from tests.formal.harness import Checks, Harness
from tests.formal.numerics import Narrow, rounded
from tests.formal.prove import Bug, Task


class AnyProduct(SerialRequant):
    """The serial requantizer behind its multiplier: steps put out the bits of any product."""

    def _multiply(self, m: Any, stepping: Any, digit: Any) -> tuple[Signal, Any]:
        width = self.cfg.acc_width + self.cfg.multiplier_width
        self.product = Signal(signed(width))
        self.early = Signal(signed(self.cfg.acc_width))
        """The upper part before all digits are added: of an unfinished product, anything."""
        left, steps = Signal(signed(width + 1)), Signal(range(self.digits + 1))
        upper = Signal(signed(self.cfg.acc_width))
        m.d.comb += upper.eq(Mux(steps == self.digits, left, self.early))
        with m.If(stepping):
            m.d.sync += [left.eq(left >> 2), steps.eq(steps + (steps != self.digits))]
        with m.If(self.start):
            m.d.sync += [left.eq(Mux(self.entry.shift[0], self.product << 1, self.product))]
            m.d.sync += steps.eq(0)
        return upper, left[:2]


class OnlyDigits(SerialRequant):
    """Shows what its multiplier adds and what it puts out."""

    def _multiply(self, m: Any, stepping: Any, digit: Any) -> tuple[Signal, Any]:
        self.stepping, self.digit = stepping, digit
        self.upper, self.put_out = super()._multiply(m, stepping, digit)
        return self.upper, self.put_out


def one_at_a_time(check: Checks, dut: SerialRequant) -> Any:
    """Starts whenever it may, always with the same accumulator and entry: twice the same, for
    whatever the first leaves behind must not count. Returns the cycles since the last start."""
    period = dut.cfg.requant_cycles
    acc = check.any_constant(dut.acc.shape(), "acc")
    entry = check.any_constant(len(dut.entry.as_value()), "entry")
    check.assume((dut.acc == acc) & (dut.entry.as_value() == entry))
    since = check.register(range(period + 2), "since")
    at_work = (since != 0) & (since < period)
    check.assume(~(dut.start & at_work))
    with check.m.If(dut.start):
        check.m.d.sync += since.eq(1)
    with check.m.Elif(since != 0):
        check.m.d.sync += since.eq(since + (since <= period))
    return since


def total_that_fits(check: Checks, dut: SerialRequant) -> Any:
    """Accumulator and bias, where the compiler has proven that the sum fits."""
    total = dut.acc + dut.entry.bias
    half = 1 << (dut.cfg.acc_width - 1)
    check.assume((total >= -half) & (total < half))
    return total


def result(check: Checks, dut: SerialRequant, value: Signal, since: Any) -> None:
    """When it is said and as docs/numerics.md says, of a product."""
    period = dut.cfg.requant_cycles
    clamped = rounded(check, value, dut.entry)
    check.prove((since != period) | (dut.o == clamped))
    check.prove(dut.ending == (since == period - 1))
    check.prove(dut.ahead == (since == period - dut.AHEAD))


def anything(check: Checks, dut: SerialRequant) -> None:
    """Any accumulator and entry that the compiler lets through."""
    since = one_at_a_time(check, dut)
    value = Signal(signed(dut.cfg.acc_width + dut.cfg.multiplier_width))
    check.m.d.comb += value.eq(total_that_fits(check, dut) * dut.entry.multiplier)
    result(check, dut, value, since)


def behind_the_product(check: Checks, dut: AnyProduct) -> None:
    """Any product and entry."""
    since = one_at_a_time(check, dut)
    product = check.any_constant(dut.product.shape(), "product")
    early = check.any_value(dut.early.shape(), "early")
    check.m.d.comb += [dut.product.eq(product), dut.early.eq(early)]
    result(check, dut, product, since)


def digit_by_digit(check: Checks, dut: OnlyDigits) -> None:
    """The digits are those of the multiplier, or of twice that, from the lowest on. A step adds a
    digit times the total to the upper part, and takes two bits off the sum, which it puts out.

    With total ``t``, digits ``d[i]``, bits ``p[i]`` and upper parts ``u[i]``, of which the first is
    0, ``u[i] + d[i] t = 4 u[i + 1] + p[i]``. Times ``4**i`` and summed up over ``k`` steps,
    ``sum(4**i d[i]) t = 4**k u[k] + sum(4**i p[i])``: what was put out, below the upper part, is
    the product with the multiplier as soon as all of its digits have come.
    """
    one_at_a_time(check, dut)
    total = total_that_fits(check, dut)
    rest = check.register(dut.cfg.multiplier_width + 1, "rest")
    started = check.register(1, "started")
    with check.m.If(dut.stepping):
        check.m.d.sync += rest.eq(rest >> 2)
    with check.m.If(dut.start):
        doubled = Mux(dut.entry.shift[0], dut.entry.multiplier << 1, dut.entry.multiplier)
        check.m.d.sync += [started.eq(1), rest.eq(doubled)]
    check.prove(~(started & dut.stepping) | (dut.digit == rest[:2]))
    times = Mux(dut.digit[0], total, 0) + Mux(dut.digit[1], total << 1, 0)
    stepped = check.before(started & dut.stepping & ~dut.start)
    wanted = check.before(dut.upper + times)
    taken_off = check.before(dut.put_out)
    check.prove(~stepped | ((dut.upper << 2) + taken_off == wanted))
    check.prove(~check.before(dut.start) | (dut.upper == 0))


def ties_up(period: int) -> Bug:
    """Shows at the end of the first period."""
    return Bug("hw.serial_requant", "(below | low[0])", "1", period + 3)


def whole(acc_width: int, multiplier_width: int) -> Harness:
    cfg: Any = Narrow(acc_width, multiplier_width)
    return Harness(SerialRequant(cfg), anything)


def parts(acc_width: int, multiplier_width: int) -> list[Task]:
    """At full width, of what is in front of the product's bits and of what is behind them."""
    cfg = Config(acc_width=acc_width, multiplier_width=multiplier_width, serial_requant=1)
    width, period = acc_width + multiplier_width, cfg.requant_cycles
    return [
        Task(
            f"serial requantizer behind its product, {acc_width} + {multiplier_width} bits",
            lambda: Harness(AnyProduct(cfg), behind_the_product), "bmc",
            2 * period + 3,
            f"shift, rounding and clamp equal docs/numerics.md for every product of {width} bits",
            ties_up(period),
        ),
        Task(
            f"serial requantizer's product, {acc_width} x {multiplier_width} bits",
            lambda: Harness(OnlyDigits(cfg), digit_by_digit), "bmc", 2 * period + 3,
            "digits are those of the multiplier, and each step adds the total times one",
            Bug("hw.serial_requant", "earlier & ~self.start", "earlier", period + 3),
        ),
    ]  # fmt: skip


TASKS = [
    Task(
        "serial requantizer, 4 x 2 bits", partial(whole, 4, 2), "bmc",
        2 * Narrow(4, 2).requant_cycles + 3,
        "sum, product, shift, rounding and clamp equal docs/numerics.md, for every shift",
        ties_up(Narrow(4, 2).requant_cycles),
    ),
    *parts(24, 16),
    *parts(40, 24),
]  # fmt: skip
