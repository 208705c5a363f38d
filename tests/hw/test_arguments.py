"""hw/arguments.py"""

import pytest

from hw import isa
from hw.arguments import Arguments
from hw.config import Config
from tests.hw.simulation import simulate

CFG = Config(
    rows=5, cols=6, scratchpad_bytes=256, weight_depth=500, table_depth=4, program_depth=40,
    trace_depth=3,
)  # fmt: skip
MOST = 511
"""The largest number of as many bits as the rows of the largest memory have."""


async def give(ctx, dut, words, run):
    """Whether they are strange."""
    ctx.set(dut.run, run)
    ctx.set(dut.begin, 1)
    await ctx.tick()
    ctx.set(dut.begin, 0)
    for word in words:
        assert ctx.get(dut.wanted)
        ctx.set(dut.word, word)
        await ctx.tick().repeat(2)
        ctx.set(dut.take, 1)
        await ctx.tick()
        ctx.set(dut.take, 0)
    assert not ctx.get(dut.wanted)
    return ctx.get(dut.strange)


def high_bits(lowest):
    return [1 << bit for bit in range(lowest, 32)]


def test_what_no_row_can_be_is_strange_and_all_else_is_kept():
    dut = Arguments(CFG)

    async def testbench(ctx):
        for row in (0, 1, 500, MOST):
            for rows in (0, 1, 500, MOST):
                assert not await give(ctx, dut, [row, rows], run=0)
                assert (ctx.get(dut.row), ctx.get(dut.rows)) == (row, rows)
        for much in high_bits(MOST.bit_length()):
            assert await give(ctx, dut, [much, 1], run=0)
            assert await give(ctx, dut, [1, much], run=0)
            assert not await give(ctx, dut, [1, 1], run=0), "it is forgotten"

    simulate(dut, testbench, cycles=5_000)


GOOD = {"batches": 1, "input_address": 4, "input_words": 1, "input_slots": 1, "input_total": 0}
STRANGE = {
    "batches": [0],
    "input_address": [1, 2, 3, *high_bits(9)],
    "input_words": [0, *high_bits(7)],
    "input_slots": [0, *high_bits(4)],
    "input_total": [],
}
FINE = {
    "batches": [1, *high_bits(1)],
    "input_address": [0, 4, 252],
    "input_words": [1, 2, 64],
    "input_slots": [1, 2, 15],
    "input_total": [0, (1 << 32) - 1],
}


@pytest.mark.parametrize("name", isa.RUN_WORDS)
def test_what_no_ring_can_have_is_strange_and_all_else_is_kept(name):
    dut = Arguments(CFG)

    async def testbench(ctx):
        for value in FINE[name]:
            wanted = GOOD | {name: value}
            assert not await give(ctx, dut, wanted.values(), run=1), value
            kept = [ctx.get(s) for s in (dut.row, dut.rows, dut.slots)]
            assert kept == list(wanted.values())[1:4]
        for value in STRANGE[name]:
            assert await give(ctx, dut, (GOOD | {name: value}).values(), run=1), value

    simulate(dut, testbench, cycles=5_000)


def test_batches_and_total_are_named_when_they_come_and_rows_go_on():
    dut = Arguments(CFG)
    named = []

    async def watch(ctx):
        while True:
            _, _, *seen = await ctx.tick().sample(dut.take, dut.batches_set, dut.total_set)
            if seen[0]:
                named.append(tuple(seen[1:]))
            else:
                assert seen == [0, 0, 0]

    async def testbench(ctx):
        await give(ctx, dut, GOOD.values(), run=1)
        await give(ctx, dut, [7, 2], run=0)
        for row in (8, 9):
            ctx.set(dut.next_row, 1)
            await ctx.tick()
            assert ctx.get(dut.row) == row

    simulate(dut, testbench, background=[watch])
    assert named == [(1, 0), (0, 0), (0, 0), (0, 0), (0, 1), (0, 0), (0, 0)]
