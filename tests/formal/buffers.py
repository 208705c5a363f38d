"""Buffers between components lose nothing, invent nothing and keep the order."""

from functools import partial
from typing import Any

from amaranth import Module, Mux
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from hw.feeder import Feeder
from hw.results import Results
from tests.formal.control import comparisons_match
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


def result_addresses(check: Checks, dut: Feeder) -> None:
    """Target of a result = first target + the moves of all loops that a result ends.

    Of layers in which each vector gives a result; moves are free, turns at most two in each loop.
    """
    m, width, loops = check.m, dut.cfg.address_width, ("x", "y", "tile", "block")
    layer: Any = dut.layer
    for name in ("window_x", "window_y", "slice", "kernel_y"):
        check.assume(layer[f"{name}_last"] == 0)
    moves = {n: check.any_constant(width, f"move_of_{n}") for n in loops}
    lasts = {n: check.any_constant(1, f"turns_of_{n}") for n in loops}
    target = check.any_constant(width, "first_target")
    for n in loops:
        check.assume((layer[f"move_{n}"][:width] == moves[n]) & (layer[f"{n}_last"] == lasts[n]))
    check.assume((layer.target[:width] == target) & ~dut.emit_read & ~dut.retired)
    comparisons_match(check, dut)
    turns = {n: check.register(1, f"result_turn_{n}") for n in loops}
    wanted = check.register(width, "wanted")
    # A loop that ends takes nothing back: the move of the next one is given with that in mind.
    carry: Any = dut.result_push
    for n in loops:
        with m.If(carry & (turns[n] != lasts[n])):
            m.d.sync += wanted.eq(wanted + moves[n])
        with m.If(carry):
            m.d.sync += turns[n].eq(Mux(turns[n] == lasts[n], 0, 1))
        carry = carry & (turns[n] == lasts[n])
    # Results are a cycle behind: that of the last vector of a layer goes while the next one comes.
    with m.If(check.before(dut.layer_taken)):
        m.d.sync += wanted.eq(target)
    check.prove(~dut.result_push | (dut.result.target == wanted))


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
    Task(
        "result addresses", partial(made, partial(Feeder, SMALL), result_addresses),
        "bmc", 11, "targets of results are those of the loop nest",
        Bug("hw.feeder", "layer.target, target + move", "layer.target, target - move"),
    ),
]  # fmt: skip
