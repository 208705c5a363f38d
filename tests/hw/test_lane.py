"""hw/lane.py and hw/delay.py"""

import numpy as np
import pytest
from amaranth import Module, ResetInserter
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw import layouts
from hw.config import Config
from hw.delay import delayed
from hw.lane import Lanes
from hw.scratchpad import Scratchpad
from tests.hw.simulation import STALLS, pauses, play, put, simulate

PAIR = data.StructLayout({"a": 3, "b": 5})
VALID = data.StructLayout({"valid": 1, "b": 5})


class Late(wiring.Component):
    """A view, some cycles later."""

    def __init__(self, cycles, layout=PAIR, **options):
        self.cycles = cycles
        self.options = options
        super().__init__({"i": In(layout), "o": Out(layout), "reset": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.eq(delayed(m, "late", self.i, self.cycles, **self.options))
        return ResetInserter(self.reset)(m)


@pytest.mark.parametrize("cycles", [0, 1, 2, 7])
def test_a_delayed_value_is_that_of_so_many_cycles_before(cycles):
    rng = np.random.default_rng(seed=cycles)
    given = [{"a": int(rng.integers(0, 8)), "b": int(rng.integers(0, 32))} for _ in range(40)]
    dut = Late(cycles)
    seen = [o for (o,) in play(dut, [(dut.i, given)], [dut.o], len(given))]
    assert seen == ([{"a": 0, "b": 0}] * cycles + given)[: len(given)]


@pytest.mark.parametrize(
    ("layout", "options", "cleared"),
    [(PAIR, {}, {"a", "b"}), (PAIR, {"resets": False}, set()), (VALID, {}, {"valid"})],
    ids=["all", "nothing", "valid alone"],
)
def test_a_reset_clears_what_decides_something(layout, options, cleared):
    cycles = 3
    dut = Late(cycles, layout, **options)
    given = [dict.fromkeys(layout.members, 1)] * 10
    resets = [int(t == 5) for t in range(10)]
    seen = [o for (o,) in play(dut, [(dut.i, given), (dut.reset, resets)], [dut.o], 10)]
    assert seen[cycles:6] == given[cycles:6]
    none = {name: int(name not in cleared) for name in layout.members}
    assert seen[6:] == [none] * cycles + given[9:]


class Bench:
    """Lanes, and what the scratchpad of each should hold."""

    def __init__(self, lanes, rows=3):
        self.cfg = Config(rows=rows, cols=2, lanes=lanes, scratchpad_bytes=64)
        self.dut = Lanes(self.cfg)
        self.rng = np.random.default_rng(seed=lanes)
        self.words = self.rng.integers(0, 1 << 32, (self.cfg.scratchpad_words, lanes)).tolist()

    async def write(self, ctx):
        bus = self.dut.bus
        for row, words in enumerate(self.words):
            for lane, word in enumerate(words):
                ctx.set(bus.row, row)
                ctx.set(bus.word, lane)
                ctx.set(bus.w_data, word)
                ctx.set(bus.write, 1)
                await ctx.tick()
        ctx.set(bus.write, 0)

    async def read(self, ctx):
        bus, came = self.dut.bus, []
        for row in range(len(self.words)):
            came.append([])
            for lane in range(self.cfg.lanes):
                ctx.set(bus.row, row)
                ctx.set(bus.word, lane)
                await ctx.tick().repeat(layouts.HostBus.READ_LATENCY)
                came[-1].append(ctx.get(bus.r_data))
        return came


lanes = pytest.mark.parametrize("lanes", [1, 3], ids="lanes={}".format)


@lanes
def test_each_lane_has_its_own_words(lanes):
    bench = Bench(lanes)

    async def testbench(ctx):
        await bench.write(ctx)
        assert await bench.read(ctx) == bench.words

    simulate(bench.dut, testbench, cycles=3_000)


@lanes
@pytest.mark.parametrize("stalls", STALLS)
def test_input_goes_to_the_lane_that_it_names(lanes, stalls):
    bench = Bench(lanes)
    order = [(row, lane) for row in range(len(bench.words)) for lane in range(lanes)]
    bench.rng.shuffle(order)

    async def testbench(ctx):
        ctx.set(bench.dut.running, 1)
        words = [
            {"data": bench.words[row][lane], "address": 4 * row, "lane": lane}
            for row, lane in order
        ]
        await put(ctx, bench.dut.input, words, pauses(stalls, 1))
        await ctx.tick().repeat(4)
        ctx.set(bench.dut.running, 0)
        await ctx.tick().repeat(2)
        assert await bench.read(ctx) == bench.words

    simulate(bench.dut, testbench, cycles=3_000)


@lanes
def test_a_word_of_every_lane_comes_for_one_address(lanes):
    bench = Bench(lanes)
    dut = bench.dut

    async def testbench(ctx):
        await bench.write(ctx)
        ctx.set(dut.running, 1)
        came = []
        for row in range(len(bench.words) + Scratchpad.WORD_LATENCY):
            ctx.set(dut.vector, {"address": 4 * min(row, len(bench.words) - 1)})
            came.append([ctx.get(dut.word[i]) for i in range(lanes)])
            await ctx.tick()
        assert came[Scratchpad.WORD_LATENCY :] == bench.words

    simulate(dut, testbench, cycles=1_000)
