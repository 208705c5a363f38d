"""Activation memory: reads a slice and writes bytes at any address."""

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from . import isa, layouts
from .config import Config


def exact_log2(n: int) -> int:
    """The exponent of a power of two."""
    return n.bit_length() - 1


def scratchpad_ports(cfg: Config) -> dict[str, wiring.Member]:
    """Ports of `Scratchpad`, and of the other form, `ByteLanes`."""
    return {
        "running": In(1),
        "address": In(cfg.address_width),
        "slice":   Out(layouts.activations(cfg)),
        "word":    Out(layouts.WORD),
        "results": In(layouts.bytes_out(cfg)),
        "input":   In(layouts.input_words(cfg)),
        "bus":     In(layouts.host_bus(cfg, isa.Space.SCRATCHPAD)),
    }  # fmt: skip


class Scratchpad(wiring.Component):
    """Two banks, for even and odd words of ``cfg.bank_bytes``, so that a slice is always in reach.

    Addresses wrap at the end of the memory. Nothing is read and written in the same cycle and place
    by a program of the compiler's, so the order between them does not matter.

    Attributes
    ----------
    running : In
        Reads are for the array; else for the host.
    address : In
        First byte of a slice.
    slice : Out
        ``cfg.rows`` bytes, `LATENCY` cycles later.
    word : Out
        The 32-bit word that holds `address`, `WORD_LATENCY` cycles later.
    results : In
        Requantized bytes; `mask` 0 writes nothing.
    input : In
        Words of input, aligned; taken when no results are written.
    bus : In
        The host's side; writes must not meet those of `results` and `input`.
    """

    LATENCY = 4
    WORD_LATENCY = 2

    running: Signal
    address: Signal
    slice: data.View
    word: Signal
    results: data.View
    input: wiring.PureInterface
    bus: wiring.PureInterface

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg
        super().__init__(scratchpad_ports(cfg))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cfg = self.cfg
        depth = cfg.scratchpad_bytes // (2 * cfg.bank_bytes)
        banks = []
        for name in ("even", "odd"):
            m.submodules[name] = bank = Memory(
                shape=data.ArrayLayout(8, cfg.bank_bytes), depth=depth, init=[]
            )
            banks.append((bank.read_port(), bank.write_port(granularity=1)))
        self._read(m, [read for read, _ in banks])
        self._write(m, [write for _, write in banks])
        return m

    def _rows(self, address: Signal) -> tuple:
        """Rows of the even and the odd bank for bytes from `address` on."""
        word = address[exact_log2(self.cfg.bank_bytes) :]
        return (word + 1)[1 : len(word)] if len(word) > 1 else 0, word[1:]

    def _read(self, m: Module, reads: list) -> None:
        cfg = self.cfg
        bits = exact_log2(cfg.bank_bytes)
        address = Signal(cfg.address_width)
        m.d.comb += address.eq(Mux(self.running, self.address, Cat(Const(0, 2), self.bus.row)))
        for read, row in zip(reads, self._rows(address), strict=True):
            m.d.comb += read.addr.eq(row)

        at = Signal.like(address, reset_less=True)
        m.d.sync += at.eq(address)
        # A block RAM is slow: nothing is in front of the register behind it, which may be its own.
        even, odd = (
            Signal(8 * cfg.bank_bytes, name=name, reset_less=True) for name in ("even", "odd")
        )
        low = Signal(bits + 1, reset_less=True)
        m.d.sync += [
            *(kept.eq(read.data) for kept, read in zip((even, odd), reads, strict=True)),
            low.eq(at[: bits + 1]),
        ]
        turned = Signal(16 * cfg.bank_bytes)
        m.d.comb += turned.eq(Mux(low[bits], Cat(odd, even), Cat(even, odd)))
        m.d.comb += self.word.eq(turned[: 8 * cfg.bank_bytes].word_select(low[2:bits], 32))
        r_data = Signal.like(self.bus.r_data, reset_less=True)
        m.d.sync += r_data.eq(self.word)
        m.d.comb += self.bus.r_data.eq(r_data)
        # The bytes go round in two steps, the larger distances first.
        value, still = turned, bits // 2
        for bit in reversed(range(still, bits)):
            value = _drop_bytes(value, low[bit], 1 << bit)
        nearer = Signal(len(value), reset_less=True)
        left = Signal(still, reset_less=True)
        m.d.sync += [nearer.eq(value), left.eq(low[:still])]
        value = nearer
        for bit in reversed(range(still)):
            value = _drop_bytes(value, left[bit], 1 << bit)
        slice_ = Signal.like(self.slice, reset_less=True)
        m.d.sync += slice_.eq(value)
        m.d.comb += self.slice.eq(slice_)

    def _write(self, m: Module, writes: list) -> None:
        """One register before the banks: whose bytes, from which address on, and how many."""
        cfg = self.cfg
        lanes = 2 * cfg.bank_bytes
        span = max(4, 1 << (cfg.requantizers - 1).bit_length())
        source = Signal(data.ArrayLayout(8, span), reset_less=True)
        mask = Signal(span)
        address = Signal(cfg.address_width, reset_less=True)
        m.d.comb += self.input.ready.eq(~self.results.valid)
        with m.If(self.bus.write):
            m.d.sync += [source.eq(self.bus.w_data), mask.eq(15), address.eq(self.bus.row << 2)]
        with m.Elif(self.input.ready):
            m.d.sync += [
                source.eq(self.input.p.data),
                mask.eq(self.input.valid.replicate(4)),
                address.eq(self.input.p.address),
            ]
        with m.Else():
            m.d.sync += [
                source.eq(self.results.data.as_value()),
                mask.eq(self.results.mask),
                address.eq(self.results.address),
            ]

        # Byte i goes to lane (address + i) modulo the lanes of both banks; a rotation within `span`
        # lanes, repeated, puts it there, and the mask, rotated over all lanes, says which copy
        # counts.
        turned = source.as_value()
        for bit in range(exact_log2(span)):
            moved = rotate_left(turned, 8 << bit)
            turned = Mux(address[bit], moved, turned)
        enable = Cat(mask, Const(0, lanes - span))
        for bit in range(exact_log2(lanes)):
            enable = Mux(address[bit], rotate_left(enable, 1 << bit), enable)
        for i, (write, row) in enumerate(zip(writes, self._rows(address), strict=True)):
            mine = enable[i * cfg.bank_bytes : (i + 1) * cfg.bank_bytes]
            m.d.comb += [
                write.addr.eq(row),
                write.en.eq(mine),
                write.data.eq(turned.replicate(-(-cfg.bank_bytes // span))),
            ]


def _drop_bytes(value: Value, yes: Value, count: int):
    """Shifts `count` bytes out at the lower end, if `yes`."""
    return Mux(yes, value[8 * count :], value[: len(value) - 8 * count])


def rotate_left(value: Value, count: int):
    """The lowest bits move up by `count`, the highest come in below."""
    return Cat(value[len(value) - count :], value[: len(value) - count])
