"""Loop nests whose steps and moves are any numbers: what is read and written where."""

from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from hw import isa
from hw.isa import Packet, Reply, Space
from sim.device import Device
from tests.campaigns.hand_programs import (
    CFG,
    LIMIT,
    Entry,
    as_words,
    layer,
    program,
    weight_rows,
    write,
)  # fmt: skip
from tests.e2e.packet_model import exchange, packet, run

BYTES = CFG.scratchpad_bytes

OUTWARDS = isa.LEVELS
"""Loops from the innermost outwards."""


def nest(turns: dict[str, int]) -> list[dict[str, int]]:
    """The turns of all loops, vector by vector."""
    sizes = [turns[n] for n in reversed(OUTWARDS)]
    return [dict(zip(reversed(OUTWARDS), at, strict=True)) for at in np.ndindex(*sizes)]


def moved(before: dict[str, int], after: dict[str, int], levels: tuple[str, ...]) -> str:
    """The outermost of the loops that advance from one to the next."""
    return next(n for n in reversed(levels) if before[n] != after[n])


def walk(
    start: int, steps: dict[str, int], turns: list[dict[str, int]], levels: tuple[str, ...]
) -> list[int]:
    """An address for each turn."""
    found = [start]
    for before, after in pairwise(turns):
        found.append((found[-1] + steps[moved(before, after, levels)]) % BYTES)
    return found


def case(rng: np.random.Generator, number: int) -> tuple[list[list[int]], np.ndarray]:
    """Packets that load and run a layer, and the scratchpad behind it."""
    while True:
        turns = dict.fromkeys(map(str, OUTWARDS), 1)
        chosen = rng.choice(len(OUTWARDS), 4, replace=False)
        for level in chosen:
            turns[OUTWARDS[level]] = 2 + int(rng.random() < 0.2)
        vectors = nest(turns)
        steps = {n: int(rng.integers(-BYTES, BYTES)) for n in OUTWARDS}
        moves = {n: int(rng.integers(-BYTES, BYTES)) for n in isa.RESULT_LEVELS}
        source, target = (int(rng.integers(0, BYTES)) for _ in range(2))
        reads = walk(source, steps, vectors, OUTWARDS)
        results = [
            v for v in vectors
            if all(v[n] == turns[n] - 1 for n in ("slice", "kernel_y", "window_x", "window_y"))
        ]  # fmt: skip
        writes = walk(target, moves, results, isa.RESULT_LEVELS)
        read = {(at + i) % BYTES for at in reads for i in range(CFG.rows)}
        written = {(at + i) % BYTES for at in writes for i in range(CFG.cols)}
        # Nothing waits for a result here, so none may be read.
        if not read & written:
            break
    memory = rng.integers(-128, 128, BYTES).astype(np.int8)
    tiles = [turns[n] for n in ("kernel_y", "slice", "tile")]
    weights = rng.integers(-128, 128, (*tiles, CFG.rows, CFG.cols))
    pool_sum = number % 2
    sums: dict[tuple[int, ...], np.ndarray] = {}
    for vector, at in zip(vectors, reads, strict=True):
        values = memory[(at + np.arange(CFG.rows)) % BYTES].astype(np.int64)
        place = tuple(vector[n] for n in ("block", "tile", "y", "x", "window_y", "window_x"))
        product = values @ weights[vector["kernel_y"], vector["slice"], vector["tile"]]
        sums[place] = sums.get(place, 0) + product
    after = memory.copy()
    entry = Entry(multiplier=1 + number % 3, shift=7 + number % 4, zero_point=number % 7)
    for result, at in zip(results, writes, strict=True):
        place = tuple(result[n] for n in ("block", "tile", "y", "x"))
        window = np.array([value for where, value in sums.items() if where[:4] == place])
        pooled = window.sum(0) if pool_sum else window.max(0)
        for i, acc in enumerate(pooled):
            after[(at + i) % BYTES] = entry(int(acc))
    row = int(rng.integers(0, CFG.weight_depth - weights.size // CFG.cols + 1))
    table = int(rng.integers(0, CFG.table_depth - 2 * turns["tile"] + 1))
    fields = {f"{n}_last": count - 1 for n, count in turns.items()}
    fields |= {f"step_{n}": step for n, step in steps.items()}
    fields |= {f"move_{n}": move for n, move in moves.items()}
    one = layer(
        **fields, source=source, target=target, weights=row, table=table, pool_sum=pool_sum,
        pass_min=3, beats_last=1, tail_beats_last=1,
    )  # fmt: skip
    flat = weights.reshape(-1, CFG.rows, CFG.cols)
    sent = [
        *program(one), *write(Space.WEIGHTS, weight_rows(flat), row),
        *write(Space.TABLE, np.array([entry.words()] * 2 * turns["tile"]), table),
        *write(Space.SCRATCHPAD, np.array(as_words(memory))), run(1, 0, 1, 1, 0),
    ]  # fmt: skip
    return sent, np.array(as_words(after), np.int64)


@cache
def cases() -> list[tuple[list[list[int]], np.ndarray]]:
    rng = np.random.default_rng(8)
    return [case(rng, number) for number in range(150)]


def check_addresses(library: Path) -> None:
    """All bytes of the scratchpad are what a loop nest in Python makes of them."""
    rows = BYTES // 4
    reads = [packet(Packet.READ, [row, 64], Space.SCRATCHPAD) for row in range(0, rows, 64)]
    with Device(library, idle_limit=LIMIT) as device:
        for number, (sent, wanted) in enumerate(cases()):
            assert exchange(device, sent, 1) == [packet(Reply.DONE)]
            found = np.concatenate([words[1:] for words in exchange(device, reads, len(reads))])
            assert (found == wanted).all(), number
