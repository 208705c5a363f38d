"""Counts cycles and why they were lost, and records when layers began."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from . import isa, layouts
from .config import Config


class Counters(wiring.Component):
    """The counters of `isa.COUNTERS`, and their values at the start of each layer instruction.

    Attributes
    ----------
    clear : In
        A run begins.
    running : In
        Count.
    events : In
        Which counters, behind the first, go up.
    layer_start, layer_first : In
        A layer instruction begins; it is the first of the program.
    values : Out
        The counters.
    bus : In
        The trace: row ``i`` holds the counters at the last start of instruction ``i``.
    """

    clear: Signal
    running: Signal
    events: Signal
    layer_start: Signal
    layer_first: Signal
    values: data.View
    bus: wiring.PureInterface

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg
        count = len(isa.COUNTERS)
        super().__init__({
            "clear":       In(1),
            "running":     In(1),
            "events":      In(count - 1),
            "layer_start": In(1),
            "layer_first": In(1),
            "values":      Out(data.ArrayLayout(32, count)),
            "bus":         In(layouts.host_bus(cfg, isa.Space.TRACE)),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        with m.If(self.running):
            m.d.sync += self.values[0].eq(self.values[0] + 1)
            for i in range(1, len(isa.COUNTERS)):
                m.d.sync += self.values[i].eq(self.values[i] + self.events[i - 1])
        with m.If(self.clear):
            m.d.sync += self.values.eq(0)
        if self.cfg.trace_depth:
            self._trace(m)
        return m

    def _trace(self, m: Module) -> None:
        m.submodules.trace = trace = Memory(
            shape=self.values.shape(), depth=self.cfg.trace_depth, init=[]
        )
        write, read = trace.write_port(), trace.read_port()
        index = Signal(range(self.cfg.trace_depth + 1))
        here = Mux(self.layer_first, 0, index)
        with m.If(self.layer_start & (here != self.cfg.trace_depth)):
            m.d.comb += write.en.eq(1)
            m.d.sync += index.eq(here + 1)
        m.d.comb += [
            write.addr.eq(here),
            write.data.eq(self.values),
            read.addr.eq(self.bus.row),
        ]
        word = Signal.like(self.bus.word)
        m.d.sync += [word.eq(self.bus.word), self.bus.r_data.eq(read.data[word])]
