"""Joins beats of the host link to 32-bit words, and splits words into beats."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from . import layouts
from .config import Config

WORD = 32


class LinkIn(wiring.Component):
    """Beats to words, the first in the lowest bits.

    A packet that ends within a word has it filled with zeros and marked as cut. A beat of 64 bits
    is two words; behind a packet of an odd number the second is padding, which `PacketBuffer`
    drops.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg
        super().__init__({
            "i": In(stream.Signature(layouts.beat(cfg))),
            "o": Out(layouts.INCOMING_STREAM),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = self.cfg.link_width
        if width == WORD:
            m.d.comb += [
                self.o.valid.eq(self.i.valid),
                self.i.ready.eq(self.o.ready),
                self.o.p.data.eq(self.i.p.data),
                self.o.p.last.eq(self.i.p.last),
            ]
        elif width < WORD:
            self._join(m, WORD // width)
        else:
            self._split(m, width // WORD)
        return m

    def _join(self, m: Module, beats: int) -> None:
        width = self.cfg.link_width
        kept = Signal(WORD - width)
        at = Signal(range(beats))
        whole = at == beats - 1
        last = whole | self.i.p.last
        m.d.comb += [
            self.o.valid.eq(self.i.valid & last),
            self.i.ready.eq(self.o.ready | ~last),
            self.o.p.last.eq(self.i.p.last),
            self.o.p.cut.eq(~whole),
            self.o.p.data.eq(kept | (self.i.p.data << (at * width))),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [at.eq(at + 1), kept.eq(self.o.p.data)]
            with m.If(last):
                m.d.sync += [at.eq(0), kept.eq(0)]

    def _split(self, m: Module, words: int) -> None:
        at = Signal(range(words))
        last = at == words - 1
        m.d.comb += [
            self.o.valid.eq(self.i.valid),
            self.i.ready.eq(self.o.ready & last),
            self.o.p.data.eq(self.i.p.data.word_select(at, WORD)),
            self.o.p.last.eq(self.i.p.last & last),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += at.eq(at + 1)


class LinkOut(wiring.Component):
    """Words to beats; a wide beat that a packet fills only in part ends with zeros."""

    i: stream.Interface
    o: stream.Interface

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg
        super().__init__({
            "i": In(layouts.LINK_STREAM),
            "o": Out(stream.Signature(layouts.beat(cfg))),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = self.cfg.link_width
        if width == WORD:
            connect(m, flipped(self.i), flipped(self.o))
        elif width < WORD:
            beats = WORD // width
            at = Signal(range(beats))
            last = at == beats - 1
            m.d.comb += [
                self.o.valid.eq(self.i.valid),
                self.i.ready.eq(self.o.ready & last),
                self.o.p.data.eq(self.i.p.data.word_select(at, width)),
                self.o.p.last.eq(self.i.p.last & last),
            ]
            with m.If(self.o.valid & self.o.ready):
                m.d.sync += at.eq(at + 1)
        else:
            low, half = Signal(WORD), Signal()
            whole = half | self.i.p.last
            m.d.comb += [
                self.o.valid.eq(self.i.valid & whole),
                self.i.ready.eq(self.o.ready | ~whole),
                self.o.p.data.eq(Mux(half, Cat(low, self.i.p.data), self.i.p.data)),
                self.o.p.last.eq(self.i.p.last),
            ]
            with m.If(self.i.valid & self.i.ready):
                m.d.sync += [half.eq(~whole), low.eq(self.i.p.data)]
        return m
