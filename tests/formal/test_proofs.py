"""The quick part of ``make formal``, and that a property which does not hold is found."""

from functools import partial
from typing import Any

import pytest
from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from tests.formal.harness import Checks, Harness
from tests.formal.prove import Bug, ProofError, RefutedError, Task, prove, seeded, spoil
from tests.formal.streams import holds
from tests.formal.tasks import TASKS


@pytest.mark.parametrize("task", [t for t in TASKS if t.quick], ids=lambda t: t.name)
def test_quick_proofs_hold(task):
    prove(task)


@pytest.mark.parametrize("task", [t for t in TASKS if t.quick], ids=lambda t: t.name)
def test_a_bug_in_the_gateware_is_found(task):
    spoil(task)


def test_gateware_is_as_before_behind_a_seeded_bug():
    task = next(t for t in TASKS if t.quick)
    with seeded(task.bug):
        pass
    prove(task)


def test_a_bug_that_has_no_place_is_refused():
    with (
        pytest.raises(ProofError, match="no text 'nowhere'"),
        seeded(Bug("hw.link", "nowhere", "")),
    ):
        pass


NO_BUG = Bug("hw.link", "", "")


class Impatient(wiring.Component):
    """Passes words on, and takes one back that waited for three cycles."""

    def __init__(self) -> None:
        super().__init__({"i": In(stream.Signature(4)), "o": Out(stream.Signature(4))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        i: Any = self.i  # type: ignore[attr-defined]
        o: Any = self.o  # type: ignore[attr-defined]
        waited = Signal(2)
        m.d.comb += [
            o.payload.eq(i.payload),
            o.valid.eq(i.valid & (waited != 3)),
            i.ready.eq(o.ready),
        ]
        m.d.sync += waited.eq(waited + (o.valid & ~o.ready))
        return m


@pytest.mark.parametrize("mode", ["prove", "bmc"])
def test_a_stream_that_takes_a_word_back_is_refuted(mode):
    harness = partial(Harness, Impatient(), holds)
    task = Task("impatient", harness, mode, 6, "it holds", NO_BUG, solver="z3")
    with pytest.raises(RefutedError, match="it holds: not proven"):
        prove(task)


def test_assumptions_leave_something_to_be_proven():
    """A packet of two words gets through the assumptions of the proof about packets."""
    from hw.packets import PacketBuffer
    from tests.formal.control import ShortPackets, nothing_lost

    def reaching(check: Checks, dut: Any) -> None:
        nothing_lost(check, dut)
        check.reach(dut.o.valid & (dut.o.p.cause == 0) & check.before(dut.o.valid & dut.o.ready))

    def made() -> Harness:
        return Harness(PacketBuffer(ShortPackets()), reaching)  # type: ignore[arg-type]

    prove(Task("reach", partial(made), "cover", 8, "a packet comes out", NO_BUG, solver="z3"))
