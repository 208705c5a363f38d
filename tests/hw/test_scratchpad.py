"""hw/scratchpad.py, hw/byte_lanes.py"""

import numpy as np
import pytest

from hw import layouts
from hw.byte_lanes import ByteLanes
from hw.config import Config
from hw.scratchpad import Scratchpad
from tests.hw.simulation import play, simulate

SHAPES = [
    (1, 1),
    (2, 2),
    (3, 3),
    (4, 4),
    (5, 1),
    (5, 8),
    (7, 3),
    (8, 5),
    (9, 16),
    (15, 6),
    (16, 2),
    (17, 7),
]
"""Rows, which decide the banks, and requantizers, which decide how many bytes are written."""

forms = pytest.mark.parametrize("tree", [0, 1], ids=["banks", "byte lanes"])
rows = pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17], ids="rows={}".format)


def config(rows, tree, requantizers=1):
    bank = max(4, 1 << (rows - 1).bit_length())
    return Config(
        rows=rows, cols=max(2, requantizers), requantizers=requantizers,
        scratchpad_bytes=max(64, 4 * bank), adder_tree=tree,
    )  # fmt: skip


class Memory:
    """A scratchpad, and what it should hold."""

    def __init__(self, cfg, seed=0):
        self.cfg, self.dut = cfg, (ByteLanes if cfg.adder_tree else Scratchpad)(cfg)
        self.rng = np.random.default_rng(seed)
        self.bytes = self.rng.integers(-128, 128, cfg.scratchpad_bytes, np.int8)
        self.words = self.bytes.view("<u4").tolist()

    def slice(self, address):
        return self.bytes[(address + np.arange(self.cfg.rows)) % len(self.bytes)].tolist()

    async def fill(self, ctx):
        """Writes everything as the host does."""
        bus = self.dut.bus
        ctx.set(bus.write, 1)
        for row, word in enumerate(self.words):
            ctx.set(bus.row, row)
            ctx.set(bus.w_data, word)
            await ctx.tick()
        ctx.set(bus.write, 0)
        await ctx.tick()

    async def dump(self, ctx):
        """Reads everything as the host does."""
        bus, words = self.dut.bus, []
        for row in range(len(self.words)):
            ctx.set(bus.row, row)
            await ctx.tick().repeat(layouts.HostBus.READ_LATENCY)
            words.append(ctx.get(bus.r_data))
        return np.array(words, np.uint32).view(np.int8)


@forms
@rows
def test_the_host_reads_what_it_wrote(rows, tree):
    memory = Memory(config(rows, tree))

    async def testbench(ctx):
        await memory.fill(ctx)
        assert (await memory.dump(ctx)).tolist() == memory.bytes.tolist()

    simulate(memory.dut, testbench)


@forms
@rows
def test_slices_and_words_of_every_address_wrap_and_follow_each_other(rows, tree):
    cfg = config(rows, tree)
    memory = Memory(cfg)
    dut, n = memory.dut, len(memory.words)
    addresses = list(range(cfg.scratchpad_bytes))
    memory.rng.shuffle(addresses)
    start = n + 1
    inputs = [
        (dut.bus.row, range(n)), (dut.bus.w_data, memory.words), (dut.bus.write, [1] * n),
        (dut.running, [0] * start + [1] * (len(addresses) + 4)),
        (dut.address, [0] * start + addresses),
    ]  # fmt: skip
    seen = play(dut, inputs, [dut.slice, dut.word], start + len(addresses) + Scratchpad.LATENCY)
    for t, address in enumerate(addresses, start):
        assert seen[t + Scratchpad.LATENCY][0] == memory.slice(address), f"address {address}"
        word = seen[t + Scratchpad.WORD_LATENCY][1]
        if address % 4 == 0 or not tree:
            assert word == memory.words[address // 4], f"address {address}"


def results(address, values, mask):
    return {"address": address, "data": values, "mask": mask, "valid": int(mask != 0)}


@forms
@pytest.mark.parametrize(("rows", "requantizers"), SHAPES)
def test_results_of_any_number_of_bytes_go_to_any_address(rows, requantizers, tree):
    cfg = config(rows, tree, requantizers)
    memory = Memory(cfg)
    dut, rng, size = memory.dut, memory.rng, cfg.scratchpad_bytes

    async def testbench(ctx):
        await memory.fill(ctx)
        addresses = list(range(size)) * 2
        rng.shuffle(addresses)
        for i, address in enumerate(addresses):
            values = rng.integers(-128, 128, requantizers, np.int8)
            full = (1 << requantizers) - 1
            mask = full if i % 3 else int(rng.integers(0, full + 1))
            for q in range(requantizers):
                if mask >> q & 1:
                    memory.bytes[(address + q) % size] = values[q]
            ctx.set(dut.results, results(address, values.tolist(), mask))
            await ctx.tick()
        ctx.set(dut.results, results(0, [], 0))
        await ctx.tick()
        assert (await memory.dump(ctx)).tolist() == memory.bytes.tolist()

    simulate(dut, testbench)


@forms
@pytest.mark.parametrize("rows", [1, 5, 17], ids="rows={}".format)
def test_input_waits_for_results_and_loses_nothing(rows, tree):
    cfg = config(rows, tree, min(4, rows))
    memory = Memory(cfg)
    dut, rng, size = memory.dut, memory.rng, cfg.scratchpad_bytes

    async def testbench(ctx):
        await memory.fill(ctx)
        sent, offered = 0, None
        for _ in range(400):
            if offered is None and rng.random() < 0.7:
                offered = int(rng.integers(0, 1 << 32)), 4 * int(rng.integers(0, size // 4))
                ctx.set(dut.input.p.data, offered[0])
                ctx.set(dut.input.p.address, offered[1])
            ctx.set(dut.input.valid, offered is not None)
            mask = int(rng.integers(0, 1 << cfg.requantizers)) if rng.random() < 0.5 else 0
            address = int(rng.integers(0, size))
            values = rng.integers(-128, 128, cfg.requantizers, np.int8)
            ctx.set(dut.results, results(address, values.tolist(), mask))
            assert ctx.get(dut.input.ready) == (mask == 0)
            if mask == 0 and offered is not None:
                word = np.array([offered[0]], np.uint32).view(np.int8)
                memory.bytes[offered[1] : offered[1] + 4] = word
                offered, sent = None, sent + 1
            for q in range(cfg.requantizers):
                if mask >> q & 1:
                    memory.bytes[(address + q) % size] = values[q]
            await ctx.tick()
        assert sent > 100
        ctx.set(dut.input.valid, 0)
        ctx.set(dut.results, results(0, [], 0))
        await ctx.tick()
        assert (await memory.dump(ctx)).tolist() == memory.bytes.tolist()

    simulate(dut, testbench)


@forms
@rows
def test_a_byte_can_be_read_two_cycles_after_it_was_given(rows, tree):
    cfg = config(rows, tree)
    memory = Memory(cfg)
    dut = memory.dut
    seen = play(
        dut,
        [
            (dut.running, [1] * 12), (dut.address, [13] * 12),
            (dut.results, [results(13, [5], 1)] * 4 + [results(13, [-7], 1)]),
        ],
        [dut.slice], 12,
    )  # fmt: skip
    # Given in cycle 4, so the slice whose address comes in cycle 6 holds it.
    around = [seen[t + Scratchpad.LATENCY][0][0] for t in (5, 6)]
    assert around == [5, -7]
