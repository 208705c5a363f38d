"""Requantization with few cells: one value at a time, two bits of its multiplier per cycle."""

from amaranth import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from . import isa, layouts
from .config import Config

WINDOW = 8
"""Bits of the result that are looked at: what needs more is clamped whatever the zero point is."""


class SerialRequant(wiring.Component):
    """The same function as `Requant`, of one value every ``cfg.requant_cycles`` cycles.

    Cycle 0 is that of `start`, and the product grows from its lowest bits: a step adds two bits of
    the multiplier and puts the two lowest bits of the product out. The digits take cycles 1 to
    ``digits``; up to three more steps, without a digit, put the bits that count where they are
    looked at, at whole bytes. Then come floor, sum with the zero point, and clamp.

    Attributes
    ----------
    start : In
        `acc` is there; no earlier than ``cfg.requant_cycles`` behind the one before.
    acc : In
        Accumulator without its bias; with it, it must fit ``cfg.acc_width`` bits.
    entry : In
        The channel's entry of the table, from `start` to the cycle of `ending`.
    ahead, ending : Out
        `AHEAD` cycles, and one, before the result.
    o : Out
        int8, ``cfg.requant_cycles`` after `start` and in no other cycle.
    """

    AHEAD = 4

    start: Signal
    acc: Signal
    entry: data.View
    ahead: Signal
    ending: Signal
    o: Signal

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg
        self.digits = cfg.requant_digits
        super().__init__({
            "start":  In(1),
            "acc":    In(signed(cfg.acc_width)),
            "entry":  In(isa.table_entry(cfg)),
            "ahead":  Out(1),
            "ending": Out(1),
            "o":      Out(layouts.INT8),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        shift = self.entry.shift
        # An odd shift takes twice the multiplier, so that a shift is of whole steps.
        steps = Signal(6, reset_less=True)
        m.d.sync += steps.eq(shift[1:] + shift[0])

        # Cycles since `start`, less the steps that a window of bits takes.
        at = Signal(signed(6), init=-WINDOW // 2)
        running = Signal()
        end = self.cfg.requant_cycles - WINDOW // 2
        m.d.comb += [self.ahead.eq(at == end - self.AHEAD), self.ending.eq(at == end - 1)]
        with m.If(self.start):
            m.d.sync += running.eq(1)
        with m.If(self.start | running):
            m.d.sync += at.eq(at + 1)
        with m.If(self.ending):
            m.d.sync += [at.eq(at.init), running.eq(0)]

        # The last step is that behind which what is left to shift is a number of bytes; bits below
        # the window and above it are only summed up.
        stepping = Signal()
        capturing = Signal()
        with m.If((at >= self.digits - WINDOW // 2) & (at[:2] == steps[:2])):
            m.d.sync += stepping.eq(0)
        with m.If(at == steps.as_unsigned()):
            m.d.sync += capturing.eq(0)
        with m.If(self.start):
            m.d.sync += [stepping.eq(1), capturing.eq(1)]

        upper, put_out = self._multiply(m, stepping, self._digit(m, at))
        window, lost, ones, zeros = self._capture(m, stepping, capturing, put_out)
        self._finish(m, upper, window, lost, ones, zeros)
        return m

    def _digit(self, m: Module, at: Signal) -> Value:
        """Two bits of the multiplier, or of twice that, for the step of the next cycle."""
        pairs = [self.entry.multiplier[2 * i : 2 * i + 2] for i in range(self.digits)]
        pairs += [Const(0, 2)] * (16 - len(pairs))
        # `at` starts below 0.
        first = WINDOW // 2
        now = Signal(2)
        earlier = Signal(reset_less=True)
        digit = Signal(2, reset_less=True)
        m.d.comb += now.eq(Array(pairs[first:] + pairs[:first])[at[:4]])
        m.d.sync += [
            earlier.eq(now[1]),
            digit.eq(Mux(self.entry.shift[0], Cat(earlier & ~self.start, now[0]), now)),
        ]
        return digit

    def _multiply(self, m: Module, stepping: Value, digit: Value) -> tuple[Signal, Value]:
        """The upper part of the product, and the two bits that a step puts out."""
        width = self.cfg.acc_width
        value = Signal(signed(width), reset_less=True)
        upper = Signal(signed(width), reset_less=True)
        # A choice behind an adder fits into the adder's own cells; one before it does not.
        first = Signal(signed(width + 1))
        second = Signal(signed(width + 1))
        half = first >> 1
        m.d.comb += [
            first.eq(Mux(digit[0], upper + value, upper)),
            second.eq(Mux(digit[1], half + value, half)),
        ]
        with m.If(stepping):
            m.d.sync += upper.eq(second >> 1)
        with m.If(self.start):
            m.d.sync += [value.eq(self.acc + self.entry.bias), upper.eq(0)]
        return upper, Cat(first[0], second[0])

    def _capture(
        self, m: Module, stepping: Value, capturing: Value, put_out: Value
    ) -> tuple[Signal, Signal, Signal, Signal]:
        """What was put out: the bit below the window and the window, whether any bit below them is
        set, and whether there are ones and zeros above."""
        window = Signal(1 + WINDOW, reset_less=True)
        lost = Signal(reset_less=True)
        ones = Signal(reset_less=True)
        zeros = Signal(reset_less=True)
        with m.If(stepping & capturing):
            m.d.sync += [window.eq(Cat(window[2:], put_out)), lost.eq(lost | window[:2].any())]
        with m.If(stepping & ~capturing):
            m.d.sync += [ones.eq(ones | put_out.any()), zeros.eq(zeros | ~put_out.all())]
        with m.If(self.start):
            m.d.sync += [window.eq(0), lost.eq(0), ones.eq(0), zeros.eq(0)]
        return window, lost, ones, zeros

    def _finish(
        self, m: Module, upper: Signal, window: Signal, lost: Value, ones: Value, zeros: Value
    ) -> None:
        """Floor and rounding, with the window in its place; sum with the zero point; clamp."""
        negative = upper[-1]
        count = -(-len(upper) // 8)
        wide = Signal(signed(8 * count))
        m.d.comb += wide.eq(upper)
        bytes_ = [wide[8 * i : 8 * i + 8] for i in range(count)]
        # Behind the last step the window is what was captured, or one of the bytes of the upper
        # part, or lies above them: then there is less than a half.
        place = Signal(range(count + 1), reset_less=True)
        behind = Signal(count + 1, reset_less=True)
        """Bit ``i``: it is further up than place ``i``."""
        beyond = behind[-1]
        for i in range(count + 1):
            far = self.entry.shift >= 2 * (self.digits + 4 * i) - 1
            m.d.sync += behind[i].eq(far)
            with m.If(far):
                m.d.sync += place.eq(min(i + 1, count))
        with m.If(~(self.entry.shift >= 2 * self.digits - 1)):
            m.d.sync += place.eq(0)

        odd = [(byte != negative.replicate(8)) for byte in bytes_]
        before = [window[1:], *bytes_]
        dropped = [window[:WINDOW].any()]
        for i in range(1, count):
            dropped.append(before[i - 1][7] | bytes_[i - 1][:7].any())
        below = lost | Cat(b & there for b, there in zip(behind, dropped, strict=False)).any()
        halves = [window[0], *(byte[7] for byte in before[:-1])]
        over = Mux(negative, zeros, ones) & ~behind[0]
        too_long = over | Cat(~behind[i] & there for i, there in enumerate(odd)).any()
        floor = Signal(signed(WINDOW + 1), reset_less=True)
        up = Signal(reset_less=True)
        low = Signal(WINDOW)
        m.d.comb += low.eq(Array(before)[place])
        m.d.sync += [
            floor.eq(Cat(low, negative)),
            up.eq(Array(halves)[place] & (below | low[0])),
        ]
        with m.If(beyond):
            m.d.sync += [floor.eq(0), up.eq(0)]

        moved = Signal(signed(WINDOW + 2), reset_less=True)
        too_low = Signal(reset_less=True)
        too_high = Signal(reset_less=True)
        outside = Signal()
        m.d.comb += outside.eq(too_long)
        m.d.sync += [
            moved.eq(floor + self.entry.zero_point + up),
            too_low.eq(outside & negative),
            too_high.eq(outside & ~negative),
        ]
        lo, hi = self.entry.lo, self.entry.hi
        is_low = too_low | ((moved < lo) & ~too_high)
        m.d.sync += self.o.eq(Mux(is_low, lo, Mux(too_high | (moved > hi), hi, moved)))
