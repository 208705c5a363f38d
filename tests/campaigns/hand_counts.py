"""What layers count that no compiler writes: all their waits, and loops of many turns."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from host.compiler import compile
from host.cost import predict
from host.driver import Counters
from host.program import Program
from hw import isa
from hw.isa import Packet, Reply, Space
from sim.device import Device
from tests.campaigns.hand_programs import CFG, LIMIT, layer, program, write
from tests.e2e import test_packets as packets
from tests.e2e.packet_model import exchange, packet, run


def hand_made(*layers: list[int]) -> Program:
    """A program for the cost model; each of its layers is a layer of the network."""
    made = compile(packets.Network().graph, CFG)
    words = np.array([w for one in layers for w in one] + isa.encode(isa.Op.END), np.uint32)
    info = [replace(made.layers[0], name=str(i), macs=0) for i in range(len(layers))]
    return replace(
        made, words=words, layers=tuple(info), instruction_layers=tuple(range(len(layers))),
        outputs=made.outputs[:1],
    )  # fmt: skip


def check_counters(device: Device, made: Program, predicted: Counters) -> None:
    """A run without input has the counters, the trace and the stamps that the model predicts."""
    start = packet(Packet.RUN, [predicted.batches, 0, 1, 1, 0])
    exchange(device, [*write(Space.PROGRAM, made.words), start], 0)
    # Nothing may move for longer than a device has patience.
    device.wait(predicted.cycles)
    *outputs, done = exchange(device, [], predicted.batches + 1)
    assert done == packet(Reply.DONE)
    rows = min(len(made.layers), CFG.trace_depth)
    asked = [packet(Packet.COUNTERS), packet(Packet.READ, [0, rows], Space.TRACE)]
    final, trace = exchange(device, asked, 2)
    assert final[1:] == list(predicted.total.values())
    assert [o[-1] for o in outputs] == predicted.stamps.tolist()
    spent = np.array([list(one.counters.values()) for one in predicted.layers])
    starts = np.array(final[1:]) - spent[::-1].cumsum(axis=0)[::-1]
    assert trace[1:] == starts[:rows].ravel().tolist()


def _bound(rng: np.random.Generator, counts: dict[str, int]) -> dict[str, int]:
    """A bound on pending results that anything may happen to, but that fits what keeps it."""
    limit = isa.allow_limit(CFG)
    order = [n for index in np.ndindex(*(counts[n] + 1 for n in reversed(isa.ALLOW_LEVELS)))
             for n in _advanced(index)]  # fmt: skip
    while True:
        high = int(rng.choice([2, 20, 300, limit - 1]))
        start = int(rng.integers(0, high + 1))
        steps = {n: int(rng.integers(-high, high + 1)) // 2 for n in isa.ALLOW_LEVELS}
        sums = start + np.cumsum([0, *(steps[n] for n in order)])
        if -limit <= sums.min() and sums.max() < limit:
            return {"allow": start, **{f"allow_{n}": step for n, step in steps.items()}}


def _advanced(index: tuple[int, ...]) -> list[str]:
    """Which loop the turns (block, kernel row, slice) came about by; none for the first."""
    inside = [n for n, turn in zip(isa.ALLOW_LEVELS, reversed(index), strict=True) if turn]
    return inside[:1]


@cache
def random_layers() -> list[tuple[Program, Counters]]:
    """Layers of all loops and waits, which compute nothing of use."""
    rng = np.random.default_rng(3)
    found = []
    for number in range(120):
        layers = []
        for _ in range(1 + number % 3):
            counts = {n: int(rng.integers(0, 3)) for n in isa.LEVELS}
            counts["x"] = int(rng.integers(0, 20))
            counts["tile"] = int(rng.integers(0, 2))
            fields = {f"{n}_last": count for n, count in counts.items()}
            fields |= _bound(rng, counts)
            fields["pass_min"] = int(rng.integers(0, 4))
            fields["beats_last"] = int(rng.integers(0, 2))
            fields["tail_beats_last"] = int(rng.integers(0, 2))
            fields["wait_emit"] = int(rng.integers(0, 2))
            layers.append(layer(**fields))
        fields["emit_words"] = int(rng.integers(1, 9))
        made = hand_made(*layers[:-1], layer(**fields))
        found.append((made, predict(made, 1 + number % 4)))
    return found


@cache
def long_layers() -> list[tuple[Program, Counters]]:
    """Every loop as long as the hardware's counter allows, and somewhat shorter; and loops so long
    that begin again."""
    rng = np.random.default_rng(5)
    most = {n: {f"{n}_last": (1 << isa.kept(CFG)[f"{n}_last"]) - 1} for n in isa.LEVELS}
    less = {n: {at: int(rng.integers(end // 2, end)) for at, end in most[n].items()} for n in most}
    made, shorter = (
        hand_made(
            *(layer(**long[n]) for n in isa.LEVELS[:-1]), layer(**long["block"], emit_words=1)
        )
        for long in (most, less)
    )
    again = hand_made(
        layer(**most["x"], y_last=1), layer(**most["y"], tile_last=1),
        layer(**most["tile"], slice_last=1), layer(**most["slice"], kernel_y_last=1),
        layer(**most["kernel_y"], block_last=1, emit_words=1),
    )  # fmt: skip
    return [(one, predict(one, 1)) for one in (again, made, shorter)]


def check_random_layers(library: Path) -> None:
    with Device(library, idle_limit=LIMIT) as device:
        for made, predicted in random_layers():
            check_counters(device, made, predicted)


def check_long_layers(library: Path) -> None:
    with Device(library, idle_limit=LIMIT) as device:
        for made, predicted in long_layers():
            check_counters(device, made, predicted)


def check_many_batches(library: Path) -> None:
    """Each batch counts the same: those of nothing, which wait for their next instruction, and
    those of many tiles, which wait for weights."""
    most = (1 << isa.kept(CFG)["block_last"]) - 1
    with Device(library, idle_limit=LIMIT) as device:
        for layers, many, cycles in (([], 3_000, 8), ([layer(block_last=most)], 100, 4 * most)):
            exchange(device, program(*layers), 0)
            found = []
            for batches in (3, 4, 3 + many):
                exchange(device, [run(batches, 0, 1, 1, 0)], 0)
                device.wait(cycles * batches + 100)
                asked = [packet(Packet.COUNTERS), packet(Packet.READ, [0, 1], Space.TRACE)]
                done, counters, trace = exchange(device, asked, 3)
                assert done == packet(Reply.DONE)
                found.append(np.array(counters[1:] + trace[1:], np.int64))
            each = found[1] - found[0]
            assert (found[2] == found[0] + many * each).all()
