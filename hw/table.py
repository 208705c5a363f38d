"""The requantization table."""

from amaranth import Array, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from . import isa, layouts
from .config import Config
from .delay import delayed
from .results import Results


class Table(wiring.Component):
    """An entry for each requantizer in every word.

    Attributes
    ----------
    running : In
        Reads are for the requantizers; else for the host.
    address : In
        Word.
    entries : Out
        Its entries, `latency` cycles later.
    bus : In
        The host's side. Before serial requantizers, bits of an entry without a meaning read as 0,
        and a word is there as long as it is asked for.
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

    @staticmethod
    def latency(cfg: Config) -> int:
        """As the accumulator is read; one less where the order is read a cycle before."""
        return Results.LATENCY - cfg.serial_requant

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cfg = self.cfg
        words = []
        for q in range(cfg.requantizers):
            entry = self.entries[q].as_value()
            address = Signal.like(self.address, name=f"address_{q}")
            m.d.sync += address.eq(Mux(self.running, self.address, self.bus.row))
            # Which words of the entry the host writes.
            chosen = Signal(isa.TABLE_WORDS, name=f"chosen_{q}")
            for i in range(isa.TABLE_WORDS):
                mine = self.bus.word == q * isa.TABLE_WORDS + i
                m.d.comb += chosen[i].eq(self.bus.write & mine)
                words.append(entry.word_select(i, 32))
            if cfg.serial_requant:
                self._bits(m, q, address, chosen)
            else:
                self._words(m, q, address, chosen)
        # A serial requantizer's entries have no register behind the memory.
        behind = layouts.HostBus.READ_LATENCY if not cfg.serial_requant else 0
        word = delayed(m, "word", self.bus.word, behind)
        m.d.comb += self.bus.r_data.eq(Array(words)[word])
        return m

    def _words(self, m: Module, q: int, address: Signal, chosen: Signal) -> None:
        """A memory of whole words, and a register behind it."""
        m.submodules[f"bank_{q}"] = bank = Memory(
            shape=data.ArrayLayout(32, isa.TABLE_WORDS), depth=self.cfg.table_depth, init=[]
        )
        read, write = bank.read_port(), bank.write_port(granularity=1)
        m.d.comb += [
            read.addr.eq(address),
            write.addr.eq(self.bus.row),
            write.data.as_value().eq(self.bus.w_data.replicate(isa.TABLE_WORDS)),
            write.en.eq(chosen),
        ]
        # Never reset, so that it may be the block RAM's own.
        entry = Signal.like(read.data.as_value(), name=f"entry_{q}", reset_less=True)
        m.d.sync += entry.eq(read.data.as_value())
        m.d.comb += self.entries[q].as_value().eq(entry)

    def _bits(self, m: Module, q: int, address: Signal, chosen: Signal) -> None:
        """A memory of only those bits that mean something, which takes a block RAM less."""
        places = [
            field.offset + i
            for name, field in isa.table_entry(self.cfg)
            for i in range(min(field.width, self.cfg.acc_width) if name == "bias" else field.width)
        ]
        m.submodules[f"bank_{q}"] = bank = Memory(
            shape=len(places), depth=self.cfg.table_depth, init=[]
        )
        read, write = bank.read_port(), bank.write_port(granularity=1)
        m.d.comb += [read.addr.eq(address), write.addr.eq(self.bus.row)]
        entry = self.entries[q].as_value()
        for i, place in enumerate(places):
            m.d.comb += [
                entry[place].eq(read.data[i]),
                write.data[i].eq(self.bus.w_data[place % 32]),
                write.en[i].eq(chosen[place // 32]),
            ]
