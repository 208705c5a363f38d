"""Bytes on a serial line: a start bit, eight data bits from the lowest on, a stop bit (8N1)."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from .errors import ConfigError

DIVISORS = (4, 1 << 16)
"""Fewest and most cycles of a bit. With four, a byte may still be 2 % too fast or too slow, and a
CRC, which takes a cycle for each bit, is done long before the next byte."""

FRAME_BITS = 10
"""Of a byte on the line."""


def check_divisor(divisor: int) -> None:
    """Refuses a number of cycles that a bit cannot have."""
    low, high = DIVISORS
    if not isinstance(divisor, int) or not low <= divisor <= high:
        raise ConfigError(
            f"divisor={divisor!r}: a bit takes {low} to {high} cycles of the clock; "
            "choose another baud rate"
        )


class LineIn(wiring.Component):
    """Receives bytes. Each bit is sampled once, in its middle.

    Attributes
    ----------
    rx : In
        The line, asynchronous; high when idle.
    data, valid : Out
        A byte, in the cycle in which its stop bit is sampled; nothing waits.
    error : Out
        Instead of `valid`: the stop bit was low.
    """

    rx: Signal
    data: Signal
    valid: Signal
    error: Signal

    def __init__(self, divisor: int) -> None:
        check_divisor(divisor)
        self.divisor = divisor
        super().__init__({"rx": In(1), "data": Out(8), "valid": Out(1), "error": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        rx = Signal(init=1)
        m.submodules.synchronizer = FFSynchronizer(self.rx, rx, init=1)
        timer = Signal(range(self.divisor))
        left = Signal(range(FRAME_BITS + 1))  # samples still to take; 0 between bytes

        with m.If(left == 0):
            m.d.sync += timer.eq(self.divisor // 2 - 1)
            with m.If(~rx):
                m.d.sync += left.eq(FRAME_BITS)
        with m.Elif(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Else():
            m.d.sync += [timer.eq(self.divisor - 1), left.eq(left - 1)]
            with m.If((left == FRAME_BITS) & rx):
                m.d.sync += left.eq(0)  # a glitch, not a start bit
            with m.Elif(left == 1):
                m.d.comb += [self.valid.eq(rx), self.error.eq(~rx)]
            with m.Else():
                m.d.sync += self.data.eq(Cat(self.data[1:], rx))
        return m


class LineOut(wiring.Component):
    """Sends bytes.

    Attributes
    ----------
    i : In
        Bytes; ready between two.
    tx : Out
        The line, from a register.
    """

    i: stream.Interface
    tx: Signal

    def __init__(self, divisor: int) -> None:
        check_divisor(divisor)
        self.divisor = divisor
        super().__init__({"i": In(stream.Signature(8)), "tx": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        timer = Signal(range(self.divisor))
        left = Signal(range(FRAME_BITS + 1))  # bits not yet over
        rest = Signal(FRAME_BITS - 1)
        tx = Signal(init=1)

        m.d.comb += [self.i.ready.eq(left == 0), self.tx.eq(tx)]
        with m.If(self.i.ready):
            m.d.sync += timer.eq(self.divisor - 1)
            with m.If(self.i.valid):
                m.d.sync += [tx.eq(0), rest.eq(Cat(self.i.payload, 1)), left.eq(FRAME_BITS)]
        with m.Else():
            over = timer == 0
            m.d.sync += timer.eq(Mux(over, self.divisor - 1, timer - 1))
            with m.If(over):
                m.d.sync += [left.eq(left - 1), tx.eq(rest[0]), rest.eq(Cat(rest[1:], 1))]
        return m
