"""The feeder: its loops count as the instruction says, addresses are those of the loop nest, and
results have room."""

from functools import partial
from typing import Any

from amaranth import Cat, Const, Mux, Signal
from amaranth.lib import data

from hw import isa
from hw.feeder import AHEAD, SUM, WINDOW, Feeder
from hw.sequencer import Sequencer
from tests.formal.harness import Checks
from tests.formal.prove import Bug, Task
from tests.formal.streams import SMALL, made

ONE_COPY = SMALL.with_fields({"prefetch": 0})


def results_fit(check: Checks, dut: Feeder) -> None:
    """Never more results on the way than the buffer behind the accumulators holds."""
    pending, earlier = check.inside["pending"], check.inside["earlier"]
    check.assume(~dut.retired | (pending != 0))
    check.prove(pending <= dut.cfg.result_depth)
    check.prove(earlier <= pending)
    check.prove(~dut.idle | (pending == 0))
    # What is compared a cycle before is what it says.
    check.prove(check.inside["full"] == (pending == dut.cfg.result_depth))
    check.prove(check.inside["none"] == (pending == 0))
    check.prove(check.inside["some_earlier"] == (earlier != 0))
    check.prove(check.inside["lacking"] == -pending)
    comparisons_match(check, dut)
    loops_match(check, dut)
    # The last vector of a layer gives a result.
    ends = check.inside[f"{isa.LEVELS[-1]}_done"]
    check.prove(~ends | check.inside["has_result"])


def copied(check: Checks, dut: Feeder) -> Any:
    """The copy of the instruction, for which Amaranth finds no name in the gateware."""
    return data.View(dut.layer.shape(), check.inside["$signal"])


def earlier_results(check: Checks, dut: Feeder) -> None:
    """`slack` is what the instruction allows to be missing behind its loops' moves so far, less the
    results of earlier layers on their way."""
    results_fit(check, dut)
    m, inside, layer = check.m, check.inside, copied(check, dut)
    active, slack = inside["active"], inside["slack"]
    last = {n: inside[f"{n}_at_last"] for n in isa.LEVELS}
    moves = {n: layer[f"allow_{n}"].as_signed() for n in isa.ALLOW_LEVELS}
    allowed = check.register(slack.shape(), "allowed")
    with m.If(~active):
        m.d.sync += allowed.eq(dut.layer.allow.as_signed())
    for n, move in moves.items():
        inner = isa.LEVELS[: isa.LEVELS.index(n)]
        with m.If(dut.fed & Cat(last[i] for i in inner).all() & ~last[n]):
            m.d.sync += allowed.eq(allowed + move)
    # Which of them would move on is known a cycle before whether one does.
    step = Mux(
        ~last["slice"],
        moves["slice"],
        Mux(~last["kernel_y"], moves["kernel_y"], moves["block"]),
    )
    check.prove(~active | (inside["step"] == step))
    earlier = inside["earlier"]
    check.prove(~active | (slack == (allowed - earlier)[: len(slack)].as_signed()))
    check.prove(~dut.fed | (earlier == 0) | (slack >= 0))


def loops_match(check: Checks, dut: Feeder) -> None:
    """What is known of a loop a turn before it is asked for is what its count says.

    A count is `AHEAD` turns ahead, modulo its width.
    """
    inside = check.inside
    active = inside["active"]
    layer = copied(check, dut)
    check.prove(inside["copies"] == ~active)
    turns = {n: layer[f"{n}_last"] for n in isa.LEVELS}
    single = Cat(turns[n] == 0 for n in isa.LEVELS)
    lasts = Cat(inside[f"{n}_at_last"] for n in isa.LEVELS)
    for i, n in enumerate(isa.LEVELS):
        count, last = inside[f"{n}_left"], turns[n]
        same = (
            (lasts[i] == (count == (last + AHEAD)[: len(count)]))
            & ((count - AHEAD)[: len(count)] <= last)
            & (inside[f"{n}_next_last"] == (count == (last + AHEAD - 1)[: len(count)]))
            & (~single[i] | lasts[i])
            & (inside[f"{n}_single"] == single[i])
            & (inside[f"{n}_singles"] == single[: i + 1].all())
            & (inside[f"{n}_double"] == (last == 1))
        )
        check.prove(~active | same)
        if n in WINDOW:
            check.prove(~active | (inside[f"{n}_at_first"] == (count == AHEAD % (1 << len(count)))))
        check.prove(inside[f"{n}_done"] == lasts[: i + 1].all())
    at_last: dict[str, Any] = dict(zip(isa.LEVELS, lasts, strict=True))
    check.prove(inside["sum_last"] == Cat(at_last[n] for n in SUM).all())
    check.prove(inside["has_result"] == Cat(at_last[n] for n in (*SUM, *WINDOW)).all())


def nested_addresses(check: Checks, dut: Feeder) -> None:
    """Address of a vector = source + the strides of all loops times their turns, as promised.

    The instruction holds steps; strides are free, turns at most two in each loop. Addresses count
    modulo the memory, so how wide they are does not matter.
    """
    m, width = check.m, dut.cfg.address_width
    strides = {n: check.any_constant(width, f"stride_{n}") for n in isa.LEVELS}
    lasts = {n: check.any_constant(1, f"last_{n}") for n in isa.LEVELS}
    source = check.any_constant(width, "source")
    layer = dut.layer
    moved: Any = 0
    for n in isa.LEVELS:
        step = Signal(width, name=f"step_of_{n}")
        m.d.comb += step.eq(strides[n] - moved)
        check.assume(layer[f"step_{n}"] == step)
        check.assume(layer[f"{n}_last"] == lasts[n])
        moved = moved + Mux(lasts[n], strides[n], 0)
    check.assume((layer.source == source) & ~layer.src_input)
    if not dut.cfg.prefetch:
        # The sequencer's side, which tests/hw holds to it.
        asked = check.before(dut.level)
        for i, n in enumerate(isa.LEVELS):
            check.assume((asked != i) | (dut.step == layer[f"step_{n}"]))
    check.assume(~dut.emit_read & ~dut.retired)
    comparisons_match(check, dut)
    turns = {n: check.register(1, f"turn_{n}") for n in isa.LEVELS}
    # In two halves, which are far easier than the whole: the address is the sum of the steps so
    # far, and that sum is the one of the strides.
    steps, strided = check.register(width, "steps"), Const(0, width)
    carry: Any = dut.vector_valid
    for n in isa.LEVELS:
        strided = strided + Mux(turns[n], strides[n], 0)
        with m.If(carry & (turns[n] != lasts[n])):
            m.d.sync += steps.eq(steps + layer[f"step_{n}"])
        with m.If(carry):
            m.d.sync += turns[n].eq(Mux(turns[n] == lasts[n], 0, 1))
        carry = carry & (turns[n] == lasts[n])
    with m.If(carry):
        m.d.sync += steps.eq(0)
    check.prove(~dut.vector_valid | (dut.vector.address == (source + steps)[:width]))
    check.prove(steps == strided[:width])


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


def comparisons_match(check: Checks, dut: Feeder | Sequencer) -> None:
    """What comes beside a whole instruction, compared a cycle before, is what it says of it.

    Promised by the sequencer, which is proven, and relied on by the feeder.
    """
    layer = dut.layer
    single = Cat(layer[f"{n}_last"] == 0 for n in isa.LEVELS)
    same = (
        (dut.single == single)
        & (dut.double == Cat(layer[f"{n}_last"] == 1 for n in isa.LEVELS))
        & (dut.emits == (layer.emit_words != 0))
    )
    # Of each other they say the same in every cycle, whatever the words are.
    prefixes = dut.singles == Cat(dut.single[: i + 1].all() for i in range(len(single)))
    if isinstance(dut, Sequencer):
        check.prove(prefixes)
        check.prove(~dut.valid | same)
        return
    check.assume(prefixes)
    if not dut.cfg.prefetch:
        # Nobody copies them: they hold as long as the instruction does.
        check.assume(same)
    else:
        # Without weights taken there is no instruction yet.
        check.assume(~(dut.layer_valid & dut.weights_taken) | same)


TASKS = [
    Task(
        "results on the way", partial(made, partial(Feeder, SMALL), results_fit),
        "prove", 2, "results never overrun their buffer",
        Bug("hw.feeder", "full.eq(pending == depth - 1)", "full.eq(pending == depth)"),
        quick=True,
    ),
    Task(
        "results of earlier layers", partial(made, partial(Feeder, SMALL), earlier_results),
        "prove", 2, "a vector waits for as many results as its instruction says",
        Bug("hw.feeder", "Mux(fire & tile_last, moved, stays)", "Mux(fire, moved, stays)"),
        quick=True,
    ),
    Task(
        "vector addresses", partial(made, partial(Feeder, SMALL), nested_addresses),
        "bmc", 9, "addresses of vectors are those of the loop nest",
        Bug("hw.feeder", "Mux(emit | first, base, address)", "Mux(emit, base, address)"),
    ),
    Task(
        "vector addresses, one copy", partial(made, partial(Feeder, ONE_COPY), nested_addresses),
        "bmc", 9, "without prefetch, too, addresses of vectors are those of the loop nest",
        Bug("hw.feeder", "if i >> bit & 1", "if (i ^ 1) >> bit & 1"),
    ),
    Task(
        "result addresses", partial(made, partial(Feeder, SMALL), result_addresses),
        "bmc", 11, "targets of results are those of the loop nest",
        Bug("hw.feeder", "layer.target, target + move", "layer.target, target - move"),
    ),
]  # fmt: skip
