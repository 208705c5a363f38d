"""The first words of a packet's payload, taken apart as they come."""

from amaranth import Module, Mux, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from . import isa, layouts
from .config import Config
from .count import next_or
from .isa import Space

BATCHES, ADDRESS, WORDS, SLOTS, TOTAL = range(len(isa.RUN_WORDS))
"""Places of the arguments of a ``RUN``. Those of ``WRITE`` and ``READ``, a row and a number of
rows, go where address and words do."""


class Arguments(wiring.Component):
    """Keeps the bits that a good argument can have, and notes when others are not 0.

    Attributes
    ----------
    begin, run : In
        Arguments come from the next cycle on; they are those of a ``RUN``.
    word, take : In
        One, and it is there.
    next_row : In
        Go on to the next row.
    wanted : Out
        They have not all come. Behind the last one, `strange` is right.
    batches_set, total_set : Out
        The word is the batches, or the total input, of a run.
    row : Out
        First row; or address of the ring.
    rows : Out
        Rows; or words of a slot.
    slots : Out
        Slots of the ring.
    strange : Out
        A number that no memory and no ring can have, whatever the others are.
    """

    begin: Signal
    run: Signal
    word: Signal
    take: Signal
    next_row: Signal
    wanted: Signal
    batches_set: Signal
    total_set: Signal
    row: Signal
    rows: Signal
    slots: Signal
    strange: Signal

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg
        super().__init__({
            "begin":       In(1),
            "run":         In(1),
            "word":        In(32),
            "take":        In(1),
            "next_row":    In(1),
            "wanted":      Out(1),
            "batches_set": Out(1),
            "total_set":   Out(1),
            "row":         Out(self.width(cfg)),
            "rows":        Out(self.width(cfg)),
            "slots":       Out(range(isa.SLOTS + 1)),
            "strange":     Out(1),
        })  # fmt: skip

    @staticmethod
    def width(cfg: Config) -> int:
        """Bits of a row, which may be the one behind the last, and of an address, one of bytes."""
        return max(cfg.address_width, *(isa.rows(cfg, s).bit_length() for s in Space))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ring_words = Shape.cast(layouts.ring(self.cfg)["words"].shape).width
        low, high = len(self.slots), len(self.row)
        at = Signal(range(TOTAL + 2))
        few = self.word[:low].any()
        some = self.word[low:high].any()
        many = self.word[high:].any()
        unlike = Signal()
        with m.If(self.begin):
            m.d.sync += [at.eq(Mux(self.run, BATCHES, ADDRESS)), self.strange.eq(0)]
            m.d.sync += self.wanted.eq(1)
        takes_row = at == ADDRESS
        with m.If((self.take & takes_row) | self.next_row):
            m.d.sync += self.row.eq(next_or(self.row, takes_row, self.word))
        with m.If(self.take):
            m.d.sync += [at.eq(at + 1), self.strange.eq(self.strange | unlike)]
            m.d.sync += self.wanted.eq(at != Mux(self.run, TOTAL, WORDS))
            with m.Switch(at):
                with m.Case(BATCHES):
                    m.d.comb += [self.batches_set.eq(1), unlike.eq(~(few | some | many))]
                with m.Case(ADDRESS):
                    m.d.comb += unlike.eq(many | (self.run & self.word[:2].any()))
                with m.Case(WORDS):
                    m.d.sync += self.rows.eq(self.word)
                    none = ~(few | some) | self.word[ring_words:high].any()
                    m.d.comb += unlike.eq(many | (self.run & none))
                with m.Case(SLOTS):
                    m.d.sync += self.slots.eq(self.word)
                    m.d.comb += unlike.eq(many | some | ~few)
                with m.Case(TOTAL):
                    m.d.comb += self.total_set.eq(1)
        return m
