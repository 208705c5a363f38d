"""host/synth/output_registers.py"""

import copy

import pytest

from host.synth.output_registers import move_in

CLOCK, OTHER_CLOCK = 1, 2


def cell(kind: str, outputs: dict, inputs: dict, **parameters: str) -> dict:
    return {
        "type": kind,
        "parameters": parameters,
        "connections": {port: [net] for port, net in (outputs | inputs).items()},
        "port_directions": dict.fromkeys(outputs, "output") | dict.fromkeys(inputs, "input"),
    }


def netlist(width: str = "10010") -> dict:
    """A block RAM, two bits of which go into a flip-flop each, and a third into nothing."""
    block = cell(
        "DP16KD",
        {"DOB0": 10, "DOB1": 11, "DOB2": 12},
        {"CLKA": OTHER_CLOCK, "CLKB": CLOCK, "OCEA": "0", "OCEB": "1"},
        REGMODE_A="NOREG",
        REGMODE_B="NOREG",
        DATA_WIDTH_B=width,
    )
    flip_flops = {
        f"ff{i}": cell(
            "TRELLIS_FF", {"Q": 20 + i}, {"DI": 10 + i, "CLK": CLOCK, "LSR": "0"}, CEMUX="1"
        )
        for i in range(2)
    }
    return {
        "ports": {"q": {"direction": "output", "bits": [20, 21]}},
        "cells": {"block": block, **flip_flops},
    }


def cells(made: dict) -> dict:
    return made["cells"]


def test_flip_flops_behind_a_block_ram_become_its_output_registers():
    made = netlist()
    assert move_in(made) == 2
    assert set(cells(made)) == {"block"}
    block = cells(made)["block"]
    assert (
        block["connections"] | {"DOB0": [20], "DOB1": [21], "OCEA": ["1"], "OCEB": ["1"]}
        == (block["connections"])
    )
    assert block["parameters"]["REGMODE_A"] == block["parameters"]["REGMODE_B"] == "OUTREG"


def test_a_word_of_36_bits_has_the_clock_of_the_side_that_reads():
    made = netlist("100100")
    block = cells(made)["block"]
    block["connections"]["DOA0"] = block["connections"].pop("DOB0")
    block["port_directions"]["DOA0"] = block["port_directions"].pop("DOB0")
    assert move_in(made) == 2


def changed(what: str) -> dict:
    made = netlist()
    flip_flop = cells(made)["ff1"]
    pins, kind = flip_flop["connections"], flip_flop["parameters"]
    if what == "another reader":
        cells(made)["lut"] = cell("LUT4", {"Z": 30}, {"A": 11})
    elif what == "a port":
        made["ports"]["raw"] = {"direction": "output", "bits": [11]}
    elif what == "a table":
        cells(made)["ff1"] = cell("LUT4", {"Z": 21}, {"A": 11})
    elif what == "another clock":
        pins["CLK"] = [OTHER_CLOCK]
    elif what == "the other edge":
        kind["CLKMUX"] = "INV"
    elif what == "a reset":
        pins["LSR"] = [40]
    elif what == "an enable":
        kind["CEMUX"], pins["CE"], flip_flop["port_directions"]["CE"] = "CE", [41], "input"
    elif what == "begins with 1":
        kind["REGSET"] = "SET"
    return made


@pytest.mark.parametrize(
    "what",
    ["another reader", "a port", "a table", "another clock", "the other edge", "a reset",
     "an enable", "begins with 1"],
)  # fmt: skip
def test_what_an_output_register_cannot_do_stays_a_flip_flop(what):
    made = changed(what)
    before = copy.deepcopy(made)
    assert move_in(made) == 0
    assert made == before
