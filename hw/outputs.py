"""Sends the outputs of layers, and says when a run is over."""

from amaranth import Cat, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from . import isa, layouts
from .config import Config
from .count import next_or, one_less_or
from .times import times


class Outputs(wiring.Component):
    """Waits until the results of a layer are written, reads them word by word and sends them.

    Attributes
    ----------
    start, source, words, after : In
        Send so many words of each lane, no more than there are, from that byte address on, a
        multiple of 4, behind so many results that are not yet written. The words of all lanes for
        one address follow each other.
    retired : In
        One more is written.
    busy : Out
        An output is being sent; `start` must wait.
    read, address, taken : Out, Out, In
        The word to read; it is being read.
    word, word_valid : In
        The word that was read, in each lane.
    cycle : In
        For the end of the packet.
    finish, finished : In, Out
        The run is over, all outputs are sent: send that; it is sent.
    o : Out
        Packets.
    """

    start: Signal
    source: Signal
    words: Signal
    after: Signal
    retired: Signal
    busy: Signal
    read: Signal
    address: Signal
    taken: Signal
    word: data.View
    word_valid: Signal
    cycle: Signal
    finish: Signal
    finished: Signal
    o: stream.Interface

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg
        super().__init__({
            "start":      In(1),
            "source":     In(cfg.address_width),
            "words":      In(16),
            "after":      In(range(cfg.result_depth + 1)),
            "retired":    In(1),
            "busy":       Out(1),
            "read":       Out(1),
            "address":    Out(cfg.address_width),
            "taken":      In(1),
            "word":       In(layouts.words(cfg)),
            "word_valid": In(1),
            "cycle":      In(32),
            "finish":     In(1),
            "finished":   Out(1),
            "o":          Out(layouts.LINK_STREAM),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        left = Signal(range(min(0xFFFF, self.cfg.scratchpad_words) + 1))
        last = Signal()
        pending = Signal.like(self.after)
        words = Signal(32 * (self.cfg.lanes + 1), reset_less=True)
        """Those of the lanes that are still to be sent, and behind them the time."""
        address = Signal(self.cfg.address_width - 2)
        idle = Signal()
        lane = Signal(layouts.lane(self.cfg))
        header = data.View(isa.HEADER, self.o.p.data)
        length = self._length(m, left)
        m.d.comb += self.address.eq(address << 2)
        goes = Signal()
        with m.If(idle | goes):
            m.d.sync += [
                left.eq(one_less_or(left, self.busy, self.words)),
                address.eq(next_or(address, idle, self.source[2:])),
            ]
        # The array's decision waits for `busy` and `read`, so they are registers.
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += idle.eq(1)
                m.d.sync += [self.busy.eq(self.start | self.finish), pending.eq(self.after)]
                with m.If(self.start):
                    m.next = "WAIT"
                with m.Elif(self.finish):
                    m.next = "DONE"
            with m.State("WAIT"):
                with m.If(pending == 0):
                    m.next = "HEADER"
                with m.Elif(self.retired):
                    m.d.sync += pending.eq(pending - 1)
            with m.State("HEADER"):
                m.d.comb += [
                    self.o.valid.eq(1),
                    header.opcode.eq(isa.Reply.OUTPUT.value),
                    header.length.eq(length),
                ]
                with m.If(self.o.ready):
                    m.d.sync += self.read.eq(1)
                    m.next = "READ"
            with m.State("READ"):
                with m.If(self.taken):
                    m.d.comb += goes.eq(1)
                    m.d.sync += [self.read.eq(0), last.eq(left == 1)]
                    m.next = "FETCH"
            with m.State("FETCH"):
                m.d.sync += [words.eq(Cat(self.word, self.cycle)), lane.eq(0)]
                with m.If(self.word_valid):
                    m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += [self.o.valid.eq(1), self.o.p.data.eq(words[:32])]
                with m.If(self.o.ready):
                    m.d.sync += [lane.eq(lane + 1), words[:-32].eq(words[32:])]
                    with m.If(lane == self.cfg.lanes - 1):
                        m.d.sync += self.read.eq(~last)
                        m.next = "READ"
                        with m.If(last):
                            m.next = "STAMP"
            with m.State("STAMP"):
                m.d.comb += [
                    self.o.valid.eq(1),
                    self.o.p.data.eq(words[:32]),
                    self.o.p.last.eq(1),
                ]
                with m.If(self.o.ready):
                    m.d.sync += self.busy.eq(0)
                    m.next = "IDLE"
            with m.State("DONE"):
                m.d.comb += [
                    self.o.valid.eq(1),
                    self.o.p.last.eq(1),
                    header.opcode.eq(isa.Reply.DONE.value),
                    self.finished.eq(self.o.ready),
                ]
                with m.If(self.o.ready):
                    m.d.sync += self.busy.eq(0)
                    m.next = "IDLE"
        return m

    def _length(self, m: Module, left: Signal) -> Value:
        """Words behind the header, of all lanes and the time; right from the second cycle on in
        which `left` stands, and no header is sent in the first."""
        lanes = self.cfg.lanes
        if lanes.bit_count() == 1:
            return left * lanes + 1
        # A sum is a long way to go before a packet.
        length = Signal.like(left * lanes + 1)
        m.d.sync += length.eq(times(left, lanes) + 1)
        return length
