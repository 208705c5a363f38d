"""The packet that the decoder is at, and the state that it is in."""

from amaranth import Module, Mux, Signal, Value

from . import isa
from .config import Config
from .count import one_less_or
from .isa import Cause, Packet


class Left:
    """A count of words, and what is asked of it, compared a cycle before.

    It is not right in the cycle behind `set`.
    """

    def __init__(self, m: Module, left: Signal) -> None:
        self.m, self.left = m, left
        self.total = Signal.like(left, name="total")
        """To be set in the end."""
        self.some = Signal(name="some_left")
        """There are any."""
        self.last = Signal(name="last_left")
        """There is one."""
        self._keeps = Signal(init=1, name="keeps_left")
        self._goes = Signal(name="goes_left")
        self._value = Signal.like(left, name="value_left")
        with m.If(self._goes | ~self._keeps):
            m.d.sync += left.eq(one_less_or(left, self._keeps, self._value))
        m.d.sync += [
            self.some.eq(Mux(self._goes, left != 1, left != 0)),
            self.last.eq(Mux(self._goes, left == 2, left == 1)),
        ]

    def set(self, value: Value | int) -> None:
        """It starts."""
        self.m.d.comb += [self._keeps.eq(0), self._value.eq(value)]

    def step(self) -> None:
        """One fewer."""
        self.m.d.comb += self._goes.eq(1)


class CurrentPacket:
    """What is known of the packet, in registers: the states and the link wait for it."""

    FLAGGED = ("HEADER", "WRITE", "REFUSE", "COUNT", "ANSWER")

    def __init__(self, m: Module, cfg: Config) -> None:
        self.m = m
        self.header = Signal(isa.HEADER)
        self.cause = Signal(4)
        """Why it is refused, or 0."""
        self.refused = Signal()
        """That it is, a cycle later."""
        self.named = {p: Signal(name=f"is_{p.name.lower()}") for p in Packet}
        """Its opcode, a cycle behind `header`."""
        self.count = Left(m, Signal(range(cfg.packet_words + 1), name="left"))
        """Words of it still to come, or of the answer still to go."""
        self.at = {
            state: Signal(init=state == self.FLAGGED[0], name=f"at_{state.lower()}")
            for state in self.FLAGGED
        }
        """Whether that is the state: a register each, beside the number of the state."""
        m.d.sync += [
            self.refused.eq(self.cause != 0),
            *(signal.eq(self.header.opcode == p.value) for p, signal in self.named.items()),
        ]

    def go(self, state: str) -> None:
        """Goes on to a state; every way from one to another is one of these."""
        self.m.next = state
        self.m.d.sync += [flag.eq(name == state) for name, flag in self.at.items()]

    def refuse(self, why: Cause) -> None:
        """Refuses it: what is left of it is dropped, and the answer says why."""
        self.m.d.sync += self.cause.eq(why.value)
        self.go("REFUSE")
