"""Frames from the host: kept until the core has taken their words, in order and without gaps."""

from amaranth import Cat, Const, Module, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from . import layouts
from .uart_frame import CRC_BYTES, HEADER, HEADER_BYTES, Kind
from .uart_frame import SEQUENCE_BITS as SEQ
from .uart_slots import ABOUT, SLOT_BITS, Unpacker, memory


class Inbox(wiring.Component):
    """Keeps frames that came whole and in order until the core has taken their words.

    Attributes
    ----------
    data, valid, end, good : In
        Of `Deframer`.
    clear : In
        While high nothing goes to the core, and what was on its way is forgotten.
    o : Out
        Words for the core.
    header : Out
        Of the frame that ended last.
    opened, heard, closed : Out
        A frame has ended that opens the link, that came while it was open, and while it was not.
        These and `answer` and `back` come from registers.
    answer, back : Out
        With the end of a frame, or as room appears: tell the host; and tell it to send again.
    ack, limit : Out
        Number of the frame expected next, and the first for which there is no room.
    error : Out
        Something was damaged or missing since the link was opened.
    """

    def __init__(self, slots: int, *, in_luts: bool = False) -> None:
        self.slots = slots
        self.in_luts = in_luts
        super().__init__({
            "data":   In(8),
            "valid":  In(1),
            "end":    In(1),
            "good":   In(1),
            "clear":  In(1),
            "o":      Out(layouts.LINK_STREAM),
            "header": Out(HEADER),
            "opened": Out(1),
            "heard":  Out(1),
            "closed": Out(1),
            "answer": Out(1),
            "back":   Out(1),
            "ack":    Out(SEQ),
            "limit":  Out(SEQ),
            "error":  Out(1),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        write, read = memory(m, self.slots, self.in_luts)
        is_open, asked = Signal(), Signal()
        # What a frame means is found out in one cycle and acted upon in the next.
        opened, heard, closed = Signal(), Signal(), Signal()
        answer, back = Signal(), Signal()
        m.d.sync += [
            self.opened.eq(opened),
            self.heard.eq(heard),
            self.closed.eq(closed),
            self.answer.eq(answer),
            self.back.eq(back),
        ]
        clear = Signal()
        m.d.comb += clear.eq(self.clear | self.opened)
        oldest = Signal(SEQ)  # number of the oldest frame that the core has not taken whole

        # Header, payload and CRC follow each other, so that the payload begins at byte 4.
        first = 4 - HEADER_BYTES
        at = Signal(range((1 << SLOT_BITS) + CRC_BYTES + 2), init=first)
        too_long = (1 << SLOT_BITS) + CRC_BYTES + 1
        with m.If(self.end):
            m.d.sync += at.eq(first)
        with m.Elif(self.valid & (at != too_long)):
            m.d.sync += at.eq(at + 1)
        with m.If(self.valid & (at < 4)):
            m.d.sync += self.header.eq(Cat(self.header.as_value()[8:], self.data))
        # Known a few cycles after the last byte, and that is before the end.
        words = Signal(5)
        whole = Signal()
        shaped = self.good & whole
        about = Signal(ABOUT)
        # How far in front of what is expected: from half of all numbers on, it is behind.
        lead = Signal(SEQ)
        room = Signal()
        m.d.sync += [
            words.eq(at[2:] - (4 + CRC_BYTES) // 4),
            whole.eq(~at[:2].any() & (at >= 4 + CRC_BYTES) & (at != too_long)),
            lead.eq(self.header.seq - self.ack),
            room.eq((self.ack - oldest)[:SEQ] != self.slots),
        ]
        m.d.comb += [
            about.words.eq(words),
            about.last.eq(self.header.last),
            write.addr.eq(Cat(at[:SLOT_BITS], self.ack)),
            write.data.eq(self.data),
            write.en.eq(self.valid & ~at[SLOT_BITS] & room),
            self.limit.eq(oldest + self.slots),
        ]
        reader = Unpacker()
        m.submodules.reader = ResetInserter(clear)(reader)
        m.d.comb += [
            reader.available.eq(oldest != self.ack),
            reader.data.eq(read.data),
            read.addr.eq(Cat(reader.address, oldest)),
        ]
        connect(m, reader.o, flipped(self.o))
        with m.If(reader.done & ~clear):
            m.d.sync += oldest.eq(oldest + 1)
            m.d.comb += answer.eq(is_open)

        with m.If(self.end & ~shaped):
            m.d.sync += [asked.eq(1), self.error.eq(1)]
            m.d.comb += [answer.eq(is_open & ~asked), back.eq(is_open & ~asked)]
        with m.Elif(self.end & (self.header.kind == Kind.OPEN)):
            m.d.sync += [is_open.eq(1), asked.eq(0), self.error.eq(0)]
            m.d.sync += [self.ack.eq(self.header.seq), oldest.eq(self.header.seq)]
            m.d.comb += opened.eq(1)
        with m.Elif(self.end & ~is_open):
            m.d.comb += closed.eq(1)
        with m.Elif(self.end):
            m.d.comb += heard.eq(1)
            with m.If(self.header.kind == Kind.POLL):
                m.d.comb += [answer.eq(1), back.eq(1)]
            with m.Elif(words != 0):
                m.d.comb += answer.eq(1)
            with m.If(lead == 0):
                m.d.sync += asked.eq(0)
                with m.If((words != 0) & room):
                    m.d.sync += self.ack.eq(self.ack + 1)
                    m.d.comb += [
                        write.addr.eq(Cat(Const(0, SLOT_BITS), self.ack)),
                        write.data.eq(about),
                        write.en.eq(1),
                    ]
            with m.Elif(~lead[-1]):
                # Once, as those behind it are ahead as well. If that is lost, the host will poll.
                m.d.sync += [asked.eq(1), self.error.eq(1)]
                with m.If(~asked):
                    m.d.comb += [answer.eq(1), back.eq(1)]
        return m
