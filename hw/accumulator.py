"""Accumulators behind the array, and the pooling of complete sums."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from . import layouts
from .config import Config


class Accumulators(wiring.Component):
    """Adds the sums of all passes, and pools complete ones, in each column a cycle later than
    before.

    An accumulator is read two cycles before its sum comes (a block RAM with its output register)
    and written one cycle after: `HAZARD` cycles must lie between two vectors for one address.

    Attributes
    ----------
    order : In
        What to do with the sum of column 0 that comes `LEAD` cycles later.
    sums : In
        Sums of the array.
    push : Out
        Bit ``c``: column ``c`` of ``pooled`` is the accumulator of a whole window.
    pooled : Out
        One accumulator for each column, `LATENCY` cycles behind its last sum.
    """

    LEAD = 2
    LATENCY = 2
    HAZARD = 4

    order: data.View
    sums: data.View
    push: Signal
    pooled: data.View

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg
        super().__init__({
            "order":  In(layouts.accumulate(cfg)),
            "sums":   In(layouts.sums(cfg)),
            "push":   Out(cfg.cols),
            "pooled": Out(layouts.accumulators(cfg)),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        order = self.order
        for c in range(self.cfg.cols):
            order = self._column(m, c, order)
        return m

    def _column(self, m: Module, c: int, order: data.View) -> data.View:
        """Builds column ``c`` and returns its order, one cycle late, for the next column."""
        acc = signed(self.cfg.acc_width)
        m.submodules[f"memory_{c}"] = memory = Memory(
            shape=self.cfg.acc_width, depth=self.cfg.acc_depth, init=[]
        )
        read, write = memory.read_port(), memory.write_port()
        stored = Signal(acc, name=f"stored_{c}", reset_less=True)
        total = Signal(acc, name=f"total_{c}", reset_less=True)
        stages = [order]
        for i in range(1, 5):
            stage = Signal(layouts.accumulate(self.cfg), name=f"order_{c}_{i}")
            m.d.sync += stage.eq(stages[-1])
            stages.append(stage)

        m.d.comb += read.addr.eq(stages[0].address)
        m.d.sync += stored.eq(read.data)
        adding, done = stages[2], stages[3]
        m.d.sync += total.eq(self.sums[c] + Mux(adding.first, 0, stored))
        m.d.comb += [
            write.addr.eq(done.address),
            write.data.eq(total),
            write.en.eq(done.valid & ~done.result),
        ]

        pooled = self.pooled[c]
        # The sign of a difference is the last bit of a carry chain; out of a comparison the carry
        # would leave the chain, which takes longer on ECP5 than the chain itself.
        keep = ~done.pool_sum & (total - pooled)[-1]
        with m.If(done.valid & done.result):
            m.d.sync += pooled.eq(
                Mux(
                    done.window_first,
                    total,
                    Mux(keep, pooled, total + Mux(done.pool_sum, pooled, 0)),
                )
            )
        m.d.sync += self.push[c].eq(done.valid & done.result & done.window_last)
        return stages[1]
