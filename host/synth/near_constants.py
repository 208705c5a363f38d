"""Zeros and ones of ECP5 multipliers that come from beside them.

The constants of a multiplier's controls are wires, and nextpnr has one source of each for the whole
part: two nets with six ends at every multiplier, through the columns of blocks, where wires are
few. The router comes back to them again and again, and in some placements does not end.
"""

from collections.abc import Mapping
from typing import Any

from host.synth.multiplier_sites import BLOCK, place

WIRED = ("SIGNEDA", "SIGNEDB", "SOURCEA", "SOURCEB", "RST0")
"""Pins for whose constants nextpnr takes wires, and not the switches at the pins."""

OPEN_IS_HIGH = "CE0"
"""An enable: without a wire it is high, as nextpnr leaves those of block RAMs. Four blocks that
stand together have room for four enables."""


def bring(module: dict[str, Any]) -> int:
    """Changes a flat module as Yosys' ``write_json`` has it, and returns how many LUTs there are
    more: one for each constant of the blocks that stand together."""
    cells = module["cells"]
    blocks = [(name, cell) for name, cell in cells.items() if cell["type"] == BLOCK]
    if not blocks:
        return 0
    # A net may have a name and no cell any more.
    nets = [bits for cell in cells.values() for bits in cell["connections"].values()]
    nets += [name["bits"] for name in module["netnames"].values()]
    free = 1 + max(bit for bits in nets for bit in bits if isinstance(bit, int))
    made: dict[tuple[object, str], int] = {}
    for name, cell in blocks:
        pins = cell["connections"]
        if pins.get(OPEN_IS_HIGH) == ["1"]:
            del pins[OPEN_IS_HIGH], cell["port_directions"][OPEN_IS_HIGH]
        for pin in WIRED:
            value = pins.get(pin, [None])[0]
            if value in ("0", "1"):
                near = _together(name, cell), value
                if near not in made:
                    made[near] = free + len(made)
                    _drive(module, f"{name}.always_{value}", value, made[near])
                pins[pin] = [made[near]]
    return len(made)


def _together(name: str, cell: Mapping[str, Any]) -> object:
    """What the blocks that stand together have in common: the column that has sites, or else what
    they are in, a row of an array or another product."""
    attributes = cell.get("attributes", {})
    if "BEL" in attributes and (at := place(name)) is not None:
        return at[:2]
    return str(attributes.get("hdlname", name).rpartition(" ")[0])


def _drive(module: dict[str, Any], name: str, value: str, net: int) -> None:
    """Adds a LUT that always gives `value`."""
    inputs = {pin: ["0"] for pin in "ABCD"}
    # As Yosys names the LUT of a net.
    module["cells"][f"{name}_LUT4_Z"] = {
        "hide_name": 0,
        "type": "LUT4",
        "parameters": {"INIT": value * 16},
        "attributes": {},
        "port_directions": {**dict.fromkeys(inputs, "input"), "Z": "output"},
        "connections": {**inputs, "Z": [net]},
    }
    module["netnames"][name] = {"hide_name": 0, "bits": [net], "attributes": {}}
