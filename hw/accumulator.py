"""Accumulators behind the array, and the pooling of complete sums."""

from amaranth import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from . import layouts
from .config import Config
from .delay import delayed


class Accumulators(wiring.Component):
    """Adds the sums of all passes, and pools complete ones, in each column a cycle later than
    before; behind an adder tree in all at once.

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
        if self.cfg.adder_tree:
            self._in_step(m)
            return m
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
            stages.append(delayed(m, f"order_{c}_{i}", stages[-1], 1))

        m.d.comb += read.addr.eq(stages[0].address)
        m.d.sync += stored.eq(read.data)
        adding, done = stages[2], stages[3]
        m.d.sync += total.eq(self.sums[c] + Mux(adding.first, 0, stored))
        m.d.comb += [
            write.addr.eq(done.address),
            write.data.eq(total),
            write.en.eq(done.valid & ~done.result),
        ]

        pooled = Signal(acc, name=f"pool_{c}", reset_less=True)
        m.d.comb += self.pooled[c].eq(pooled)
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

    def _in_step(self, m: Module) -> None:
        """One memory and one order for all columns.

        Made to be small: where the first pass starts from zero it reads a row of zeros behind the
        accumulators; and the pool holds the complement of its value, so that one adder, of the
        total or its complement, both compares and adds.
        """
        cfg, order = self.cfg, self.order
        width = cfg.acc_width
        zeros = cfg.acc_depth
        m.submodules.memory = memory = Memory(
            shape=cfg.cols * width, depth=cfg.acc_depth + 1, init=[]
        )
        read, write = memory.read_port(), memory.write_port()

        # The read address, then the memory's word with the sum, then the total.
        reads = Signal.like(read.addr, reset_less=True)
        m.d.sync += reads.eq(Mux(order.first, zeros, order.address))
        m.d.comb += read.addr.eq(reads)
        asked = delayed(m, "asked", order, 1)
        done_address = delayed(m, "done_address", asked.address, 2, resets=False)
        taken = Signal()
        taken_first = Signal()
        taken_last = Signal()
        taken_adds = Signal()
        """The vector completes a sum: the first of its window, the last, added to those before."""
        written = Signal()
        is_result = asked.valid & asked.result
        m.d.sync += [
            taken.eq(is_result),
            taken_first.eq(asked.window_first),
            taken_last.eq(is_result & asked.window_last),
            taken_adds.eq(asked.result & asked.pool_sum & ~asked.window_first),
            # Not even a wrong program takes the zeros away.
            written.eq(asked.valid & ~asked.result & (asked.address != zeros)),
        ]
        done = Signal()
        done_first = Signal()
        done_last = Signal()
        done_adds = Signal()
        done_written = Signal()
        m.d.sync += [
            done.eq(taken),
            done_first.eq(taken_first),
            done_last.eq(taken_last),
            done_adds.eq(taken_adds),
            done_written.eq(written),
            self.push.eq(done_last.replicate(cfg.cols)),
        ]
        totals = []
        for c in range(cfg.cols):
            stored = read.data[c * width : (c + 1) * width].as_signed()
            total = Signal(signed(width), name=f"total_{c}", reset_less=True)
            totals.append(total)
            before = (self.sums[c] + stored)[:width]
            m.d.sync += total.eq(before ^ taken_adds.replicate(width))
            complement = Signal(width, name=f"complement_{c}", reset_less=True)
            pooled = (~complement).as_signed()
            larger = total - pooled
            with m.If(done & (done_first | done_adds | ~less_in_halves(total, pooled))):
                m.d.sync += complement.eq(Mux(done_adds, larger[:width], ~total))
            m.d.comb += self.pooled[c].eq(pooled)
        m.d.comb += [
            write.addr.eq(done_address),
            write.data.eq(Cat(totals)),
            write.en.eq(done_written),
        ]


def less_in_halves(a: Value, b: Value) -> Value:
    """Whether ``a < b``, both signed and of the same width: two carry chains side by side in place
    of one that is twice as long."""
    half = len(a) // 2
    low = (a[:half] - b[:half])[-1]
    high_a, high_b = a[half:], b[half:]
    high = (high_a.as_signed() - high_b.as_signed())[-1]
    return high | ((high_a == high_b) & low)
