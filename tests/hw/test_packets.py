"""hw/packets.py"""

import numpy as np
import pytest

from hw.config import Config
from hw.isa import Cause, Packet
from hw.packets import PacketBuffer, ReplyMux
from tests.hw.simulation import STALLS, get, lawful, pauses, put, simulate

LONGEST = 16
LINKS = {
    "to 32 bits": Config(packet_words=LONGEST),
    "64 bits": Config(packet_words=LONGEST, link_width=64),
}
links = pytest.mark.parametrize("link", LINKS)


def packet(length, count=None, seed=0):
    """A header that announces so many words, and that many or `count` of them."""
    rng = np.random.default_rng((seed, length))
    count = length if count is None else count
    return [0xA5_C3_0000 | length, *rng.integers(0, 1 << 32, count).tolist()]


def beats(words, link):
    """As they come out of the link: one of 64 bits ends with padding where it must."""
    words = words + [0] * (len(words) % 2) if link == "64 bits" else words
    ends = (int(i == len(words) - 1) for i in range(len(words)))
    return [{"data": w, "last": last, "cut": 0} for w, last in zip(words, ends, strict=True)]


def whole(words):
    return [{"data": word, "cause": 0} for word in words]


def refused(words, cause):
    return [{"data": words[0], "cause": cause.value}]


def expected(words, link):
    """What a packet means, from its length alone."""
    length, count = words[0] & 0xFFFF, len(words) - 1
    padding = link == "64 bits"
    if padding:
        count += len(words) % 2
    if count == 0 and length > 0:
        return refused(words, Cause.TRUNCATED)
    if length > LONGEST:
        return refused(words, Cause.OVERSIZE)
    if count < length:
        return refused(words, Cause.TRUNCATED)
    if count > length + padding or any(words[length + 1 :]):
        return refused(words, Cause.EXCESS)
    return whole([*words, 0][: length + 1])


def transfer(packets, link, stalls_in="none", stalls_out="none"):
    dut, came = PacketBuffer(LINKS[link]), []
    wanted = [word for words in packets for word in expected(words, link)]

    async def source(ctx):
        given = [beat for words in packets for beat in beats(words, link)]
        await put(ctx, dut.i, given, pauses(stalls_in, 1))

    async def sink(ctx):
        came.extend(await get(ctx, dut.o, len(wanted), pauses(stalls_out, 2)))

    async def end(ctx):
        # Nothing more comes behind everything.
        while len(came) < len(wanted):
            await ctx.tick()
        await ctx.tick().repeat(LONGEST)
        assert not ctx.get(dut.o.valid)

    simulate(dut, source, sink, end, cycles=60_000, background=[lawful(dut.o)])
    assert came == wanted


GOOD = packet(3, seed=9)


@links
@pytest.mark.parametrize("length", [0, 1, 2, 5, LONGEST - 1, LONGEST])
def test_a_whole_packet_passes(link, length):
    transfer([packet(length), GOOD], link)


@links
@pytest.mark.parametrize(
    ("length", "count", "cause"),
    [
        (3, 0, Cause.TRUNCATED), (2, 0, Cause.TRUNCATED), (5, 2, Cause.TRUNCATED),
        (LONGEST, LONGEST - 2, Cause.TRUNCATED), (LONGEST, 0, Cause.TRUNCATED),
        (0, 2, Cause.EXCESS), (3, 5, Cause.EXCESS), (4, 100, Cause.EXCESS),
        (LONGEST, LONGEST + 2, Cause.EXCESS), (LONGEST, 5 * LONGEST, Cause.EXCESS),
        (LONGEST + 1, LONGEST + 1, Cause.OVERSIZE), (LONGEST + 1, 3, Cause.OVERSIZE),
        (0xFFFF, 200, Cause.OVERSIZE), (0xFFFF, 1, Cause.OVERSIZE),
    ],
)  # fmt: skip
def test_a_wrong_length_leaves_the_header_and_the_cause(link, length, count, cause):
    words = packet(length, count)
    assert expected(words, link) == refused(words, cause)
    transfer([GOOD, words, GOOD], link)


@links
def test_one_word_too_many_is_excess(link):
    """On a wide link it was once taken for the padding of the last beat, which is zero."""
    words = packet(2, 3)
    assert expected(words, link) == refused(words, Cause.EXCESS)
    transfer([words, GOOD], link)


def test_padding_is_zero_and_no_word_of_the_packet():
    for length in (0, 2, LONGEST):
        words = packet(length)
        assert beats(words, "64 bits")[-1] == {"data": 0, "last": 1, "cut": 0}
        transfer([words, GOOD], "64 bits")


def test_one_word_missing_in_a_wide_beat_cannot_be_told_from_a_word_of_zero():
    """The beats are the same: only what carries them could tell."""
    words = packet(3)
    assert beats(words[:3], "64 bits") == beats([*words[:3], 0], "64 bits")
    assert expected(words[:3], "64 bits") == whole([*words[:3], 0])
    transfer([words[:3], GOOD], "64 bits")


@pytest.mark.parametrize("length", [0, 1, 5, LONGEST])
@pytest.mark.parametrize("missing", [0, 1])
def test_a_packet_that_is_cut_within_a_word_is_truncated(length, missing):
    """Also within its last one, which was once filled with zeros and passed on."""
    dut = PacketBuffer(LINKS["to 32 bits"])
    words = packet(length)[: max(1, 1 + length - missing)]
    given = beats(words, "to 32 bits")
    given[-1]["cut"] = 1

    async def testbench(ctx):
        await put(ctx, dut.i, given + beats(GOOD, "to 32 bits"), pauses("none"))
        came = await get(ctx, dut.o, 1 + len(GOOD), pauses("none"))
        assert came == refused(words, Cause.TRUNCATED) + whole(GOOD)

    simulate(dut, testbench)


RESET = Packet.RESET.value << 24


@links
@pytest.mark.parametrize("stalls_out", STALLS)
def test_a_reset_is_announced_from_its_last_word_until_it_is_carried_out(link, stalls_out):
    rng = np.random.default_rng(seed=8)
    others = [
        packet(0), packet(4), packet(LONGEST), packet(3, 1),  # none of these is a reset, nor
        [RESET | 1, 5], [RESET, 1], [RESET | 1], [RESET, 0, 0, 0], [RESET | LONGEST + 1, 2, 3],
    ]  # fmt: skip
    packets = []
    for _ in range(60):
        packets += [others[rng.integers(0, len(others))]] * (rng.random() < 0.8)
        packets += [[RESET]] * (rng.random() < 0.3)
    dut = PacketBuffer(LINKS[link])
    wanted = [word for words in packets for word in expected(words, link)]
    came = done = 0

    async def source(ctx):
        nonlocal came
        for words in packets:
            await put(ctx, dut.i, beats(words, link), pauses("none"))
            came += words == [RESET]

    async def sink(ctx):
        nonlocal done
        rest = pauses(stalls_out, 2)
        for word in wanted:
            (got,) = await get(ctx, dut.o, 1, rest)
            assert got == word
            if word == {"data": RESET, "cause": 0}:
                await ctx.tick().repeat(int(rng.integers(1, 9)))
                assert ctx.get(dut.reset), "it is not carried out"
                ctx.set(dut.reset_done, 1)
                await ctx.tick()
                ctx.set(dut.reset_done, 0)
                done += 1

    async def watch(ctx):
        waits = False
        while True:
            _, _, announced = await ctx.tick().sample(dut.reset)
            assert announced == waits, f"{came} came, {done} were carried out"
            waits = came > done

    simulate(dut, source, sink, cycles=20_000, background=[watch])
    assert came == done > 10
    assert done == wanted.count({"data": RESET, "cause": 0})


def test_no_reset_is_announced_when_none_is_there():
    dut = PacketBuffer(LINKS["to 32 bits"])

    async def testbench(ctx):
        for words in (packet(2), [RESET | 1, 5], [RESET, 1], [RESET]):
            await put(ctx, dut.i, beats(words, "to 32 bits"), pauses("none"))
            await ctx.tick().repeat(2)
            assert ctx.get(dut.reset) == (words == [RESET]), words
        await get(ctx, dut.o, 3 + 2 + 1 + 1, pauses("none"))
        await ctx.tick().repeat(2)
        assert ctx.get(dut.reset)
        ctx.set(dut.reset_done, 1)
        await ctx.tick()
        ctx.set(dut.reset_done, 0)
        assert not ctx.get(dut.reset)

    simulate(dut, testbench)


def test_behind_three_resets_nothing_is_taken_until_one_is_carried_out():
    dut = PacketBuffer(LINKS["to 32 bits"])
    resets = [beat for _ in range(9) for beat in beats([RESET], "to 32 bits")]

    async def testbench(ctx):
        ctx.set(dut.o.ready, 1)
        await put(ctx, dut.i, resets[:3], pauses("none"))
        for beat in resets[3:]:
            ctx.set(dut.i.payload, beat)
            ctx.set(dut.i.valid, 1)
            for _ in range(9):
                await ctx.tick()
                assert not ctx.get(dut.i.ready)
            ctx.set(dut.reset_done, 1)
            await ctx.tick()
            ctx.set(dut.reset_done, 0)
            assert ctx.get(dut.i.ready)
            await ctx.tick()
        ctx.set(dut.i.valid, 0)
        for waiting in (3, 2, 1, 0):
            assert ctx.get(dut.reset) == (waiting > 0)
            ctx.set(dut.reset_done, waiting > 0)
            await ctx.tick()

    simulate(dut, testbench)


@links
@pytest.mark.parametrize("stalls_in", STALLS)
@pytest.mark.parametrize("stalls_out", STALLS)
def test_random_packets(link, stalls_in, stalls_out):
    rng = np.random.default_rng(seed=3)
    packets = []
    for i in range(120):
        kind = rng.random()
        length = int(rng.integers(0, LONGEST + 1))
        count = length
        if kind < 0.2:
            count = int(rng.integers(0, LONGEST + 4))
        elif kind < 0.3:
            count = int(rng.integers(0, 80))
        elif kind < 0.4:
            length = int(rng.integers(LONGEST + 1, 1 << 16))
        packets.append(packet(length, count, seed=i))
    transfer(packets, link, stalls_in, stalls_out)


def test_nothing_passes_before_its_last_word():
    dut = PacketBuffer(LINKS["to 32 bits"])
    words = packet(5)

    async def testbench(ctx):
        *first, last = beats(words, "to 32 bits")
        await put(ctx, dut.i, first, pauses("none"))
        for _ in range(20):
            await ctx.tick()
            assert not ctx.get(dut.o.valid)
        await put(ctx, dut.i, [last], pauses("none"))
        assert await get(ctx, dut.o, 6, pauses("none")) == whole(words)

    simulate(dut, testbench)


def test_two_of_the_longest_packets_have_room_while_nothing_leaves():
    dut = PacketBuffer(LINKS["to 32 bits"])
    packets = [packet(LONGEST, seed=i) for i in range(2)]

    async def testbench(ctx):
        for words in packets:
            await put(ctx, dut.i, beats(words, "to 32 bits"), pauses("none"))
        came = await get(ctx, dut.o, 2 * (LONGEST + 1), pauses("none"))
        assert came == whole(packets[0]) + whole(packets[1])

    simulate(dut, testbench)


def test_a_packet_goes_on_at_a_word_a_cycle():
    dut = PacketBuffer(LINKS["to 32 bits"])

    async def source(ctx):
        for i in range(6):
            await put(ctx, dut.i, beats(packet(LONGEST, seed=i), "to 32 bits"), pauses("none"))

    async def sink(ctx):
        ctx.set(dut.o.ready, 1)
        valid = []
        while sum(valid) < 6 * (LONGEST + 1):
            _, _, now = await ctx.tick().sample(dut.o.valid)
            valid.append(now)
        # From the first word that leaves on there is no gap.
        assert all(valid[valid.index(1) :])

    simulate(dut, source, sink)


def sent(packets):
    return [
        {"data": word, "last": int(i == len(words) - 1)}
        for words in packets
        for i, word in enumerate(words)
    ]


def split(words):
    """Packets of a stream."""
    packets = [[]]
    for word in words:
        packets[-1].append(word["data"])
        if word["last"]:
            packets.append([])
    return packets[:-1]


@pytest.mark.parametrize("stalls_in", STALLS)
@pytest.mark.parametrize("stalls_out", STALLS)
def test_replies_of_two_sources_are_not_mixed(stalls_in, stalls_out):
    rng = np.random.default_rng(seed=5)
    dut, came = ReplyMux(), []
    lengths = rng.integers(1, 7, (2, 40)).tolist()
    answers = [[0x1000_0000 + 100 * i + j for j in range(n)] for i, n in enumerate(lengths[0])]
    outputs = [[0x2000_0000 + 100 * i + j for j in range(n)] for i, n in enumerate(lengths[1])]

    async def answer(ctx):
        await put(ctx, dut.answers, sent(answers), pauses(stalls_in, 1))

    async def output(ctx):
        await put(ctx, dut.outputs, sent(outputs), pauses(stalls_in, 2))

    async def sink(ctx):
        total = sum(map(sum, lengths))
        came.extend(split(await get(ctx, dut.o, total, pauses(stalls_out, 3))))

    simulate(dut, answer, output, sink, cycles=10_000, background=[lawful(dut.o)])
    assert [p for p in came if p[0] < 0x2000_0000] == answers
    assert [p for p in came if p[0] >= 0x2000_0000] == outputs


@pytest.mark.parametrize("stalls", STALLS)
@pytest.mark.parametrize("at", range(1, 22))
def test_an_abort_closes_the_packet_that_was_begun_and_the_next_one_is_whole(at, stalls):
    dut, came = ReplyMux(), []
    outputs = [[100 * i + j + 1 for j in range(4)] for i in range(4)]
    answer = [0x8700_0000, 0x1234]

    async def source(ctx):
        # Offers words until the abort; withdraws them the cycle after, as a reset does.
        rest = pauses(stalls, 1)
        words = iter(sent(outputs))
        word = None
        for cycle in range(at):
            if word is None and not next(rest):
                word = next(words, None)
            ctx.set(dut.outputs.valid, word is not None)
            if word is not None:
                ctx.set(dut.outputs.payload, word)
            ctx.set(dut.abort, cycle == at - 1)
            _, _, ready = await ctx.tick().sample(dut.outputs.ready)
            if ready:
                word = None
        ctx.set(dut.abort, 0)
        ctx.set(dut.outputs.valid, 0)
        await put(ctx, dut.answers, sent([answer]), pauses("none"))
        # The source works again.
        await put(ctx, dut.outputs, sent([[7, 8, 9]]), pauses("none"))

    async def sink(ctx):
        rest = pauses(stalls, 2)
        while not came or came[-1] != {"data": 9, "last": 1}:
            came.extend(await get(ctx, dut.o, 1, rest))

    simulate(dut, source, sink, background=[lawful(dut.o)])
    *before, reply, after = split(came)
    assert (reply, after) == (answer, [7, 8, 9])
    *complete, last = [*before, []] if not before or before[-1] in outputs else before
    assert complete == outputs[: len(complete)]
    if last:
        assert last[-1] == 0, "closed by a word of no meaning"
        assert last[:-1] == outputs[len(complete)][: len(last) - 1]
        assert len(last) > 1, "a packet that was not begun was closed"
