"""A design behind so few pins that any package has them."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .array import Array
from .core import Core
from .requant import Requant
from .tree import Tree


class FewPins(wiring.Component):
    """Any component between two shift registers, so that place and route sees it alone.

    Every input comes from a flip-flop and every output goes to one, as beside neighbours in a
    larger design. Nothing is constant, unused or a delayed copy of its neighbour (as the bits of a
    mere shift register are), so synthesis removes and joins nothing. The wrapper's own cells are
    counted as the block ``pins``.

    Attributes
    ----------
    i : In
        Next bit of the inputs.
    load : In
        Give the bits that came last to the inputs and take all outputs; else shift them out.
    o : Out
        Last bit of the outputs.
    """

    i: Signal
    load: Signal
    o: Signal

    def __init__(self, part: Core | Array | Tree | Requant) -> None:
        self.part = part
        super().__init__({"i": In(1), "load": In(1), "o": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.core = part = self.part
        inputs, outputs = [], []
        for _, member, value in part.signature.flatten(part):
            (outputs if member.flow is Out else inputs).append(value)
        driven = Cat(*(_bits(value) for value in inputs))
        seen = Cat(*(_bits(value) for value in outputs))
        shift_in = Signal(len(driven), reset_less=True)
        shift_out = Signal(len(seen), reset_less=True)
        held = Signal(len(driven), reset_less=True)
        load = Signal(reset_less=True)
        m.d.sync += [
            shift_in.eq(Cat(self.i, shift_in)),
            load.eq(self.load),
            shift_out.eq(Mux(load, seen, shift_out << 1)),
        ]
        with m.If(load):
            m.d.sync += held.eq(shift_in)
        m.d.comb += [driven.eq(held), self.o.eq(shift_out[-1])]
        return m


def _bits(value):
    return value.as_value() if hasattr(value, "as_value") else value
