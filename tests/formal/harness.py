"""Harnesses: a component whose inputs are free, what is assumed of them, and what must follow."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from amaranth import Cat, Module, Signal, Value
from amaranth.hdl import Assert, Assume, Cover, Fragment
from amaranth.hdl._ast import AnyConst, AnySeq  # amaranth.asserts, without its warning
from amaranth.lib import wiring
from amaranth.lib.wiring import In

Properties = Callable[["Checks", Any], None]


class Checks:
    """What a harness states of the component `dut`; `inside` are the component's own signals."""

    # The component's own signals make invariants possible, without which induction starts from
    # states that never occur.

    def __init__(self, m: Module, inside: dict[str, Signal]) -> None:
        self.m, self.inside = m, inside
        self._count = 0
        self.past = self.register(1, "past")
        """A cycle has gone by since the reset."""
        m.d.sync += self.past.eq(1)

    def register(self, shape: Any, name: str) -> Signal:
        """A register of the harness; `m.d.sync` of the harness writes it."""
        return Signal(shape, name=f"check_{name}")

    def before(self, value: Any) -> Value:
        """What a value was in the cycle before."""
        value = Value.cast(value)
        self._count += 1
        register = self.register(value.shape(), f"before_{self._count}")
        self.m.d.sync += register.eq(value)
        return register

    def prove(self, condition: Any) -> None:
        # Amaranth's stubs still have the arguments of 0.4, here and below.
        self.m.d.comb += Assert(condition)  # type: ignore[call-arg]

    def assume(self, condition: Any) -> None:
        self.m.d.comb += Assume(condition)  # type: ignore[call-arg]

    def reach(self, condition: Any) -> None:
        self.m.d.comb += Cover(condition)  # type: ignore[call-arg]

    def any_constant(self, shape: Any, name: str) -> Signal:
        """Some value, always the same one."""
        value = self.register(shape, name)
        self.m.d.comb += value.eq(AnyConst(shape))
        return value

    def any_value(self, shape: Any, name: str) -> Signal:
        """Some value, another one in every cycle."""
        value = self.register(shape, name)
        self.m.d.comb += value.eq(AnySeq(shape))
        return value

    def state(self, *names: str) -> Value:
        """Whether the component's state machine is in one of these states."""
        signal = self.inside["fsm_state"]
        numbers = {}
        for number in range(1 << len(signal)):
            with contextlib.suppress(KeyError):
                numbers[signal.decoder(number).rpartition("/")[0]] = number
        return Cat(signal == numbers[name] for name in names).any()

    def known_state(self) -> Value:
        """Whether the state machine is in a state that there is."""
        signal = self.inside["fsm_state"]
        last = 0
        for number in range(1 << len(signal)):
            with contextlib.suppress(KeyError):
                signal.decoder(number)
                last = number
        return signal <= last

    def held(self, stream: Any) -> Value:
        """Whether what a stream offered before, and nobody took, is offered still."""
        waiting = self.before(Value.cast(stream.valid) & ~Value.cast(stream.ready))
        same = Value.cast(stream.payload) == self.before(stream.payload)
        return ~waiting | (Value.cast(stream.valid) & same)


def signals(fragment: Fragment, prefix: str = "") -> Iterator[tuple[str, Signal]]:
    """What is driven inside, by name: that of a part of it has the part's name and a dot before."""
    for statements in fragment.statements.values():
        for signal in statements._lhs_signals():
            yield prefix + signal.name, signal
    for part, name, *_ in fragment.subfragments:
        yield from signals(part, f"{prefix}{name}.")


class Harness(wiring.Component):
    """A component whose inputs are free in every cycle, and properties of it."""

    def __init__(self, dut: Any, properties: Properties) -> None:
        self.dut, self.properties = dut, properties
        super().__init__({})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        fragment = Fragment.get(self.dut, platform)
        inside: dict[str, Signal] = {}
        for name, signal in signals(fragment):
            # The first of a name has it; whoever is after another one will find that it is not.
            inside.setdefault(name, signal)
        m.submodules.dut = fragment
        for _, member, port in self.dut.signature.flatten(self.dut):
            if member.flow == In:
                value = Value.cast(port)
                m.d.comb += value.eq(AnySeq(len(value)))
        self.properties(Checks(m, inside), self.dut)
        return m
