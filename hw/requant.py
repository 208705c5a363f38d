"""Requantization: accumulator to int8, as docs/numerics.md says."""

from itertools import pairwise

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from . import isa, layouts
from .config import Config
from .multiplier import RegisteredProduct

HALF = 16
"""Bits of the lower part of an accumulator, multiplied apart: a block multiplies 18 x 18 bits."""

COARSE = 512
"""What lies outside of [-COARSE, COARSE) is clamped whatever the zero point is, so it need not be
exact."""


class Requant(wiring.Component):
    """``clamp(zero_point + round_half_even((acc + bias) * multiplier / 2**shift), lo, hi)``.

    Takes a value every cycle and gives its result `LATENCY` cycles later.

    Attributes
    ----------
    acc : In
        Accumulator without its bias; with it, it must fit ``cfg.acc_width`` bits.
    entry : In
        The channel's entry of the table; `write` is of no meaning here.
    o : Out
        int8.
    """

    LATENCY = 10

    acc: Signal
    entry: data.View
    o: Signal

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg
        super().__init__({
            "acc":   In(signed(cfg.acc_width)),
            "entry": In(isa.table_entry(cfg)),
            "o":     Out(layouts.INT8),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = self.cfg.acc_width

        # What the stages below still need of the entry moves along with the value.
        rest = data.StructLayout(
            {"shift": 6, "zero_point": layouts.INT8, "lo": layouts.INT8, "hi": layouts.INT8}
        )
        entries = [Signal(rest, name=f"entry_{i}", reset_less=True) for i in range(1, self.LATENCY)]
        for name in rest.members:
            m.d.sync += entries[0][name].eq(self.entry[name])
        for before, after in pairwise(entries):
            m.d.sync += after.eq(before)

        # Stage 1: the sum. A block's own registers are too far away for it to go there at once.
        biased = Signal(signed(width), reset_less=True)
        multiplier = Signal.like(self.entry.multiplier, reset_less=True)
        m.d.sync += [biased.eq(self.acc + self.entry.bias), multiplier.eq(self.entry.multiplier)]
        product = self._multiply(m, biased, multiplier)
        floor, guard, sticky = self._shift(m, product, [entries[i].shift for i in (3, 4, 5)])

        # Stage 8: to a width that is enough for the clamp; 9: round and move; 10: clamp.
        coarse = Signal(signed(10), reset_less=True)
        up = Signal(reset_less=True)
        m.d.sync += [
            coarse.eq(Mux(floor >= COARSE, COARSE - 1, Mux(floor < -COARSE, -COARSE, floor))),
            up.eq(guard & (sticky | floor[0])),
        ]
        moved = Signal(signed(12), reset_less=True)
        m.d.sync += moved.eq(coarse + up + entries[7].zero_point)
        last = entries[8]
        m.d.sync += self.o.eq(Mux(moved < last.lo, last.lo, Mux(moved > last.hi, last.hi, moved)))
        return m

    def _multiply(self, m: Module, biased: Signal, multiplier: Value) -> Signal:
        """Stages 2 to 4: the exact product, from two halves."""
        width = self.cfg.acc_width
        parts = biased[: min(HALF, width - 1)], biased[min(HALF, width - 1) :].as_signed()
        products = []
        for name, part in zip(("low", "high"), parts, strict=True):
            product = RegisteredProduct(part.shape(), multiplier.shape())
            m.submodules[name] = product
            m.d.comb += [product.a.eq(part), product.b.eq(multiplier)]
            products.append(product.o)
        low, high = products
        whole = Signal(signed(width + self.cfg.multiplier_width), reset_less=True)
        m.d.sync += whole.eq((high << len(parts[0])) + low)
        return whole

    def _shift(self, m: Module, product: Signal, shifts: list) -> tuple:
        """Stages 5 to 7: floor, the first bit below it, and whether any bit below that is set."""
        value, sticky = Cat(Const(0, 1), product).as_signed(), Const(0, 1)
        for stage, (shift, bits) in enumerate(zip(shifts, ((5, 4), (3, 2), (1, 0)), strict=True)):
            for bit in bits:
                dropped = value[: 1 << bit].any()
                sticky = sticky | (shift[bit] & dropped)
                value = Mux(shift[bit], value >> (1 << bit), value)
            kept = Signal(signed(len(value)), name=f"shifted_{stage}", reset_less=True)
            lost = Signal(name=f"sticky_{stage}", reset_less=True)
            m.d.sync += [kept.eq(value), lost.eq(sticky)]
            value, sticky = kept, lost
        return value >> 1, value[0], sticky
