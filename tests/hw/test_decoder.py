"""hw/decoder.py"""

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from hw import isa, layouts
from hw.config import VERSION, Config
from hw.decoder import Decoder
from hw.isa import Cause, Packet, Reply, Space
from tests.hw.simulation import STALLS, get, lawful, pauses, put, simulate

CFG = Config(
    rows=5, cols=6, weight_ports=2, requantizers=2, scratchpad_bytes=256, weight_depth=5,
    table_depth=4, program_depth=40, trace_depth=3, packet_words=20,
)  # fmt: skip
DEPTH = {Space.PROGRAM: 40, Space.WEIGHTS: 5, Space.TABLE: 4, Space.SCRATCHPAD: 64, Space.TRACE: 3}
WIDTH = {Space.PROGRAM: 1, Space.WEIGHTS: 4, Space.TABLE: 6, Space.SCRATCHPAD: 1, Space.TRACE: 8}
WRITABLE = tuple(Space)[:4]


def header(opcode, length=0, space=0):
    return length | space << 16 | opcode << 24


def packet(kind: Any, payload: Iterable[int] = (), space: Any = 0) -> list[int]:
    payload = [int(w) & 0xFFFFFFFF for w in payload]
    opcode, space = (v if isinstance(v, int) else v.value for v in (kind, space))
    return [header(opcode, len(payload), space), *payload]


def reply(kind, payload=()):
    return packet(kind, payload)


def error(cause, words):
    return reply(Reply.ERROR, [cause.value, words[0]])


class Bench:
    """Five memories, a run that can be switched on, and a log of what the decoder does."""

    def __init__(self, stalls_in="none", stalls_out="none"):
        self.dut = Decoder(CFG)
        self.rng = np.random.default_rng(seed=1)
        self.memory = {
            s: self.rng.integers(0, 1 << 32, (DEPTH[s], WIDTH[s])).tolist() for s in Space
        }
        self.counters = self.rng.integers(0, 1 << 32, len(isa.COUNTERS)).tolist()
        self.does = defaultdict(list)
        self.running = False
        self.pause_in, self.pause_out = pauses(stalls_in, 1), pauses(stalls_out, 2)
        self.input_pause = pauses(stalls_out, 3)

    def run(self, testbench, cycles=10_000):
        async def whole(ctx):
            ctx.set(self.dut.counters, self.counters)
            await testbench(self, ctx)
            await ctx.tick().repeat(3)
            assert not ctx.get(self.dut.o.valid), "an answer to nothing"

        simulate(
            self.dut, whole, cycles=cycles,
            background=[self._memories, self._run, lawful(self.dut.o), self._input_lawful],
        )  # fmt: skip

    async def _input_lawful(self, ctx):
        """What is offered stays until it is taken, while a run goes on and no reset waits."""
        dut, offered = self.dut, None
        sampled = ctx.tick().sample(
            dut.input.valid, dut.input.ready, dut.input.payload, dut.running, dut.reset_waits
        )
        async for _, _, valid, ready, word, running, waits in sampled:
            if offered is not None and running and not waits:
                assert (valid, word) == (1, offered)
            offered = word if valid and not ready else None

    async def send(self, ctx, words, cause=None):
        value = cause.value if cause else 0
        await put(ctx, self.dut.i, [{"data": w, "cause": value} for w in words], self.pause_in)

    async def receive(self, ctx):
        words = []
        while True:
            (word,) = await get(ctx, self.dut.o, 1, self.pause_out)
            words.append(word["data"])
            if word["last"]:
                return words

    async def ask(self, ctx, words):
        """What the decoder answers; `words` are not waited for before."""
        await self.send(ctx, words)
        return await self.receive(ctx)

    async def settle(self, ctx):
        """Until everything sent is carried out: the answer of an ID says so."""
        assert (await self.ask(ctx, packet(Packet.ID)))[0] >> 24 == Reply.ID.value

    async def refuses(self, ctx, words, cause):
        await ctx.tick()  # the log of the packet before is complete
        before = str(self.memory), str(dict(self.does))
        assert await self.ask(ctx, words) == error(cause, words), f"packet {words[:8]}"
        assert (str(self.memory), str(dict(self.does))) == before, f"packet {words[:8]}"

    async def _memories(self, ctx):
        coming = []
        for bus in self.dut.buses:
            ctx.set(bus.r_data, 0xBAD)
        values = [s for bus in self.dut.buses for s in (bus.row, bus.word, bus.write, bus.w_data)]
        async for _, _, *seen in ctx.tick().sample(*values):
            coming.append([])
            for space in Space:
                row, word, write, w_data = seen[:4]
                seen = seen[4:]
                memory = self.memory[space]
                there = row < DEPTH[space] and word < WIDTH[space]
                if write:
                    self.does["write"].append((space.name, row, word))
                    memory[row][word] = w_data
                coming[-1].append(memory[row][word] if there else 0xBAD)
            if len(coming) == layouts.HostBus.READ_LATENCY:
                for bus, value in zip(self.dut.buses, coming.pop(0), strict=True):
                    ctx.set(bus.r_data, value)

    async def _run(self, ctx):
        dut = self.dut
        ready, batches = False, None
        ticks = aiter(
            ctx.tick().sample(
                dut.start, dut.batches_set, dut.batches, dut.reset, dut.input.valid,
                dut.input.payload,
            )
        )  # fmt: skip
        while True:
            ctx.set(dut.running, self.running)
            ready = ready or not next(self.input_pause)
            ctx.set(dut.input.ready, ready)
            _, _, start, come, word_of_batches, reset, valid, word = await anext(ticks)
            assert not (come and self.running), "the batches of a run changed"
            batches = word_of_batches if come else batches
            if start:
                self.does["start"].append(batches)
                self.running = True
            if reset:
                self.does["reset"].append(1)
                self.running = False
            if valid and ready:
                self.does["input"].append(word)
                ready = False


def bench(stalls_in="none", stalls_out="none"):
    """Makes a test of what uses a bench."""

    def decorate(body):
        def test():
            Bench(stalls_in, stalls_out).run(body)

        test.__name__ = body.__name__
        return test

    return decorate


RUN = packet(Packet.RUN, [3, 64, 12, 4, 100])


@bench()
async def test_id_is_magic_version_and_every_field_in_order(b, ctx):
    fields = [getattr(CFG, f.name) for f in dataclasses.fields(Config)]
    wanted = reply(Reply.ID, [0x4C50544E, VERSION, *fields])
    assert await b.ask(ctx, packet(Packet.ID)) == wanted
    assert await b.ask(ctx, packet(Packet.ID)) == wanted


@bench()
async def test_counters_are_sent_in_order_also_during_a_run(b, ctx):
    for b.running in (False, True):
        wanted = reply(Reply.COUNTERS, b.counters)
        assert await b.ask(ctx, packet(Packet.COUNTERS)) == wanted


@bench()
async def test_reset_happens_once_and_before_its_answer(b, ctx):
    for b.running in (False, True):
        await b.send(ctx, packet(Packet.RESET))
        count = len(b.does["reset"])
        assert await b.receive(ctx) == reply(Reply.RESET)
        assert len(b.does["reset"]) in (count, count + 1)
    await b.settle(ctx)
    assert b.does == {"reset": [1, 1]}


@pytest.mark.parametrize("stalls_in", STALLS)
@pytest.mark.parametrize("stalls_out", STALLS)
def test_rows_are_written_and_read(stalls_in, stalls_out):
    async def body(b, ctx):
        rng = np.random.default_rng(seed=2)
        model = {s: [list(row) for row in rows] for s, rows in b.memory.items()}
        for _ in range(60):
            space = tuple(Space)[rng.integers(0, 5)]
            row = int(rng.integers(0, DEPTH[space] + 1))
            longest = min(DEPTH[space] - row, 18 // WIDTH[space])
            count = int(rng.integers(0, longest + 1))
            if space in WRITABLE and rng.random() < 0.6:
                words = rng.integers(0, 1 << 32, (count, WIDTH[space])).tolist()
                model[space][row : row + count] = words
                await b.send(
                    ctx, packet(Packet.WRITE, [row, count, *(w for r in words for w in r)], space)
                )
            else:
                wanted = [w for words in model[space][row : row + count] for w in words]
                got = await b.ask(ctx, packet(Packet.READ, [row, count], space))
                assert got == reply(Reply.DATA, wanted), f"{space.name} {row} {count}"
        await b.settle(ctx)
        assert b.memory == model

    Bench(stalls_in, stalls_out).run(body, cycles=30_000)


@pytest.mark.parametrize("space", Space, ids=lambda s: s.name)
def test_the_last_row_is_the_last_that_can_be_reached(space):
    async def body(b, ctx):
        depth, width = DEPTH[space], WIDTH[space]
        last = await b.ask(ctx, packet(Packet.READ, [depth - 1, 1], space))
        assert last == reply(Reply.DATA, b.memory[space][-1])
        assert await b.ask(ctx, packet(Packet.READ, [depth, 0], space)) == reply(Reply.DATA)
        beyond = [
            (depth, 1), (depth - 1, 2), (depth + 1, 0), (0, depth + 1), (0, 1 << 16), (0, 1 << 31),
            (1 << 24, 1), (1 << 24, 0), (1 << 31, 1), ((1 << 32) - 1, 1), ((1 << 24) - 1, 1),
            (0, (1 << 32) - 1), ((1 << 24) - 1, 0xFFFF),
        ]  # fmt: skip
        for row, count in beyond:
            await b.refuses(ctx, packet(Packet.READ, [row, count], space), Cause.RANGE)
            if space in WRITABLE:
                words = packet(Packet.WRITE, [row, count, *[0] * min(17, count * width)], space)
                await b.refuses(ctx, words, Cause.RANGE)

    Bench().run(body)


@bench()
async def test_a_read_longer_than_a_packet_is_refused(b, ctx):
    assert len(await b.ask(ctx, packet(Packet.READ, [0, 20], Space.PROGRAM))) == 21
    await b.refuses(ctx, packet(Packet.READ, [0, 21], Space.PROGRAM), Cause.RANGE)
    await b.refuses(ctx, packet(Packet.READ, [0, 4], Space.TABLE), Cause.RANGE)


@pytest.mark.parametrize("space", WRITABLE, ids=lambda s: s.name)
def test_a_write_whose_words_are_not_its_rows_is_refused(space):
    async def body(b, ctx):
        width = WIDTH[space]
        for count, words in (
            (0, 1),
            (1, width + 1),
            (1, width - 1),
            (2, width),
            (2, 0),
            (1, 2 * width),
        ):
            payload = [0, count, *range(words)]
            if len(payload) <= CFG.packet_words and count * width != words:
                await b.refuses(ctx, packet(Packet.WRITE, payload, space), Cause.LENGTH)

    Bench().run(body)


@bench()
async def test_every_wrong_length_is_refused(b, ctx):
    for kind in (Packet.ID, Packet.COUNTERS, Packet.RESET):
        for count in (1, 2, 20):
            await b.refuses(ctx, packet(kind, range(count)), Cause.LENGTH)
    for kind, good in ((Packet.READ, 2), (Packet.RUN, 5)):
        for count in (0, 1, 2, 3, 4, 5, 6, 20):
            if count != good:
                await b.refuses(ctx, packet(kind, [1] * count), Cause.LENGTH)
    for count in (0, 1):
        await b.refuses(ctx, packet(Packet.WRITE, [0] * count), Cause.LENGTH)


@bench()
async def test_every_unknown_opcode_is_refused(b, ctx):
    for opcode in set(range(256)) - {p.value for p in Packet}:
        await b.refuses(ctx, packet(opcode, range(opcode % 3), opcode % 7), Cause.OPCODE)


@bench()
async def test_every_unknown_memory_is_refused(b, ctx):
    for space in range(5, 256):
        await b.refuses(ctx, packet(Packet.READ, [0, 1], space), Cause.SPACE)
        await b.refuses(ctx, packet(Packet.WRITE, [0, 1, 5], space), Cause.SPACE)
    await b.refuses(ctx, packet(Packet.WRITE, [0, 1, *range(8)], Space.TRACE), Cause.SPACE)


@bench()
async def test_memories_and_programs_are_out_of_reach_during_a_run(b, ctx):
    b.running = True
    for space in Space:
        await b.refuses(ctx, packet(Packet.READ, [0, 1], space), Cause.BUSY)
        if space in WRITABLE:
            words = packet(Packet.WRITE, [0, 1, *range(WIDTH[space])], space)
            await b.refuses(ctx, words, Cause.BUSY)
    await b.refuses(ctx, RUN, Cause.BUSY)


@bench()
async def test_what_the_packet_buffer_refused_is_answered_and_not_done(b, ctx):
    for cause in (Cause.TRUNCATED, Cause.EXCESS, Cause.OVERSIZE):
        for kind in Packet:
            words = [header(kind.value, 3)]
            await b.send(ctx, words, cause)
            assert await b.receive(ctx) == error(cause, words)
    assert not b.does


def whole_ring(address, words, slots):
    return packet(Packet.RUN, [1, address, words, slots, 0])


@pytest.mark.parametrize(
    ("batches", "address", "words", "slots", "total"),
    [
        (1, 0, 1, 1, 0), (0xFFFFFFFF, 252, 1, 1, 0xFFFFFFFF), (5, 0, 64, 1, 9), (2, 128, 32, 1, 1),
        (2, 128, 16, 2, 1), (2, 4, 4, 15, 1), (2, 196, 1, 15, 1), (1, 0, 21, 3, 1),
    ],
)  # fmt: skip
def test_a_run_starts_with_its_ring(batches, address, words, slots, total):
    async def body(b, ctx):
        await b.send(ctx, packet(Packet.RUN, [batches, address, words, slots, total]))
        await b.settle(ctx)
        assert b.does == {"start": [batches]}
        ring = ctx.get(b.dut.ring)
        assert (ring.address, ring.words, ring.slots) == (address, words, slots)

    Bench().run(body)


BAD_RUNS = {
    "no batch": (0, 0, 1, 1),
    "address at the end": (1, 256, 1, 1),
    "address far beyond the end": (1, 1 << 31, 1, 1),
    "address 1 off": (1, 1, 1, 1),
    "address 2 off": (1, 2, 1, 1),
    "address 3 off": (1, 3, 1, 1),
    "no words": (1, 0, 0, 1),
    "more words than there are": (1, 0, 65, 1),
    "a multiple of 2**20 words": (1, 0, 1 << 20, 1),
    "2**30 words": (1, 0, 1 << 30, 1),
    "no slot": (1, 0, 1, 0),
    "16 slots": (1, 0, 1, 16),
    "17 slots": (1, 0, 1, 17),
    "257 slots": (1, 0, 1, 257),
    "2**31 slots": (1, 0, 1, 1 << 31),
    "ring a word too long": (1, 128, 33, 1),
    "ring a slot too long": (1, 128, 16, 3),
    "last slot at the end": (1, 252, 1, 2),
    "15 slots of everything": (1, 0, 64, 15),
    "two slots that are the whole memory each": (1, 0, 64, 2),
    "three slots that are the whole memory each": (1, 0, 64, 3),
    "slots that add up to a power of two": (1, 0, 64, 8),
    "a slot behind the end": (1, 200, 1, 15),
}


@pytest.mark.parametrize("values", BAD_RUNS.values(), ids=BAD_RUNS)
def test_a_ring_outside_of_the_scratchpad_is_refused(values):
    async def body(b, ctx):
        await b.refuses(ctx, packet(Packet.RUN, [*values, 0]), Cause.RANGE)
        await b.send(ctx, RUN)
        await b.settle(ctx)
        assert b.does == {"start": [3]}

    Bench().run(body)


@pytest.mark.parametrize("stalls_in", STALLS)
@pytest.mark.parametrize("stalls_out", STALLS)
def test_input_goes_to_the_run_word_for_word_and_no_further_than_asked_for(stalls_in, stalls_out):
    async def body(b, ctx):
        await b.refuses(ctx, packet(Packet.INPUT, [1, 2]), Cause.UNEXPECTED)
        await b.refuses(ctx, packet(Packet.INPUT), Cause.UNEXPECTED)
        await b.send(ctx, RUN)
        await b.settle(ctx)
        words = b.rng.integers(0, 1 << 32, 100).tolist()
        for first, last in ((0, 20), (20, 21), (21, 21), (21, 40), (40, 60), (60, 80), (80, 95)):
            await b.send(ctx, packet(Packet.INPUT, words[first:last]))
        await b.refuses(ctx, packet(Packet.INPUT, range(6)), Cause.UNEXPECTED)
        await b.send(ctx, packet(Packet.INPUT, words[95:]))
        await b.refuses(ctx, packet(Packet.INPUT, [1]), Cause.UNEXPECTED)
        await b.settle(ctx)
        assert b.does["input"] == words

    Bench(stalls_in, stalls_out).run(body)


@bench(stalls_out="every third")
async def test_input_that_a_run_leaves_behind_is_dropped_and_answered(b, ctx):
    await b.send(ctx, RUN)
    await b.settle(ctx)
    words = packet(Packet.INPUT, range(20))
    await b.send(ctx, words[:9])
    b.running = False
    await b.send(ctx, words[9:])
    assert await b.receive(ctx) == error(Cause.UNEXPECTED, words)
    assert b.does["input"] == words[1 : 1 + len(b.does["input"])]
    # What was left of it is not taken for the next packet.
    assert await b.ask(ctx, packet(Packet.COUNTERS)) == reply(Reply.COUNTERS, b.counters)


@bench()
async def test_input_that_is_not_taken_is_dropped_when_a_reset_waits(b, ctx):
    """A reset was once held up for ever by an INPUT before it."""
    await b.send(ctx, RUN)
    await b.settle(ctx)
    await b.send(ctx, packet(Packet.INPUT, range(7)))
    b.input_pause = itertools.repeat(True)
    blocked = packet(Packet.INPUT, range(7, 17))
    await b.send(ctx, blocked[:1])
    ctx.set(b.dut.i.payload, {"data": blocked[1], "cause": 0})
    ctx.set(b.dut.i.valid, 1)
    await ctx.tick().repeat(50)
    assert not ctx.get(b.dut.i.ready), "without a reset behind it, it waits"
    ctx.set(b.dut.reset_waits, 1)
    await b.send(ctx, blocked[1:])
    # What comes between is carried out, and no more input is taken, lest words be missing in it.
    b.input_pause = itertools.repeat(False)
    await b.send(ctx, packet(Packet.INPUT, range(50, 55)))
    assert await b.ask(ctx, packet(Packet.COUNTERS)) == reply(Reply.COUNTERS, b.counters)
    await b.refuses(ctx, packet(Packet.WRITE, [0, 1, 1]), Cause.BUSY)
    assert await b.ask(ctx, packet(Packet.RESET)) == reply(Reply.RESET)
    ctx.set(b.dut.reset_waits, 0)
    assert b.does["input"] == list(range(7))
    # The next run takes its input.
    await b.send(ctx, RUN)
    await b.send(ctx, packet(Packet.INPUT, range(100, 109)))
    await b.settle(ctx)
    assert b.does["input"] == [*range(7), *range(100, 109)]


@bench(stalls_out="random")
async def test_input_that_is_taken_at_once_is_not_dropped_for_a_reset(b, ctx):
    b.input_pause = itertools.repeat(False)
    await b.send(ctx, RUN)
    await b.settle(ctx)
    ctx.set(b.dut.reset_waits, 1)
    await b.send(ctx, packet(Packet.INPUT, range(15)))
    assert await b.ask(ctx, packet(Packet.RESET)) == reply(Reply.RESET)
    assert b.does["input"] == list(range(15))


@bench()
async def test_a_new_run_asks_for_new_input(b, ctx):
    for total in (3, 0, 2):
        await b.send(ctx, packet(Packet.RUN, [1, 0, 1, 1, total]))
        await b.settle(ctx)
        await b.send(ctx, packet(Packet.INPUT, range(total)))
        await b.refuses(ctx, packet(Packet.INPUT, [1]), Cause.UNEXPECTED)
        b.running = False
        await ctx.tick().repeat(2)


@bench()
async def test_a_run_may_follow_a_reset_at_once(b, ctx):
    await b.send(ctx, RUN)
    await b.settle(ctx)
    assert await b.ask(ctx, packet(Packet.RESET)) == reply(Reply.RESET)
    await b.send(ctx, RUN)
    await b.settle(ctx)
    assert b.does == {"start": [3, 3], "reset": [1]}


def test_counters_that_go_on_counting_are_held_while_they_are_offered():
    """Found by tests/formal: a word of the answer changed under a host that was not ready."""
    b = Bench(stalls_out="every third")
    seen = []

    async def count(ctx):
        while True:
            b.counters = [value + 1 & 0xFFFFFFFF for value in b.counters]
            ctx.set(b.dut.counters, b.counters)
            await ctx.tick()

    async def ask(ctx):
        start = list(b.counters)
        for _ in range(3):
            await ctx.tick().repeat(5)
            seen.append((start, await b.ask(ctx, packet(Packet.COUNTERS)), list(b.counters)))

    simulate(b.dut, ask, cycles=2_000, background=[count, lawful(b.dut.o)])
    for start, (head, *words), end in seen:
        assert head == header(Reply.COUNTERS.value, len(words))
        for low, word, high in zip(start, words, end, strict=True):
            assert (word - low) % (1 << 32) <= (high - low) % (1 << 32)


def test_a_core_without_stall_counters_answers_with_its_cycles_alone():
    dut = Decoder(dataclasses.replace(CFG, stall_counters=0))

    async def ask(ctx):
        ctx.set(dut.counters, [0x12345678])
        for _ in range(2):
            words = [{"data": w, "cause": 0} for w in packet(Packet.COUNTERS)]
            await put(ctx, dut.i, words, pauses("none"))
            got = await get(ctx, dut.o, 2, pauses("none"))
            assert [w["data"] for w in got] == reply(Reply.COUNTERS, [0x12345678])
            assert [w["last"] for w in got] == [0, 1]

    simulate(dut, ask, cycles=200)
