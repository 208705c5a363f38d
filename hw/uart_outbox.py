"""Frames to the host: kept until it has acknowledged them, and sent as often as it takes."""

from amaranth import Cat, Module, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from . import layouts
from .uart_codec import CONTENT
from .uart_frame import HEADER, Kind
from .uart_frame import SEQUENCE_BITS as SEQ
from .uart_slots import ABOUT, SLOT_BITS, Packer, memory


class Outbox(wiring.Component):
    """Keeps the core's words in frames until the host has acknowledged them, and sends frames.

    Attributes
    ----------
    i : In
        Words of the core.
    header, opened, heard, closed, answer, back, ack, limit : In
        Of `Inbox`.
    restart : Out
        The link was opened, and its answer has not begun yet: what is beyond is to be reset.
    o : Out
        Frames, without flags and CRC.
    """

    def __init__(self, slots: int, *, in_luts: bool = False) -> None:
        self.slots = slots
        self.in_luts = in_luts
        super().__init__({
            "i":       In(layouts.LINK_STREAM),
            "header":  In(HEADER),
            "opened":  In(1),
            "heard":   In(1),
            "closed":  In(1),
            "answer":  In(1),
            "back":    In(1),
            "ack":     In(SEQ),
            "limit":   In(SEQ),
            "restart": Out(1),
            "o":       Out(stream.Signature(CONTENT)),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        write, read = memory(m, self.slots, self.in_luts)
        # Frames from `oldest` on are kept, those from `next` on are to be sent, and `fill` is the
        # number of the one that is being filled.
        oldest, next_, fill = Signal(SEQ), Signal(SEQ), Signal(SEQ)
        packer = Packer()
        m.submodules.packer = ResetInserter(self.restart)(packer)
        connect(m, flipped(self.i), packer.i)
        m.d.comb += [
            packer.room.eq((fill - oldest)[:SEQ] != self.slots),
            write.addr.eq(Cat(packer.address, fill)),
            write.data.eq(packer.data),
            write.en.eq(packer.write),
        ]

        due = Signal()  # a frame is to be sent even if there is no payload for it
        kind = Signal(Kind)
        payload = Signal()
        header = Signal(HEADER)  # of the frame that is being sent, but for `last`
        begin = Signal()
        m.d.comb += self.restart.eq(due & (kind == Kind.OPEN))
        with m.If(packer.done & ~self.restart):
            m.d.sync += fill.eq(fill + 1)
        with m.If(begin):
            # Whoever hears of an opened or a closed link takes no words with it.
            alone = (kind == Kind.OPEN) | (kind == Kind.CLOSED)
            m.d.sync += [
                header.seq.eq(next_),
                header.ack.eq(self.ack),
                header.limit.eq(self.limit),
                header.kind.eq(kind),
                payload.eq(0),
            ]
            with m.If((next_ != fill) & ~alone):
                m.d.sync += [payload.eq(1), next_.eq(next_ + 1)]
        with m.If(self.heard):
            done, sent, kept = Signal(SEQ), Signal(SEQ), Signal(SEQ)
            m.d.comb += [
                done.eq(self.header.ack - oldest),
                sent.eq(next_ - oldest),
                kept.eq(fill - oldest),
            ]
            again = (self.header.kind == Kind.BACK) | (self.header.kind == Kind.POLL)
            with m.If(done <= kept):
                m.d.sync += oldest.eq(self.header.ack)
                with m.If(again | (done > sent)):
                    m.d.sync += next_.eq(self.header.ack)
        with m.If(self.opened):
            m.d.sync += [n.eq(self.header.ack) for n in (oldest, next_, fill)]

        with m.If(begin):
            m.d.sync += [due.eq(0), kind.eq(Kind.PLAIN)]
        with m.If(self.answer):
            m.d.sync += due.eq(1)
            with m.If(self.back):
                m.d.sync += kind.eq(Kind.BACK)
        with m.If(self.closed):
            m.d.sync += [due.eq(1), kind.eq(Kind.CLOSED)]
        with m.If(self.opened):
            m.d.sync += [due.eq(1), kind.eq(Kind.OPEN)]

        at = Signal(SLOT_BITS)  # of the byte that is read in this cycle
        about = Signal(ABOUT)
        byte = Signal(8)  # of the payload; a memory is late, and escapes and CRC depend on it
        # A slot may be freed, and filled again, while its frame is sent once more; then the host
        # has all of that frame and ignores what comes.
        m.d.comb += read.addr.eq(Cat(at, header.seq))
        with m.FSM():
            with m.State("IDLE"):
                with m.If(due | (next_ != fill)):
                    m.d.comb += begin.eq(1)
                    m.next = "FIND"
            with m.State("FIND"):
                m.next = "ABOUT"
            with m.State("ABOUT"):
                m.d.sync += about.eq(read.data)
                m.next = "LOW"
            with m.State("LOW"):
                m.d.comb += [self.o.valid.eq(1), self.o.p.data.eq(header.as_value()[:8])]
                with m.If(self.o.ready):
                    m.d.sync += at.eq(4)
                    m.next = "HIGH"
            with m.State("HIGH"):
                m.d.comb += [
                    self.o.valid.eq(1),
                    self.o.p.data.eq(Cat(header.limit, payload & about.last, header.kind)),
                    self.o.p.last.eq(~payload),
                ]
                with m.If(self.o.ready):
                    m.next = "KEEP"
                    with m.If(~payload):
                        m.d.sync += at.eq(0)
                        m.next = "IDLE"
            with m.State("READ"):
                m.next = "KEEP"
            with m.State("KEEP"):
                m.d.sync += byte.eq(read.data)
                m.next = "PAYLOAD"
            with m.State("PAYLOAD"):
                m.d.comb += [
                    self.o.valid.eq(1),
                    self.o.p.data.eq(byte),
                    self.o.p.last.eq((at[2:] == about.words) & at[:2].all()),
                ]
                with m.If(self.o.ready):
                    m.d.sync += at.eq(at + 1)
                    m.next = "READ"
                    with m.If(self.o.p.last):
                        m.d.sync += at.eq(0)
                        m.next = "IDLE"
        return m
