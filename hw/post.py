"""Post-processing: takes results from their buffers, requantizes them and addresses the bytes."""

from amaranth import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, fifo, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from . import isa, layouts
from .config import Config
from .delay import delayed
from .requant import Requant
from .results import Results


class Table(wiring.Component):
    """The requantization table: an entry for each requantizer in every word.

    Attributes
    ----------
    running : In
        Reads are for the requantizers; else for the host.
    address : In
        Word.
    entries : Out
        Its entries, `Results.LATENCY` cycles later.
    bus : In
        The host's side.
    """

    running: Signal
    address: Signal
    entries: list[data.View]
    bus: wiring.PureInterface

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg
        super().__init__({
            "running": In(1),
            "address": In(range(cfg.table_depth)),
            "entries": Out(isa.table_entry(cfg)).array(cfg.requantizers),
            "bus":     In(layouts.host_bus(cfg, isa.Space.TABLE)),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cfg = self.cfg
        words = []
        for q in range(cfg.requantizers):
            m.submodules[f"bank_{q}"] = bank = Memory(
                shape=data.ArrayLayout(32, isa.TABLE_WORDS), depth=cfg.table_depth, init=[]
            )
            read, write = bank.read_port(), bank.write_port(granularity=1)
            address = Signal.like(self.address, name=f"address_{q}")
            m.d.sync += address.eq(Mux(self.running, self.address, self.bus.row))
            m.d.comb += [
                read.addr.eq(address),
                write.addr.eq(self.bus.row),
                write.data.as_value().eq(self.bus.w_data.replicate(isa.TABLE_WORDS)),
            ]
            for i in range(isa.TABLE_WORDS):
                chosen = self.bus.word == q * isa.TABLE_WORDS + i
                m.d.comb += write.en[i].eq(self.bus.write & chosen)
                words.append(self.entries[q].as_value().word_select(i, 32))
            m.d.sync += self.entries[q].as_value().eq(read.data.as_value())
        word = delayed(m, "word", self.bus.word, layouts.HostBus.READ_LATENCY)
        m.d.comb += self.bus.r_data.eq(Array(words)[word])
        return m


class PostProcessing(wiring.Component):
    """Requantizes results in the order in which the feeder sent them, ``cfg.requantizers`` a cycle
    in each lane; all lanes do the same in the same cycle.

    Attributes
    ----------
    push, result : In
        A result is on its way, and where it goes.
    pushed, index, beat, acc : In, Out, Out, In
        The buffers' reading side; see `Results`. `acc` has one for each lane.
    table, entries : Out, In
        The table's reading side; see `Table`.
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

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cfg = self.cfg
        layout = layouts.result(cfg)
        m.submodules.orders = orders = fifo.SyncFIFOBuffered(
            width=layout.size, depth=cfg.result_depth
        )
        m.d.comb += [orders.w_en.eq(self.push), orders.w_data.eq(self.result)]
        # A register behind the block RAM. An order is there long before its result: it is pushed
        # when the vector is sent.
        order = Signal(layout)
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

        target = Signal(cfg.address_width)
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
        address = delayed(m, "address", here, Results.LATENCY + Requant.LATENCY)
        there = delayed(m, "there", reading, Results.LATENCY)
        write = Cat(*(entry.write for entry in self.entries)) & there.replicate(cfg.requantizers)
        before = delayed(m, "write", write, Requant.LATENCY - 1)
        mask = Signal(cfg.requantizers)
        valid = Signal()
        m.d.sync += [mask.eq(before), valid.eq(before.any())]
        for o in self.o:
            m.d.comb += [o.address.eq(address), o.mask.eq(mask), o.valid.eq(valid)]
        m.d.comb += self.retired.eq(delayed(m, "last", last, Results.LATENCY + Requant.LATENCY))
        return m
