"""The buffer between the accumulators and the requantizers."""

from amaranth import Array, Module, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from . import layouts
from .config import Config
from .delay import delayed


class Results(wiring.Component):
    """Evens out bursts: takes a vector a cycle, skewed by column unless it comes from an adder
    tree, and gives one accumulator for each requantizer.

    It has no bounds of its own: whoever sends vectors into the array counts them and lets no more
    than ``cfg.result_depth`` be on the way or here.

    Attributes
    ----------
    push, i : In
        Bit ``c`` of ``push`` takes column ``c`` of ``i``.
    pushed : Out
        One more vector may be read from now on, a beat each cycle from column 0.
    index : In
        Which vector, counted modulo ``cfg.result_depth``.
    beat : In
        Which of its columns: requantizer ``q`` gets ``beat * cfg.requantizers + q``.
    o : Out
        Accumulators, `LATENCY` cycles later.
    """

    LATENCY = 3

    push: Signal
    i: data.View
    pushed: Signal
    index: Signal
    beat: Signal
    o: data.View

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg
        super().__init__({
            "push":   In(cfg.cols),
            "i":      In(layouts.accumulators(cfg)),
            "pushed": Out(1),
            "index":  In(range(cfg.result_depth)),
            "beat":   In(range(max(2, cfg.beats))),
            "o":      Out(layouts.beat_of_results(cfg)),
        })  # fmt: skip

    @staticmethod
    def waits(cfg: Config) -> int:
        """Cycles from the push of column 0 to `pushed`.

        A reader takes `beats` cycles for the columns; the last beat must find the last column.
        """
        return 0 if cfg.adder_tree else cfg.cols - cfg.beats

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cfg = self.cfg
        columns = self._in_step(m) if cfg.adder_tree else self._skewed(m)
        m.d.comb += self.pushed.eq(self.push[self.waits(cfg)])

        beat = delayed(m, "beat", self.beat, self.LATENCY - 1)
        for q in range(cfg.requantizers):
            mine = columns[q :: cfg.requantizers]
            chosen = Signal(signed(cfg.acc_width), name=f"chosen_{q}", reset_less=True)
            m.d.sync += chosen.eq(mine[0] if len(mine) == 1 else Array(mine)[beat])
            m.d.comb += self.o[q].eq(chosen)
        return m

    def _skewed(self, m: Module) -> list[Value]:
        """A memory for each column, and a register behind it."""
        cfg = self.cfg
        columns = []
        for c in range(cfg.cols):
            m.submodules[f"memory_{c}"] = memory = Memory(
                shape=signed(cfg.acc_width), depth=cfg.result_depth, init=[]
            )
            read, write = memory.read_port(), memory.write_port()
            next_index = Signal(range(cfg.result_depth), name=f"next_{c}")
            m.d.comb += [
                read.addr.eq(self.index),
                write.addr.eq(next_index),
                write.data.eq(self.i[c]),
                write.en.eq(self.push[c]),
            ]
            m.d.sync += next_index.eq(next_index + self.push[c])
            column = Signal(signed(cfg.acc_width), name=f"column_{c}", reset_less=True)
            m.d.sync += column.eq(read.data)
            columns.append(column)
        return columns

    def _in_step(self, m: Module) -> list[Value]:
        """One memory for all columns, and a register in front of it."""
        cfg = self.cfg
        m.submodules.memory = memory = Memory(
            shape=cfg.cols * cfg.acc_width, depth=cfg.result_depth, init=[]
        )
        read, write = memory.read_port(), memory.write_port()
        next_index = Signal(range(cfg.result_depth))
        m.d.sync += next_index.eq(next_index + self.push[0])
        m.d.comb += [
            read.addr.eq(delayed(m, "index", self.index, 1)),
            write.addr.eq(next_index),
            # The pool has the complements.
            write.data.eq(~self.i.as_value()),
            write.en.eq(self.push[0]),
        ]
        return [
            (~read.data[c * cfg.acc_width : (c + 1) * cfg.acc_width]).as_signed()
            for c in range(cfg.cols)
        ]
