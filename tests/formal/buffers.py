"""Buffers between components lose nothing, invent nothing and keep the order."""

from functools import partial

from amaranth import Module, Mux
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from hw.results import Results
from tests.formal.harness import Checks
from tests.formal.prove import Bug, Task
from tests.formal.streams import SMALL, made

WIDTH, DEPTH = 4, 4


class Orders(wiring.Component):
    """The queue of `hw.post`, with ports that a harness finds."""

    def __init__(self) -> None:
        super().__init__({
            "w_en":   In(1),
            "w_data": In(WIDTH),
            "w_rdy":  Out(1),
            "r_en":   In(1),
            "r_data": Out(WIDTH),
            "r_rdy":  Out(1),
            "level":  Out(range(DEPTH + 1)),
        })  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.queue = queue = SyncFIFOBuffered(width=WIDTH, depth=DEPTH)
        m.d.comb += [getattr(queue, n).eq(getattr(self, n)) for n in ("w_en", "w_data", "r_en")]
        m.d.comb += [
            getattr(self, n).eq(getattr(queue, n)) for n in ("w_rdy", "r_data", "r_rdy", "level")
        ]
        return m


def in_order(check: Checks, dut: Orders) -> None:
    """Any one word, chosen freely, comes out at its place; never more than went in."""
    m = check.m
    sent, came = check.register(8, "sent"), check.register(8, "came")
    place, kept = check.any_constant(4, "place"), check.register(WIDTH, "kept")
    writes, reads = dut.w_en & dut.w_rdy, dut.r_en & dut.r_rdy
    with m.If(writes):
        m.d.sync += sent.eq(sent + 1)
        with m.If(sent == place):
            m.d.sync += kept.eq(dut.w_data)
    with m.If(reads):
        m.d.sync += came.eq(came + 1)
    check.prove(~dut.r_rdy | (came != sent))
    check.prove(~dut.r_rdy | (came != place) | (dut.r_data == kept))
    check.prove(dut.level == (sent - came)[: len(dut.level)])
    # It takes as many words as whoever writes without asking counts on.
    check.prove(dut.w_rdy | (dut.level >= DEPTH - 1))


def results_kept(check: Checks, dut: Results) -> None:
    """Result k of a column is read at index k, until as many more came as there are places."""
    m, depth = check.m, dut.cfg.result_depth
    column, place = check.any_constant(1, "column"), check.any_constant(3, "place")
    kept, there = check.register(dut.cfg.acc_width, "kept"), check.register(1, "there")
    pushes = check.register(6, "pushes")
    push = Mux(column, dut.push[1], dut.push[0])
    with m.If(push):
        m.d.sync += pushes.eq(pushes + 1)
        with m.If(pushes == place):
            value = Mux(column, dut.i[1].as_unsigned(), dut.i[0].as_unsigned())
            m.d.sync += [kept.eq(value), there.eq(1)]
    mine = there & (pushes <= place + depth) & (dut.index == place[: len(dut.index)])
    asked = mine & (dut.beat == column)
    for _ in range(Results.LATENCY):
        asked, kept = check.before(asked), check.before(kept)
    check.prove(~asked | (dut.o[0].as_unsigned() == kept))


TASKS = [
    Task(
        "orders of results", partial(made, Orders, in_order),
        "bmc", 14, "the queue of orders loses no word, invents none and keeps their order",
        Bug("amaranth.lib.fifo", "self.w_rdy.eq(inner_level != inner_depth)", "self.w_rdy.eq(1)"),
        quick=True,
    ),
    Task(
        "results", partial(made, partial(Results, SMALL), results_kept),
        "bmc", 12, "a result is read as it was written, until its place is needed again",
        Bug("hw.results", "next_index + self.push[c]", "next_index + self.push[0]"),
    ),
]  # fmt: skip
