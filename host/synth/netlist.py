"""Reads what Yosys and nextpnr wrote: counts, costs of blocks, the critical path in our words."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

PARTS = (
    "array", "scratchpad", "accumulators", "results", "requant", "post", "table", "weights",
    "loader", "feeder", "sequencer", "inputs", "outputs", "counters", "decoder", "packets",
    "replies", "link_in", "link_out", "lanes", "runner", "link", "core",
)  # fmt: skip
"""Blocks of the core by the names of their submodules; of several in a path the first here is
meant."""

OUTSIDE = "pins"
"""The block of what is around the core."""

CELL = re.compile(
    r"_(SB_(?!MAC|SPRAM|RAM)\w+|TRELLIS_FF|TRELLIS_COMB|LUT4|PFUMX|L6MUX21|CCU2C|DP16KD|MULT18X18D|DFF\w*)"
    r"(_.*)?$"
)
"""What Yosys appends to a signal's name to name the cells around it."""

MEMORY = re.compile(r"\.\d+\.\d+(_(RAM|[RW](ADDR|DATA|CLKE|E))\w*)?$")
"""What Yosys and nextpnr append to a memory's name to name its blocks and the cells at their
ports."""


@dataclass(frozen=True)
class Usage:
    """Cells of a design, or of a block of it."""

    luts: int = 0
    """LUTs of four inputs, with those that the carry chains take; on iCE40 logic cells."""
    ffs: int = 0
    dsps: int = 0
    brams: int = 0
    sprams: int = 0
    carries: int = 0
    """Bits of carry chains."""

    def record(self) -> dict[str, int]:
        """As JSON has it."""
        return dict(vars(self))


KINDS = {
    "LUT4": ("luts", 1),
    "SB_LUT4": ("luts", 1),
    "CCU2C": ("carries", 2),
    "SB_CARRY": ("carries", 1),
    "TRELLIS_FF": ("ffs", 1),
    "MULT18X18D": ("dsps", 1),
    "SB_MAC16": ("dsps", 1),
    "DP16KD": ("brams", 1),
    "SB_RAM40_4K": ("brams", 1),
    "SB_SPRAM256KA": ("sprams", 1),
}
TRELLIS_CARRY_LUTS = 1
"""LUTs of one bit of an ECP5 carry chain; on iCE40 the LUT beside a carry is a cell of its own."""
TRELLIS_RAM_LUTS = 4
"""LUTs of a TRELLIS_DPR16X4, with its write decoder."""


def usage(cells: dict[str, dict]) -> Usage:
    """Counts the cells of a netlist."""
    counts: Counter[str] = Counter()
    for cell in cells.values():
        kind = cell["type"]
        if kind == "TRELLIS_DPR16X4":
            counts["luts"] += TRELLIS_RAM_LUTS
        elif kind.startswith("SB_DFF"):
            counts["ffs"] += 1
        elif kind in KINDS:
            name, number = KINDS[kind]
            counts[name] += number
            if kind == "CCU2C":
                counts["luts"] += 2 * TRELLIS_CARRY_LUTS
    return Usage(**counts)


def logic_cells(cells: dict[str, dict]) -> int:
    """iCE40 logic cells: a flip-flop shares one with the LUT that feeds it and nothing else."""
    readers: Counter[int] = Counter()
    made_by_lut = set()
    for cell in cells.values():
        for port, bits in cell["connections"].items():
            if cell["port_directions"][port] == "input":
                readers.update(bit for bit in bits if isinstance(bit, int))
            elif cell["type"] == "SB_LUT4":
                made_by_lut.update(bits)
    total = 0
    for cell in cells.values():
        if cell["type"] == "SB_LUT4":
            total += 1
        elif cell["type"].startswith("SB_DFF"):
            source = cell["connections"]["D"][0]
            total += not (source in made_by_lut and readers[source] == 1)
    return total


def block_of(name: str) -> str:
    """The block of the core that a cell or a net belongs to, by its name."""
    path = _path(name)
    return next((part for part in PARTS if part in path), OUTSIDE)


def _path(name: str) -> list[str]:
    """Names of the modules around a cell, from the outside in, without numbers."""
    return [re.sub(r"(\$\d+|_\d+)+$", "", step) for step in CELL.sub("", name).split(".")[:-1]]


def blocks(cells: dict[str, dict]) -> dict[str, Usage]:
    """Usage of each block, the largest first.

    Logic between two blocks counts for the one that has the signal after which Yosys named it.
    """
    groups: dict[str, dict[str, dict]] = {}
    for name, cell in cells.items():
        groups.setdefault(block_of(name), {})[name] = cell
    found = {block: usage(group) for block, group in groups.items()}
    return dict(sorted(found.items(), key=lambda item: (-item[1].luts, item[0])))


@dataclass(frozen=True)
class Block:
    """A block in the hierarchy."""

    name: str
    depth: int
    own: Usage
    """Of what is in none of its blocks."""
    whole: Usage
    """With all blocks within it."""


def hierarchy(cells: dict[str, dict]) -> list[Block]:
    """The blocks, each behind the one that it is in, and of those in one the largest first."""
    own = blocks(cells)
    parents: dict[str, str | None] = {}
    for name in cells:
        path = [step for step in dict.fromkeys(_path(name)) if step in PARTS]
        around = path[: path.index(block_of(name)) + 1] if path else [OUTSIDE]
        for parent, block in zip([None, *around], around, strict=False):
            parents.setdefault(block, parent)

    def whole(block: str) -> Usage:
        parts = [own.get(block, Usage()), *map(whole, _within(block, parents))]
        return Usage(**{kind: sum(getattr(p, kind) for p in parts) for kind in Usage().record()})

    def listed(block: str | None, depth: int) -> Iterator[Block]:
        found = [Block(b, depth, own.get(b, Usage()), whole(b)) for b in _within(block, parents)]
        for each in sorted(found, key=lambda b: (-b.whole.luts, b.name)):
            yield each
            yield from listed(each.name, depth + 1)

    return list(listed(None, 0))


def _within(block: str | None, parents: dict[str, str | None]) -> list[str]:
    return [name for name, parent in parents.items() if parent == block]


def signal(name: str) -> str:
    """A cell's name without what the tools appended: block and signal, or block and memory."""
    steps = [re.sub(r"\$\d+", "", step) for step in CELL.sub("", MEMORY.sub("", name)).split(".")]
    # A signal without a name has only that of its block.
    kept = [s for s in steps if s not in ("core", "runner", "lanes") and not s.startswith("$")]
    return ".".join(kept)


@dataclass(frozen=True)
class CriticalPath:
    """The slowest way from a flip-flop to a flip-flop."""

    source: str
    sink: str
    through: tuple[str, ...]
    """Signals of the design in between."""
    logic_ns: float
    routing_ns: float

    def sentence(self) -> str:
        """In one line."""
        way = f", through {', '.join(self.through)}" if self.through else ""
        return (
            f"from {self.source} to {self.sink}{way}: "
            f"{self.logic_ns:.1f} ns of logic and {self.routing_ns:.1f} ns of wires"
        )

    def record(self) -> dict:
        """As JSON has it."""
        return {**vars(self), "through": list(self.through)}


def critical_path(report: dict) -> CriticalPath:
    """Of the clock, out of nextpnr's report."""
    paths = [p for p in report["critical_paths"] if p["from"] == p["to"]]
    path = max(paths, key=lambda p: sum(step["delay"] for step in p["path"]))["path"]
    names = [signal(step["to"]["cell"]) for step in path]
    source, sink = signal(path[0]["from"]["cell"]), names[-1]
    # What nextpnr put in has no name.
    through = [name for name in dict.fromkeys(names) if name and name not in (source, sink)]
    logic = sum(step["delay"] for step in path if step["type"] != "routing")
    routing = sum(step["delay"] for step in path if step["type"] == "routing")
    return CriticalPath(source, sink, tuple(through), round(logic, 2), round(routing, 2))


def frequency(report: dict) -> float:
    """MHz of the slowest clock, out of nextpnr's report."""
    return min(clock["achieved"] for clock in report["fmax"].values())


def slack(report: dict) -> float:
    """Nanoseconds that the tightest clock has to spare against its constraint."""
    clocks = report["fmax"].values()
    return round(min(1e3 / c["constraint"] - 1e3 / c["achieved"] for c in clocks), 3)


def sites(cells: dict[str, dict]) -> dict[str, str]:
    """The site of each cell, out of the netlist that nextpnr wrote."""
    found = {name: cell.get("attributes", {}).get("NEXTPNR_BEL") for name, cell in cells.items()}
    return {name: str(site) for name, site in found.items() if site}
