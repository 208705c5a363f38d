"""Rounding where a single bit decides: halves, and halves with one more bit far below."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np

from hw.isa import Reply, Space
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

MOST = (1 << 31) - 1
"""Of a bias."""

FACTORS = np.arange(1, 1 << 16, 2, dtype=np.int64)
"""Odd multipliers."""


def factors(product: int) -> tuple[int, int] | None:
    """A bias and a multiplier of this product, if there are any."""
    for power in range(16):
        if product % (1 << power):
            break
        rest = product >> power
        good = FACTORS[: 1 << (15 - power)]
        good = good[(abs(rest) // good <= MOST) & (rest % good == 0)]
        if len(good):
            return rest // int(good[0]), int(good[0]) << power
    return None


@cache
def roundings() -> list[Entry]:
    """Entries that round a bias alone.

    Halves beside even and odd numbers, of both signs, for every shift; and for every bit below one
    just so much more, which only that bit tells from a half.
    """
    found = []
    for shift in range(1, 47):
        extras = [0, *(1 << bit for bit in range(shift - 1))]
        for number, extra in enumerate(extras):
            for floor in (-3, -2, -1, 0, 1, 2) if not extra else (0, -2, 2, 4):
                two = factors((floor << shift) + (1 << (shift - 1)) + extra)
                if two is not None:
                    found.append(Entry(two[0], two[1], shift, zero_point=number % 5))
                    if extra:
                        break
    return found


def groups() -> Iterator[list[Entry]]:
    """As many as the table holds, of whole tiles."""
    entries = roundings()
    many = CFG.table_depth // 4 * 4
    for first in range(0, len(entries), many):
        part = entries[first : first + many]
        yield part + [Entry()] * (-len(part) % 4)


def check_roundings(library: Path) -> None:
    with Device(library, idle_limit=LIMIT) as device:
        zeros = np.zeros((CFG.table_depth // CFG.cols, CFG.rows, CFG.cols), np.int8)
        exchange(device, write(Space.WEIGHTS, weight_rows(zeros)), 0)
        for part in groups():
            one = layer(
                tile_last=len(part) // CFG.cols - 1, beats_last=1, tail_beats_last=1, target=512,
                move_tile=CFG.cols, emit_source=512, emit_words=len(part) // 4, pass_min=20,
            )  # fmt: skip
            table = write(Space.TABLE, np.array([e.words() for e in part]))
            output, done = exchange(device, [*program(one), *table, run(1, 0, 1, 1, 0)], 2)
            assert done == packet(Reply.DONE)
            wanted = np.array([entry(0) for entry in part])
            assert output[1:-1] == as_words(wanted), part
