"""What Yosys made of a whole core runs a network: every byte as the reference says, every cycle as
the cost model says, which is that of the RTL (tests/e2e/test_cost.py)."""

from collections import Counter
from functools import lru_cache

import numpy as np
import pytest
import torch
from torch import nn

import host
from host.cost import predict
from host.errors import LeptonError
from host.synth import device, multiplier_sites, near_constants, synthesize
from hw.config import Config

SMALL = {
    "scratchpad_bytes": 1024,
    "acc_depth": 64,
    "program_depth": 256,
    "weight_depth": 512,
    "table_depth": 16,
    "result_depth": 16,
    "packet_words": 31,
    "trace_depth": 8,
}
"""A netlist takes its time to compile."""

TREE = Config(
    rows=4, cols=2, weight_ports=2, acc_width=24, product_registers=1, adder_tree=1,
    serial_requant=1, prefetch=0, stall_counters=0, **{**SMALL, "trace_depth": 0},
)  # fmt: skip
"""The forms of the configuration `up5k`; its part with the others is in `make netlists`."""

MIXED = Config(
    rows=4, cols=3, lanes=2, requantizers=2, acc_width=20, stall_counters=0,
    **{**SMALL, "trace_depth": 0},
)  # fmt: skip
"""Of 28 blocks a lane has 14, of which 4 requantize and 9 are its first three rows; one does not
make another row, which has LUTs."""

NETLISTS = {
    "tree and serial requantizer on up5k": (TREE, "up5k"),
    "blocks and LUTs on ecp5-25k": (MIXED, "ecp5-25k"),
}


@lru_cache
def network():
    """A small network, images, and what the reference makes of them."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * 3 * 3, 5),
    ).eval()
    inputs = torch.rand(64, 1, 12, 12)
    graph = host.quantize(module, inputs)
    images = torch.rand(32, 1, 12, 12).numpy() * 2 - 0.5
    return graph, images, host.reference(graph, images)


@pytest.mark.parametrize("name", NETLISTS)
def test_a_netlist_runs_a_network_as_the_rtl_does(name):
    cfg, part = NETLISTS[name]
    graph, images, expected = network()
    program = host.compile(graph, cfg, batch=cfg.lanes)
    with host.Session(program, f"netlist:{part}") as session:
        found = session.run(images)
        counted = session.counters
    assert np.unique(expected).size > 20, "the outputs would be right by chance"
    assert (found == expected).all()
    assert counted is not None
    predicted = predict(program, len(images) // program.batch).counted_by(cfg)
    assert counted.total == predicted.total
    assert counted.stamps.tolist() == predicted.stamps.tolist()


BLOCKS = {
    "tree and serial requantizer on up5k": {"SB_MAC16": 4, "SB_SPRAM256KA": 2, "SB_RAM40_4K": 8},
    "blocks and LUTs on ecp5-25k": {"MULT18X18D": 2 * (4 + 9), "DP16KD": 4},
}
"""Multipliers exactly; of the memories so many at least."""


@pytest.mark.parametrize("name", NETLISTS)
def test_that_netlist_has_the_parts_own_blocks(name):
    cfg, part = NETLISTS[name]
    built = synthesize(cfg, device(part), pins=False)
    kinds = Counter(cell["type"] for cell in built.cells.values())
    for kind, count in BLOCKS[name].items():
        assert kinds[kind] == count if kind in ("SB_MAC16", "MULT18X18D") else kinds[kind] >= count
    for block in (c for c in built.cells.values() if c["type"] == "MULT18X18D"):
        pins = block["connections"]
        # No wire has a copy of a sign, and none a constant from afar.
        assert pins["A0"] == pins["B0"] == ["0"]
        assert not any(pins[pin][0] in ("0", "1") for pin in near_constants.WIRED)
    stand = [
        n for n, cell in built.cells.items() if "/MULT18_" in cell["attributes"].get("BEL", "")
    ]
    of_arrays = [name for name in built.cells if multiplier_sites.place(name) is not None]
    assert len(of_arrays) == (2 * 9 if "MULT18X18D" in kinds else 0)
    assert sorted(stand) == sorted(of_arrays), "two lanes, whose columns stand together"
    if "DP16KD" in kinds:
        modes = {
            c["parameters"]["REGMODE_B"] for c in built.cells.values() if c["type"] == "DP16KD"
        }
        assert modes == {"NOREG", "OUTREG"}, "with output registers, and where it cannot have any"


def test_an_unknown_part_or_waves_of_a_netlist_are_refused():
    program = host.compile(network()[0], TREE)
    with pytest.raises(LeptonError, match="no device is named 'up9k'; there are up5k"):
        host.Session(program, "netlist:up9k")
    with pytest.raises(LeptonError, match="waves are of the core, not of its netlist"):
        host.Session(program, "netlist:up5k", waves="w.fst")
