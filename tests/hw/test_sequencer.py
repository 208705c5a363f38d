"""hw/sequencer.py"""

import numpy as np
import pytest

from hw import isa, layouts
from hw.config import Config
from hw.sequencer import Sequencer
from tests.hw.simulation import simulate

CFG = Config(program_depth=256)
LENGTH = isa.length(isa.Op.LAYER)
END = isa.encode(isa.Op.END)


def layer(rng):
    """A layer instruction of random bits."""
    words = rng.integers(0, 1 << 32, LENGTH).tolist()
    words[0] = words[0] & ~15 | isa.Op.LAYER.value
    return words


def bits(words):
    return sum(word << 32 * i for i, word in enumerate(words))


async def load(ctx, dut, words):
    ctx.set(dut.bus.write, 1)
    for row, word in enumerate(words):
        ctx.set(dut.bus.row, row)
        ctx.set(dut.bus.w_data, word)
        await ctx.tick()
    ctx.set(dut.bus.write, 0)


async def begin(ctx, dut, batches):
    ctx.set(dut.batches, batches)
    ctx.set(dut.batches_set, 1)
    await ctx.tick()
    # As the decoder does: they come once, some time before.
    ctx.set(dut.batches, 0xBAD)
    ctx.set(dut.batches_set, 0)
    await ctx.tick().repeat(3)
    ctx.set(dut.start, 1)
    await ctx.tick()
    ctx.set(dut.start, 0)
    ctx.set(dut.running, 1)


async def take(ctx, dut, rest):
    """The instructions of a run, each with `first`, and the cycles waited for each."""
    got, waits = [], []
    while True:
        wait = 0
        while not ctx.get(dut.valid) and not ctx.get(dut.finished):
            wait += 1
            await ctx.tick()
        if ctx.get(dut.finished):
            return got, waits
        words, first = ctx.get(dut.layer.as_value()), ctx.get(dut.first)
        for _ in range(rest()):
            await ctx.tick()
            # It stays until it is taken.
            assert ctx.get(dut.valid)
            assert (ctx.get(dut.layer.as_value()), ctx.get(dut.first)) == (words, first)
        ctx.set(dut.taken, 1)
        await ctx.tick()
        ctx.set(dut.taken, 0)
        got.append((words, first))
        waits.append(wait)


def run(program, batches, rest=lambda: 0, runs=1):
    dut, found = Sequencer(CFG), []

    async def testbench(ctx):
        await load(ctx, dut, program)
        for _ in range(runs):
            await begin(ctx, dut, batches)
            found.append(await take(ctx, dut, rest))
            for _ in range(5):
                assert ctx.get(dut.finished), "finished does not hold"
                await ctx.tick()
            ctx.set(dut.running, 0)
            await ctx.tick()
            assert not ctx.get(dut.finished)

    simulate(dut, testbench, cycles=20_000)
    return found


@pytest.mark.parametrize("count", [0, 1, 2, 5])
@pytest.mark.parametrize("batches", [1, 2, 3])
def test_every_batch_is_the_program_from_its_first_instruction_to_its_end(count, batches):
    rng = np.random.default_rng(seed=count)
    layers = [layer(rng) for _ in range(count)]
    program = [w for words in layers for w in words] + END + layer(rng)
    once = [(bits(words), int(i == 0)) for i, words in enumerate(layers)]
    for got, _ in run(program, batches, runs=2):
        assert got == once * batches


@pytest.mark.parametrize("op", [2, 7, 15])
def test_an_unknown_opcode_ends_the_program(op):
    rng = np.random.default_rng(seed=op)
    first, bad = layer(rng), layer(rng)
    bad[0] = bad[0] & ~15 | op
    ((got, _),) = run(first + bad + layer(rng), 2)
    assert got == [(bits(first), 1)] * 2


def test_the_next_instruction_is_fetched_while_one_is_at_work_at_a_word_a_cycle():
    rng = np.random.default_rng(seed=1)
    program = [w for _ in range(4) for w in layer(rng)] + END
    ((_, waits),) = run(program, 2)
    # One cycle for the memory, one to see that the instruction is whole; an END costs some more.
    assert waits[1:4] == waits[5:8] == [LENGTH + 2] * 3
    assert waits[0] <= LENGTH + 3
    assert waits[4] <= LENGTH + 6


@pytest.mark.parametrize("seed", [6, 7])
def test_without_prefetch_the_steps_of_any_loop_are_there_a_cycle_later(seed):
    rng = np.random.default_rng(seed)
    layers = [layer(rng) for _ in range(5)]
    dut = Sequencer(Config(program_depth=5 * LENGTH + 1, prefetch=0))

    async def testbench(ctx):
        await load(ctx, dut, [w for words in layers for w in words] + END)
        await begin(ctx, dut, 2)
        for words in layers * 2:
            while not ctx.get(dut.valid):
                await ctx.tick()
            for number in [*range(len(isa.LEVELS)), *rng.integers(0, len(isa.LEVELS), 9).tolist()]:
                result = int(rng.integers(0, len(isa.RESULT_LEVELS)))
                ctx.set(dut.level, number)
                ctx.set(dut.result_level, result)
                await ctx.tick()
                for name, got in (
                    (f"step_{isa.LEVELS[number]}", ctx.get(dut.step)),
                    (f"move_{isa.RESULT_LEVELS[result]}", ctx.get(dut.move)),
                ):
                    field = next(f for f in isa.LAYER if f.name == name)
                    assert got == (words[field.word] >> field.offset) % (1 << len(dut.step)), name
            assert ctx.get(dut.layer.as_value()) == bits(words)
            ctx.set(dut.taken, 1)
            await ctx.tick()
            ctx.set(dut.taken, 0)

    simulate(dut, testbench)


@pytest.mark.parametrize("seed", [1, 2])
def test_instructions_that_are_taken_late(seed):
    rng = np.random.default_rng(seed)
    layers = [layer(rng) for _ in range(4)]
    program = [w for words in layers for w in words] + END
    ((got, _),) = run(program, 3, lambda: int(rng.integers(0, 60)))
    assert got == [(bits(words), int(i == 0)) for i, words in enumerate(layers)] * 3


def test_a_program_may_fill_the_memory():
    rng = np.random.default_rng(seed=4)
    dut = Sequencer(Config(program_depth=2 * LENGTH + 1))
    layers = [layer(rng) for _ in range(2)]
    found = []

    async def testbench(ctx):
        await load(ctx, dut, layers[0] + layers[1] + END)
        await begin(ctx, dut, 2)
        found.extend((await take(ctx, dut, lambda: 0))[0])

    simulate(dut, testbench)
    assert found == [(bits(layers[0]), 1), (bits(layers[1]), 0)] * 2


def test_the_host_reads_what_it_wrote():
    rng = np.random.default_rng(seed=3)
    words = rng.integers(0, 1 << 32, CFG.program_depth).tolist()
    dut = Sequencer(CFG)

    async def testbench(ctx):
        await load(ctx, dut, words)
        for row in rng.permutation(CFG.program_depth).tolist():
            ctx.set(dut.bus.row, row)
            await ctx.tick().repeat(layouts.HostBus.READ_LATENCY)
            assert ctx.get(dut.bus.r_data) == words[row], f"row {row}"

    simulate(dut, testbench)


def test_nothing_is_handed_out_without_a_start():
    dut = Sequencer(CFG)

    async def testbench(ctx):
        await load(ctx, dut, layer(np.random.default_rng(0)) + END)
        for _ in range(2 * LENGTH):
            await ctx.tick()
            assert not ctx.get(dut.valid)
            assert not ctx.get(dut.finished)

    simulate(dut, testbench)
