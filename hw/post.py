"""Post-processing: takes results from their buffers, requantizes them and addresses the bytes."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, fifo, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from . import isa, layouts
from .config import Config
from .delay import delayed
from .requant import Requant
from .results import Results
from .serial_requant import SerialRequant


class PostProcessing(wiring.Component):
    """Requantizes results in the order in which the feeder sent them, ``cfg.requantizers`` every
    ``cfg.requant_cycles`` in each lane; all lanes do the same in the same cycle.

    Attributes
    ----------
    push, result : In
        A result is on its way, and where it goes.
    pushed, index, beat, acc : In, Out, Out, In
        The buffers' reading side; see `Results`. `acc` has one for each lane.
    table, entries : Out, In
        The table's reading side; see `hw.table.Table`.
    o : Out, one for each lane
        Bytes for the scratchpad.
    retired : Out
        The last bytes of a result are at `o`.
    """

    push: Signal
    result: data.View
    pushed: Signal
    index: Signal
    beat: Signal
    acc: list[data.View]
    table: Signal
    entries: list[data.View]
    o: list[data.View]
    retired: Signal

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg
        super().__init__({
            "push":    In(1),
            "result":  In(layouts.result(cfg)),
            "pushed":  In(1),
            "index":   Out(range(cfg.result_depth)),
            "beat":    Out(range(max(2, cfg.beats))),
            "acc":     In(layouts.beat_of_results(cfg)).array(cfg.lanes),
            "table":   Out(range(cfg.table_depth)),
            "entries": In(isa.table_entry(cfg)).array(cfg.requantizers),
            "o":       Out(layouts.bytes_out(cfg)).array(cfg.lanes),
            "retired": Out(1),
        })  # fmt: skip

    @staticmethod
    def latency(cfg: Config) -> int:
        """Cycles from reading a beat to its bytes."""
        through = cfg.requant_cycles if cfg.serial_requant else Requant.LATENCY
        return Results.LATENCY + through

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self.cfg.serial_requant:
            self._serial(m)
        else:
            self._pipelined(m)
        return m

    def _serial(self, m: Module) -> None:
        """One beat at a time: what is read stays where it is read from until the beat is done."""
        cfg = self.cfg
        m.submodules.orders = memory = Memory(
            shape=layouts.result(cfg), depth=cfg.result_depth, init=[]
        )
        read, write = memory.read_port(), memory.write_port()
        order = read.data
        next_order = Signal(range(cfg.result_depth))
        with m.If(self.push):
            m.d.sync += next_order.eq(next_order + 1)
        m.d.comb += [
            write.addr.eq(next_order),
            write.data.eq(self.result),
            write.en.eq(self.push),
            read.addr.eq(self.index),
            # The beat is that of the order which was read with it.
            self.table.eq(order.table + delayed(m, "beat", self.beat, 1)),
        ]

        requants = []
        for lane, (acc, o) in enumerate(zip(self.acc, self.o, strict=True)):
            for q in range(cfg.requantizers):
                m.submodules[f"requant_{lane}_{q}"] = requant = SerialRequant(cfg)
                requants.append(requant)
                m.d.comb += [
                    requant.acc.eq(acc[q]),
                    requant.entry.eq(self.entries[q]),
                    o.data[q].eq(requant.o),
                ]

        # Results.LATENCY cycles before the requantizers are free the next beat may be read: the
        # table's entry of this one is looked at until then.
        waiting = Signal(range(cfg.result_depth + 1))
        busy = Signal()
        begin = Signal()
        m.d.comb += begin.eq((waiting != 0) & ~busy)
        start = delayed(m, "start", begin, Results.LATENCY)
        m.d.comb += [requant.start.eq(start) for requant in requants]
        read_next, ending = requants[0].ahead, requants[0].ending
        with m.If(begin):
            m.d.sync += busy.eq(1)
        with m.If(read_next):
            m.d.sync += busy.eq(0)

        last = self.beat == order.beats_last
        over = read_next & last
        was_last = Signal()
        address = Signal(cfg.address_width, reset_less=True)
        with m.If(read_next):
            m.d.sync += [
                self.beat.eq(Mux(last, 0, self.beat + 1)),
                was_last.eq(last),
                address.eq(order.target + self.beat * cfg.requantizers),
            ]
        with m.If(over):
            m.d.sync += self.index.eq(self.index + 1)
        with m.If(self.pushed != over):
            m.d.sync += waiting.eq(waiting + Mux(over, -1, 1))

        mask = Signal(cfg.requantizers)
        valid = Signal()
        write_bytes = Cat(*(entry.write for entry in self.entries)) & ending.replicate(
            cfg.requantizers
        )
        m.d.sync += [
            mask.eq(write_bytes),
            valid.eq(write_bytes.any()),
            self.retired.eq(ending & was_last),
        ]
        for o in self.o:
            m.d.comb += [o.address.eq(address), o.mask.eq(mask), o.valid.eq(valid)]

    def _pipelined(self, m: Module) -> None:
        """A beat in every cycle: what belongs to it moves along with it."""
        cfg = self.cfg
        layout = layouts.result(cfg)
        m.submodules.orders = orders = fifo.SyncFIFOBuffered(
            width=layout.size, depth=cfg.result_depth
        )
        m.d.comb += [orders.w_en.eq(self.push), orders.w_data.eq(self.result)]
        # A register behind the block RAM. An order is there long before its result: it is pushed
        # when the vector is sent.
        order = Signal(layout, reset_less=True)
        held = Signal()
        refill = Signal()
        m.d.comb += orders.r_en.eq(refill)

        waiting = Signal(range(cfg.result_depth + 1))
        reading = Signal()
        last = reading & (self.beat == order.beats_last)
        m.d.sync += self.index.eq(self.index + last)
        with m.If(self.pushed & ~last):
            m.d.sync += [waiting.eq(waiting + 1), reading.eq(1)]
        with m.If(last & ~self.pushed):
            m.d.sync += [waiting.eq(waiting - 1), reading.eq(waiting != 1)]
        with m.If(reading):
            m.d.sync += self.beat.eq(Mux(last, 0, self.beat + 1))
        m.d.comb += [refill.eq(last | ~held), self.table.eq(order.table + self.beat)]
        with m.If(refill):
            m.d.sync += [order.eq(orders.r_data), held.eq(orders.r_rdy)]

        target = Signal(cfg.address_width, reset_less=True)
        here = Mux(self.beat == 0, order.target, target)
        m.d.sync += target.eq(here + cfg.requantizers)

        for lane, (acc, o) in enumerate(zip(self.acc, self.o, strict=True)):
            for q in range(cfg.requantizers):
                m.submodules[f"requant_{lane}_{q}"] = requant = Requant(cfg)
                m.d.comb += [
                    requant.acc.eq(acc[q]),
                    requant.entry.eq(self.entries[q]),
                    o.data[q].eq(requant.o),
                ]

        # Beside the buffer, the table and the requantizers: the address, and which bytes there are.
        address = delayed(m, "address", here, Results.LATENCY + Requant.LATENCY, resets=False)
        there = delayed(m, "there", reading, Results.LATENCY)
        write = Cat(*(entry.write for entry in self.entries)) & there.replicate(cfg.requantizers)
        before = delayed(m, "write", write, Requant.LATENCY - 1)
        mask = Signal(cfg.requantizers)
        valid = Signal()
        m.d.sync += [mask.eq(before), valid.eq(before.any())]
        for o in self.o:
            m.d.comb += [o.address.eq(address), o.mask.eq(mask), o.valid.eq(valid)]
        m.d.comb += self.retired.eq(delayed(m, "last", last, Results.LATENCY + Requant.LATENCY))
