"""hw/outputs.py"""

from dataclasses import replace

import numpy as np
import pytest
from amaranth.back import rtlil

from hw import isa
from hw.config import Config
from hw.outputs import Outputs
from tests.hw.simulation import STALLS, get, lawful, pauses, simulate

CFG = Config(rows=3, cols=2, scratchpad_bytes=1024, result_depth=8)
DONE = {"data": isa.Reply.DONE.value << 24, "last": 1}


def header(words):
    return {"data": isa.Reply.OUTPUT.value << 24 | words + 1, "last": 0}


class Bench:
    """Gives every word of a memory that is asked for, counts cycles, and keeps what is sent."""

    def __init__(self, stalls="none", seed=0, lanes=1):
        self.lanes = lanes
        self.dut = Outputs(replace(CFG, lanes=lanes))
        self.rng = np.random.default_rng(seed)
        self.memory = self.rng.integers(0, 1 << 32, (CFG.scratchpad_words, lanes)).tolist()
        self.stalls = stalls
        self.cycle = 0
        self.reads: list[tuple[int, int]] = []

    def run(self, driver, packets):
        sent = []

        async def receive(ctx):
            pause = pauses(self.stalls, 3)
            for length in packets:
                sent.append(await get(ctx, self.dut.o, length, pause))

        simulate(
            self.dut, driver, receive, cycles=5_000,
            background=[self.feed, lawful(self.dut.o)],
        )  # fmt: skip
        return sent

    async def feed(self, ctx):
        """The feeder takes a read at once or later; its word comes four cycles behind."""
        coming = [None] * 4
        while True:
            ctx.set(self.dut.cycle, self.cycle)
            taken = ctx.get(self.dut.read) and (self.stalls == "none" or self.rng.random() < 0.5)
            ctx.set(self.dut.taken, taken)
            address = ctx.get(self.dut.address)
            if taken:
                self.reads.append((self.cycle, address))
            coming.append(address if taken else None)
            address = coming.pop(0)
            ctx.set(self.dut.word_valid, address is not None)
            nothing = [0xDEAD] * self.lanes
            ctx.set(self.dut.word, nothing if address is None else self.memory[address // 4])
            await ctx.tick()
            self.cycle += 1

    async def start(self, ctx, source, words, after=0):
        dut = self.dut
        while ctx.get(dut.busy):
            await ctx.tick()
        for name, value in {"source": source, "words": words, "after": after, "start": 1}.items():
            ctx.set(getattr(dut, name), value)
        await ctx.tick()
        ctx.set(dut.start, 0)
        # Whatever is there behind the start is of no meaning.
        for name in ("source", "words", "after"):
            ctx.set(getattr(dut, name), 5)
        assert ctx.get(dut.busy)

    def check(self, packet, source, words):
        assert packet[0] == header(words * self.lanes)
        first = source // 4
        rows = self.memory[first : first + words]
        body = [{"data": w, "last": 0} for row in rows for w in row]
        assert packet[1:-1] == body
        assert packet[-1]["last"] == 1


@pytest.mark.parametrize("stalls", STALLS)
@pytest.mark.parametrize("words", [1, 2, 9])
@pytest.mark.parametrize("lanes", [1, 2, 5], ids="lanes={}".format)
def test_an_output_is_its_words_and_the_cycle_in_which_the_last_was_read(lanes, words, stalls):
    bench = Bench(stalls, lanes=lanes)

    async def driver(ctx):
        await bench.start(ctx, 100, words)

    (packet,) = bench.run(driver, [words * lanes + 2])
    bench.check(packet, 100, words)
    assert [a for _, a in bench.reads] == list(range(100, 100 + 4 * words, 4))
    # The cycle in which the word came from memory.
    assert packet[-1]["data"] == bench.reads[-1][0] + 4


@pytest.mark.parametrize("after", [0, 1, 5, 8])
def test_nothing_is_read_before_so_many_results_are_written(after):
    bench = Bench()
    cycle_of_last = 0

    async def driver(ctx):
        nonlocal cycle_of_last
        # One that is written in the cycle of the start is not among them.
        ctx.set(bench.dut.retired, 1)
        await bench.start(ctx, 0, 1, after)
        ctx.set(bench.dut.retired, 0)
        for _ in range(after):
            await ctx.tick().repeat(5)
            assert not bench.reads
            ctx.set(bench.dut.retired, 1)
            cycle_of_last = bench.cycle
            await ctx.tick()
            ctx.set(bench.dut.retired, 0)

    bench.run(driver, [3])
    assert len(bench.reads) == 1
    assert bench.reads[0][0] > cycle_of_last


@pytest.mark.parametrize("stalls", STALLS)
def test_outputs_behind_each_other_and_then_the_end(stalls):
    bench = Bench(stalls)
    wanted = [(4 * i, 1 + i % 4) for i in range(10)]

    async def driver(ctx):
        for source, words in wanted:
            await bench.start(ctx, source, words)
        # While an output is being sent, the end waits.
        ctx.set(bench.dut.finish, 1)
        while True:
            _, _, finished, valid, ready = await ctx.tick().sample(
                bench.dut.finished, bench.dut.o.valid, bench.dut.o.ready
            )
            if finished:
                assert valid
                assert ready
                break
        ctx.set(bench.dut.finish, 0)
        await ctx.tick()
        assert not ctx.get(bench.dut.busy)

    *packets, done = bench.run(driver, [words + 2 for _, words in wanted] + [1])
    for packet, (source, words) in zip(packets, wanted, strict=True):
        bench.check(packet, source, words)
    assert done == [DONE]


def test_the_length_of_an_output_takes_no_multiplier():
    """With three lanes it took a block of ECP5, which was half of the core's longest way."""
    assert "$mul" not in rtlil.convert(Outputs(replace(CFG, lanes=3)), emit_src=False)
