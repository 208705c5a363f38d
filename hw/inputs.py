"""The ring of input slots: images stream in while earlier ones are at work."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from . import layouts
from .config import Config
from .delay import delayed


class Inputs(wiring.Component):
    """Writes words of input into the slots of a ring, one slot after the other.

    All lanes have the same ring. The words for one address of all lanes follow each other.

    Attributes
    ----------
    i : In
        Words.
    ring : In
        Where the slots lie; copied with `start`.
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
        full = Signal(8)
        """Slots that are full and not released."""
        held = Signal(8)
        """The same, and those still being read."""
        lane = Signal(layouts.lane(self.cfg))
        last_lane = lane == self.cfg.lanes - 1
        freed = delayed(m, "freed", self.release, self.RELEASE)
        words_left = Signal(ring.words.shape())
        write_slots_left = Signal(8)
        read_slots_left = Signal(8)
        address = Signal(self.cfg.address_width)
        # The link and the array's decision wait for these: they are compared a cycle before.
        room = Signal()
        last_word = Signal()

        m.d.comb += [
            self.o.valid.eq(self.i.valid & room),
            self.i.ready.eq(self.o.ready & room),
            self.o.p.data.eq(self.i.payload),
            self.o.p.address.eq(address),
            self.o.p.lane.eq(lane),
        ]
        written = self.i.valid & self.i.ready
        complete = written & last_lane & last_word
        with m.If(complete & ~self.release):
            m.d.sync += [full.eq(full + 1), self.filled.eq(1)]
        with m.If(self.release & ~complete):
            m.d.sync += [full.eq(full - 1), self.filled.eq(full != 1)]
        with m.If(complete & ~freed):
            m.d.sync += [held.eq(held + 1), room.eq((held + 1)[:8] != ring.slots)]
        with m.If(freed & ~complete):
            m.d.sync += [held.eq(held - 1), room.eq(1)]
        with m.If(written):
            m.d.sync += lane.eq(Mux(last_lane, 0, lane + 1))
        with m.If(written & last_lane):
            m.d.sync += [
                address.eq(address + 4),
                words_left.eq(words_left - 1),
                last_word.eq(words_left == 1),
            ]
        with m.If(complete):
            m.d.sync += [
                words_left.eq(ring.words - 1),
                last_word.eq(ring.words == 1),
                write_slots_left.eq(write_slots_left - 1),
            ]
            with m.If(write_slots_left == 0):
                m.d.sync += [address.eq(ring.address), write_slots_left.eq(ring.slots - 1)]
        with m.If(self.release):
            at_end = read_slots_left == 0
            m.d.sync += [
                self.base.eq(Mux(at_end, ring.address, self.base + (ring.words << 2))),
                read_slots_left.eq(Mux(at_end, ring.slots, read_slots_left) - 1),
            ]

        begin = Signal()
        m.d.sync += begin.eq(self.start)
        with m.If(begin):
            m.d.sync += [
                full.eq(0),
                self.filled.eq(0),
                held.eq(0),
                room.eq(1),
                lane.eq(0),
                address.eq(ring.address),
                self.base.eq(ring.address),
                words_left.eq(ring.words - 1),
                last_word.eq(ring.words == 1),
                write_slots_left.eq(ring.slots - 1),
                read_slots_left.eq(ring.slots - 1),
            ]
        return m
