"""Bench of the link: every kind of packet at its smallest and largest, and damaged in a beat."""

from typing import Any

import cocotb
import numpy as np

from hw import isa
from hw.config import VERSION, Config
from hw.isa import Cause, Packet, Reply, Space
from sim.bench import axi, link
from sim.bench.axi import AxiLink
from sim.bench.beats import to_beats
from sim.bench.core import LIMIT
from sim.bench.link import Exchanges, Link
from sim.bench.run import read_case
from sim.bench.stalls import pauses

Answers = list[list[int]]


def error(cause: Cause, words: list[int]) -> list[int]:
    return packet(Reply.ERROR, [cause.value, words[0]])


def packet(kind: Any, payload: Any = (), space: Space = Space.PROGRAM) -> list[int]:
    """Words of a packet, as docs/packets.md says."""
    payload = [int(word) for word in payload]
    return [len(payload) | space.value << 16 | kind.value << 24, *payload]


async def ask(to: Exchanges, sent: list[list[int]], answers: Answers) -> None:
    """Sends packets and compares the answers."""
    words = np.array([w for one in sent for w in one], np.uint32)
    last = np.zeros(len(words), bool)
    last[np.cumsum([len(one) for one in sent]) - 1] = True
    got = [reply.tolist() for reply in await to.exchange(words, last, len(answers))]
    for i, (reply, wanted) in enumerate(zip(got, answers, strict=True)):
        assert reply == wanted, f"answer {i} is {reply[:8]} and should be {wanted[:8]}"


def sizes(cfg: Config) -> dict[str, tuple[list[list[int]], Answers]]:
    """Packets and their answers: the least and the most that each kind may hold."""
    rng = np.random.default_rng(seed=5)
    identity = packet(Reply.ID, [isa.MAGIC, VERSION, *cfg.words()])
    reset = [packet(Packet.RESET)], [packet(Reply.RESET)]
    cases = {
        "id": ([packet(Packet.ID)], [identity]),
        "counters": ([packet(Packet.COUNTERS)], [packet(Reply.COUNTERS, [0] * 8)]),
        "reset": reset,
    }
    for space in tuple(Space)[:4]:
        width = isa.row_words(cfg, space)
        mask = 0xFFFFFFFF if space is not Space.WEIGHTS else (1 << 8 * min(4, cfg.cols)) - 1
        most = min((cfg.packet_words - 2) // width, isa.rows(cfg, space))
        for count in (0, 1, most):
            rows = rng.integers(0, 1 << 32, count * width) & mask
            row = isa.rows(cfg, space) - count
            cases[f"{space.name} {count}"] = (
                [packet(Packet.WRITE, [row, count, *rows], space),
                 packet(Packet.READ, [row, count], space)],
                [packet(Reply.DATA, rows)],
            )  # fmt: skip
    # A run whose program waits for an image, which comes in the least and in the most words.
    fields = {f.name: 0 for f in isa.LAYER if f.name != "op"} | {"wait_input": 1, "allow": 99}
    program = isa.encode(isa.Op.LAYER, **fields) + isa.encode(isa.Op.END)
    write = packet(Packet.WRITE, [0, len(program), *program])
    for count in (0, 1, cfg.packet_words):
        image = rng.integers(0, 1 << 32, count).tolist()
        run = packet(Packet.RUN, [1, 0, 2 * cfg.packet_words, 1, count])
        more = packet(Packet.INPUT, [1])
        sent = [write, run, packet(Packet.INPUT, image), more, *reset[0]]
        read = [packet(Packet.READ, [0, count], Space.SCRATCHPAD)]
        cases[f"input {count}"] = (
            sent + read, [error(Cause.UNEXPECTED, more), *reset[1], packet(Reply.DATA, image)]
        )  # fmt: skip
    return cases


@cocotb.test(timeout_time=LIMIT, timeout_unit="ns")
async def every_packet_works_at_its_smallest_and_largest(dut) -> None:
    case = read_case()
    cfg = Config(**case["config"])
    start = axi.start if case["axi"] else link.start
    to = await start(dut, (pauses(case["stalls"][0], 1), pauses(case["stalls"][1], 2)))
    for name, (sent, answers) in sizes(cfg).items():
        try:
            await ask(to, sent, answers)
        except AssertionError as failure:
            raise AssertionError(f"{name}: {failure}") from None
    # All behind each other; but the counters are those of a run now.
    both = [case for name, case in sizes(cfg).items() if name != "counters"]
    await ask(
        to, [one for sent, _ in both for one in sent], [one for _, got in both for one in got]
    )


@cocotb.test(timeout_time=LIMIT, timeout_unit="ns")
async def a_packet_that_ends_within_a_word_is_refused(dut) -> None:
    """Of a narrow link: after each beat of a packet but the last one."""
    case = read_case()
    cfg = Config(**case["config"])
    to = await link.start(dut, (pauses(case["stalls"][0], 1), pauses(case["stalls"][1], 2)))
    assert isinstance(to, Link)
    rows = [0x01020304, 0x05060708]
    good = packet(Packet.WRITE, [3, 2, *rows], Space.SCRATCHPAD)
    read = [packet(Packet.READ, [3, 2], Space.SCRATCHPAD)]
    identity = packet(Packet.ID)
    await ask(to, [good, *read], [packet(Reply.DATA, rows)])
    words = packet(Packet.WRITE, [3, 2, 0x0A0B0C0D, 0x11121314], Space.SCRATCHPAD)
    answer = packet(Reply.ID, [isa.MAGIC, VERSION, *cfg.words()])
    for sent in (words, identity):
        beats = to_beats(np.array(sent, np.uint32), np.arange(len(sent)) == len(sent) - 1,
                         cfg.link_width)  # fmt: skip
        for count in range(1, len(beats)):
            cut = [(value, i == count - 1) for i, (value, _) in enumerate(beats[:count])]
            await to.driver.send(cut)
            # What came of the header is what the answer tells.
            filled = sum(
                value << cfg.link_width * i
                for i, (value, _) in enumerate(cut[: 32 // cfg.link_width])
            )
            header = filled & 0xFFFFFFFF
            await ask(to, [identity], [error(Cause.TRUNCATED, [header]), answer])
    await ask(to, read, [packet(Reply.DATA, rows)])


@cocotb.test(timeout_time=LIMIT, timeout_unit="ns")
async def a_word_in_the_padding_is_refused(dut) -> None:
    """Of a wide link: a packet whose last beat has a word too many, or only zeros."""
    case = read_case()
    cfg = Config(**case["config"])
    to = await axi.start(dut, (pauses(case["stalls"][0], 1), pauses(case["stalls"][1], 2)))
    assert isinstance(to, AxiLink)
    answer = packet(Reply.ID, [isa.MAGIC, VERSION, *cfg.words()])
    excess = packet(Packet.ID)
    await ask(to, [[*excess, 7]], [error(Cause.EXCESS, excess)])
    await ask(to, [[*excess, 0]], [answer])
    write = packet(Packet.WRITE, [0, 2, 8, 9], Space.SCRATCHPAD)
    read = packet(Packet.READ, [0, 2], Space.SCRATCHPAD)
    await ask(to, [write, [*write[:3], 5, 6, 1], read],
              [error(Cause.EXCESS, write), packet(Reply.DATA, [8, 9])])  # fmt: skip
