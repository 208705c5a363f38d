"""Functional coverage: what went over the links of simulated cores, counted in a few tables.

Nothing here is what a test means to do. Programs are decoded from the packets that wrote them, and
count once their run is done; errors are the replies that came.
"""

import json
import os
import weakref
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hw import isa
from hw.isa import Cause, Packet, Reply, Space
from sim import coverage
from sim.device import Device, Stall, Stalls

RESULTS = ("one result", "a row of results", "a map of results")
POOLING = ("no pooling", "largest", "sum")
KINDS = tuple(f"{results}, {pooling}" for results in RESULTS for pooling in POOLING)

SHAPES = (
    "several kernel rows", "several slices", "several tiles", "a last tile with fewer channels",
    "several blocks", "passes held apart", "reads the input", "sends its results",
    "waits for the sender",
)  # fmt: skip

STALLS = ("none", "in", "out", "both")

CAUSES = tuple(
    f"{cause.name}, {when}" for cause in Cause for when in ("no run going on", "during a run")
)

PACKETS = tuple(kind.name for kind in Packet)

TABLES = {
    "kinds and shapes": (KINDS, SHAPES),
    "kinds and stalls": (KINDS, STALLS),
    "shapes and stalls": (SHAPES, STALLS),
    "errors and stalls": (CAUSES, STALLS),
    "packets and stalls": (PACKETS, STALLS),
}
"""Rows and columns of each table."""

FAR_APART = (
    "two results of two vectors each are as many as must lie between two for one accumulator"
)

IMPOSSIBLE = {
    ("kinds and shapes", "one result, *", "several blocks"): "a block has one result at least",
    ("kinds and shapes", "a row of results, largest", "passes held apart"): FAR_APART,
    ("kinds and shapes", "a row of results, sum", "passes held apart"): FAR_APART,
    ("kinds and shapes", "a map of results, largest", "passes held apart"): FAR_APART,
    ("kinds and shapes", "a map of results, sum", "passes held apart"): FAR_APART,
    ("errors and stalls", "BUSY, no run going on", "*"): "BUSY says that a run goes on",
    ("errors and stalls", "RANGE, during a run", "*"): "during a run it is BUSY before",
}
"""Cells that no legal use reaches, and why."""


def impossible(table: str, row: str, column: str) -> str:
    """Why a cell cannot be reached; an empty text when it can."""
    for (where, rows, columns), reason in IMPOSSIBLE.items():
        if where == table and _matches(row, rows) and _matches(column, columns):
            return reason
    return ""


def _matches(name: str, pattern: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def shapes(layer: dict[str, int]) -> Iterator[str]:
    """What of `SHAPES` an instruction is."""
    vectors = 1
    for level in isa.LEVELS[:4]:
        vectors *= layer[f"{level}_last"] + 1
    holds = (
        layer["kernel_y_last"], layer["slice_last"], layer["tile_last"],
        layer["tail_beats_last"] != layer["beats_last"], layer["block_last"],
        layer["pass_min"] >= vectors, layer["src_input"], layer["emit_words"], layer["wait_emit"],
    )  # fmt: skip
    return (name for name, there in zip(SHAPES, holds, strict=True) if there)


def kind(layer: dict[str, int]) -> str:
    """Which of `KINDS` an instruction is."""
    results = RESULTS[2 if layer["y_last"] else 1 if layer["x_last"] else 0]
    window = layer["window_x_last"] or layer["window_y_last"]
    return f"{results}, {POOLING[0 if not window else 2 if layer['pool_sum'] else 1]}"


ANSWERS = {
    Reply.ID: Packet.ID, Reply.DATA: Packet.READ, Reply.COUNTERS: Packet.COUNTERS,
    Reply.RESET: Packet.RESET,
}  # fmt: skip
"""What each reply answers; packets that are carried out without one are in front of it."""


BAD_LENGTHS = (Cause.TRUNCATED, Cause.EXCESS, Cause.OVERSIZE)
"""Why packets are refused that are not as long as they say."""


class Watcher:
    """Listens to one device."""

    def __init__(self, stalls: Stalls | None) -> None:
        stalls = stalls or Stalls()
        pauses = (stalls.input != Stall()) + 2 * (stalls.output != Stall())
        self.stalls = STALLS[pauses]
        self.program: dict[int, int] = {}
        self.loaded: list[dict[str, int]] = []
        self.running = False
        # Packets whose fate is not known yet, whole only where their words matter; and whether
        # they are as long as they say.
        self._waiting: deque[tuple[list[int], bool]] = deque()

    def sent(self, words: np.ndarray, last: np.ndarray, counts: Counter) -> None:
        """Packets to the core."""
        ends = np.flatnonzero(last) + 1
        starts = np.concatenate(([0], ends))[: len(ends)]
        opcodes = words[starts] >> 24
        names = {kind.value: kind.name for kind in Packet}
        for opcode, number in zip(*np.unique(opcodes, return_counts=True), strict=True):
            if int(opcode) in names:
                counts["packets and stalls", names[int(opcode)], self.stalls] += int(number)
        matters = (opcodes == Packet.RUN.value) | (
            (opcodes == Packet.WRITE.value) & (words[starts] >> 16 & 255 == Space.PROGRAM.value)
        )
        for start, end, whole in zip(starts, ends, matters, strict=True):
            kept = words[start : end if whole else start + 1].tolist()
            self._waiting.append((kept, int(kept[0]) & 0xFFFF == end - start - 1))

    def came(self, replies: list[np.ndarray], counts: Counter) -> None:
        """Packets of the core."""
        for reply in replies:
            opcode = Reply(int(reply[0]) >> 24)
            if opcode is Reply.ERROR and len(reply) == 3:
                cause = Cause(int(reply[1]))
                self._refused(cause, int(reply[2]))
                when = "during a run" if self.running else "no run going on"
                counts["errors and stalls", f"{cause.name}, {when}", self.stalls] += 1
            elif opcode is Reply.DONE:
                while self._waiting and not self.running:
                    self._carried_out(*self._waiting.popleft())
                self.running = False
                for layer in self.loaded:
                    self._executed(layer, counts)
            elif opcode in ANSWERS:
                while self._waiting:
                    words, good = self._waiting.popleft()
                    if words[0] >> 24 == ANSWERS[opcode].value and good:
                        break
                    self._carried_out(words, good)
                self.running &= opcode is not Reply.RESET

    def _refused(self, cause: Cause, header: int) -> None:
        """Everything up to the packet of that header, which was refused."""
        while self._waiting:
            words, good = self._waiting.popleft()
            begins = words[0] >> 24 == Packet.RUN.value and not self.running
            possible = good != (cause in BAD_LENGTHS) and not (begins and cause is Cause.BUSY)
            if words[0] == header and possible:
                return
            self._carried_out(words, good)

    def _carried_out(self, words: list[int], good: bool) -> None:
        if len(words) == 1 or not good:
            return
        if words[0] >> 24 == Packet.RUN.value:
            self.loaded, self.running = self._layers(), True
        else:
            self.program.update(enumerate(words[3:], words[1]))

    def _layers(self) -> list[dict[str, int]]:
        words = [self.program.get(i, 0) for i in range(max(self.program, default=0) + 1)]
        found = []
        try:
            for op, values in isa.decode(words + [0] * isa.length(isa.Op.LAYER)):
                if op is not isa.Op.LAYER:
                    break
                found.append(values)
        except ValueError:  # no instruction: the core ends there, too
            pass
        return found

    def _executed(self, layer: dict[str, int], counts: Counter) -> None:
        row = kind(layer)
        counts["kinds and stalls", row, self.stalls] += 1
        for shape in shapes(layer):
            counts["kinds and shapes", row, shape] += 1
            counts["shapes and stalls", shape, self.stalls] += 1


def watch() -> None:
    """Listens to every device of this process from now on, if anybody wants coverage."""
    folder = coverage.folder()
    if folder is None or getattr(Device, "watched", False):
        return
    path = folder / f"functional-{os.getpid()}.json"
    counts: Counter = Counter()
    watchers: weakref.WeakKeyDictionary[Device, Watcher] = weakref.WeakKeyDictionary()
    begin, exchange, close = Device.__init__, Device.exchange, Device.close

    def watched_begin(self: Device, *arguments: Any, **options: Any) -> None:
        begin(self, *arguments, **options)
        watchers[self] = Watcher(options.get("stalls"))

    def watched_exchange(
        self: Device, words: np.ndarray, last: np.ndarray, packets: int, **options: Any
    ) -> list[np.ndarray]:
        watchers[self].sent(np.asarray(words, np.uint32), np.asarray(last, bool), counts)
        replies = exchange(self, words, last, packets, **options)
        watchers[self].came(replies, counts)
        return replies

    def watched_close(self: Device) -> None:
        if self in watchers:
            del watchers[self]
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps([[*key, number] for key, number in counts.items()]))
        close(self)

    # Every device of the process is watched, whoever opens it: methods are exchanged on purpose.
    Device.__init__ = watched_begin  # type: ignore[method-assign]
    Device.exchange = watched_exchange  # type: ignore[method-assign]
    Device.close = watched_close  # type: ignore[method-assign]
    Device.watched = True  # type: ignore[attr-defined]


def joined(folder: Path) -> dict[str, dict[str, dict[str, int]]]:
    """Tables of all processes: row, column, count."""
    counts: Counter = Counter()
    for path in folder.glob("functional-*.json"):
        for table, row, column, number in json.loads(path.read_text()):
            counts[table, row, column] += number
    return {
        table: {row: {column: counts[table, row, column] for column in columns} for row in rows}
        for table, (rows, columns) in TABLES.items()
    }
