"""Registers behind ECP5 block RAMs become the block RAMs' own, which Yosys does not do.

A DP16KD gives its data 5.8 ns behind the clock, and behind the clock of its output register as soon
as a flip-flop does: nothing else in the fabric is as slow as a block RAM without it.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

BLOCK, FLIP_FLOP = "DP16KD", "TRELLIS_FF"


def move_in(module: dict[str, Any]) -> int:
    """Changes a flat module as Yosys' ``write_json`` has it, and returns how many flip-flops have
    gone.

    Of a block RAM all outputs that anything reads must go into a flip-flop each, and nowhere else,
    that takes its data in every cycle of the same clock, is never set or reset, and begins with 0,
    as the output register does.
    """
    cells = module["cells"]
    readers: dict[int, list[str]] = defaultdict(list)
    for name, cell in cells.items():
        for port, bits in cell["connections"].items():
            if cell["port_directions"][port] != "output":
                for bit in bits:
                    readers[bit].append(name)
    for name, port in module["ports"].items():
        if port["direction"] != "input":
            for bit in port["bits"]:
                readers[bit].append(name)

    gone = 0
    for cell in [cell for cell in cells.values() if cell["type"] == BLOCK]:
        outputs = {
            port: bits[0]
            for port, bits in cell["connections"].items()
            if port.startswith("DO") and readers.get(bits[0])
        }
        behind = {port: readers[bit][0] for port, bit in outputs.items()}
        alone = all(len(readers[bit]) == 1 for bit in outputs.values())
        if (
            not outputs
            or not alone
            or not all(
                name in cells and _plain(cells[name], _clock(cell, port))
                for port, name in behind.items()
            )
        ):
            continue
        for port, name in behind.items():
            cell["connections"][port] = cells.pop(name)["connections"]["Q"]
        gone += len(behind)
        # A word of 36 bits comes out of both sides, by the clock of one.
        for side in "AB":
            cell["parameters"][f"REGMODE_{side}"] = "OUTREG"
            cell["connections"][f"OCE{side}"] = ["1"]
    return gone


def _clock(block: Mapping[str, Any], port: str) -> Any:
    """Of an output."""
    wide = int(str(block["parameters"]["DATA_WIDTH_B"]), 2) == 36
    return block["connections"]["CLKB" if wide or port.startswith("DOB") else "CLKA"]


def _plain(cell: Mapping[str, Any], clock: Any) -> bool:
    """Whether it does no more than an output register does."""
    if cell["type"] != FLIP_FLOP:
        return False
    pins, kind = cell["connections"], cell["parameters"]
    enabled = kind.get("CEMUX", "1").strip() == "1" or pins.get("CE") == ["1"]
    return (
        enabled
        and pins.get("LSR", ["0"]) == ["0"]
        and pins["CLK"] == clock
        and kind.get("CLKMUX", "CLK") == "CLK"
        and kind.get("REGSET", "RESET") == "RESET"
    )
