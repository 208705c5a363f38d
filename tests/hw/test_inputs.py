"""hw/inputs.py"""

from dataclasses import replace

import numpy as np
import pytest

from hw.config import Config
from hw.inputs import Inputs
from tests.hw.simulation import STALLS, get, lawful, pauses, put, simulate

CFG = Config(rows=3, cols=2, scratchpad_bytes=1024)


async def begin(ctx, dut, address, words, slots):
    # As the decoder does: the ring is there one cycle after the start.
    ctx.set(dut.start, 1)
    await ctx.tick()
    ctx.set(dut.start, 0)
    ctx.set(dut.ring, {"address": address, "words": words, "slots": slots})
    await ctx.tick().repeat(2)


class Ring:
    """A ring of slots that is filled and read at the same time."""

    def __init__(self, address, words, slots, fills, stalls, seed=0, lanes=1):
        self.lanes = lanes
        self.address, self.words, self.slots, self.fills = address, words, slots, fills
        self.stalls, self.rng = stalls, np.random.default_rng(seed)
        self.dut = Inputs(replace(CFG, lanes=lanes))
        self.data = self.rng.integers(0, 1 << 32, fills * words * lanes).tolist()
        self.memory: dict[tuple[int, int], int] = {}
        self.written: list[tuple[int, int, int]] = []
        self.released = 0

    def run(self, read_time=lambda: 0):
        self.read_time = read_time
        simulate(
            self.dut, self.start, self.read, cycles=60 * len(self.data) + 2_000,
            background=[self.write, lawful(self.dut.o)],
        )  # fmt: skip
        expected = [
            (self.address + 4 * (i // self.lanes % (self.words * self.slots)), i % self.lanes, word)
            for i, word in enumerate(self.data)
        ]
        assert self.written == expected

    async def start(self, ctx):
        await begin(ctx, self.dut, self.address, self.words, self.slots)
        await put(ctx, self.dut.i, self.data, pauses(self.stalls, 1))

    async def write(self, ctx):
        pause = pauses(self.stalls, 2)
        while True:
            (word,) = await get(ctx, self.dut.o, 1, pause)
            self.memory[word["address"], word["lane"]] = word["data"]
            room = (self.released + self.slots) * self.words * self.lanes
            assert len(self.written) < room, "written too early"
            self.written.append((word["address"], word["lane"], word["data"]))

    async def read(self, ctx):
        dut = self.dut
        for fill in range(self.fills):
            while not ctx.get(dut.filled):
                await ctx.tick()
            base = self.address + 4 * self.words * (fill % self.slots)
            assert ctx.get(dut.base) == base, f"slot {fill}"
            await ctx.tick().repeat(self.read_time() + 1)
            cells = [(i, k) for i in range(self.words) for k in range(self.lanes)]
            got = [self.memory[base + 4 * i, k] for i, k in cells]
            assert got == self.data[fill * len(cells) : (fill + 1) * len(cells)], f"slot {fill}"
            ctx.set(dut.release, 1)
            await ctx.tick()
            ctx.set(dut.release, 0)
            self.released += 1


@pytest.mark.parametrize("slots", [1, 2, 3, 4], ids="slots={}".format)
@pytest.mark.parametrize("words", [1, 2, 7], ids="words={}".format)
@pytest.mark.parametrize("stalls", STALLS)
@pytest.mark.parametrize("lanes", [1, 3], ids="lanes={}".format)
def test_slots_are_filled_and_read_in_turn(lanes, slots, words, stalls):
    Ring(64, words, slots, fills=11, stalls=stalls, lanes=lanes).run()


@pytest.mark.parametrize("slots", [1, 2, 3, 4], ids="slots={}".format)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_slow_reader_holds_the_words_back(slots, seed):
    ring = Ring(0, 5, slots, fills=20, stalls="random", seed=seed)
    ring.run(lambda: int(ring.rng.integers(0, 60)))


def test_the_ring_may_be_the_whole_scratchpad():
    Ring(0, CFG.scratchpad_words, 1, fills=2, stalls="none").run()
    Ring(CFG.scratchpad_bytes - 8, 1, 2, fills=5, stalls="none").run()


@pytest.mark.parametrize("slots", [1, 2, 15])
def test_no_more_words_than_the_slots_hold_are_taken(slots):
    dut = Inputs(CFG)
    taken = 0

    async def testbench(ctx):
        nonlocal taken
        await begin(ctx, dut, 0, 1, slots)
        ctx.set(dut.i.valid, 1)
        ctx.set(dut.o.ready, 1)
        for _ in range(300):
            _, _, ready = await ctx.tick().sample(dut.i.ready)
            taken += ready

    simulate(dut, testbench)
    assert taken == slots


def test_a_released_slot_is_filled_again_only_when_its_last_vector_has_been_read():
    dut = Inputs(CFG)

    async def testbench(ctx):
        await begin(ctx, dut, 0, 2, 1)
        ctx.set(dut.i.valid, 1)
        ctx.set(dut.o.ready, 1)
        await ctx.tick().until(dut.filled)
        ctx.set(dut.release, 1)
        seen = []
        for _ in range(Inputs.RELEASE + 3):
            _, _, valid = await ctx.tick().sample(dut.o.valid)
            ctx.set(dut.release, 0)
            seen.append(valid)
        # The release came in the first of these cycles.
        assert seen == [0] * (Inputs.RELEASE + 1) + [1] * 2

    simulate(dut, testbench)


def test_the_next_slot_is_the_oldest_a_cycle_after_the_release():
    dut = Inputs(CFG)

    async def testbench(ctx):
        await begin(ctx, dut, 16, 2, 3)
        ctx.set(dut.o.ready, 1)
        await put(ctx, dut.i, range(6), pauses("none"))
        for fill in range(3):
            assert (ctx.get(dut.filled), ctx.get(dut.base)) == (1, 16 + 8 * fill)
            ctx.set(dut.release, 1)
            await ctx.tick()
        assert not ctx.get(dut.filled)

    simulate(dut, testbench)


def test_a_run_begins_with_empty_slots():
    dut = Inputs(CFG)

    async def testbench(ctx):
        ctx.set(dut.o.ready, 1)
        await begin(ctx, dut, 0, 2, 2)
        await put(ctx, dut.i, [1, 2, 3], pauses("none"))
        assert ctx.get(dut.filled)
        await begin(ctx, dut, 100, 1, 1)
        assert not ctx.get(dut.filled)
        ctx.set(dut.i.valid, 1)
        assert (ctx.get(dut.o.valid), ctx.get(dut.o.p.address), ctx.get(dut.base)) == (1, 100, 100)
        await ctx.tick()
        assert (ctx.get(dut.o.valid), ctx.get(dut.filled)) == (0, 1)

    simulate(dut, testbench)
