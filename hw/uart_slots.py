"""Slots of memory, each of which holds the words of a frame, and the ways in and out of them.

Byte 0 of a slot says how many words it has and whether the last one ends a packet; the words lie
from byte 4 on.
"""

from amaranth import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from . import layouts

ABOUT = data.StructLayout({"last": 1, "zero": 2, "words": 5})
"""Byte 0 of a slot."""

SLOT_BITS = 7
"""Of the address of a byte in a slot."""


def memory(m: Module, slots: int, in_luts: bool) -> tuple:
    """Adds the memory of slots to a module: its write port and its read port."""
    attrs = {"ram_style": "distributed"} if in_luts else {}
    m.submodules.memory = memory = Memory(shape=8, depth=slots << SLOT_BITS, init=[], attrs=attrs)
    return memory.write_port(), memory.read_port()


class Packer(wiring.Component):
    """Writes words into a slot.

    Attributes
    ----------
    i : In
        Words of the core. What it sees of this side comes from registers.
    room : In
        There is a slot to be filled. While one is being filled, there may be more but not fewer.
    address, data, write : Out
        A byte for the slot.
    done : Out
        The slot holds a frame: it is full, or its last word ends a packet.
    """

    i: stream.Interface
    room: Signal
    address: Signal
    data: Signal
    write: Signal
    done: Signal

    def __init__(self) -> None:
        super().__init__({
            "i":       In(layouts.LINK_STREAM),
            "room":    In(1),
            "address": Out(SLOT_BITS),
            "data":    Out(8),
            "write":   Out(1),
            "done":    Out(1),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        at = Signal(SLOT_BITS, init=4)
        word = Signal(32)
        last = Signal()
        ready = Signal()
        about = Signal(ABOUT)
        m.d.comb += [about.words.eq(at[2:]), about.last.eq(last), self.i.ready.eq(ready)]
        with m.FSM():
            with m.State("WORD"):
                m.d.sync += [word.eq(self.i.p.data), last.eq(self.i.p.last), ready.eq(self.room)]
                with m.If(self.i.valid & ready):
                    m.d.sync += ready.eq(0)
                    m.next = "BYTES"
            with m.State("BYTES"):
                m.d.comb += [self.write.eq(1), self.address.eq(at), self.data.eq(word[:8])]
                m.d.sync += word.eq(word >> 8)
                with m.If(~at[:2].all()):
                    m.d.sync += at.eq(at + 1)
                with m.Elif(last | at.all()):
                    m.next = "ABOUT"
                with m.Else():
                    m.d.sync += at.eq(at + 1)
                    m.next = "WORD"
            with m.State("ABOUT"):
                m.d.comb += [self.write.eq(1), self.data.eq(about), self.done.eq(1)]
                m.d.sync += at.eq(4)
                m.next = "WORD"
        return m


class Unpacker(wiring.Component):
    """Reads the words of a slot.

    Attributes
    ----------
    available : In
        The slot holds a frame.
    address, data : Out, In
        A byte of the slot, in the cycle after its address.
    o : Out
        Words for the core, from registers.
    done : Out
        The last word of the slot has been taken.
    """

    available: Signal
    address: Signal
    data: Signal
    o: stream.Interface
    done: Signal

    def __init__(self) -> None:
        super().__init__({
            "available": In(1),
            "address":   Out(SLOT_BITS),
            "data":      In(8),
            "o":         Out(layouts.LINK_STREAM),
            "done":      Out(1),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        at = Signal(SLOT_BITS + 1)  # of the byte that is read in this cycle
        word = Signal(32)
        about = Signal(ABOUT)
        final = Signal()
        m.d.comb += [self.address.eq(at), self.o.p.data.eq(word)]
        with m.FSM():
            with m.State("WAIT"):
                with m.If(self.available):
                    m.d.sync += at.eq(4)
                    m.next = "ABOUT"
            with m.State("ABOUT"):
                m.d.sync += [about.eq(self.data), at.eq(at + 1)]
                m.next = "WORD"
            with m.State("WORD"):
                m.d.sync += word.eq(Cat(word[8:], self.data))
                m.d.sync += final.eq(at[2:] == about.words + 1)
                with m.If(at[:2] == 0):
                    m.next = "OFFER"
                with m.Else():
                    m.d.sync += at.eq(at + 1)
            with m.State("OFFER"):
                m.d.comb += [
                    self.o.valid.eq(1),
                    self.o.p.last.eq(final & about.last),
                ]
                with m.If(self.o.ready):
                    m.d.sync += at.eq(at + 1)
                    m.next = "WORD"
                    with m.If(final):
                        m.d.comb += self.done.eq(1)
                        m.d.sync += at.eq(0)
                        m.next = "WAIT"
        return m
