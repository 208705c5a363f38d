"""Receives packets whole, so that one that is cut off or too long never does anything."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from . import isa, layouts
from .config import Config

RECEIVED = data.StructLayout({"data": 32, "cause": 4})
"""A word of a whole packet (`cause` 0), or the header of a refused one and why it was refused."""


class PacketBuffer(wiring.Component):
    """Stores a packet and passes it on once its last word has come and its length was right.

    Attributes
    ----------
    i : In
        Words of packets as they come.
    o : Out
        Whole packets, header first, and one word for each that was refused, in order.
    reset : Out
        A ``RESET`` has come that has not been carried out.
    reset_done : In
        One has been carried out.
    """

    i: stream.Interface
    o: stream.Interface
    reset: Signal
    reset_done: Signal

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg
        super().__init__({
            "i":          In(layouts.INCOMING_STREAM),
            "o":          Out(stream.Signature(RECEIVED)),
            "reset":      Out(1),
            "reset_done": In(1),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # Room for two: one comes in while the one before is carried out.
        depth = 1 << (2 * (self.cfg.packet_words + 1) - 1).bit_length()
        m.submodules.memory = memory = Memory(shape=RECEIVED, depth=depth, init=[])
        write, read = memory.write_port(), memory.read_port()
        # One bit more than an address, so that full and empty differ.
        tail = Signal(range(2 * depth))
        whole = Signal(range(2 * depth))
        head = Signal(range(2 * depth))

        # A register behind the memory, which is slow; what comes late only enables registers.
        fetched = Signal()
        deliver = ~self.o.valid | self.o.ready
        fetch = ~fetched | deliver
        m.d.comb += [read.addr.eq(head), read.en.eq(fetch)]
        with m.If(fetch):
            m.d.sync += fetched.eq(head != whole)
            with m.If(head != whole):
                m.d.sync += head.eq(head + 1)
        with m.If(deliver):
            m.d.sync += [self.o.valid.eq(fetched), self.o.payload.eq(read.data)]

        resets = Signal(range(depth + 2))
        """Of those stored, and of the one that has left and is at work."""
        reset_came = Signal()
        m.d.comb += self.reset.eq(resets != 0)
        m.d.sync += resets.eq(resets + reset_came - self.reset_done)

        header = Signal(isa.HEADER)
        left = Signal(16)
        cause = Signal(4)
        m.d.comb += [
            self.i.ready.eq((tail ^ head) != depth),
            write.addr.eq(tail),
            write.data.data.eq(self.i.p.data),
        ]
        accepted = self.i.valid & self.i.ready
        incoming = data.View(isa.HEADER, self.i.p.data)
        with m.FSM():
            with m.State("HEADER"):
                m.d.comb += write.en.eq(accepted)
                m.d.sync += [header.eq(incoming), left.eq(incoming.length)]
                with m.If(accepted):
                    self._next(m, incoming.length, tail, whole, cause, first=True)
                    m.d.comb += reset_came.eq(
                        self._is_reset(incoming) & self.i.p.last & ~self.i.p.cut
                    )
            with m.State("PAYLOAD"):
                m.d.comb += write.en.eq(accepted)
                with m.If(accepted):
                    m.d.sync += left.eq(left - 1)
                    self._next(m, left - 1, tail, whole, cause, first=False)
            with m.State("PADDING"):
                # A wide link fills its last beat with a word that belongs to nothing.
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid):
                    m.next = "SKIP"
                    with m.If(self.i.p.last):
                        m.next = "REFUSE"
                        with m.If(self.i.p.data == 0):
                            m.d.sync += whole.eq(tail)
                            m.next = "HEADER"
                            m.d.comb += reset_came.eq(self._is_reset(header))
            with m.State("SKIP"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid & self.i.p.last):
                    m.next = "REFUSE"
            with m.State("REFUSE"):
                # In the place of what had been stored: there is room, for the header was there.
                m.d.comb += [
                    self.i.ready.eq(0),
                    write.addr.eq(whole),
                    write.data.data.eq(header),
                    write.data.cause.eq(cause),
                    write.en.eq(1),
                ]
                m.d.sync += [tail.eq(whole + 1), whole.eq(whole + 1)]
                m.next = "HEADER"
        return m

    def _is_reset(self, header: data.View):
        return (header.opcode == isa.Packet.RESET.value) & (header.length == 0)

    def _next(
        self,
        m: Module,
        left,
        tail: Signal,
        whole: Signal,
        cause: Signal,
        *,
        first: bool,
    ) -> None:
        """What a word means of which `left` more must follow."""
        m.d.sync += tail.eq(tail + 1)
        with m.If(self.i.p.last & (left == 0) & ~self.i.p.cut):
            m.d.sync += whole.eq(tail + 1)
            m.next = "HEADER"
        with m.Elif(self.i.p.last):
            m.d.sync += cause.eq(isa.Cause.TRUNCATED.value)
            m.next = "REFUSE"
        with m.Elif(left == 0):
            m.d.sync += cause.eq(isa.Cause.EXCESS.value)
            m.next = "PADDING" if self.cfg.link_width > 32 else "SKIP"
        if first:
            with m.Elif(left > self.cfg.packet_words):
                m.d.sync += cause.eq(isa.Cause.OVERSIZE.value)
                m.next = "SKIP"
            with m.Else():
                m.next = "PAYLOAD"


class ReplyMux(wiring.Component):
    """Passes on whole packets of two sources, the first one first.

    Attributes
    ----------
    answers, outputs : In
        Packets.
    abort : In
        The source of `outputs` has forgotten what it was sending: a packet that was begun is
        closed.
    o : Out
        Packets, from a register.
    """

    answers: stream.Interface
    outputs: stream.Interface
    abort: Signal
    o: stream.Interface

    def __init__(self) -> None:
        super().__init__({
            "answers": In(layouts.LINK_STREAM),
            "outputs": In(layouts.LINK_STREAM),
            "abort":   In(1),
            "o":       Out(layouts.LINK_STREAM),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        answering = Signal()
        sending = Signal()
        closing = Signal()
        chosen = Mux(answering | (~sending & self.answers.valid), 1, 0)
        room = ~self.o.valid | self.o.ready
        m.d.comb += [
            self.answers.ready.eq(room & chosen & ~closing),
            self.outputs.ready.eq(room & ~chosen & ~closing & ~self.abort),
        ]
        with m.If(room):
            m.d.sync += self.o.valid.eq(0)
            with m.If(closing):
                m.d.sync += [self.o.valid.eq(1), self.o.p.data.eq(0), self.o.p.last.eq(1)]
                m.d.sync += [closing.eq(0), sending.eq(0)]
            with m.Elif(self.answers.ready & self.answers.valid):
                m.d.sync += [self.o.valid.eq(1), self.o.payload.eq(self.answers.payload)]
                m.d.sync += answering.eq(~self.answers.p.last)
            with m.Elif(self.outputs.ready & self.outputs.valid):
                m.d.sync += [self.o.valid.eq(1), self.o.payload.eq(self.outputs.payload)]
                m.d.sync += sending.eq(~self.outputs.p.last)
        with m.If(self.abort & sending):
            m.d.sync += closing.eq(1)
        return m
