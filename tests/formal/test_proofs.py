"""The quick part of ``make formal``, and that a property which does not hold is found."""

import time
from functools import partial
from pathlib import Path
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


@pytest.mark.parametrize(("mode", "solver"), [("prove", "z3"), ("bmc", "z3"), ("bmc", "bitwuzla")])
def test_a_stream_that_takes_a_word_back_is_refuted(mode, solver):
    """Bitwuzla's counterexample was once an engine that "terminated without status"."""
    harness = partial(Harness, Impatient(), holds)
    task = Task("impatient", harness, mode, 6, "it holds", NO_BUG, solver=solver)
    with pytest.raises(RefutedError, match="it holds: not proven"):
        prove(task)


class Factors(wiring.Component):
    """Two numbers and their product."""

    a: Signal
    b: Signal
    o: Signal

    def __init__(self) -> None:
        super().__init__({"a": In(64), "b": In(64), "o": Out(128)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.o.eq(self.a * self.b)
        return m


def folder(path: Path) -> str:
    """Where a process is; nothing when it is not ours, or has ended."""
    try:
        return str(path.readlink())
    except OSError:
        return ""


@pytest.mark.parametrize("solver", ["z3", "bitwuzla"])
def test_a_proof_that_is_given_up_leaves_no_solver_behind(solver, tmp_path, monkeypatch):
    """Their groups are not that of `sby`, and so they once ran on."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    here = str(tmp_path)
    product = ((1 << 61) - 1) * ((1 << 31) - 1)  # of two primes

    def no_factors(check: Checks, dut: Any) -> None:
        check.prove((dut.o != product) | (dut.a == 1) | (dut.b == 1))

    task = Task(
        "factors", lambda: Harness(Factors(), no_factors), "bmc", 1, "", NO_BUG, solver=solver
    )
    with pytest.raises(ProofError, match="was not decided within 5 s"):
        prove(task, timeout=5)

    def behind() -> list[Path]:
        return [path for path in Path("/proc").glob("[0-9]*/cwd") if folder(path).startswith(here)]

    # They have been told to end; on a busy machine they are seen for a moment more.
    deadline = time.monotonic() + 30
    while behind() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not behind()


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
