"""Frames to bytes and back: flags, escapes and the CRC; see docs/uart.md."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .uart_frame import CRC_BYTES, CRC_POLYNOMIAL, CRC_RESIDUE, ESCAPE, FLAG, FLIP

CONTENT = data.StructLayout({"data": 8, "last": 1})
"""A byte of a frame without flags, escapes and CRC; `last` ends the frame."""


class CRC32(wiring.Component):
    """The CRC of bytes, a bit a cycle: an eighth of the logic of a byte a cycle.

    Attributes
    ----------
    clear : In
        The next byte is the first.
    data, valid : In
        A byte, only while not `busy`.
    busy : Out
        The byte is not yet in the register.
    value : Out
        The register, not inverted. A byte that equals its low byte shifts it right by eight.
    """

    clear: Signal
    data: Signal
    valid: Signal
    busy: Signal
    value: Signal

    def __init__(self) -> None:
        super().__init__({
            "clear": In(1),
            "data":  In(8),
            "valid": In(1),
            "busy":  Out(1),
            "value": Out(32),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        value = Signal(32, init=0xFFFFFFFF)
        rest = Signal(8)
        left = Signal(range(9))
        m.d.comb += [self.busy.eq(left != 0), self.value.eq(value)]
        with m.If(self.busy):
            odd = value[0] ^ rest[0]
            m.d.sync += [
                value.eq((value >> 1) ^ Mux(odd, CRC_POLYNOMIAL, 0)),
                rest.eq(rest >> 1),
                left.eq(left - 1),
            ]
        with m.If(self.valid):
            m.d.sync += [rest.eq(self.data), left.eq(8)]
        with m.If(self.clear):
            m.d.sync += [value.eq(0xFFFFFFFF), left.eq(0)]
        return m


class Deframer(wiring.Component):
    """Finds frames in bytes.

    Attributes
    ----------
    i, i_valid, i_error : In
        A byte of the line, or one that could not be read; at least ten cycles apart.
    data, valid : Out
        A byte of a frame, its CRC included, without flags and escapes. Whether it is any good is
        not known before `end`.
    end : Out
        The frame is over, or what looked like one.
    good : Out
        With `end`: its CRC is right.
    """

    i: Signal
    i_valid: Signal
    i_error: Signal
    data: Signal
    valid: Signal
    end: Signal
    good: Signal

    def __init__(self) -> None:
        super().__init__({
            "i":       In(8),
            "i_valid": In(1),
            "i_error": In(1),
            "data":    Out(8),
            "valid":   Out(1),
            "end":     Out(1),
            "good":    Out(1),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.crc = crc = CRC32()
        # Between two frames stand two flags; with nothing between them they end nothing.
        begun, escaped, broken = Signal(), Signal(), Signal()
        # The CRC is there nine cycles after a byte, and the next byte comes after ten.
        right = Signal()
        m.d.sync += right.eq(crc.value == CRC_RESIDUE)
        m.d.comb += [
            self.data.eq(self.i ^ Mux(escaped, FLIP, 0)),
            crc.data.eq(self.data),
            crc.valid.eq(self.valid),
            self.good.eq(~broken & ~escaped & right),
        ]
        with m.If(self.i_error):
            m.d.sync += [begun.eq(1), broken.eq(1)]
        with m.Elif(self.i_valid):
            with m.If(self.i == FLAG):
                m.d.comb += [self.end.eq(begun), crc.clear.eq(1)]
                m.d.sync += [begun.eq(0), escaped.eq(0), broken.eq(0)]
            with m.Else():
                m.d.comb += self.valid.eq(self.i != ESCAPE)
                m.d.sync += [begun.eq(1), escaped.eq(self.i == ESCAPE)]
        return m


class Enframer(wiring.Component):
    """Makes bytes of frames.

    Attributes
    ----------
    i : In
        Bytes of frames: header and payload.
    o : Out
        Bytes for the line.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self) -> None:
        super().__init__({"i": In(stream.Signature(CONTENT)), "o": Out(stream.Signature(8))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.crc = crc = CRC32()
        byte = Signal(8)
        escaped = Signal()
        reserved = ((byte == FLAG) | (byte == ESCAPE)) & ~escaped
        left = Signal(range(CRC_BYTES))
        offered = Signal()
        # What is offered stays, and the CRC of all before it is known.
        m.d.comb += self.o.valid.eq(offered & ~crc.busy)
        passed = self.o.valid & self.o.ready
        whole = Signal()  # the byte itself has passed, not only its escape
        with m.FSM() as state:
            with m.State("BEGIN"):
                m.d.comb += [offered.eq(self.i.valid), self.o.payload.eq(FLAG), crc.clear.eq(1)]
                with m.If(passed):
                    m.next = "BODY"
            with m.State("BODY"):
                m.d.comb += [
                    offered.eq(self.i.valid),
                    byte.eq(self.i.p.data),
                    crc.data.eq(byte),
                    self.i.ready.eq(whole),
                ]
                with m.If(whole & self.i.p.last):
                    m.d.sync += left.eq(CRC_BYTES - 1)
                    m.next = "CRC"
            with m.State("CRC"):
                # The byte of the register itself moves the next one into its place.
                m.d.comb += [
                    offered.eq(1),
                    byte.eq(~crc.value[:8]),
                    crc.data.eq(crc.value[:8]),
                ]
                with m.If(whole):
                    m.d.sync += left.eq(left - 1)
                    with m.If(left == 0):
                        m.next = "END"
            with m.State("END"):
                m.d.comb += [offered.eq(1), self.o.payload.eq(FLAG)]
                with m.If(passed):
                    m.next = "BEGIN"
        with m.If(state.ongoing("BODY") | state.ongoing("CRC")):
            m.d.comb += [
                whole.eq(passed & ~reserved),
                crc.valid.eq(whole),
                self.o.payload.eq(Mux(reserved, ESCAPE, byte ^ Mux(escaped, FLIP, 0))),
            ]
            with m.If(passed):
                m.d.sync += escaped.eq(reserved)
        return m
