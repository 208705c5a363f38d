"""Registers of a mutated core that a test changes in mid-run, to get where no simulation lasts.

A counter of 32 bits that starts at 0 shows nothing of its upper bits within a few million cycles.
"""

import ctypes
import re
from collections.abc import Iterator
from dataclasses import dataclass

from hw import isa
from sim.device import Device

REGISTERS = {
    "counters": (r"\\counters\$\d+\.values(?:\[(\d+)\])?", 32 * len(isa.COUNTERS)),
    "batches": (r"\\runner\.sequencer\.batches_left()", 32),
    "input": (r"\\decoder\.input_left()", 32),
}
"""What tests call them; their names in the flat netlist, with the number of the one of several of
32 bits; and how many bits they have."""


@dataclass(frozen=True)
class Piece:
    """Bits of a register which are a flip-flop cell of the netlist, by the name of its output."""

    name: str
    first: int
    width: int


PIECES: dict[str, list[Piece]] = {name: [] for name in REGISTERS}
"""Those of the core that is being tested."""


def flip_flops(text: str) -> dict[str, tuple[str, int, int]]:
    """Of RTLIL without mutants: cells that hold bits of `REGISTERS`, and which."""
    found = {}
    for cell, signal in _outputs(text):
        taken = re.fullmatch(r"(\S+)(?: \[(\d+)(?::(\d+))?\])?", signal)
        if taken is None:
            continue
        for name, (pattern, _) in REGISTERS.items():
            if number := re.fullmatch(pattern, taken[1]):
                last = int(taken[2]) if taken[2] else _width(text, taken[1]) - 1
                first = int(taken[3] or last) if taken[2] else 0
                found[cell] = (name, first + 32 * int(number[1] or 0), last - first + 1)
    for name, (_, width) in REGISTERS.items():
        bits = [b for of, at, wide in found.values() if of == name for b in range(at, at + wide)]
        assert sorted(bits) == list(range(width)), f"flip-flops of {name} hold the bits {bits}"
    return found


def _outputs(text: str) -> Iterator[tuple[str, str]]:
    """Cells with an output Q, and what it drives."""
    cell = ""
    for line in text.splitlines():
        if line.startswith("  cell "):
            cell = line.split()[2]
        elif line.startswith("    connect \\Q "):
            yield cell, line.removeprefix("    connect \\Q ")


def _width(text: str, wire: str) -> int:
    declared = re.search(rf"^  wire (?:.*)?\bwidth (\d+) (?:.* )?{re.escape(wire)}$", text, re.M)
    return int(declared[1]) if declared else 1


def named(text: str, cells: dict[str, tuple[str, int, int]]) -> str:
    """RTLIL in which these cells drive wires of their own, whatever a mutant does behind them."""
    pieces: dict[str, list[Piece]] = {name: [] for name in REGISTERS}
    wires, joins, lines, cell = [], [], [], ""
    for line in text.splitlines():
        if line.startswith("  cell "):
            cell = line.split()[2]
        elif line.startswith("    connect \\Q ") and cell in cells:
            register, first, width = cells[cell]
            name = f"poke_{register}_{first}"
            pieces[register].append(Piece(name, first, width))
            wires += [f"  attribute \\init {width}'{'0' * width}", f"  wire width {width} \\{name}"]
            joined = line.removeprefix("    connect \\Q ")
            joins.append(f"  connect {joined} \\{name}")
            line = f"    connect \\Q \\{name}"
        lines.append(line)
    begin = next(i for i, line in enumerate(lines) if line.startswith("module "))
    end = max(i for i, line in enumerate(lines) if line == "end")
    PIECES.update(pieces)
    return "\n".join([*lines[: begin + 1], *wires, *lines[begin + 1 : end], *joins, *lines[end:]])


def public(verilog: str) -> str:
    """Verilog whose registers `named` named can be changed from outside."""
    return re.sub(
        r"^(\s*reg (?:\[\d+:0\] )?poke_\w+)", r"\1 /*verilator public_flat_rw*/", verilog,
        flags=re.M,
    )  # fmt: skip


WORD = (1 << 32) - 1


def holds(device: Device, register: str, number: int = 0) -> int:
    """What a register, or one of several of 32 bits, holds."""
    return _whole(device, register) >> 32 * number & WORD


def add(device: Device, register: str, value: int, number: int = 0) -> None:
    """Adds to it, modulo 2**32, between two cycles."""
    whole = _whole(device, register)
    before = whole >> 32 * number & WORD
    whole ^= (before ^ (before + value) & WORD) << 32 * number
    for piece in PIECES[register]:
        _write(device, piece, whole >> piece.first & ((1 << piece.width) - 1))


def _whole(device: Device, register: str) -> int:
    return sum(_read(device, piece) << piece.first for piece in PIECES[register])


def _place(device: Device, piece: Piece) -> tuple[int, int]:
    """Where a register is, and its bytes: Verilator takes the smallest type that it fits."""
    look = device._library.lepton_signal
    look.restype, look.argtypes = ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_char_p)
    address = look(device._handle, piece.name.encode())
    assert address, f"the simulator does not show {piece.name}"
    size = next((n for n in (1, 2, 4, 8) if piece.width <= 8 * n), 4 * -(-piece.width // 32))
    return address, size


def _read(device: Device, piece: Piece) -> int:
    address, size = _place(device, piece)
    return int.from_bytes(ctypes.string_at(address, size), "little")


def _write(device: Device, piece: Piece, value: int) -> None:
    address, size = _place(device, piece)
    ctypes.memmove(address, value.to_bytes(size, "little"), size)
