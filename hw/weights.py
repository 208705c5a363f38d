"""Weight memory, and the loader that keeps the array's shadow filled."""

from amaranth import Array, Cat, ClockSignal, Const, Instance, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from . import isa, layouts
from .config import Config
from .count import next_or
from .delay import delayed
from .target import target


class WeightMemory(wiring.Component):
    """Holds the tiles, a bank for each port.

    Attributes
    ----------
    running : In
        The array reads; else the host may.
    read, address : In
        Row for port 0; port ``p`` reads the same row ``p * cfg.load_cycles`` cycles later, when the
        part of the array that it feeds wants it. In front of an adder tree all read at once.
    w : Out, one for each port
        Weights, `LATENCY` cycles after the address; in front of an adder tree until the next read
        has come as far.
    bus : In
        The host's side.
    """

    LATENCY = 5

    running: Signal
    read: Signal
    address: Signal
    w: list[data.View]
    bus: wiring.PureInterface

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg
        super().__init__({
            "running": In(1),
            "read":    In(1),
            "address": In(range(cfg.weight_depth)),
            "w":       Out(layouts.weights(cfg)).array(cfg.weight_ports),
            "bus":     In(layouts.host_bus(cfg, isa.Space.WEIGHTS)),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cfg = self.cfg
        words = []
        late = self.address
        if cfg.adder_tree:
            late = self._held(m)
        for p in range(cfg.weight_ports):
            if not cfg.adder_tree:
                # The registers that a block RAM has around it anyway, and the distance between
                # ports.
                behind = self.LATENCY - 2 if p == 0 else cfg.load_cycles
                late = delayed(m, f"address_{p}", late, behind, resets=False)
            m.submodules[f"bank_{p}"] = bank = _bank(cfg, platform)
            m.d.comb += [
                bank.read_address.eq(Mux(self.running, late, self.bus.row)),
                bank.row.eq(self.bus.row),
            ]
            word: Value = bank.r_data
            if not cfg.adder_tree:
                # Never reset, so that it may be the block RAM's own.
                word = Signal.like(bank.r_data, name=f"word_{p}", reset_less=True)
                m.d.sync += word.eq(bank.r_data)
            m.d.comb += self.w[p].as_value().eq(word)
            for i in range(cfg.port_words):
                mine = slice(4 * i, min(4 * i + 4, cfg.cols))
                selected = self.bus.write & (self.bus.word == p * cfg.port_words + i)
                m.d.comb += [
                    bank.enable[i].eq(selected),
                    bank.w_data[8 * mine.start : 8 * mine.stop].eq(self.bus.w_data),
                ]
                words.append(self.w[p].as_value()[8 * mine.start : 8 * mine.stop])
        # The bus holds its row and word: what comes a cycle early stays.
        word = delayed(m, "word", self.bus.word, layouts.HostBus.READ_LATENCY - 1 - cfg.adder_tree)
        r_data = Signal.like(self.bus.r_data, reset_less=True)
        m.d.sync += r_data.eq(Array(words)[word])
        m.d.comb += self.bus.r_data.eq(r_data)
        return m

    def _held(self, m: Module) -> Signal:
        """The address of the last read, so late that its word, straight from the memory, is in
        time: the memory itself keeps the word."""
        held = Signal.like(self.address, reset_less=True)
        with m.If(self.read):
            m.d.sync += held.eq(self.address)
        return delayed(m, "held", held, self.LATENCY - 2, resets=False)


def _bank(cfg: Config, platform: object) -> "Bank | SinglePortBank":
    """The memory of one port, of single-port blocks where the part has enough of them."""
    part = target(platform)
    if part and SinglePortBank.blocks(cfg) * cfg.weight_ports <= part.single_port_blocks:
        return SinglePortBank(cfg)
    return Bank(cfg)


def _bank_ports(cfg: Config) -> dict[str, wiring.Member]:
    row = range(cfg.weight_depth)
    return {
        "read_address": In(row),
        "r_data":       Out(8 * cfg.cols),
        "row":          In(row),
        "enable":       In(cfg.port_words),
        "w_data":       In(8 * cfg.cols),
    }  # fmt: skip


class Bank(wiring.Component):
    """A memory with a byte for each column, `r_data` a cycle behind its address.

    Attributes
    ----------
    read_address, r_data : In, Out
        The read port; what it gives while bytes are written is of no meaning.
    row, enable, w_data : In
        The write port, an enable for four columns each. While one is set, `read_address` is `row`.
    """

    read_address: Signal
    r_data: Signal
    row: Signal
    enable: Signal
    w_data: Signal

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg
        super().__init__(_bank_ports(cfg))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cfg = self.cfg
        for i in range(cfg.port_words):
            # A memory for each enable: block RAMs with enables for bytes are not deep, and what
            # chooses between them is late.
            mine = slice(32 * i, min(32 * i + 32, 8 * cfg.cols))
            m.submodules[f"memory_{i}"] = memory = Memory(
                shape=mine.stop - mine.start, depth=cfg.weight_depth, init=[]
            )
            read, write = memory.read_port(), memory.write_port()
            m.d.comb += [
                read.addr.eq(self.read_address),
                self.r_data[mine].eq(read.data),
                write.addr.eq(self.row),
                write.en.eq(self.enable[i]),
                write.data.eq(self.w_data[mine]),
            ]
        return m


class SinglePortBank(wiring.Component):
    """A `Bank` of iCE40 SPRAM; attributes as there.

    A block is 16 bits wide and 16,384 words deep. Words beyond the first 16,384 are in further
    blocks, and a register says which of them was read.
    """

    DEPTH, WIDTH = 16384, 16

    read_address: Signal
    r_data: Signal
    row: Signal
    enable: Signal
    w_data: Signal

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg
        super().__init__(_bank_ports(cfg))

    @classmethod
    def blocks(cls, cfg: Config) -> int:
        """Blocks that the bank takes."""
        return -(-8 * cfg.cols // cls.WIDTH) * -(-cfg.weight_depth // cls.DEPTH)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        address = Signal(range(max(self.cfg.weight_depth, 2 * self.DEPTH)))
        m.d.comb += address.eq(self.read_address)
        within, group = address[:14], address[14:]
        read_group = Signal.like(group)
        m.d.sync += read_group.eq(group)
        for column in range(0, self.cfg.cols, 2):
            enable = self.enable[column // 4]
            bits = slice(8 * column, 8 * min(column + 2, self.cfg.cols))
            count = (bits.stop - bits.start) // 8
            words = []
            for g in range(-(-self.cfg.weight_depth // self.DEPTH)):
                word = Signal(self.WIDTH, name=f"word_{column}_{g}")
                m.submodules[f"block_{column}_{g}"] = Instance(
                    "SB_SPRAM256KA",
                    i_CLOCK=ClockSignal(),
                    i_ADDRESS=within,
                    i_DATAIN=Cat(self.w_data[bits], Const(0, self.WIDTH - 8 * count)),
                    i_MASKWREN=Const((1 << 2 * count) - 1, 4),
                    i_WREN=enable & (group == g),
                    i_CHIPSELECT=Const(1),
                    i_STANDBY=Const(0),
                    i_SLEEP=Const(0),
                    i_POWEROFF=Const(1),
                    o_DATAOUT=word,
                )
                words.append(word)
            m.d.comb += self.r_data[bits].eq(Array(words)[read_group])
        return m


class Loader(wiring.Component):
    """Fetches tile after tile, each as soon as the shadow is free.

    A tile takes ``cfg.load_cycles`` cycles from the one behind the swap that frees the shadow.
    `ready` is early enough that a pass which starts with it finds the whole tile: passes no shorter
    than a load follow each other without a gap within a layer.

    Attributes
    ----------
    layer : In
        The next layer instruction.
    layer_valid : In
        It is there.
    taken : Out
        Its first tile is being loaded from the next cycle on; with ``cfg.prefetch`` it is no
        longer needed here.
    swap : In
        A pass starts; only when `ready`.
    more_tiles, more_blocks : In
        With `swap`: behind that pass, others of its block follow; behind that block, others, which
        read the same tiles again.
    ready : Out
        A pass may start.
    address, tag : Out
        Word to be read, and the row that it is for.
    """

    layer: data.View
    layer_valid: Signal
    taken: Signal
    swap: Signal
    more_tiles: Signal
    more_blocks: Signal
    ready: Signal
    address: Signal
    tag: data.View

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg
        super().__init__({
            "layer":       In(isa.layer_layout(cfg)),
            "layer_valid": In(1),
            "taken":       Out(1),
            "swap":        In(1),
            "more_tiles":  In(1),
            "more_blocks": In(1),
            "ready":       Out(1),
            "address":     Out(range(cfg.weight_depth)),
            "tag":         Out(layouts.tag(cfg)),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        load_cycles = self.cfg.load_cycles

        loaded = Signal()
        """The shadow holds a tile that no pass has taken, or is being filled with it."""
        left = Signal(range(load_cycles + 1))
        """Words of it still to be read."""
        # The array's decision waits for `ready`, and `swap` comes late: all that they meet is
        # compared a cycle before, and what goes into a register does not depend on them.
        reading = Signal()
        free = self.swap | ~loaded
        more_tiles = loaded & self.more_tiles
        more_blocks = loaded & self.more_blocks
        another = Signal()
        """There is a tile to be loaded once the shadow is free."""

        m.d.comb += [
            another.eq(more_tiles | more_blocks | self.layer_valid),
            self.tag.valid.eq(reading),
            self.tag.row.eq(left - 1),
            # Without `prefetch`, there is no other instruction while one is at work.
            self.taken.eq(
                (free & ~more_tiles & ~more_blocks if self.cfg.prefetch else ~loaded)
                & self.layer_valid
            ),
        ]
        with m.If(reading):
            m.d.sync += [
                left.eq(left - 1),
                reading.eq(left != 1),
                self.ready.eq(left <= 2),
            ]
        # Tiles lie one behind the other.
        restart = Signal()
        first = self.layer.weights
        if self.cfg.prefetch:
            base = Signal.like(self.address, reset_less=True)
            first = Mux(more_blocks, base, first)
            with m.If(restart):
                m.d.sync += base.eq(first)
        with m.If(free):
            m.d.sync += [
                loaded.eq(another),
                left.eq(load_cycles),
                reading.eq(another),
                self.ready.eq(another & (load_cycles == 1)),
            ]
        m.d.comb += restart.eq(free & ~more_tiles)
        with m.If(reading | restart):
            m.d.sync += self.address.eq(
                Mux(restart, first, self.address + 1)
                if self.cfg.prefetch  # `swap` comes too late for the carry.
                else next_or(self.address, restart, first)
            )
        return m
