"""host/synth/near_constants.py"""

from host.synth.near_constants import bring

PINS = {"SIGNEDA": "1", "SIGNEDB": "0", "SOURCEA": "0", "SOURCEB": "0", "RST0": "0"}
ROWS = {
    "r0.b0": "array row_0 block_0",
    "r0.b1": "array row_0 block_1",
    "r1.b0": "array row_1 block_0",
}


def block(path: str, **pins: object) -> dict:
    connections = {pin: [net] for pin, net in (PINS | {"CE0": "1", "CE1": 7} | pins).items()}
    return {
        "type": "MULT18X18D",
        "attributes": {"hdlname": path},
        "connections": connections | {"P0": [8]},
        "port_directions": {**dict.fromkeys(connections, "input"), "P0": "output"},
    }


def netlist(**pins: object) -> dict:
    return {
        "cells": {n: block(path, **pins) for n, path in ROWS.items()},
        "netnames": {"unused": {"hide_name": 0, "bits": [10], "attributes": {}}},
    }


def sources(made: dict, pin: str) -> list[tuple[str, str]]:
    """Of each block: the LUT that drives a pin, and what that gives."""
    drivers = {
        bit: (name, cell["parameters"]["INIT"])
        for name, cell in made["cells"].items()
        if cell["type"] == "LUT4"
        for bit in cell["connections"]["Z"]
    }
    return [drivers[made["cells"][name]["connections"][pin][0]] for name in ROWS]


def test_each_row_has_its_own_zero_and_one():
    made = netlist()
    assert bring(made) == 4
    for pin, value in PINS.items():
        names, tables = zip(*sources(made, pin), strict=True)
        assert set(tables) == {value * 16}
        assert names[0] == names[1] != names[2]
    zeros = {sources(made, pin)[0][0] for pin, value in PINS.items() if value == "0"}
    assert len(zeros) == 1, "one LUT for all of a row"


def test_a_netlist_without_blocks_stays():
    made = {"cells": {"ff": {"type": "TRELLIS_FF", "connections": {"Q": [4]}}}}
    assert bring(made) == 0
    assert list(made["cells"]) == ["ff"]


def test_nets_are_new_and_have_names():
    made = netlist()
    bring(made)
    luts = {n: c for n, c in made["cells"].items() if c["type"] == "LUT4"}
    nets = [c["connections"]["Z"][0] for c in luts.values()]
    assert len({7, 8, 10, *nets}) == 7
    # A net and a cell of one name are refused by Yosys.
    assert not set(made["cells"]) & set(made["netnames"])
    names = {n: name["bits"] for n, name in made["netnames"].items() if n != "unused"}
    assert sorted(names.values()) == sorted([net] for net in nets)
    assert all(c["connections"][pin] == ["0"] for c in luts.values() for pin in "ABCD")


def test_an_enable_that_is_always_high_takes_no_wire_and_another_one_stays():
    made = netlist()
    bring(made)
    for name in ROWS:
        cell = made["cells"][name]
        assert "CE0" not in cell["connections"]
        assert "CE0" not in cell["port_directions"]
        assert cell["connections"]["CE1"] == [7]
    for net in (7, "0"):
        kept = netlist(CE0=net)
        bring(kept)
        assert all(kept["cells"][name]["connections"]["CE0"] == [net] for name in ROWS)


def test_what_is_no_constant_stays():
    made = netlist(RST0=9, SIGNEDA=7)
    assert bring(made) == 2
    for name in ROWS:
        assert made["cells"][name]["connections"]["RST0"] == [9]
        assert made["cells"][name]["connections"]["SIGNEDA"] == [7]
