"""hw/counters.py"""

import numpy as np
import pytest

from hw import isa, layouts
from hw.config import Config
from hw.counters import Counters
from tests.hw.simulation import plain, simulate

COUNT = len(isa.COUNTERS)
EVENTS = COUNT - 1


async def read(ctx, dut, row, word):
    ctx.set(dut.bus.row, row)
    ctx.set(dut.bus.word, word)
    await ctx.tick().repeat(layouts.HostBus.READ_LATENCY)
    return ctx.get(dut.bus.r_data)


@pytest.mark.parametrize("stalls", [0, 1], ids="stall_counters={}".format)
@pytest.mark.parametrize("depth", [0, 1, 5, 64], ids="depth={}".format)
def test_counts_while_running_and_records_the_starts_of_layers(depth, stalls):
    dut = Counters(Config(trace_depth=depth, stall_counters=stalls))
    count = COUNT if stalls else 1
    rng = np.random.default_rng(seed=depth)

    async def testbench(ctx):
        values, trace, index, running = [0] * count, {}, 0, False
        late = values
        for cycle in range(400):
            if cycle % 50 == 0:
                running = not running
                ctx.set(dut.running, running)
            clear = cycle in (0, 200)
            events = int(rng.integers(0, 1 << EVENTS))
            start = rng.random() < 0.2
            first = start and (index == 0 or rng.random() < 0.1)
            for name, value in {
                "clear": clear, "events": events, "layer_start": start, "layer_first": first,
            }.items():  # fmt: skip
                ctx.set(getattr(dut, name), value)
            assert plain(ctx.get(dut.values)) == [values[0], *late[1:]], f"cycle {cycle}"
            late = values
            if start:
                index = 0 if first else index
                if index < depth:
                    trace[index] = list(values)
                    index += 1
            if running:
                values = [values[0] + 1, *(v + (events >> i & 1) for i, v in enumerate(values[1:]))]
            if clear:
                values = late = [0] * count
            await ctx.tick()
        ctx.set(dut.layer_start, 0)
        assert set(trace) >= set(range(min(depth, 5)))
        for row, recorded in trace.items():
            got = [await read(ctx, dut, row, word) for word in range(count)]
            assert got == recorded, f"row {row}"

    simulate(dut, testbench)


def test_a_full_trace_keeps_its_beginning():
    dut = Counters(Config(trace_depth=2))

    async def testbench(ctx):
        ctx.set(dut.running, 1)
        ctx.set(dut.layer_start, 1)
        ctx.set(dut.layer_first, 1)
        await ctx.tick()
        ctx.set(dut.layer_first, 0)
        await ctx.tick().repeat(5)
        ctx.set(dut.layer_start, 0)
        assert [await read(ctx, dut, row, 0) for row in range(2)] == [0, 1]

    simulate(dut, testbench)
