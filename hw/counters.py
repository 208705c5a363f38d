"""Counts cycles and why they were lost, and records when layers began."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from . import isa, layouts
from .config import Config
from .count import next_of
from .delay import delayed


class Counters(wiring.Component):
    """The counters of `isa.counters`, and their values at the start of each layer instruction.

    Attributes
    ----------
    clear : In
        A run begins.
    running : In
        Count.
    events : In
        Which of `isa.COUNTERS`, behind the first, go up.
    layer_start, layer_first : In
        A layer instruction begins; it is the first of the program.
    values : Out
        The counters; all but the first are a cycle late.
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
        super().__init__({
            "clear":       In(1),
            "running":     In(1),
            "events":      In(len(isa.COUNTERS) - 1),
            "layer_start": In(1),
            "layer_first": In(1),
            "values":      Out(data.ArrayLayout(32, len(isa.counters(cfg)))),
            "bus":         In(layouts.host_bus(cfg, isa.Space.TRACE)),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # Events come late in their cycle, so they are counted in the next one.
        events = Signal.like(self.events)
        m.d.sync += events.eq(self.events & self.running.replicate(len(events)))
        for i in range(1, len(self.values)):
            m.d.sync += self.values[i].eq(self.values[i] + events[i - 1])
        with m.If(self.running):
            m.d.sync += self.values[0].eq(next_of(self.values[0]))
        with m.If(self.clear):
            m.d.sync += [self.values.eq(0), events.eq(0)]
        if self.cfg.trace_depth:
            self._trace(m)
        return m

    def _trace(self, m: Module) -> None:
        m.submodules.trace = trace = Memory(
            shape=self.values.shape(), depth=self.cfg.trace_depth, init=[]
        )
        write, read = trace.write_port(), trace.read_port()
        index = Signal(range(self.cfg.trace_depth + 1))
        start = Signal()
        first = Signal()
        cycles = Signal(32)
        m.d.sync += [
            start.eq(self.layer_start),
            first.eq(self.layer_first),
            cycles.eq(self.values[0]),
        ]
        here = Mux(first, 0, index)
        with m.If(start & (here != self.cfg.trace_depth)):
            m.d.comb += write.en.eq(1)
            m.d.sync += index.eq(here + 1)
        m.d.comb += [
            write.addr.eq(here),
            write.data.as_value().eq(Cat(cycles, self.values.as_value()[32:])),
            read.addr.eq(self.bus.row),
        ]
        # Read, put into a register, chosen from.
        row = Signal.like(read.data, reset_less=True)
        word = delayed(m, "word", self.bus.word, layouts.HostBus.READ_LATENCY - 1)
        r_data = Signal.like(self.bus.r_data, reset_less=True)
        m.d.sync += [row.eq(read.data), r_data.eq(row[word])]
        m.d.comb += self.bus.r_data.eq(r_data)
