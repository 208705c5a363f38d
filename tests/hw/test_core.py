"""hw/core.py and hw/wrappers.py: the parts are joined; whole networks run in tests/e2e"""

import dataclasses

import numpy as np
import pytest
from amaranth.sim import Simulator

from hw import isa
from hw.config import VERSION, Config
from hw.core import Core
from hw.isa import Packet, Reply, Space
from hw.wrappers import AxiStream
from tests.hw.numerics import entry, requantize, words_of
from tests.hw.simulation import STALLS, get, lawful, pauses, put, simulate

TINY = Config(
    rows=3, cols=2, scratchpad_bytes=64, weight_depth=8, acc_depth=8, table_depth=4,
    program_depth=32, result_depth=4, packet_words=32, trace_depth=2,
)  # fmt: skip


def packet(kind, payload=(), space=0):
    return [len(payload) | space << 16 | kind.value << 24, *(int(w) for w in payload)]


def beats_of(words, width):
    content = b"".join(w.to_bytes(4, "little") for w in words)
    size = width // 8
    parts = [content[i : i + size].ljust(size, b"\0") for i in range(0, len(content), size)]
    return [
        {"data": int.from_bytes(p, "little"), "last": int(i == len(parts) - 1)}
        for i, p in enumerate(parts)
    ]


async def receive(ctx, stream, width, pause):
    """One packet, without the padding of a wide link."""
    content = b""
    while True:
        (beat,) = await get(ctx, stream, 1, pause)
        content += beat["data"].to_bytes(width // 8, "little")
        if beat["last"]:
            words = np.frombuffer(content, "<u4").tolist()
            return words[: 1 + (words[0] & 0xFFFF)]


def program(rng):
    """One layer of one pass: weights, table, image and what must come out, from plain integers."""
    weights = rng.integers(-127, 128, (3, 2))
    image = rng.integers(-128, 128, (4, 3))
    entries = [entry(multiplier=200, shift=12, bias=int(rng.integers(-999, 999))) for _ in range(2)]
    sums = image @ weights
    out = [[requantize(int(s), e) for s, e in zip(row, entries, strict=True)] for row in sums]
    fields = {f.name: 0 for f in isa.LAYER if f.name != "op"}
    fields |= {
        "src_input": 1, "wait_input": 1, "release_input": 1, "wait_emit": 1, "x_last": 3,
        "step_x": 3, "target": 32, "move_x": 2, "allow": 100, "beats_last": 1,
        "tail_beats_last": 1, "emit_source": 32, "emit_words": 2, "pass_min": 3,
    }  # fmt: skip
    words = isa.encode(isa.Op.LAYER, **fields) + isa.encode(isa.Op.END)
    rows = [int.from_bytes(bytes(int(v) & 255 for v in row), "little") for row in weights[::-1]]
    table = [int(w) for e in entries for w in words_of(e)]
    content = np.frombuffer(image.astype(np.int8).tobytes(), "<u4").tolist()
    result = np.frombuffer(np.array(out, np.int8).tobytes(), "<u4").tolist()
    return words, rows, table, content, result


@pytest.mark.parametrize("width", [8, 16, 32, 64], ids="width={}".format)
@pytest.mark.parametrize("stalls", STALLS)
def test_a_layer_runs_over_the_link_alone(width, stalls):
    cfg = dataclasses.replace(TINY, link_width=width)
    dut = Core(cfg)
    words, weights, table, image, result = program(np.random.default_rng(seed=width))
    sent = [
        packet(Packet.ID),
        packet(Packet.WRITE, [0, len(words), *words], Space.PROGRAM.value),
        packet(Packet.WRITE, [0, 3, *weights], Space.WEIGHTS.value),
        packet(Packet.WRITE, [0, 2, *table], Space.TABLE.value),
        packet(Packet.READ, [0, 2], Space.TABLE.value),
        packet(Packet.RUN, [2, 0, 3, 2, 6]),
        packet(Packet.INPUT, image),
        packet(Packet.INPUT, image),
    ]
    replies = []

    async def source(ctx):
        pause = pauses(stalls, 1)
        for words in sent:
            await put(ctx, dut.i, beats_of(words, width), pause)

    async def sink(ctx):
        pause = pauses(stalls, 2)
        for _ in range(5):
            replies.append(await receive(ctx, dut.o, width, pause))
        await ctx.tick()
        assert not ctx.get(dut.running)

    simulate(dut, source, sink, cycles=3_000, background=[lawful(dut.o)])
    assert replies[0] == packet(Reply.ID, [isa.MAGIC, VERSION, *cfg.words()])
    assert replies[1] == packet(Reply.DATA, table)
    assert [r[:-1] for r in replies[2:4]] == [packet(Reply.OUTPUT, [*result, 0])[:-1]] * 2
    assert replies[4] == packet(Reply.DONE)


def test_the_axi_wrapper_passes_transfers_on_and_is_silent_in_reset():
    dut = AxiStream(TINY)
    wanted = packet(Reply.ID, [isa.MAGIC, VERSION, *TINY.words()])

    async def testbench(ctx):
        came = []
        ctx.set(dut.m_axis_tready, 1)
        for cycle in range(100):
            ctx.set(dut.aresetn, cycle >= 4)
            ctx.set(dut.s_axis_tvalid, cycle == 10)
            ctx.set(dut.s_axis_tdata, Packet.ID.value << 24)
            ctx.set(dut.s_axis_tlast, 1)
            ctx.set(dut.aclk, 0)
            await ctx.delay(1e-7)
            ready, valid = ctx.get(dut.s_axis_tready), ctx.get(dut.m_axis_tvalid)
            assert ready == (cycle >= 4), f"cycle {cycle}"
            if valid:
                came.append((ctx.get(dut.m_axis_tdata), ctx.get(dut.m_axis_tlast)))
            ctx.set(dut.aclk, 1)
            await ctx.delay(1e-7)
        assert [word for word, _ in came] == wanted
        assert [last for _, last in came] == [0] * (len(wanted) - 1) + [1]

    # Its clock is a port, so that `simulate` has none to give; the testbench ends by itself.
    sim = Simulator(dut)
    sim.add_testbench(testbench)
    sim.run()
