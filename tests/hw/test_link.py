"""hw/link.py"""

import numpy as np
import pytest

from hw.config import Config
from hw.link import LinkIn, LinkOut
from tests.hw.simulation import STALLS, get, lawful, pauses, put, simulate

widths = pytest.mark.parametrize("width", [8, 16, 32, 64], ids="width={}".format)


def random_packets(seed, count=30):
    rng = np.random.default_rng(seed)
    lengths = [1, 2, 3, 4, 5, *rng.integers(1, 9, count - 5).tolist()]
    return [rng.integers(0, 1 << 32, n).tolist() for n in lengths]


def beats_of(packet, width):
    """The bytes of a packet, little-endian, cut into beats; zeros fill the last."""
    content = b"".join(word.to_bytes(4, "little") for word in packet)
    size = width // 8
    parts = [content[i : i + size].ljust(size, b"\0") for i in range(0, len(content), size)]
    return [
        {"data": int.from_bytes(part, "little"), "last": int(i == len(parts) - 1)}
        for i, part in enumerate(parts)
    ]


def words_of(packet):
    return [{"data": word, "last": int(i == len(packet) - 1)} for i, word in enumerate(packet)]


def incoming(packet):
    """Words on their way in, none of them cut."""
    return [{**word, "cut": 0} for word in words_of(packet)]


def padded(packet, width):
    """What a wide link cannot help adding."""
    return packet + [0] * (len(packet) % 2) if width == 64 else packet


def transfer(dut, given, count, stalls_in, stalls_out):
    came = []

    async def source(ctx):
        await put(ctx, dut.i, given, pauses(stalls_in, 1))

    async def sink(ctx):
        came.extend(await get(ctx, dut.o, count, pauses(stalls_out, 2)))
        await ctx.tick().repeat(3)
        assert not ctx.get(dut.o.valid)

    simulate(dut, source, sink, cycles=5_000, background=[lawful(dut.o)])
    return came


@widths
@pytest.mark.parametrize("stalls_in", STALLS)
@pytest.mark.parametrize("stalls_out", STALLS)
def test_beats_become_words(width, stalls_in, stalls_out):
    packets = random_packets(width)
    given = [beat for packet in packets for beat in beats_of(packet, width)]
    wanted = [word for packet in packets for word in incoming(padded(packet, width))]
    dut = LinkIn(Config(link_width=width))
    assert transfer(dut, given, len(wanted), stalls_in, stalls_out) == wanted


@widths
@pytest.mark.parametrize("stalls_in", STALLS)
@pytest.mark.parametrize("stalls_out", STALLS)
def test_words_become_beats(width, stalls_in, stalls_out):
    packets = random_packets(width + 1)
    given = [word for packet in packets for word in words_of(packet)]
    wanted = [beat for packet in packets for beat in beats_of(packet, width)]
    dut = LinkOut(Config(link_width=width))
    assert transfer(dut, given, len(wanted), stalls_in, stalls_out) == wanted


@pytest.mark.parametrize("width", [8, 16], ids="width={}".format)
def test_a_packet_that_ends_within_a_word_is_marked_and_the_next_begins_afresh(width):
    dut = LinkIn(Config(link_width=width))
    top = (1 << width) - 1
    whole, after = beats_of([0x01020304], width), incoming([0x01020304])
    for count in range(1, 32 // width):
        cut = [{"data": top, "last": int(i == count - 1)} for i in range(count)]
        wanted = [{"data": (1 << count * width) - 1, "last": 1, "cut": 1}, *after]
        assert transfer(dut, cut + whole, 2, "none", "random") == wanted


@widths
def test_words_go_as_fast_as_the_width_allows(width):
    packet = list(range(16))
    for dut, given, count in (
        (LinkIn(Config(link_width=width)), beats_of(packet, width), 16),
        (LinkOut(Config(link_width=width)), words_of(packet), 16 * 32 // width),
    ):
        cycles = 0

        async def source(ctx, dut=dut, given=given):
            await put(ctx, dut.i, given, pauses("none"))

        async def sink(ctx, dut=dut, count=count):
            nonlocal cycles
            ctx.set(dut.o.ready, 1)
            came = 0
            while came < count:
                _, _, valid = await ctx.tick().sample(dut.o.valid)
                came += valid
                cycles += 1

        simulate(dut, source, sink)
        assert cycles <= max(16, 16 * 32 // width) + 1
