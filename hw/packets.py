"""Receives packets whole, so that one that is cut off or too long never does anything."""

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from . import isa, layouts
from .config import Config
from .count import next_or, one_less_or

CAUSE = 4
"""Bits of a cause."""

RECEIVED = data.StructLayout({"data": 32, "cause": CAUSE})
"""A word of a whole packet (`cause` 0), or the header of a refused one and why it was refused."""

RESETS = 3
"""``RESET`` packets that are taken before the first of them has been carried out."""


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

    ON_THE_WAY = 3
    """Words that have left the memory and are not yet taken, at most."""

    @staticmethod
    def depth(cfg: Config) -> int:
        """Words of the memory: two packets, so that one comes in while the other is carried out."""
        return 1 << (2 * (cfg.packet_words + 1) - 1).bit_length()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        depth = self.depth(self.cfg)
        # Apart, so that a refusal is written to the header that is there already.
        m.submodules.memory = memory = Memory(shape=layouts.WORD, depth=depth, init=[])
        m.submodules.causes = causes = Memory(shape=CAUSE, depth=depth, init=[])
        write, read = memory.write_port(), memory.read_port()
        write_cause, read_cause = causes.write_port(), causes.read_port()
        # One bit more than an address, so that full and empty differ.
        tail = Signal(range(2 * depth))
        whole = Signal(range(2 * depth))
        head = Signal(range(2 * depth))

        # Three words are on their way out: behind the memory, which is slow, kept aside, and given.
        # None goes on because one is taken in this very cycle: that is known too late for a memory.
        fetched, aside_valid = Signal(), Signal()
        aside = Signal(RECEIVED)
        given = Signal(RECEIVED)
        deliver = ~self.o.valid | self.o.ready
        fetch = Signal()
        m.d.comb += [
            fetch.eq(~(fetched & aside_valid & self.o.valid)),
            given.data.eq(read.data),
            given.cause.eq(read_cause.data),
        ]
        for port in (read, read_cause):
            m.d.comb += [port.addr.eq(head), port.en.eq(fetch)]
        with m.If(fetch):
            m.d.sync += fetched.eq(head != whole)
            with m.If(head != whole):
                m.d.sync += head.eq(head + 1)
        with m.If(deliver):
            m.d.sync += [
                self.o.valid.eq(aside_valid | fetched),
                self.o.payload.eq(Mux(aside_valid, aside, given)),
            ]
        # What is not delivered must leave its place to the next one.
        leaves = fetch & fetched
        with m.If(leaves):
            m.d.sync += aside.eq(given)
        with m.If(leaves | deliver):
            m.d.sync += aside_valid.eq(leaves & (aside_valid == deliver))

        resets = Signal(range(RESETS + 1))
        """Of those stored, and of the one that has left and is at work."""
        reset_came = Signal()
        m.d.comb += self.reset.eq(resets != 0)
        m.d.sync += resets.eq(resets + reset_came - self.reset_done)

        cause = Signal(CAUSE)
        left = Signal(range(self.cfg.packet_words + 1))
        """Words that must follow."""
        # Of a header, or of a word behind it.
        heads, follows = Signal(), Signal()
        incoming = data.View(isa.HEADER, self.i.p.data)
        none_left = Mux(follows, left == 1, incoming.length == 0)
        too_many = ~follows & (incoming.length > self.cfg.packet_words)
        names_reset = (incoming.opcode == isa.Packet.RESET.value) & (incoming.length == 0)
        is_reset = Signal()
        """The packet is a ``RESET``, if it is whole."""
        accepted = self.i.valid & self.i.ready
        stored = (heads | follows) & accepted
        back = Signal()
        refused = Signal()
        # A cycle late, with a word to spare.
        room = Signal(init=1)
        m.d.sync += room.eq((tail - head)[: len(tail)] < depth - 1)
        m.d.comb += [
            self.i.ready.eq(room & (resets != RESETS)),
            write.addr.eq(tail),
            write.data.eq(self.i.p.data),
            write.en.eq(stored),
            write_cause.addr.eq(tail),
            write_cause.data.eq(Mux(refused, cause, 0)),
            write_cause.en.eq(stored | refused),
        ]
        with m.If(stored | refused | back):
            m.d.sync += tail.eq(next_or(tail, back, whole))
        with m.If(heads | stored):
            m.d.sync += left.eq(one_less_or(left, follows, incoming.length))
        with m.If(heads):
            m.d.sync += is_reset.eq(names_reset)
        with m.FSM():
            with m.State("HEADER"):
                m.d.comb += heads.eq(1)
                with m.If(accepted):
                    self._next(m, none_left, too_many, tail, whole, cause)
                    m.d.comb += reset_came.eq(names_reset & self.i.p.last & ~self.i.p.cut)
            with m.State("PAYLOAD"):
                m.d.comb += follows.eq(1)
                with m.If(accepted):
                    self._next(m, none_left, too_many, tail, whole, cause)
            if self.cfg.link_width > 32:
                self._padding(m, tail, whole, reset_came, is_reset)
            with m.State("SKIP"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid & self.i.p.last):
                    m.next = "BACK"
            with m.State("BACK"):
                # To the header that is stored. There is room for it, for it was there.
                m.d.comb += [self.i.ready.eq(0), back.eq(1)]
                m.next = "REFUSE"
            with m.State("REFUSE"):
                m.d.comb += [self.i.ready.eq(0), refused.eq(1)]
                m.d.sync += whole.eq(tail + 1)
                m.next = "HEADER"
        return m

    def _next(
        self, m: Module, none_left: Value, too_many: Value, tail: Signal, whole: Signal,
        cause: Signal,
    ) -> None:  # fmt: skip
        """What a word means behind which none must follow, or more than there may be."""
        with m.If(self.i.p.last & none_left & ~self.i.p.cut):
            m.d.sync += whole.eq(tail + 1)
            m.next = "HEADER"
        with m.Elif(self.i.p.last):
            m.d.sync += cause.eq(isa.Cause.TRUNCATED.value)
            m.next = "BACK"
        with m.Elif(none_left):
            m.d.sync += cause.eq(isa.Cause.EXCESS.value)
            m.next = "PADDING" if self.cfg.link_width > 32 else "SKIP"
        with m.Elif(too_many):
            m.d.sync += cause.eq(isa.Cause.OVERSIZE.value)
            m.next = "SKIP"
        with m.Else():
            m.next = "PAYLOAD"

    def _padding(
        self, m: Module, tail: Signal, whole: Signal, reset_came: Signal, is_reset: Signal
    ) -> None:
        """A wide link fills its last beat with a word that belongs to nothing."""
        with m.State("PADDING"):
            m.d.comb += self.i.ready.eq(1)
            with m.If(self.i.valid):
                m.next = "SKIP"
                with m.If(self.i.p.last):
                    m.next = "BACK"
                    with m.If(self.i.p.data == 0):
                        m.d.sync += whole.eq(tail)
                        m.next = "HEADER"
                        m.d.comb += reset_came.eq(is_reset)


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
            # What is not valid may be anything.
            m.d.sync += [
                self.o.valid.eq(
                    closing | Mux(chosen, self.answers.valid, self.outputs.valid & ~self.abort)
                ),
                self.o.payload.eq(Mux(chosen, self.answers.payload, self.outputs.payload)),
            ]
            with m.If(closing):
                m.d.sync += [self.o.p.data.eq(0), self.o.p.last.eq(1)]
                m.d.sync += [closing.eq(0), sending.eq(0)]
            with m.Elif(self.answers.ready & self.answers.valid):
                m.d.sync += answering.eq(~self.answers.p.last)
            with m.Elif(self.outputs.ready & self.outputs.valid):
                m.d.sync += sending.eq(~self.outputs.p.last)
        with m.If(self.abort & sending):
            m.d.sync += closing.eq(1)
        return m
