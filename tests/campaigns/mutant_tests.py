"""The tests that mutants have to survive: each raises when it sees a difference.

They are parts of the suite, as short as they can be: every mutant runs them.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from host.compiler import compile
from host.cost import predict
from host.driver import Session
from host.errors import LeptonError
from host.integer_reference import reference
from host.program import Program
from host.quantization import quantize
from hw import isa
from hw.isa import Packet
from sim.device import Device, Stall, Stalls
from tests.campaigns import (
    hand_addresses,
    hand_counts,
    hand_packets,
    hand_pokes,
    hand_programs,
    hand_roundings,
)  # fmt: skip
from tests.e2e import test_packets as packets
from tests.e2e.packet_grammar import Grammar
from tests.e2e.packet_model import check_replies
from tests.host.networks import random_network

CFG = packets.CFG

IDLE_LIMIT = 20_000
"""Cycles in which nothing moves: no test here waits as long."""


@cache
def network() -> tuple[packets.Network, Program]:
    one = packets.Network()
    return one, compile(one.graph, CFG, batch=2)


@cache
def random_programs() -> list[tuple[Program, np.ndarray, dict[str, np.ndarray]]]:
    found = []
    for seed in range(60):
        module, inputs = random_network(seed, max_size="tiny")
        graph = quantize(module, inputs)
        try:
            program = compile(graph, CFG, batch=1 + seed % 3, layers=seed % 2 == 0)
        except LeptonError:
            continue
        images = inputs[:6].numpy()
        found.append((program, images, reference(graph, images, layers=True)))
    return found


def check_network(library: Path) -> None:
    one, program = network()
    with Device(library, idle_limit=IDLE_LIMIT) as device:
        packets.load(device, program)
        packets.check_run(device, program, one)
        packets.check_run(device, program, one)


def check_refusals(library: Path) -> None:
    for kinds, during in ((packets.out_of_range(), False), (packets.refused_in_a_run(), True),
                          (packets.malformed(), False)):  # fmt: skip
        cases = [case for kind in kinds.values() for case in kind[:25]]
        model = packets.Model(seed=1)
        with Device(library, idle_limit=IDLE_LIMIT) as device:
            model.check(device, model.fill())
            for words, cause in cases:
                before = [packets.packet(Packet.RESET), packets.GOOD_RUN] if during else []
                sent = [*before, words, packets.packet(Packet.ID)]
                replies = packets.exchange(device, sent, during + 2)
                wanted = [packets.error(cause, words), packets.IDENTITY]
                assert replies[during:] == wanted, f"{words[:8]}"
            model.check(device, [packets.packet(Packet.RESET), *model.reads()])


def check_fuzzer(
    library: Path, pauses: tuple[Stalls, ...] = tuple(packets.STALLS.values())
) -> None:
    """Replies and memories are what a model says."""
    for seed, stalls in enumerate(pauses):
        model = packets.Model(seed=2)
        grammar = Grammar(model, seed)
        with Device(library, stalls=stalls, idle_limit=IDLE_LIMIT) as device:
            model.check(device, model.fill())
            for _ in range(3):
                sent, wanted = [], []
                for _ in range(500):
                    words = grammar.next()
                    sent.append(words)
                    wanted += [(words, answer) for answer in model.answers(words)]
                check_replies(device, sent, wanted)
                model.check(device, [packets.packet(Packet.RESET), *model.reads()])


class Opened:
    """A device as a transport of the driver."""

    on_progress: Callable[[int], None] | None = None

    def __init__(self, device: Device) -> None:
        self.device = device

    def exchange(self, words: np.ndarray, last: np.ndarray, packets: int) -> list[np.ndarray]:
        return self.device.exchange(words, last, packets)

    def cycles_to(self, packet: int) -> int | None:
        return None

    def close(self) -> None:
        """The test closes it."""


MIXED = Stalls(input=Stall(probability=0.3), output=Stall(probability=0.6), seed=9)


def check_random_networks(library: Path, pauses: tuple[Stalls | None, ...] = (None, MIXED)) -> None:
    """Every byte, and every counter and stamp as the cost model predicts them."""
    for stalls in pauses:
        with Device(library, stalls=stalls, idle_limit=IDLE_LIMIT) as device:
            for program, images, expected in random_programs():
                session = Session(program, Opened(device))
                found = session.run_layers(images)
                for name, values in found.items():
                    assert (values == expected[name]).all(), name
                assert session.counters is not None
                if stalls is None and len(images) % program.batch == 0:
                    predicted = predict(program, len(images) // program.batch)
                    assert predicted.total == session.counters.total
                    assert predicted.stamps.tolist() == session.counters.stamps.tolist()
                    # The trace of so small a core is too short for some programs.
                    if session.counters.layers:
                        assert predicted.layers == session.counters.layers


def check_resets(library: Path) -> None:
    one, program = network()
    sent = packets.run_packets(program, one.images)
    slow = Stalls(output=Stall(every=37))
    with Device(library, stalls=slow, idle_limit=IDLE_LIMIT) as device:
        packets.load(device, program)
        start = device.cycles
        packets.check_run(device, program, one)
        length = device.cycles - start
        # Many within outputs, which go slowly.
        for wait in range(1, length, length // 25):
            packets.exchange(device, sent, 0)
            device.wait(wait)
            replies = packets.exchange(device, [packets.packet(Packet.RESET)], 1)
            while replies[-1] != packets.packet(isa.Reply.RESET):
                replies += packets.exchange(device, [], 1)
            packets.check_run(device, program, one)


TESTS: tuple[Callable[[Path], None], ...] = (
    check_network, check_refusals, check_random_networks, check_fuzzer, check_resets,
    hand_packets.check_some_bits, hand_programs.check_every_bit, hand_programs.check_input_totals,
    hand_packets.check_many_resets, hand_packets.check_answers_between_outputs,
    hand_packets.check_input_of_a_run_that_ends,
    hand_packets.check_emits, hand_programs.check_rings, hand_programs.check_tables,
    hand_addresses.check_addresses, hand_roundings.check_roundings, hand_counts.check_random_layers,
    *hand_pokes.CHECKS, hand_counts.check_long_layers,
    hand_counts.check_many_batches,
)  # fmt: skip


def prepare() -> None:
    """Makes what the tests share, once for all mutants."""
    network()
    assert len(random_programs()) > 30
    hand_programs.table_cases()
    hand_addresses.cases()
    hand_roundings.roundings()
    hand_counts.random_layers()
    hand_counts.long_layers()
    hand_pokes.programs()
