"""Packets of which several bits are wrong at once, and answers and resets in each other's way."""

from pathlib import Path

import numpy as np

from host.compiler import compile
from hw import isa
from hw.isa import Packet, Reply, Space
from sim.device import Device, Stall, Stalls
from tests.campaigns.hand_programs import CFG, LIMIT, Entry, layer, program, write
from tests.e2e import test_packets as packets
from tests.e2e.packet_model import (
    IDENTITY,
    LONGEST,
    WIDTH,
    Model,
    error,
    exchange,
    packet,
    run,
    waiting_layer,
)  # fmt: skip

CASES = 500


def some_bits(rng: np.random.Generator, width: int = 32, most: int = 3) -> int:
    """A number of few bits that are 1."""
    bits = rng.integers(0, width, rng.integers(0, most + 1))
    return int(np.bitwise_or.reduce(1 << bits, initial=0))


def check_some_bits(library: Path) -> None:
    """Headers, rings and rows in which a few bits are turned at once."""
    rng = np.random.default_rng(4)
    model = Model(seed=4)
    reset = packet(Packet.RESET)
    with Device(library, idle_limit=LIMIT) as device:
        model.check(device, model.fill())
        runs = []
        for _ in range(CASES):
            words = list(run(1 + some_bits(rng), 0, 1 + some_bits(rng, 8), 1, some_bits(rng)))
            words[1 + rng.integers(0, 5)] ^= some_bits(rng)
            words[2] ^= 4 * some_bits(rng, 8)
            runs += [words, reset]
        model.check(device, runs)
        others = []
        for _ in range(CASES):
            space = int(rng.integers(0, 5))
            width = WIDTH[Space(space)]
            row, count = some_bits(rng, 10), some_bits(rng, 8, 2)
            if rng.random() < 0.3:
                row ^= some_bits(rng)
            if rng.random() < 0.3:
                count ^= some_bits(rng)
            others.append(packet(Packet.READ, [row, count], space))
            there = min(count * width, LONGEST - 2) if rng.random() < 0.8 else some_bits(rng, 6)
            rows = rng.integers(0, 1 << 32, there, np.uint32)
            others.append(packet(Packet.WRITE, [row, count, *rows], space))
            # A header that is not of its packet, in every field.
            words = [*packet(Packet(int(rng.integers(1, 8))), range(rng.integers(0, 5)))]
            words[0] ^= some_bits(rng)
            if words[0] >> 24 in (Packet.RUN.value, Packet.WRITE.value):
                words[0] ^= 1 << 31
            others.append(words)
        model.check(device, [*others, *model.reads()])


def check_many_resets(library: Path) -> None:
    """Resets behind each other, as many as go in: each is answered, and then input is not lost."""
    network = packets.Network()
    compiled = compile(network.graph, CFG, batch=2)
    waiting = waiting_layer()
    load = packet(Packet.WRITE, [0, len(waiting), *waiting], Space.PROGRAM)
    with Device(library, idle_limit=LIMIT, stalls=Stalls(output=Stall(every=37))) as device:
        for many in (1, 2, 3, 4, 7, 8, 16, 31, 33, 64, 100, 130, 255):
            inputs = [packet(Packet.INPUT, range(8))] * (1 + many % 2)
            start = run(0xFFFFFFFF, 0, 2, 1, 8 * len(inputs))
            resets = [packet(Packet.RESET)] * many
            replies = exchange(device, [load, start, *inputs, *resets], many)
            assert replies == [packet(Reply.RESET)] * many
            packets.load(device, compiled)
            packets.check_run(device, compiled, network)


def check_answers_between_outputs(library: Path) -> None:
    """Answers and outputs come whole and in order, whenever they are wanted."""
    network = packets.Network()
    compiled = compile(network.graph, CFG, batch=2)
    (form,) = compiled.outputs
    unknown = packet(0x7E, range(3))
    kinds = (packet(Packet.ID), packet(Packet.COUNTERS), unknown)
    for number, stall in enumerate((Stall(), Stall(every=5), Stall(probability=0.7))):
        with Device(library, idle_limit=LIMIT, stalls=Stalls(output=stall)) as device:
            packets.load(device, compiled)
            for length in (3, 40):
                start, *inputs = packets.run_packets(compiled, network.images)
                sent, asked = [start], []
                for one in inputs:
                    asked += [kinds[(len(asked) + number) % 3], kinds[0]]
                    sent += [one, *asked[-2:]]
                asked += [kinds[0]] * length
                sent += [kinds[0]] * length
                batches = len(network.images) // compiled.batch
                replies = exchange(device, sent, batches + 1 + len(asked))
                outputs = [r for r in replies if r[0] >> 24 == Reply.OUTPUT.value]
                words = np.array([o[1:-1] for o in outputs], np.uint32)
                assert form.unpack(words, CFG.lanes).tolist() == network.expected().tolist()
                assert [r for r in replies if r[0] >> 24 == Reply.DONE.value] == [
                    packet(Reply.DONE)
                ]
                answers = [
                    r for r in replies if Reply(r[0] >> 24) not in (Reply.OUTPUT, Reply.DONE)
                ]
                for question, answer in zip(asked, answers, strict=True):
                    if question is kinds[1]:
                        assert answer[0] == packet(Reply.COUNTERS, range(len(isa.COUNTERS)))[0]
                        assert len(answer) == 1 + len(isa.COUNTERS)
                    else:
                        wanted = error(packets.Cause.OPCODE, unknown)
                        assert answer == (IDENTITY if question is kinds[0] else wanted)


def check_emits(library: Path) -> None:
    """Outputs of every length and from every place, also beyond the end, where they go on at 0."""
    rng = np.random.default_rng(5)
    rows = CFG.scratchpad_bytes // 4
    memory = rng.integers(0, 1 << 32, rows, np.uint32)
    lengths = [*(1 << bit for bit in range(rows.bit_length())), *rng.integers(1, rows + 1, 31)]
    places = [0, rows - 1, *(1 << bit for bit in range(rows.bit_length() - 1))]
    places += rng.integers(0, rows, len(lengths) - len(places)).tolist()
    cases = list(zip(rng.permutation(places).tolist(), map(int, lengths), strict=True))
    with Device(library, idle_limit=LIMIT) as device:
        keep = write(Space.TABLE, np.array([Entry(write=0).words()] * 2))
        exchange(device, [*keep, *write(Space.SCRATCHPAD, memory)], 0)
        many = CFG.program_depth // isa.length(isa.Op.LAYER) - 1
        for first in range(0, len(cases), many):
            part = cases[first : first + many]
            layers = [
                layer(emit_source=4 * at, emit_words=n, beats_last=1, tail_beats_last=1)
                for at, n in part
            ]
            sent = [*program(*layers), run(1, 0, 1, 1, 0)]
            *outputs, done = exchange(device, sent, len(part) + 1)
            assert done == packet(Reply.DONE)
            for (at, n), output in zip(part, outputs, strict=True):
                assert output[0] == packet(Reply.OUTPUT, range(n + 1))[0]
                assert output[1:-1] == np.roll(memory, -at)[:n].tolist(), (at, n)


def check_input_of_a_run_that_ends(library: Path) -> None:
    """What of a packet has found no slot when its run ends is dropped, and the packet refused."""
    given = packet(Packet.INPUT, range(1, 9))
    done, good = packet(Reply.DONE), packet(Packet.WRITE, [200, 1, 7], Space.SCRATCHPAD)
    read = packet(Packet.READ, [0, 4], Space.SCRATCHPAD)
    with Device(library, idle_limit=LIMIT) as device:
        # A program that looks at no input.
        exchange(device, program(layer()), 0)
        for slots in (1, 2, 3):
            start = run(300, 0, 1, slots, 100)
            clear = packet(Packet.WRITE, [0, 4, 0, 0, 0, 0], Space.SCRATCHPAD)
            replies = exchange(device, [clear, start, given, good, read], 3)
            assert replies[:2] == [done, error(packets.Cause.UNEXPECTED, given)]
            taken = [*range(1, slots + 1), 0, 0, 0, 0][:4]
            assert replies[2] == packet(Reply.DATA, taken)
