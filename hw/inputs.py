"""The ring of input slots: images stream in while earlier ones are at work."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from . import layouts
from .config import Config
from .count import next_or, one_less_or
from .delay import delayed


class Inputs(wiring.Component):
    """Writes words of input into the slots of a ring, one slot after the other.

    All lanes have the same ring. The words for one address of all lanes follow each other.

    Attributes
    ----------
    i : In
        Words.
    ring : In
        Where the slots lie, from a multiple of 4 on; right from the cycle behind `start` on, as
        long as the run goes on.
    start : In
        A run begins with empty slots.
    o : Out
        Words and their addresses.
    filled : Out
        The oldest slot is full.
    base : Out
        Its address.
    release : In
        Its last vector went a cycle ago: the next slot is the oldest from now on, and it may be
        filled again `RELEASE` cycles later, when that vector has been read.
    """

    RELEASE = 1

    i: stream.Interface
    ring: data.View
    start: Signal
    o: stream.Interface
    filled: Signal
    base: Signal
    release: Signal

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg
        super().__init__({
            "i":       In(stream.Signature(32)),
            "ring":    In(layouts.ring(cfg)),
            "start":   In(1),
            "o":       Out(layouts.input_words(cfg)),
            "filled":  Out(1),
            "base":    Out(cfg.address_width),
            "release": In(1),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ring = self.ring
        full = Signal.like(ring.slots)
        """Slots that are full and not released."""
        held = Signal.like(ring.slots)
        """The same, and those still being read."""
        lane = Signal(layouts.lane(self.cfg))
        last_lane = lane == self.cfg.lanes - 1
        freed = delayed(m, "freed", self.release, self.RELEASE)
        words_left = Signal.like(ring.words)
        """Words of the slot still to come, of each lane."""
        write_slots_left = Signal.like(ring.slots)
        read_slots_left = Signal.like(ring.slots)
        """Slots up to the end of the ring, with the present one."""
        # Addresses of 32-bit words.
        ring_address = ring.address[2:]
        address = Signal.like(ring_address)
        base = Signal.like(ring_address)
        # The link and the array's decision wait for these: they are compared a cycle before.
        room = Signal()
        last_word = Signal()
        begin = Signal()
        m.d.sync += begin.eq(self.start)

        m.d.comb += [
            self.o.valid.eq(self.i.valid & room),
            self.i.ready.eq(self.o.ready & room),
            self.o.p.data.eq(self.i.payload),
            self.o.p.address.eq(address << 2),
            self.o.p.lane.eq(lane),
            self.base.eq(base << 2),
        ]
        written = self.i.valid & self.i.ready
        complete = written & last_lane & last_word
        with m.If(complete & ~self.release):
            m.d.sync += [full.eq(full + 1), self.filled.eq(1)]
        with m.If(self.release & ~complete):
            m.d.sync += [full.eq(full - 1), self.filled.eq(full != 1)]
        with m.If(complete & ~freed):
            m.d.sync += [held.eq(held + 1), room.eq((held + 1)[: len(held)] != ring.slots)]
        with m.If(freed & ~complete):
            m.d.sync += [held.eq(held - 1), room.eq(1)]
        with m.If(written):
            m.d.sync += lane.eq(Mux(last_lane, 0, lane + 1))

        # What is set depends on registers alone, and what comes late only on whether.
        in_slot, in_ring, at_start = Signal(), Signal(), Signal()
        last_slot = write_slots_left == 1
        m.d.comb += [
            in_slot.eq(~begin & ~last_word),
            in_ring.eq(~begin & ~last_slot),
            at_start.eq(begin | (last_word & last_slot)),
        ]
        with m.If(begin | (written & last_lane)):
            m.d.sync += [
                address.eq(next_or(address, at_start, ring_address)),
                words_left.eq(one_less_or(words_left, in_slot, ring.words)),
                last_word.eq(Mux(in_slot, words_left == 2, ring.words == 1)),
            ]
        with m.If(begin | complete):
            m.d.sync += write_slots_left.eq(one_less_or(write_slots_left, in_ring, ring.slots))
        reads_on = Signal()
        m.d.comb += reads_on.eq(~begin & (read_slots_left != 1))
        with m.If(begin | self.release):
            m.d.sync += [
                base.eq(Mux(reads_on, base + ring.words, ring_address)),
                read_slots_left.eq(one_less_or(read_slots_left, reads_on, ring.slots)),
            ]
        with m.If(begin):
            m.d.sync += [full.eq(0), self.filled.eq(0), held.eq(0), room.eq(1), lane.eq(0)]
        return m
