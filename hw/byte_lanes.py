"""Activation memory of a memory for each byte: what `Scratchpad` does, with fewer multiplexers."""

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory

from .config import Config
from .scratchpad import exact_log2, rotate_left, scratchpad_ports


class ByteLanes(wiring.Component):
    """``cfg.bank_bytes`` memories of bytes, each with a read address of its own.

    Those below the first byte of a slice read the next row, so that exactly the bytes of the slice
    come, and only have to be rotated. Attributes and latencies are those of `Scratchpad`, but

    * `word` is that at `address` only where this is a multiple of 4, and
    * what the host reads comes a cycle early, and stays.
    """

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
        memories = []
        for i in range(cfg.bank_bytes):
            m.submodules[f"byte_{i}"] = memory = Memory(
                shape=8, depth=cfg.scratchpad_bytes // cfg.bank_bytes, init=[]
            )
            memories.append((memory.read_port(), memory.write_port()))
        self._read(m, [read for read, _ in memories])
        self._write(m, [write for _, write in memories])
        return m

    def _rows(self, address: Value) -> list[Value]:
        """The row of each memory for the bytes from `address` on."""
        bits = exact_log2(self.cfg.bank_bytes)
        low, row = address[:bits], address[bits:]
        following = (row + 1)[: len(row)]
        return [Mux(low > i, following, row) for i in range(self.cfg.bank_bytes)]

    def _read(self, m: Module, reads: list) -> None:
        cfg = self.cfg
        bits = exact_log2(cfg.bank_bytes)
        address = Signal(cfg.address_width)
        m.d.comb += address.eq(Mux(self.running, self.address, Cat(Const(0, 2), self.bus.row)))
        for read, row in zip(reads, self._rows(address), strict=True):
            m.d.comb += read.addr.eq(row)
        asked = Signal(bits, reset_less=True)
        low = Signal(bits, reset_less=True)
        m.d.sync += [asked.eq(address[:bits]), low.eq(asked)]

        # One level of the rotation is in front of the register, the others behind it.
        half = 8 * cfg.bank_bytes // 2
        bytes_ = Cat(read.data for read in reads)
        turned = Signal(2 * half, reset_less=True)
        m.d.sync += turned.eq(Mux(asked[-1], rotate_left(bytes_, half), bytes_))
        value = turned
        for bit in reversed(range(bits - 1)):
            if bit == min(1, bits - 2):
                # All that turns a word to the lowest bytes is done.
                m.d.comb += self.word.eq(value[:32])
            if bit == 0:
                # The last level has a register in front of it, too.
                nearer = Signal(2 * half, reset_less=True)
                last = Signal(reset_less=True)
                m.d.sync += [nearer.eq(value), last.eq(low[0])]
                value = Mux(last, rotate_left(nearer, 2 * half - 8), nearer)
            else:
                value = Mux(low[bit], rotate_left(value, 2 * half - (8 << bit)), value)
        m.d.comb += self.bus.r_data.eq(self.word)
        slice_ = Signal.like(self.slice, reset_less=True)
        m.d.sync += slice_.eq(value)
        m.d.comb += self.slice.eq(slice_)

    def _write(self, m: Module, writes: list) -> None:
        """One register before the memories: whose bytes, which of them, and from which address on.

        Bytes are in the lanes of their addresses already, modulo `span`; those of words always are.
        """
        cfg = self.cfg
        single = cfg.requantizers == 1
        span = max(4, 1 << (cfg.requantizers - 1).bit_length())
        result: Value = self.results.data.as_value()
        mask_of_result: Value = self.results.mask
        if single:
            result = result.replicate(span)
            mask_of_result = Cat(
                self.results.mask & (self.results.address[:2] == i) for i in range(4)
            )
        else:
            result = Cat(result, Const(0, 8 * (span - cfg.requantizers)))
            for bit in range(exact_log2(span)):
                moved = rotate_left(result, 8 << bit)
                result = Mux(self.results.address[bit], moved, result)
        source = Signal(8 * span, reset_less=True)
        mask = Signal(span)
        address = Signal(cfg.address_width, reset_less=True)
        m.d.comb += self.input.ready.eq(~self.results.valid)
        with m.If(self.bus.write):
            m.d.sync += [
                source.eq(self.bus.w_data.replicate(-(-span // 4))),
                mask.eq(15),
                address.eq(self.bus.row << 2),
            ]
        with m.Elif(self.input.ready):
            m.d.sync += [
                source.eq(self.input.p.data.replicate(-(-span // 4))),
                mask.eq(self.input.valid.replicate(4)),
                address.eq(self.input.p.address),
            ]
        with m.Else():
            m.d.sync += [
                source.eq(result),
                mask.eq(mask_of_result),
                address.eq(self.results.address),
            ]

        bits = exact_log2(cfg.bank_bytes)
        if single:
            # A byte, or an aligned word: of one row.
            rows: list[Value] = [address[bits:]] * cfg.bank_bytes
            group = address[2:bits]
            enable = Cat(mask[i % 4] & (group == i // 4) for i in range(cfg.bank_bytes))
        else:
            rows = self._rows(address)
            enable = Cat(mask, Const(0, cfg.bank_bytes - span))
            for bit in range(bits):
                enable = Mux(address[bit], rotate_left(enable, 1 << bit), enable)
        for i, (write, row) in enumerate(zip(writes, rows, strict=True)):
            m.d.comb += [
                write.addr.eq(row),
                write.en.eq(enable[i]),
                write.data.eq(source[8 * (i % span) : 8 * (i % span) + 8]),
            ]
