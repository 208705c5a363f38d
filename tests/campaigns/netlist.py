"""Faults of a netlist that change nothing, as the cell that they sit in shows by itself."""

import re
import shlex
from dataclasses import dataclass, field
from itertools import pairwise

Bit = str
"""A constant, ``0``, ``1`` or ``x``, or a wire and the number of its bit."""


OUTPUTS = ("Y", "Q", "RD_DATA")
"""Ports of cells that drive something."""


DECIDING = {"$reduce_or": "1", "$reduce_bool": "1", "$logic_not": "1", "$reduce_and": "0"}
"""The value of a bit that decides the result alone."""


@dataclass
class Cell:
    """One of the netlist: what its ports are connected to."""

    kind: str
    signed: bool = False
    ports: dict[str, list[Bit]] = field(default_factory=dict)


class Netlist:
    """Cells of a flat module, from Yosys' RTLIL."""

    def __init__(self, text: str) -> None:
        self.cells: dict[str, Cell] = {}
        self._widths = {
            found[2]: int(found[1] or 1)
            for found in re.finditer(r"^  wire (?:width (\d+) )?(?:.* )?(\S+)$", text, re.MULTILINE)
        }
        cell = Cell("")
        for line in text.splitlines():
            words = line.split(maxsplit=2)
            if line.startswith("  cell "):
                cell = self.cells.setdefault(words[2].removeprefix("\\"), Cell(words[1]))
            elif re.match(r"    parameter \\[AB]_SIGNED 1$", line):
                cell.signed = True
            elif line.startswith("    connect "):
                cell.ports[words[1].removeprefix("\\")] = self.bits(words[2])
        self._read = {bit for cell in self.cells.values() for name, bits in cell.ports.items()
                      if name not in OUTPUTS for bit in bits}  # fmt: skip
        # Other names, and the ports of the module.
        for other in re.findall(r"^  connect .*$|^  wire .*put \d+ .*$", text, re.MULTILINE):
            for name in re.findall(r"[\\$]\S+", other):
                self._read.update(self.bits(name))

    def bits(self, signal: str) -> list[Bit]:
        """Lowest first."""
        found: list[Bit] = []
        for part in re.finditer(r"\d+'[01xz-]+|\S+(?: \[\d+(?::\d+)?\])?", signal.strip("{ }")):
            if re.fullmatch(r"-?\d+", part[0]):
                some = list(f"{int(part[0]) & 0xFFFFFFFF:032b}"[::-1])
            elif constant := re.fullmatch(r"\d+'([01xz-]+)", part[0]):
                some = list(constant[1][::-1])
            else:
                wire, _, index = part[0].partition(" ")
                high, _, low = index.strip("[]").partition(":")
                last = int(high) if high else self._widths.get(wire, 1) - 1
                first = int(low or high) if high else 0
                some = [f"{wire} {n}" for n in range(first, last + 1)]
            # What stands first in braces is highest.
            found = some + found
        return found

    def no_fault(self, options: str) -> str:
        """Why a mutant of Yosys' `mutate` computes the same; an empty text when it may not."""
        given = shlex.split(options.replace("\\", "\\\\"))
        named = {a: b for a, b in pairwise(given) if a.startswith("-")}
        cell = self.cells.get(named.get("-cell", "").removeprefix("\\"))
        port = named.get("-port", "").removeprefix("\\")
        if cell is None or port not in cell.ports:
            return ""
        bits, at, mode = cell.ports[port], int(named.get("-portbit", 0)), named["-mode"]
        if at < len(bits) and bits[at] == mode.removeprefix("const"):
            return f"The bit is {bits[at]} anyway."
        if port in OUTPUTS and at < len(bits) and bits[at] not in self._read:
            return "Nobody reads the bit."
        if port == "WR_DATA" and cell.ports["WR_EN"][at] == "0":
            return "The bit is never written: its write enable is 0."
        if mode in ("const0", "const1") and bits.count(bits[at]) > 1:
            if DECIDING.get(cell.kind, mode[-1]) != mode[-1]:
                return "The bit also stands in another place of the port."
        if mode in ("cnot0", "cnot1") and port in ("A", "B"):
            return _decided(cell, port, int(named.get("-ctrlbit", 0)), mode[-1])
        return ""


def _decided(cell: Cell, port: str, control: int, value: str) -> str:
    """Why it does not matter that a bit is turned while bit `control` of its port has a value."""
    other = cell.ports.get("B" if port == "A" else "A", [])
    if DECIDING.get(cell.kind) == value:
        return "The bit is turned only where another bit decides the result."
    if cell.kind in ("$eq", "$ne") and not cell.signed:
        against = other[control] if control < len(other) else "0"
        if against in "01" and against != value:
            return "The bit is turned only where another bit already differs in the comparison."
    return ""
