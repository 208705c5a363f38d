"""Whatever is sent to a core: malformed packets change nothing, and the next good one works."""

from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from host.compiler import compile
from host.program import Program
from host.qgraph import Conv2d, Flatten, Linear, MaxPool2d, QGraph, Quantization, Requant, Window
from hw.isa import Cause, Packet, Reply, Space
from sim import build
from sim.device import Device, Stall, Stalls
from tests.e2e.packet_grammar import fuzz
from tests.e2e.packet_model import (
    CFG,
    DEPTH,
    GOOD_RUN,
    IDENTITY,
    LONGEST,
    WIDTH,
    WRITABLE,
    Model,
    error,
    exchange,
    packet,
    run,
    waiting_layer,
)  # fmt: skip

STALLS = {
    "none": Stalls(),
    "every third": Stalls(input=Stall(every=3), output=Stall(every=3)),
    "random": Stalls(input=Stall(probability=0.4), output=Stall(probability=0.4), seed=3),
    "patient": Stalls(output=Stall(patient=True)),
}
stalls = pytest.mark.parametrize("stalls", STALLS)


@pytest.fixture(scope="module")
def library() -> Path:
    return build.library(CFG)


@cache
def malformed() -> dict[str, list[tuple[list[int], Cause]]]:
    """Kinds of packets that are refused whether or not a run goes on, and why."""
    kinds: dict[str, list[tuple[list[int], Cause]]] = {}
    unknown = sorted(set(range(256)) - {p.value for p in Packet})
    kinds["opcode"] = [(packet(o, range(o % 4)), Cause.OPCODE) for o in unknown]
    kinds["empty packet with a payload"] = [
        (packet(kind, range(n)), Cause.LENGTH)
        for kind in (Packet.ID, Packet.COUNTERS, Packet.RESET)
        for n in (1, 2, LONGEST)
    ]
    kinds["length of addressed"] = [
        (packet(kind, [0] * n, space), Cause.LENGTH)
        for kind, lengths in ((Packet.READ, (0, 1, 3, LONGEST)), (Packet.WRITE, (0, 1)))
        for n in lengths
        for space in WRITABLE
    ]
    kinds["length of a run"] = [(packet(Packet.RUN, [1] * n), Cause.LENGTH) for n in (0, 1, 4, 6)]
    kinds["memory"] = [
        (packet(kind, [0, 1, *extra], space), Cause.SPACE)
        for space in (*range(5, 12), 64, 128, 255)
        for kind, extra in ((Packet.READ, []), (Packet.WRITE, [7]))
    ] + [(packet(Packet.WRITE, [0, 1, *range(8)], Space.TRACE), Cause.SPACE)]
    whole = [
        packet(Packet.ID), packet(Packet.RESET), packet(Packet.WRITE, [5, 3, 1, 2, 3]), GOOD_RUN,
        packet(Packet.READ, [0, 1]), packet(Packet.INPUT, range(9)), packet(0),
        packet(Packet.WRITE, [0, 62, *range(62)], Space.SCRATCHPAD),
    ]  # fmt: skip
    kinds["cut off"] = [
        (words[:n], Cause.TRUNCATED) for words in whole for n in {1, 2, len(words) - 1} - {0}
        if n < len(words)
    ]  # fmt: skip
    kinds["too long"] = [(words + [1] * n, Cause.EXCESS) for words in whole for n in (1, 2, 300)]
    kinds["oversize"] = [
        ([opcode << 24 | length, *[3] * n], Cause.OVERSIZE)
        for opcode in (0, 1, 2, 5, 7)
        for length in (LONGEST + 1, 0xFFFF)
        for n in (1, LONGEST, LONGEST + 1, 500)
    ]
    kinds["garbage"] = [
        ([0xFFFFFFFF] * 3, Cause.OVERSIZE), ([0], Cause.OPCODE), ([0, 0], Cause.EXCESS),
        ([0x0A], Cause.TRUNCATED), ([0x4C50544E], Cause.TRUNCATED),
        ([0x4C50544E, 1, 2], Cause.OVERSIZE), ([0xFF000002, 5, 6], Cause.OPCODE),
    ]  # fmt: skip
    return kinds


@cache
def out_of_range() -> dict[str, list[tuple[list[int], Cause]]]:
    """The same for packets that have another answer during a run."""
    kinds: dict[str, list[tuple[list[int], Cause]]] = {}
    kinds["read beyond the end"] = [
        (packet(Packet.READ, [row, count], s), Cause.RANGE)
        for s in Space
        for row, count in (
            (DEPTH[s], 1), (DEPTH[s] - 1, 2), (DEPTH[s] + 1, 0), (0, DEPTH[s] + 1), (1 << 24, 1),
            (1 << 31, 0), (0, 1 << 16), (0, (1 << 32) - 1), ((1 << 32) - 1, 1), (0, (1 << 16) + 1),
        )
    ]  # fmt: skip
    kinds["read more than a packet"] = [
        (packet(Packet.READ, [0, 65], Space.PROGRAM), Cause.RANGE),
        (packet(Packet.READ, [0, 65], Space.SCRATCHPAD), Cause.RANGE),
        (packet(Packet.READ, [3, 200], Space.WEIGHTS), Cause.RANGE),
    ]
    kinds["write beyond the end"] = [
        (packet(Packet.WRITE, [row, count, *range(min(count, 5) * WIDTH[s])], s), Cause.RANGE)
        for s in WRITABLE
        for row, count in (
            (DEPTH[s], 1), (DEPTH[s] - 1, 2), (1 << 24, 1), ((1 << 32) - 1, 1), (0, 1 << 16),
            (DEPTH[s] + 1, 0),
        )
    ]  # fmt: skip
    kinds["write of other than rows"] = [
        (packet(Packet.WRITE, [0, count, *range(n)], s), Cause.LENGTH)
        for s in WRITABLE
        for count, n in ((0, 1), (1, 0), (1, 2), (2, 1), (1, 4), (2, 5), (10, 7))
    ]
    bad_runs = [
        (0, 0, 1, 1), (1, 1024, 1, 1), (1, 1 << 31, 1, 1), (1, 1, 1, 1), (1, 2, 1, 1),
        (1, 3, 1, 1), (1, 0, 0, 1), (1, 0, 257, 1), (1, 0, 1 << 20, 1), (1, 0, 1 << 30, 1),
        (1, 0, 1, 0), (1, 0, 1, 256), (1, 0, 1, 1 << 31), (1, 4, 256, 1), (1, 512, 64, 3),
        (1, 1020, 1, 2), (1, 0, 256, 2), (1, 0, 256, 3), (1, 0, 256, 255), (1, 0, 2, 129),
    ]  # fmt: skip
    kinds["run with a bad ring"] = [(run(*values, 5), Cause.RANGE) for values in bad_runs]
    kinds["input without a run"] = [
        (packet(Packet.INPUT, range(n)), Cause.UNEXPECTED) for n in (0, 1, LONGEST)
    ]
    return kinds


@cache
def refused_in_a_run() -> dict[str, list[tuple[list[int], Cause]]]:
    """Packets that are good, but not now; the run has asked for 20 words."""
    return {
        "write during a run": [
            (packet(Packet.WRITE, [9, 1, *range(WIDTH[s])], s), Cause.BUSY) for s in WRITABLE
        ],
        "read during a run": [(packet(Packet.READ, [0, 1], s), Cause.BUSY) for s in Space],
        "run during a run": [(GOOD_RUN, Cause.BUSY), (run(0, 0, 0, 0, 0), Cause.BUSY)],
        "more input than asked for": [
            (packet(Packet.INPUT, range(n)), Cause.UNEXPECTED) for n in (21, LONGEST)
        ],
    }


def check_refused(
    library: Path, cases: list[tuple[list[int], Cause]], stalls: str, in_a_run: bool
) -> None:
    model = Model(seed=1)
    with Device(library, stalls=STALLS[stalls]) as device:
        model.check(device, model.fill())
        for words, cause in cases:
            before = [packet(Packet.RESET), GOOD_RUN] if in_a_run else []
            replies = exchange(device, [*before, words, packet(Packet.ID)], in_a_run + 2)
            assert replies[in_a_run:] == [error(cause, words), IDENTITY], f"{words[:8]}"
        model.check(device, [packet(Packet.RESET), *model.reads()])
        # And good ones that change something work as ever.
        good = packet(Packet.WRITE, [200, 1, 0x12345678], Space.SCRATCHPAD)
        model.check(device, [good, *model.reads(), GOOD_RUN, packet(Packet.RESET)])


@pytest.mark.parametrize("kind", malformed())
def test_a_malformed_packet_is_refused_with_its_cause_and_changes_nothing(library, kind):
    check_refused(library, malformed()[kind], "none", in_a_run=False)


@pytest.mark.parametrize("kind", out_of_range())
def test_a_packet_out_of_range_is_refused_with_its_cause_and_changes_nothing(library, kind):
    check_refused(library, out_of_range()[kind], "random", in_a_run=False)


@pytest.mark.parametrize("kind", refused_in_a_run() | malformed())
def test_a_run_is_not_disturbed_by_a_packet_that_is_refused(library, kind):
    cases = (refused_in_a_run() | malformed())[kind]
    check_refused(library, cases[:40], "none", in_a_run=True)


@stalls
def test_20000_packets_of_a_fuzzer_are_answered_as_a_model_says(library, stalls):
    answered = fuzz(library, STALLS[stalls], seed=sorted(STALLS).index(stalls), rounds=5)
    assert set(answered) == {c.name for c in Cause} | {"ID", "DATA", "COUNTERS", "RESET"}
    assert min(answered.values()) >= 100, answered


def requantize(acc: np.ndarray, requant: Requant, zero_point: int) -> np.ndarray:
    """docs/numerics.md with exact fractions; channels come first."""
    result = np.empty_like(acc)
    for index, value in np.ndenumerate(acc):
        factor = Fraction(int(requant.multiplier[index[0]]), 1 << int(requant.shift[index[0]]))
        rounded = round(int(value) * factor)
        result[index] = max(requant.lo, min(requant.hi, zero_point + rounded))
    return result


class Network:
    """A convolution with pooling and a linear layer, in integers."""

    def __init__(self) -> None:
        rng = np.random.default_rng(seed=5)
        self.zero = (3, -5, 7)
        quantization = [Quantization(1.0, z) for z in self.zero]
        requants = [
            Requant(rng.integers(20_000, 65_536, n), np.full(n, 22 - i), self.zero[i + 1])
            for i, n in enumerate((3, 5))
        ]
        conv = Conv2d(
            name="conv", input_shape=(2, 8, 7), output_shape=(3, 6, 5), output=quantization[1],
            weight=rng.integers(-127, 128, (3, 2, 3, 3)).astype(np.int8),
            bias=rng.integers(-3_000, 3_000, 3), requant=requants[0],
        )  # fmt: skip
        pool = MaxPool2d(
            name="pool", input_shape=(3, 6, 5), output_shape=(3, 3, 2), output=quantization[1],
            window=Window((2, 2), (2, 2)),
        )  # fmt: skip
        flat = Flatten(
            name="flat", input_shape=(3, 3, 2), output_shape=(18,), output=quantization[1]
        )
        linear = Linear(
            name="linear", input_shape=(18,), output_shape=(5,), output=quantization[2],
            weight=rng.integers(-127, 128, (5, 18)).astype(np.int8),
            bias=rng.integers(-3_000, 3_000, 5), requant=requants[1],
        )  # fmt: skip
        self.conv, self.linear = conv, linear
        self.graph = QGraph(
            input=quantization[0], input_shape=(2, 8, 7), layers=(conv, pool, flat, linear)
        )
        self.images = rng.integers(-128, 128, (6, 2, 8, 7)).astype(np.int8)

    def expected(self) -> np.ndarray:
        return np.stack([self._one(image.astype(np.int64)) for image in self.images])

    def _one(self, image: np.ndarray) -> np.ndarray:
        windows = np.lib.stride_tricks.sliding_window_view(image - self.zero[0], (3, 3), (1, 2))
        acc = np.einsum("iyxkl,oikl->oyx", windows, self.conv.weight.astype(np.int64))
        acc += self.conv.bias[:, None, None]
        maps = requantize(acc, self.conv.requant, self.zero[1])[:, :, :4]
        vector = maps.reshape(3, 3, 2, 2, 2).max(axis=(2, 4)).reshape(-1) - self.zero[1]
        acc = self.linear.weight.astype(np.int64) @ vector + self.linear.bias
        return requantize(acc, self.linear.requant, self.zero[2]).astype(np.int8)


def load(device: Device, program: Program) -> None:
    """All memories, as the driver does it."""
    packets = []
    for space, rows in (
        (Space.PROGRAM, program.words.reshape(-1, 1)),
        (Space.WEIGHTS, program.weights),
        (Space.TABLE, program.table),
    ):
        count = (LONGEST - 2) // rows.shape[1]
        for row in range(0, len(rows), count):
            part = rows[row : row + count]
            packets.append(packet(Packet.WRITE, [row, len(part), *part.ravel()], space))
    for address, words, value in program.borders:
        filled = [(value & 0xFF) * 0x01010101] * words
        packets.append(packet(Packet.WRITE, [address // 4, words, *filled], Space.SCRATCHPAD))
    assert exchange(device, [*packets, packet(Packet.RESET)], 1) == [packet(Reply.RESET)]


def run_packets(program: Program, images: np.ndarray) -> list[list[int]]:
    words = program.pack(images)
    count = len(images) // program.batch
    start = run(count, program.slot_address, program.slot_bytes // 4, program.slots, words.size)
    flat = words.ravel().tolist()
    parts = [flat[i : i + LONGEST] for i in range(0, len(flat), LONGEST)]
    return [start, *(packet(Packet.INPUT, part) for part in parts)]


def check_run(device: Device, program: Program, network: Network) -> None:
    """A whole run gives the right bytes."""
    packets = run_packets(program, network.images)
    batches = len(network.images) // program.batch
    *outputs, done = exchange(device, packets, batches + 1)
    assert done == packet(Reply.DONE)
    assert all(o[0] == packet(Reply.OUTPUT, range(len(o) - 1))[0] for o in outputs)
    (form,) = program.outputs
    got = form.unpack(np.array([o[1:-1] for o in outputs], np.uint32), program.config.lanes)
    assert got.tolist() == network.expected().tolist()


RESET_STALLS = {
    "none": Stalls(),
    # The link out is so slow that most resets come while an output is being sent.
    "slow output": Stalls(output=Stall(every=37)),
    "random": STALLS["random"],
}


@pytest.mark.parametrize("stalls", RESET_STALLS)
@pytest.mark.parametrize("batch", [1, 2])
def test_a_reset_in_any_cycle_of_a_run_leaves_a_core_that_runs_right(library, stalls, batch):
    network = Network()
    program = compile(network.graph, CFG, batch=batch)
    packets = run_packets(program, network.images)
    rng = np.random.default_rng(seed=batch)
    kinds = {"before any output": 0, "in an output": 0, "between outputs": 0, "at the end": 0}
    with Device(library, stalls=RESET_STALLS[stalls]) as device:
        load(device, program)
        start = device.cycles
        check_run(device, program, network)
        length = device.cycles - start
        for _ in range(40):
            sent = 1 + int(rng.integers(0, len(packets)))
            exchange(device, packets[:sent], 0)
            device.wait(int(rng.integers(0, length)))
            replies = exchange(device, [packet(Packet.RESET)], 1)
            while replies[-1] != packet(Reply.RESET):
                replies += exchange(device, [], 1)
            *before, _ = replies
            cut = [r for r in before if (r[0] & 0xFFFF) != len(r) - 1]
            assert cut in ([], before[-1:]), "a packet that is not the last was cut off"
            kinds["before any output"] += not before
            kinds["in an output"] += bool(cut)
            kinds["at the end"] += packet(Reply.DONE) in before
            kinds["between outputs"] += bool(before and not cut)
            assert exchange(device, [packet(Packet.ID)], 1) == [IDENTITY]
            if rng.random() < 0.5:
                check_run(device, program, network)
        check_run(device, program, network)
    assert kinds["before any output"], kinds
    assert kinds["between outputs"], kinds
    if stalls == "slow output":
        assert kinds["in an output"], kinds


@stalls
@pytest.mark.parametrize(
    "lengths", [[8], [64], [1] * 40, [64, 64, 64]], ids=lambda v: f"{len(v)} x {v[0]}"
)
def test_a_reset_reaches_a_run_that_does_not_take_its_input(library, lengths, stalls):
    """It once waited for ever behind an INPUT for which a program released no slot."""
    program = waiting_layer()
    inputs = [packet(Packet.INPUT, range(1, 1 + n)) for n in lengths]
    busy = packet(Packet.READ, [0, 1])
    with Device(library, idle_limit=2_000, stalls=STALLS[stalls]) as device:
        packets = [packet(Packet.WRITE, [0, len(program), *program], Space.PROGRAM)]
        for _ in range(3):
            start = run(0xFFFFFFFF, 0, 2, 1, sum(lengths))
            packets += [start, *inputs, busy, packet(Packet.RESET)]
        replies = exchange(device, packets, 6)
        assert replies == [error(Cause.BUSY, busy), packet(Reply.RESET)] * 3
        # What found a slot is there.
        written = [word for words in inputs for word in words[1:]][:2]
        read = packet(Packet.READ, [0, 2], Space.SCRATCHPAD)
        assert exchange(device, [read], 1) == [packet(Reply.DATA, written)]
        network = Network()
        compiled = compile(network.graph, CFG)
        load(device, compiled)
        check_run(device, compiled, network)
