"""hw/uart.py, hw/uart_inbox.py, hw/uart_outbox.py; with noise in tests/e2e/test_uart.py."""

import numpy as np
import pytest

from host.transports.frames import Deframer, Frame, encode
from hw.config import Config, named
from hw.errors import ConfigError
from hw.uart import UARTLink, check
from hw.uart_frame import Kind
from tests.hw.simulation import get, pauses, put, simulate

DIVISOR = 4
BYTE = 10 * DIVISOR
TINY = named("tiny")


class Line:
    """The other end of the line: bytes in and out."""

    def __init__(self, dut):
        self.dut = dut
        self.came = b""

    async def listen(self, ctx):
        """In the background: collects what the hardware sends."""
        bits, at = 0, -1  # cycles since the start bit began
        while True:
            _, _, level = await ctx.tick().sample(self.dut.tx)
            if at < 0 and level:
                continue
            at += 1
            if at % DIVISOR == DIVISOR // 2:
                bits = bits >> 1 | level << 9
            if at == BYTE - DIVISOR // 2:
                self.came += bytes([bits >> 1 & 0xFF])
                at = -1

    async def send(self, ctx, data):
        for byte in data:
            for bit in (0, *(byte >> i & 1 for i in range(8)), 1):
                ctx.set(self.dut.rx, bit)
                await ctx.tick().repeat(DIVISOR)

    def take(self):
        came, self.came = self.came, b""
        return came


def words_of(packets):
    return [
        {"data": int(word), "last": int(i == len(packet) - 1)}
        for packet in packets
        for i, word in enumerate(packet)
    ]


def random_packets(lengths, seed=0):
    rng = np.random.default_rng(seed)
    # Many bytes that have to be escaped.
    return [rng.choice([0x7D7E7D7E, 0, 0xFFFFFFFF, 0x12345678], n).tolist() for n in lengths]


async def ask(ctx, line, frame, wait=3):
    """Sends a frame and waits for what comes until the line has been quiet for some bytes."""
    await line.send(ctx, encode(frame))
    frames, quiet, deframer = [], 0, Deframer()
    while quiet < wait:
        await ctx.tick().repeat(BYTE)
        came = line.take()
        frames += deframer.feed(came)
        quiet = 0 if came else quiet + 1
    return frames


def opening(seq=3, ack=14):
    return Frame(seq=seq, ack=ack, kind=Kind.OPEN)


def session(test, *, slots=8, core=()):
    """Runs a testbench on a link; `core` are testbenches in the place of the core."""
    dut = UARTLink(TINY, divisor=DIVISOR, slots=slots)
    line = Line(dut)

    async def host(ctx):
        ctx.set(dut.rx, 1)
        await ctx.tick()
        await test(ctx, dut, line)

    simulate(dut, host, cycles=300_000, background=[line.listen, *(part(dut) for part in core)])


def test_a_link_that_nobody_opened_says_so_and_passes_nothing():
    async def test(ctx, dut, line):
        (frame,) = await ask(ctx, line, Frame(payload=bytes(8), last=True))
        assert frame.kind is Kind.CLOSED
        assert not ctx.get(dut.o.valid)

    session(test)


def test_opening_exchanges_numbers_and_restarts_the_core():
    async def test(ctx, dut, line):
        for seq, ack in ((3, 14), (15, 0)):
            (frame,) = await ask(ctx, line, opening(seq, ack))
            assert (frame.kind, frame.seq, frame.ack) == (Kind.OPEN, ack, seq)
            assert frame.limit == (seq + 8) % 16

    session(test)


def test_a_frame_is_passed_on_once_however_often_it_comes():
    async def test(ctx, dut, line):
        await ask(ctx, line, opening(0, 0))
        frame = Frame(seq=0, payload=b"abcd", last=True)
        for _ in range(3):
            answers = await ask(ctx, line, frame)
            assert answers[-1].ack == 1
        assert ctx.get(dut.o.p.data) == int.from_bytes(b"abcd", "little")
        ctx.set(dut.o.ready, 1)
        await ctx.tick()
        ctx.set(dut.o.ready, 0)
        await ctx.tick().repeat(20)
        assert not ctx.get(dut.o.valid)

    session(test)


def test_a_gap_is_asked_for_once_and_a_poll_is_always_answered():
    async def test(ctx, dut, line):
        await ask(ctx, line, opening(0, 0))
        (answer,) = await ask(ctx, line, Frame(seq=1, payload=b"abcd", last=True))
        assert (answer.kind, answer.ack) == (Kind.BACK, 0)
        assert ctx.get(dut.error)
        assert (await ask(ctx, line, Frame(seq=2)))[:1] in ([], [Frame(ack=0, limit=8)])
        for _ in range(2):
            (answer,) = await ask(ctx, line, Frame(seq=1, kind=Kind.POLL))
            assert (answer.kind, answer.ack) == (Kind.BACK, 0)
        assert not ctx.get(dut.o.valid)

    session(test)


@pytest.mark.parametrize("slots", [2, 4], ids="slots={}".format)
def test_a_core_that_takes_nothing_stops_the_host_at_the_limit(slots):
    async def test(ctx, dut, line):
        await ask(ctx, line, opening(0, 0))
        for seq in range(slots + 1):
            answers = await ask(ctx, line, Frame(seq=seq, payload=bytes([seq] * 4)))
            assert answers[-1].limit == slots
            assert answers[-1].ack == min(seq + 1, slots), "a frame without room is not taken"
        taken = await get(ctx, dut.o, slots, pauses("none"))
        assert [word["data"] & 0xFF for word in taken] == list(range(slots))

    session(test, slots=slots)


def test_what_is_not_acknowledged_is_sent_again_when_polled():
    packets = random_packets([1, 40], seed=2)

    def core(dut):
        async def send(ctx):
            while not ctx.get(dut.restart):
                await ctx.tick()
            while ctx.get(dut.restart):
                await ctx.tick()
            await put(ctx, dut.i, words_of(packets), pauses("none"))

        return send

    async def test(ctx, dut, line):
        first = (await ask(ctx, line, opening(0, 0)))[1:]
        content = [np.array(packet, "<u4").tobytes() for packet in packets]
        wanted = [content[0], content[1][:124], content[1][124:]]
        assert [frame.payload for frame in first] == wanted
        assert [frame.last for frame in first] == [True, False, True]
        # Of one that was never sent nothing is believed.
        (answer,) = await ask(ctx, line, Frame(ack=5, kind=Kind.POLL))
        assert (answer.payload, answer.seq) == (b"", 3)
        again = await ask(ctx, line, Frame(ack=1, kind=Kind.POLL))
        assert [frame.payload for frame in again] == wanted[1:]
        assert [frame.seq for frame in again] == [1, 2]
        (answer,) = await ask(ctx, line, Frame(ack=3, kind=Kind.POLL))
        assert (answer.payload, answer.seq) == (b"", 3)

    session(test, core=[core])


def test_bad_frames_do_nothing():
    async def test(ctx, dut, line):
        await ask(ctx, line, opening(0, 0))
        damaged = bytearray(encode(Frame(seq=0, payload=b"abcd")))
        damaged[4] ^= 1
        await line.send(ctx, bytes(damaged))
        odd = encode(Frame(seq=0, payload=b"abc"))  # a good CRC, but no word
        long = encode(Frame(seq=0, payload=bytes(128)))
        await line.send(ctx, odd + long)
        (answer,) = (await ask(ctx, line, Frame(kind=Kind.POLL)))[-1:]
        assert answer.ack == 0
        assert not ctx.get(dut.o.valid)
        answers = await ask(ctx, line, Frame(seq=0, payload=b"abcd"))
        assert answers[-1].ack == 1

    session(test)


def test_what_does_not_go_together_is_refused():
    with pytest.raises(ConfigError, match="link_width=64 does not go with a UART"):
        check(Config(link_width=64), divisor=8)
    with pytest.raises(ConfigError, match=r"slots=3 is none of \(2, 4, 8\)"):
        check(TINY, divisor=8, slots=3)
