"""Whatever is sent to a core: malformed packets change nothing, and the next good one works."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from host.compiler import compile
from host.program import Program
from host.qgraph import Conv2d, Flatten, Linear, MaxPool2d, QGraph, Quantization, Requant, Window
from hw import isa
from hw.config import VERSION, Config
from hw.isa import Cause, Packet, Reply, Space
from sim import build
from sim.device import Device, Stall, Stalls

CFG = Config(
    rows=3, cols=2, scratchpad_bytes=1024, weight_depth=256, acc_depth=64, table_depth=16,
    program_depth=256, result_depth=16, packet_words=64, trace_depth=4,
)  # fmt: skip
DEPTH = {
    Space.PROGRAM: 256, Space.WEIGHTS: 256, Space.TABLE: 16, Space.SCRATCHPAD: 256, Space.TRACE: 4,
}  # fmt: skip
WIDTH = {
    Space.PROGRAM: 1, Space.WEIGHTS: 1, Space.TABLE: 3, Space.SCRATCHPAD: 1, Space.TRACE: 8,
}  # fmt: skip
WRITABLE = tuple(Space)[:4]
LONGEST = 64

STALLS = {
    "none": Stalls(),
    "every third": Stalls(input=Stall(every=3), output=Stall(every=3)),
    "random": Stalls(input=Stall(probability=0.4), output=Stall(probability=0.4), seed=3),
}
stalls = pytest.mark.parametrize("stalls", STALLS)


@pytest.fixture(scope="module")
def library() -> Path:
    return build.library(CFG)


def packet(kind: Any, payload: Iterable[int] = (), space: Any = 0) -> list[int]:
    """A packet with the right length."""
    payload = [int(w) & 0xFFFFFFFF for w in payload]
    opcode, memory = (v if isinstance(v, int) else v.value for v in (kind, space))
    return [len(payload) | memory << 16 | opcode << 24, *payload]


def error(cause: Cause, words: list[int]) -> list[int]:
    return packet(Reply.ERROR, [cause.value, words[0]])


IDENTITY = packet(Reply.ID, [isa.MAGIC, VERSION, *CFG.words()])


def exchange(device: Device, packets: Sequence[list[int]], replies: int) -> list[list[int]]:
    words = [w for p in packets for w in p]
    last = np.zeros(len(words), bool)
    last[np.cumsum([len(p) for p in packets], dtype=int) - 1] = True
    came = device.exchange(np.array(words, np.uint32), last, replies)
    return [reply.tolist() for reply in came]


def waiting_layer() -> list[int]:
    """A program that waits for an image for ever."""
    fields = {f.name: 0 for f in isa.LAYER if f.name != "op"} | {"wait_input": 1, "allow": 99}
    return isa.encode(isa.Op.LAYER, **fields) + isa.encode(isa.Op.END)


def check_replies(
    device: Device,
    packets: Sequence[list[int]],
    wanted: Sequence[tuple[list[int], list[int | None]]],
) -> list[list[int]]:
    """Sends packets and compares the replies with (packet, answer); a None is any word."""
    got = exchange(device, packets, len(wanted))
    for i, (reply, (sent, answer)) in enumerate(zip(got, wanted, strict=True)):
        same = len(reply) == len(answer) and all(
            b is None or a == b for a, b in zip(reply, answer, strict=True)
        )
        assert same, f"reply {i} to {sent[:8]} is {reply[:8]} and should be {answer[:8]}"
    return got


class Model:
    """What the core should hold and answer, from the description of the packets alone.

    Its program waits for an image, so that a run goes on until a reset.
    """

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.program = waiting_layer()
        self.memory = {
            s: self.rng.integers(0, 1 << 32, (DEPTH[s], WIDTH[s]), np.uint32) for s in WRITABLE
        }
        self.memory[Space.PROGRAM][: len(self.program), 0] = self.program
        # Two columns: the rest of the word is no memory.
        self.memory[Space.WEIGHTS] &= 0xFFFF
        self.running = False
        self.input_left = 0
        self.input_row = 0

    def fill(self) -> list[list[int]]:
        """Packets that write all memories."""
        packets = []
        for space in WRITABLE:
            count = (LONGEST - 2) // WIDTH[space]
            for row in range(0, DEPTH[space], count):
                part = self.memory[space][row : row + count]
                packets.append(packet(Packet.WRITE, [row, len(part), *part.ravel()], space))
        return packets

    def answers(self, words: list[int]) -> list[list[int | None]]:
        """The replies to a packet that ends behind these words; None is any word."""
        length, space, opcode = words[0] & 0xFFFF, words[0] >> 16 & 255, words[0] >> 24
        payload = words[1:]
        refusal = self._refusal(opcode, space, length, payload)
        if refusal is not None:
            return [[*error(refusal, words)]]
        match Packet(opcode):
            case Packet.ID:
                return [[*IDENTITY]]
            case Packet.COUNTERS:
                return [[*packet(Reply.COUNTERS, range(8))[:1], *[None] * 8]]
            case Packet.RESET:
                self.running = False
                return [[*packet(Reply.RESET)]]
            case Packet.READ:
                return [self._read(Space(space), *payload)]
            case Packet.WRITE:
                row, count, *rows = payload
                there = np.array(rows, np.uint32).reshape(count, WIDTH[Space(space)])
                mask = 0xFFFF if space == Space.WEIGHTS.value else 0xFFFFFFFF
                self.memory[Space(space)][row : row + count] = there & mask
            case Packet.RUN:
                self.running, self.input_left = True, payload[4]
                self.input_row = payload[1] // 4
            case Packet.INPUT:
                self.input_left -= length
                rows = slice(self.input_row, self.input_row + length)
                self.memory[Space.SCRATCHPAD][rows, 0] = payload
                self.input_row += length
        return []

    def _read(self, space: Space, row: int, count: int) -> list[int | None]:
        if space is Space.TRACE:
            return [*packet(Reply.DATA, range(8 * count))[:1], *[None] * (8 * count)]
        return [*packet(Reply.DATA, self.memory[space][row : row + count].ravel())]

    def _refusal(self, opcode: int, space: int, length: int, payload: list[int]) -> Cause | None:
        if length > LONGEST and payload:
            return Cause.OVERSIZE
        if len(payload) != length:
            return Cause.TRUNCATED if len(payload) < length else Cause.EXCESS
        if opcode not in {p.value for p in Packet}:
            return Cause.OPCODE
        kind = Packet(opcode)
        if kind in (Packet.ID, Packet.COUNTERS, Packet.RESET):
            return Cause.LENGTH if length else None
        if kind is Packet.INPUT:
            wanted = self.running and length <= self.input_left
            return None if wanted else Cause.UNEXPECTED
        if kind is Packet.RUN:
            return self._run_refusal(payload)
        if length < 2 or (kind is Packet.READ and length != 2):
            return Cause.LENGTH
        if space > 4 or (kind is Packet.WRITE and space == Space.TRACE.value):
            return Cause.SPACE
        if self.running:
            return Cause.BUSY
        row, count = payload[:2]
        if row + count > DEPTH[Space(space)]:
            return Cause.RANGE
        size = count * WIDTH[Space(space)]
        if kind is Packet.READ:
            return Cause.RANGE if size > LONGEST else None
        return Cause.LENGTH if size != length - 2 else None

    def _run_refusal(self, payload: list[int]) -> Cause | None:
        if len(payload) != 5:
            return Cause.LENGTH
        if self.running:
            return Cause.BUSY
        batches, address, words, slots, _ = payload
        good = (
            batches > 0
            and address % 4 == 0
            and address < CFG.scratchpad_bytes
            and words > 0
            and 0 < slots < 256
            and address + 4 * words * slots <= CFG.scratchpad_bytes
        )
        return None if good else Cause.RANGE

    def reads(self) -> list[list[int]]:
        """Packets that read all memories but the trace."""
        packets = []
        for space in WRITABLE:
            count = LONGEST // WIDTH[space]
            for row in range(0, DEPTH[space], count):
                rows = min(count, DEPTH[space] - row)
                packets.append(packet(Packet.READ, [row, rows], space))
        return packets

    def check(self, device: Device, packets: Sequence[list[int]]) -> None:
        """Sends packets and compares every reply."""
        wanted = [(p, answer) for p in packets for answer in self.answers(p)]
        check_replies(device, packets, wanted)


def run(batches: int, address: int, words: int, slots: int, total: int) -> list[int]:
    return packet(Packet.RUN, [batches, address, words, slots, total])


GOOD_RUN = run(1, 0, 100, 2, 20)


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


class Grammar:
    """Good packets, and good ones that something was done to."""

    def __init__(self, model: Model, seed: int) -> None:
        self.model, self.rng = model, np.random.default_rng(seed)

    def number(self, *likely: int) -> int:
        """One of these, one beside it, or anything."""
        kind = self.rng.random()
        if kind < 0.85:
            return likely[self.rng.integers(0, len(likely))]
        if kind < 0.95:
            return max(0, likely[self.rng.integers(0, len(likely))] + int(self.rng.integers(-2, 3)))
        return int(self.rng.integers(0, 1 << int(self.rng.integers(1, 33))))

    def upto(self, end: int) -> int:
        return int(self.rng.integers(0, max(1, end)))

    def good(self) -> list[int]:
        """Most of these are carried out."""
        kind = tuple(Packet)[self.rng.choice(7, p=[0.05, 0.3, 0.25, 0.05, 0.2, 0.05, 0.1])]
        match kind:
            case Packet.WRITE | Packet.READ:
                space = tuple(Space)[self.upto(5 if kind is Packet.READ else 4)]
                # What it runs must stay.
                first = len(self.model.program) if space is Space.PROGRAM else 0
                row = first + self.upto(DEPTH[space] - first)
                room = min(DEPTH[space] - row, (LONGEST - 2) // WIDTH[space])
                count = self.upto(min(room, 5 if self.rng.random() < 0.8 else 99) + 1)
                if kind is Packet.READ:
                    row = self.number(row, 0, DEPTH[space] - count)
                    return packet(kind, [row, self.number(count)], space)
                rows = self.rng.integers(0, 1 << 32, count * WIDTH[space])
                return packet(kind, [row, count, *rows], space)
            case Packet.RUN:
                # So large a slot that no run ever gets all of it.
                slots = self.number(1, 1, 2, 3)
                words = max(1, 256 // max(1, slots)) - self.upto(30)
                address = 4 * self.upto(max(1, 257 - words * slots))
                batches = self.number(1, 2, 3)
                return run(batches, self.number(address), words, slots, self.upto(max(1, words)))
            case Packet.INPUT:
                left = self.model.input_left if self.model.running else 3
                return packet(
                    kind, self.rng.integers(0, 1 << 32, self.number(self.upto(9), left) % 70)
                )
        return packet(kind)

    def next(self) -> list[int]:
        words = self.good()
        damage = self.rng.random()
        if damage < 0.6:
            return words
        if damage < 0.68:  # cut off
            return words[: 1 + self.upto(len(words))]
        if damage < 0.76:  # too long
            return words + self.rng.integers(0, 1 << 32, 1 + self.upto(5)).tolist()
        if damage < 0.79 and words[0] >> 24 in (Packet.READ.value, Packet.WRITE.value):
            return [words[0] & 0xFF00FFFF | (5 + self.upto(250)) << 16, *words[1:]]
        if damage < 0.84:  # another number of words, and a header that says so
            payload = [*words[1:], *self.rng.integers(0, 300, 4).tolist()]
            payload = payload[: max(0, len(words) - 1 + int(self.rng.integers(-3, 5)))][:LONGEST]
            return [words[0] & 0xFFFF0000 | len(payload), *payload]
        if damage < 0.92:  # a field of the header is another; what it runs stays
            byte = self.upto(4)
            header = words[0] ^ int(self.rng.integers(1, 256)) << 8 * byte
            if header >> 24 == Packet.WRITE.value and header >> 16 & 255 == Space.PROGRAM.value:
                return words
            return [header, *words[1:]]
        # Nothing that anyone would send, but for its length.
        words = self.rng.integers(0, 1 << 32, 1 + self.upto(12)).tolist()
        if self.rng.random() < 0.5:
            words[0] = words[0] & ~0xFFFF | len(words) - 1
        return [words[0] & 0xF8FFFFFF | 8 << 24, *words[1:]]


@stalls
def test_20000_packets_of_a_fuzzer_are_answered_as_a_model_says(library, stalls):
    model = Model(seed=2)
    seed = sorted(STALLS).index(stalls)
    grammar = Grammar(model, seed)
    answered: dict[str, int] = {}
    with Device(library, stalls=STALLS[stalls]) as device:
        model.check(device, model.fill())
        for _ in range(5):
            # The grammar looks at the model, so packets and answers are made together.
            packets, wanted = [], []
            for _ in range(4_000):
                words = grammar.next()
                packets.append(words)
                wanted += [(words, a) for a in model.answers(words)]
            for reply in check_replies(device, packets, wanted):
                name = Reply(reply[0] >> 24).name
                name = Cause(reply[1]).name if name == "ERROR" else name
                answered[name] = answered.get(name, 0) + 1
            model.check(device, [packet(Packet.RESET), *model.reads()])
    wanted_names = {c.name for c in Cause} | {"ID", "DATA", "COUNTERS", "RESET"}
    assert set(answered) == wanted_names
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
    start = run(count, 0, program.slot_bytes // 4, program.slots, words.size)
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
