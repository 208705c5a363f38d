"""Programs that no compiler writes, with a meaning, and what they send.

A layer's fields are set one by one, so that they reach values that no small network has.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path

import numpy as np

from hw import isa
from hw.isa import Packet, Reply, Space
from sim.device import Device
from tests.e2e import test_packets as packets
from tests.e2e.packet_model import WIDTH, Model, exchange, packet, run

CFG = packets.CFG

LIMIT = 20_000
"""Cycles in which nothing moves."""

ANY_TIME = isa.allow_limit(CFG) - 1
"""`allow` of a layer that reads no earlier result."""


TILES = ("tile", "slice", "kernel_y")
"""Loops of which each turn has its own tile of weights."""


def layer(**fields: int) -> list[int]:
    """Words of a layer whose other fields are 0: one vector, that waits for nothing."""
    values = {f.name: 0 for f in isa.LAYER if f.name != "op"} | {"allow": ANY_TIME} | fields
    values["block_tiles"] = prod(values[f"{n}_last"] + 1 for n in TILES) - 1
    return isa.encode(isa.Op.LAYER, **values)


def write(space: Space, rows: np.ndarray, first: int = 0) -> list[list[int]]:
    """Packets that write rows."""
    rows = np.asarray(rows).reshape(len(rows), -1)
    count = (packets.LONGEST - 2) // rows.shape[1]
    parts = [(first + i, rows[i : i + count]) for i in range(0, len(rows), count)]
    return [packet(Packet.WRITE, [at, len(part), *part.ravel()], space) for at, part in parts]


def program(*layers: Sequence[int]) -> list[list[int]]:
    words = [word for one in layers for word in one] + isa.encode(isa.Op.END)
    return write(Space.PROGRAM, np.array(words, np.uint32))


def weight_rows(tiles: np.ndarray) -> np.ndarray:
    """int8 (tiles, rows, cols) as rows of the memory: the last row of a tile comes first."""
    flat = tiles[:, ::-1].reshape(-1, CFG.cols).astype(np.int64) & 0xFF
    return (flat[:, 0] | flat[:, 1] << 8).astype(np.uint32)


@dataclass(frozen=True)
class Entry:
    """A row of the requantization table."""

    bias: int = 0
    multiplier: int = 1 << 15
    shift: int = 15
    zero_point: int = 0
    lo: int = -128
    hi: int = 127
    write: int = 1

    def words(self) -> list[int]:
        second = self.multiplier | self.shift << 24
        third = self.zero_point & 0xFF | (self.lo & 0xFF) << 8 | (self.hi & 0xFF) << 16
        return [self.bias & 0xFFFFFFFF, second, third | self.write << 24]

    def __call__(self, acc: int) -> int:
        """docs/numerics.md."""
        product, half = (acc + self.bias) * self.multiplier, (1 << self.shift) >> 1
        whole, rest = product >> self.shift, product & ((1 << self.shift) - 1)
        if half and (rest > half or (rest == half and whole & 1)):
            whole += 1
        return max(self.lo, min(self.hi, self.zero_point + whole))


SAME = Entry()
"""What changes nothing but to clamp."""


def as_words(values: np.ndarray) -> list[int]:
    return np.ascontiguousarray(values.astype(np.int8)).view("<u4").tolist()


RINGS = (
    (0, 1, isa.SLOTS), (0, 1, 5), (4, 3, 13), (0, 30, 7), (512, 63, 2), (0, 16, 14), (100, 5, 11),
    (0, 200, 1), (0, 201, 1), (16, 12, isa.SLOTS), (8, 100, 2), (0, 7, 9), (0, 254, 1), (0, 130, 1),
)  # fmt: skip


def check_rings(library: Path) -> None:
    """Slots of many sizes and numbers: each batch sends the first or the last word of its slot."""
    rng = np.random.default_rng(1)
    corner = np.zeros((1, CFG.rows, CFG.cols), np.int8)
    corner[0, range(CFG.cols), range(CFG.cols)] = 1
    target = CFG.scratchpad_bytes - 4
    with Device(library, idle_limit=LIMIT) as device:
        tables = write(Space.TABLE, np.array([SAME.words()] * 2))
        exchange(device, [*write(Space.WEIGHTS, weight_rows(corner)), *tables], 0)
        for number, (address, words, slots) in enumerate(RINGS):
            which = number % 2 * (words - 1)
            one = layer(
                src_input=1, wait_input=1, release_input=1, source=4 * which, x_last=1,
                step_x=2, move_x=2, beats_last=1, tail_beats_last=1, target=target,
                emit_source=target, emit_words=1,
            )  # fmt: skip
            batches = 2 * slots + 3
            images = rng.integers(0, 1 << 32, (batches, words), np.uint32)
            flat = images.ravel().tolist()
            parts = [flat[i : i + packets.LONGEST] for i in range(0, len(flat), packets.LONGEST)]
            sent = [run(batches, address, words, slots, len(flat))]
            sent += [packet(Packet.INPUT, part) for part in parts]
            *outputs, done = exchange(device, [*program(one), *sent], batches + 1)
            assert done == packet(Reply.DONE)
            assert [o[1] for o in outputs] == images[:, which].tolist(), (address, words, slots)


def check_input_totals(library: Path) -> None:
    """A run takes as many words as it has asked for, and not one more."""
    one = layer(wait_input=1, release_input=1)
    with Device(library, idle_limit=LIMIT) as device:
        exchange(device, program(one), 0)
        for total in (1, 255, 4096, 8192 + 64, 12_345):
            parts = [packets.LONGEST] * (total // packets.LONGEST) + [total % packets.LONGEST]
            more = packet(Packet.INPUT, [1])
            inputs = [packet(Packet.INPUT, range(n)) for n in parts if n]
            # One slot more than there are words for, so that the run does not end.
            start = run(total // 32 + 1, 0, 32, 8, total)
            replies = exchange(device, [start, *inputs, more, packet(Packet.RESET)], 2)
            assert replies == [packets.error(packets.Cause.UNEXPECTED, more), packet(Reply.RESET)]


@cache
def table_cases() -> list[tuple[list[list[int]], list[int]]]:
    """Packets that load and run a layer with an odd table, and the words it sends."""
    rng = np.random.default_rng(2)
    found = []
    for number in range(60):
        small = number % 3 == 0
        slices, window, pool_sum = 1 + number % 4 // 2, 1 + number % 2, number // 2 % 2
        tiles, columns = 4, (8 if window > 1 else 16)
        high = 3 if small else 128
        memory = rng.integers(-high, high, 256).astype(np.int8)
        weights = rng.integers(-2 if small else -128, 2 if small else 128, (slices, tiles, 3, 2))
        # Levels from inside: window_x, x, tile, slice.
        hop, stride, slice_hop = 5, 6, 3
        at = hop * np.arange(window) + (stride * np.arange(columns))[:, None]
        vectors = memory.astype(np.int64)[
            (at[..., None, None] + slice_hop * np.arange(slices)[:, None]) + np.arange(3)
        ]  # (columns, window, slices, rows)
        sums = np.einsum("xwsr,strc->txwc", vectors, weights)
        pooled = sums.sum(2) if pool_sum else sums.max(2)
        entries = [entry(rng, int(pooled[i // 2, 0, i % 2]), small) for i in range(2 * tiles)]
        first = 512 // 4
        result = memory_bytes = rng.integers(-128, 128, tiles * columns * 2)
        before = as_words(memory_bytes)
        result = result.reshape(tiles, columns, 2).copy()
        for (t, x, c), acc in np.ndenumerate(pooled):
            one = entries[2 * t + c]
            if one.write:
                result[t, x, c] = one(int(acc))
        back_x = stride - hop * (window - 1)
        back = -hop * (window - 1) - stride * (columns - 1)
        table = int(rng.integers(0, CFG.table_depth - 2 * tiles + 1))
        place = 3 * int(rng.integers(0, 50))
        fields = {
            "window_x_last": window - 1, "x_last": columns - 1, "tile_last": tiles - 1,
            "slice_last": slices - 1, "step_window_x": hop, "step_x": back_x, "step_tile": back,
            "step_slice": back + slice_hop, "pool_sum": pool_sum, "beats_last": 1,
            "tail_beats_last": 1, "table": table, "weights": place,
            "target": 512, "move_x": 2, "move_tile": 2,
            "emit_source": 512, "emit_words": tiles * columns // 2, "pass_min": 3,
        }  # fmt: skip
        sent = [
            *program(layer(**fields)),
            *write(Space.WEIGHTS, weight_rows(weights.reshape(-1, 3, 2)), place),
            *write(Space.TABLE, np.array([e.words() for e in entries]), table),
            *write(Space.SCRATCHPAD, np.array(as_words(memory))),
            *write(Space.SCRATCHPAD, np.array(before), first),
            run(1, 0, 1, 1, 0),
        ]
        found.append((sent, as_words(result.reshape(-1))))
    return found


def entry(rng: np.random.Generator, near: int, small: bool) -> Entry:
    """One that brings values like `near` into the range of a byte, mostly."""
    if small:
        shift = int(rng.integers(0, 4))
        zero, write = int(rng.integers(-128, 128)), int(rng.random() < 0.9)
        return Entry(int(rng.integers(-3, 4)), 1, shift, zero // 4, write=write)
    bias = int(rng.integers(0, 1 << int(rng.integers(1, 32)))) * int(rng.choice([-1, 1]))
    bias = max(-(2**31) + 200_000, min(2**31 - 200_000, bias))
    if rng.random() < 0.3:
        bias = int(rng.integers(-20, 20)) - near
    multiplier = int(rng.choice([0xFFFF, 1, 0x8000, *rng.integers(0, 1 << 16, 5)]))
    size = (abs(near + bias) * multiplier).bit_length()
    shift = max(0, min(63, size - int(rng.integers(4, 10))))
    lo, hi = sorted(rng.integers(-128, 128, 2).tolist()) if rng.random() < 0.3 else (-128, 127)
    zero = int(rng.integers(-128, 128))
    return Entry(bias, multiplier, shift, zero, lo, hi, int(rng.random() < 0.9))


def check_tables(library: Path) -> None:
    """Sums, pools and requantization with every kind of table entry."""
    with Device(library, idle_limit=LIMIT) as device:
        for number, (sent, words) in enumerate(table_cases()):
            output, done = exchange(device, sent, 2)
            assert output[1:-1] == words, number
            assert done == packet(Reply.DONE)


def check_every_bit(library: Path) -> None:
    """Packets with one more bit set in their payload, or in their header."""
    good = [
        packets.GOOD_RUN, run(1, 0, 1, 1, 0), run(3, 512, 60, 2, 9), packet(Packet.INPUT, range(3)),
        *(packet(Packet.READ, rows, s) for s in Space for rows in ((0, 1), (2, 0))),
        *(packet(Packet.WRITE, [13 if s is Space.TABLE else 100, 1, *range(WIDTH[s])], s)
          for s in packets.WRITABLE),
        *(packet(kind) for kind in (Packet.ID, Packet.COUNTERS, Packet.RESET)),
    ]  # fmt: skip
    model = Model(seed=3)
    with Device(library, idle_limit=LIMIT) as device:
        model.check(device, model.fill())
        for words in good:
            sent = []
            for place in range(min(len(words), 1 + len(isa.RUN_WORDS))):
                for bit in range(32):
                    if place > 2 and words[0] >> 24 == Packet.WRITE.value:
                        continue
                    changed = list(words)
                    changed[place] ^= 1 << bit
                    sent += [changed, packet(Packet.RESET)]
            model.check(device, sent)
        for total in (63, 64, *(1 << bit for bit in range(7, 32))):
            start = run(1, 0, 100, 2, total)
            model.check(device, [start, packet(Packet.INPUT, range(64)), packet(Packet.RESET)])
        for words in (1 << bit for bit in range(1, 9)):
            most = CFG.scratchpad_bytes // 4 // words
            for address, slots in ((0, most), (4, most), (0, most + 1)):
                model.check(device, [run(1, address, words, slots, 1), packet(Packet.RESET)])
        for value in (0, 0xFFFFFFFF):
            for space in packets.WRITABLE:
                model.memory[space][:] = value & (0xFFFF if space is Space.WEIGHTS else value)
            model.check(device, [*model.fill(), *model.reads()])
