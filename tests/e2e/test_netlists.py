"""What Yosys made of a whole core runs a network: every byte as the reference says, every cycle as
the RTL takes it."""

import numpy as np
import pytest
import torch
from torch import nn

import host
from host.errors import LeptonError
from host.synth import device, synthesize
from hw.config import Config

CORE = Config(
    rows=3,
    cols=2,
    scratchpad_bytes=1024,
    acc_depth=64,
    program_depth=256,
    weight_depth=512,
    table_depth=16,
    result_depth=16,
    packet_words=31,
    trace_depth=8,
)
"""Small, with everything in it; a netlist takes its time to compile."""


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * 3 * 3, 5),
    ).eval()
    graph = host.quantize(module, torch.rand(64, 1, 12, 12))
    images = torch.rand(32, 1, 12, 12).numpy() * 2 - 0.5
    return host.compile(graph, CORE), images, host.reference(graph, images)


@pytest.mark.parametrize("name", ["up5k", "ecp5-25k"])
def test_a_netlist_runs_a_network_as_the_rtl_does(network, name):
    program, images, expected = network
    found = {}
    for target in ("sim", f"netlist:{name}"):
        with host.Session(program, target) as session:
            found[target] = session.run(images)
            assert session.counters is not None
            found[target, "cycles"] = session.counters.total
    assert np.unique(expected).size > 20, "the outputs would be right by chance"
    assert (found[f"netlist:{name}"] == expected).all()
    assert found[f"netlist:{name}", "cycles"] == found["sim", "cycles"]


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        ("up5k", ("SB_MAC16", "SB_SPRAM256KA", "SB_RAM40_4K")),
        ("ecp5-25k", ("MULT18X18D", "DP16KD")),
    ],
    ids=["up5k", "ecp5-25k"],
)
def test_that_netlist_has_the_parts_own_blocks(name, blocks):
    built = synthesize(CORE, device(name), pins=False)
    kinds = {cell["type"] for cell in built.cells.values()}
    assert set(blocks) <= kinds


def test_an_unknown_part_or_waves_of_a_netlist_are_refused(network):
    with pytest.raises(LeptonError, match="no device is named 'up9k'; there are up5k"):
        host.Session(network[0], "netlist:up9k")
    with pytest.raises(LeptonError, match="waves are of the core, not of its netlist"):
        host.Session(network[0], "netlist:up5k", waves="w.fst")
