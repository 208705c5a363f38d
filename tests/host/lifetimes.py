"""Walks a program and asks of every byte that the array reads whether it is still the one meant.

It knows nothing of the compiler's plan: addresses come from the instructions, as the hardware makes
them, and what is read and written from the weights and the table. The order is the worst that the
hardware may have: a block's results are there before its own first read, and the next image is in
its slot in the moment in which that is free.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np

from host.compiler import memory
from host.program import Program
from hw import isa

NOTHING, BORDER = -1, -2
MOST_STEPS = 64
"""What a byte is: how often its step had written, and its step, as one number."""


@contextmanager
def crowded() -> Iterator[None]:
    """No plan but those in which layers write over their input, whatever room there is; the one
    that needs the least."""
    in_place = memory._in_place

    def least(*arguments: Any) -> list[memory.Plan]:
        return sorted(in_place(*arguments), key=lambda where: where.used)

    with (
        mock.patch.object(memory, "_apart", return_value=()),
        mock.patch.object(memory, "_in_place", least),
    ):
        yield


def layers(program: Program) -> list[dict[str, int]]:
    """Fields of all layer instructions."""
    return [v for op, v in isa.decode(program.words.tolist()) if op is isa.Op.LAYER]


def released_behind(program: Program) -> int:
    """The step whose end frees the input slot."""
    pairs = zip(program.instruction_layers, layers(program), strict=True)
    return next(step for step, f in pairs if f["release_input"])


def overwritten(program: Program, batches: int = 2) -> str | None:
    """The first read that finds another byte than the one meant, in words; or None."""
    walk = _Walk(program, batches)
    for _ in range(batches):
        for fields, step in zip(layers(program), program.instruction_layers, strict=True):
            found = walk.instruction(fields, step)
            if found:
                return found
    return walk.sent()


class _Walk:
    def __init__(self, program: Program, batches: int) -> None:
        self.program = program
        self.memory = np.full(program.config.scratchpad_bytes, NOTHING)
        for address, words, _ in program.borders:
            self.memory[address : address + 4 * words] = BORDER
        count = len(program.layers) + 1
        self.turns, self.seen, self.since = [0] * count, [0] * count, [0] * count
        """Of each tensor: how often it was written; at its last reading, and the one before."""
        self.before = -1
        self.free, self.filled = program.slots, 0
        self.images = batches * program.slots_per_batch
        self.emitted: tuple[int, int, int] | None = None
        self.fill()

    def fill(self) -> None:
        """The next images into the slots that are free."""
        program = self.program
        while self.free and self.filled < self.images:
            at = program.slot_address + self.filled % program.slots * program.slot_bytes
            self.filled, self.free = self.filled + 1, self.free - 1
            self.memory[at : at + program.slot_bytes] = self.filled * MOST_STEPS

    def instruction(self, f: dict[str, int], step: int) -> str | None:
        program, base = self.program, 0
        if f["wait_emit"] or f["emit_words"]:
            found = self.sent()
            if found:
                return found
        if step != self.before or f["wait_input"]:
            self.turns[0] += f["wait_input"]
            self.turns[step + 1] += 1
            self.since[step], self.seen[step] = self.seen[step], self.turns[step]
        self.before = step
        if f["src_input"]:
            slot = (self.turns[0] - 1) % program.slots
            base = program.slot_address + slot * program.slot_bytes
        reads = _offsets(f, "step", isa.LEVELS) + f["source"] + base
        writes = _offsets(f, "move", isa.RESULT_LEVELS) + f["target"]
        columns = _columns(program, f)
        rows = _rows(program, f, columns)
        for block in range(f["block_last"] + 1):
            for tile, count in enumerate(columns):
                self.write(writes[block, tile].ravel()[:, None] + np.arange(count), step)
            # Passes of a block: kernel row, slice, tile; each byte once is enough.
            passes = reads[block].reshape(len(rows), -1)
            touched = [
                np.unique(vectors[:, None] + np.flatnonzero(mask))
                for vectors, mask in zip(passes, rows, strict=True)
            ]
            found = self.read(np.unique(np.concatenate(touched)), step, block)
            if found:
                return found
        if f["emit_words"]:
            self.emitted = f["emit_source"], 4 * f["emit_words"], step + 1
        if f["release_input"]:
            self.free += 1
            self.fill()
        return None

    def write(self, addresses: np.ndarray, step: int) -> None:
        self.memory[addresses % len(self.memory)] = self.turns[step + 1] * MOST_STEPS + step + 1

    def read(self, addresses: np.ndarray, step: int, block: int) -> str | None:
        tags = self.memory[addresses % len(self.memory)]
        turns, owners = np.divmod(tags, MOST_STEPS)
        good = (owners == step) & (turns > self.since[step]) & (turns <= self.seen[step])
        good |= (tags == BORDER) & (step > 0)
        if good.all():
            return None
        where = int(np.argmin(good))
        return (
            f"step {step}, block {block} reads byte {addresses[where]}, which holds "
            f"tensor {owners[where]}, turn {turns[where]} instead of {self.seen[step]}"
        )

    def sent(self) -> str | None:
        """The output that may still be on its way."""
        if self.emitted is None:
            return None
        source, size, tensor = self.emitted
        tags = self.memory[source : source + size]
        good = (tags % MOST_STEPS == tensor) | (tags == NOTHING) | (tags == BORDER)
        return None if good.all() else f"tensor {tensor} was overwritten before it was sent"


def _offsets(f: dict[str, int], kind: str, levels: tuple[str, ...]) -> np.ndarray:
    """What the loops add to the first address: an axis for each, the outermost first.

    A step is a loop's own move less what the loops inside it moved until their last turns.
    """
    inner, found = 0, np.zeros((), np.int64)
    for name in levels:
        turns = f[f"{name}_last"] + 1
        move = f[f"{kind}_{name}"] + inner
        inner += (turns - 1) * move
        found = np.add.outer(np.arange(turns) * move, found)
    return found


def _rows(program: Program, f: dict[str, int], columns: list[int]) -> np.ndarray:
    """bool (passes of a block, rows): the rows whose bytes meet a weight that is not zero, of a
    column that is written."""
    cfg, passes = program.config, f["block_tiles"] + 1
    words = program.weights[f["weights"] : f["weights"] + passes * cfg.load_cycles]
    loads = np.ascontiguousarray(words).view(np.int8)
    loads = loads.reshape(passes, cfg.load_cycles, cfg.weight_ports, -1)[:, ::-1]
    tiles = loads.swapaxes(1, 2).reshape(
        -1, len(columns), cfg.weight_ports * cfg.load_cycles, loads.shape[3]
    )
    written = np.arange(loads.shape[3]) < np.array(columns)[:, None]
    return (tiles * written[:, None]).any(axis=3).reshape(passes, -1)[:, : cfg.rows]


def _columns(program: Program, f: dict[str, int]) -> list[int]:
    """For each tile how many of its channels are written."""
    cfg = program.config
    word, offset, mask = isa.table_field(cfg, "write")
    entries = program.table.reshape(len(program.table), cfg.requantizers, isa.TABLE_WORDS)
    there = (entries[..., word] >> offset & mask).sum(axis=1)
    row, found = f["table"], []
    for tile in range(f["tile_last"] + 1):
        last = tile == f["tile_last"]
        beats = f["tail_beats_last" if last else "beats_last"] + 1
        found.append(int(there[row : row + beats].sum()))
        row += beats
    return found
