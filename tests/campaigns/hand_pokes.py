"""The upper bits of counters: runs in whose midst they are moved to where those bits matter."""

from functools import cache
from pathlib import Path

import numpy as np

from hw import isa
from hw.isa import Packet, Reply, Space
from sim.device import Device
from tests.campaigns import pokes
from tests.campaigns.hand_counts import random_layers
from tests.campaigns.hand_programs import CFG, LIMIT, layer, program, write
from tests.e2e.packet_model import Cause, error, exchange, packet, run

EVERY = 1 << 32

CARRY = 1 << 31
"""A counter that is brought close below this turns all of its bits."""

PATTERNS = (
    EVERY - 5, CARRY - 5, 0x55555555, 0xAAAAAAAA, 0x0F0F0F0F, 0xF0F0F0F0, 0x33CC33CC, 0xCC33CC33,
    *np.random.default_rng(6).integers(0, EVERY, 8).tolist(),
)  # fmt: skip


@cache
def programs() -> list[tuple[list[int], int]]:
    """Words of programs without input that count much of each cause, and cycles of a batch."""
    found = {}
    made = [one for one in random_layers() if one[1].cycles < 3_000 * one[1].batches]
    for name in isa.COUNTERS:
        best = max(made, key=lambda one: one[1].total[name] / one[1].batches)
        found[tuple(best[0].words.tolist())] = best[1].cycles // best[1].batches
    return [(list(words), cycles) for words, cycles in found.items()]


def counted(device: Device, rows: int, cycles: int, amounts: list[int] | None) -> list[np.ndarray]:
    """Counters, trace and stamps of a run; its counters go up by so much when it has begun."""
    batches = 3
    exchange(device, [run(batches, 0, 1, 1, 0)], 0)
    device.wait(60)
    for i, amount in enumerate(amounts or []):
        pokes.add(device, "counters", amount, i)
    device.wait(batches * cycles)
    *outputs, done = exchange(device, [], batches + 1)
    assert done == packet(Reply.DONE)
    asked = [packet(Packet.COUNTERS), packet(Packet.READ, [0, rows], Space.TRACE)]
    final, trace = exchange(device, asked, 2)
    return [np.array(words, np.int64) for words in (
        final[1:], trace[1:], [output[-1] for output in outputs]
    )]  # fmt: skip


def check_high_counts(library: Path) -> None:
    """Counters, trace and stamps are as before, and so much more."""
    count = len(isa.COUNTERS)
    with Device(library, idle_limit=LIMIT) as device:
        for words, cycles in programs():
            exchange(device, write(Space.PROGRAM, np.array(words, np.uint32)), 0)
            rows = min(CFG.trace_depth, len(words) // isa.length(isa.Op.LAYER))
            before = counted(device, rows, cycles, None)
            for turn in range(len(PATTERNS)):
                more = [PATTERNS[(turn + i) % len(PATTERNS)] for i in range(count)]
                final, trace, stamps = counted(device, rows, cycles, more)
                assert (final == (before[0] + more) % EVERY).all()
                assert (trace == (before[1] + more * rows) % EVERY).all()
                # A stamp of the first batch may be from before.
                assert (stamps[1:] == (before[2][1:] + more[0]) % EVERY).all()


def check_high_batches(library: Path) -> None:
    """A run of any number of batches, in whose midst all but a few are taken from those left."""
    few = 40
    with Device(library, idle_limit=LIMIT) as device:
        exchange(device, program(layer(emit_words=1)), 0)
        wanted: list[list[int]] = []
        for turn, bit in enumerate(range(few.bit_length(), 32)):
            many = (few, *PATTERNS)[turn % (1 + len(PATTERNS))]
            exchange(device, [run(many, 0, 1, 1, 0)], 0)
            device.wait(300)
            left = pokes.holds(device, "batches")
            # Down from where but for this bit it would be the last batch, for a while, and back.
            near = (1 << bit) + 1
            pokes.add(device, "batches", near - left)
            device.wait(300)
            pokes.add(device, "batches", left - near - (many - few))
            outputs = exchange(device, [], few + 1)
            assert outputs[-1] == packet(Reply.DONE)
            wanted = wanted or outputs
            assert outputs == wanted


def check_high_input(library: Path) -> None:
    """The same of the input that a run still takes."""
    few = 40
    with Device(library, idle_limit=LIMIT) as device:
        exchange(device, program(layer(wait_input=1, release_input=1)), 0)
        one = packet(Packet.INPUT, [7])
        for many in (few, *PATTERNS):
            exchange(device, [run(1000, 0, 1, 4, many), *[one] * 10], 0)
            device.wait(300)
            left = pokes.holds(device, "input")
            pokes.add(device, "input", CARRY + 2 - left)
            exchange(device, [one] * 10, 0)
            device.wait(300)
            pokes.add(device, "input", left - CARRY - 2 - (many - few))
            more = [packet(Packet.INPUT, range(21)), *[one] * 20, one, packet(Packet.RESET)]
            replies = exchange(device, more, 3)
            refused = [error(Cause.UNEXPECTED, words) for words in (more[0], one)]
            assert replies == [*refused, packet(Reply.RESET)]


def check_full_trace(library: Path) -> None:
    """What the trace holds stays while the counters go on, and up by much."""
    long = {"x_last": 15, "y_last": 15}
    asked = [packet(Packet.READ, [0, CFG.trace_depth], Space.TRACE)]

    def trace(amount: int) -> np.ndarray:
        exchange(device, [run(1, 0, 1, 1, 0)], 0)
        # Into the first layer.
        device.wait(100)
        for i in range(len(isa.COUNTERS)):
            pokes.add(device, "counters", amount, i)
        device.wait(256 * CFG.trace_depth)
        assert exchange(device, [], 2)[-1] == packet(Reply.DONE)
        (found,) = exchange(device, asked, 1)
        return np.array(found[1:], np.int64).reshape(CFG.trace_depth, -1)

    with Device(library, idle_limit=LIMIT) as device:
        exchange(device, program(*[layer(**long)] * CFG.trace_depth, layer(emit_words=1)), 0)
        before = trace(0)
        for amount in (0x55555555, 0xAAAAAAAA):
            found = trace(amount)
            assert (found[0] == before[0]).all()
            assert (found[1:] == (before[1:] + amount) % EVERY).all()


CHECKS = (check_high_counts, check_high_batches, check_high_input, check_full_trace)
