"""Random networks under every kind of pause of the link, in the native simulator."""

import pytest

from host.compiler import compile
from host.driver import Session
from host.integer_reference import reference
from hw.config import Config
from sim import build
from sim.device import Device, Stall, Stalls
from tests.campaigns import mutant_tests
from tests.e2e.test_networks import MEMORIES
from tests.host.networks import quantized_network

PAUSES = {
    "input": Stalls(input=Stall(probability=0.5), seed=21),
    "output": Stalls(output=Stall(every=7), seed=22),
    "both": Stalls(input=Stall(probability=0.3), output=Stall(probability=0.6), seed=23),
}

TALL = Config(rows=24, cols=2, **MEMORIES)
"""A tile takes so long to load that small maps are one job, pooled ones too."""


@pytest.mark.parametrize("where", PAUSES)
def test_a_pause_of_either_side_changes_no_byte(where):
    library = build.library(mutant_tests.CFG)
    mutant_tests.check_random_networks(library, (PAUSES[where],))


@pytest.mark.parametrize("where", PAUSES)
def test_a_pause_of_either_side_changes_no_byte_of_pooled_maps(where):
    with Device(build.library(TALL), stalls=PAUSES[where]) as device:
        for seed in range(12, 24):
            graph, inputs = quantized_network(seed)
            images = inputs[:7].numpy()
            expected = reference(graph, images, layers=True)
            program = compile(graph, TALL, batch=(1, 2, 5)[seed % 3], layers=True)
            found = Session(program, mutant_tests.Opened(device)).run_layers(images)
            assert found, "the program sends nothing"
            for name, values in found.items():
                assert (values == expected[name]).all(), f"random_network({seed}), {name}"


@pytest.mark.parametrize("where", PAUSES)
def test_a_pause_of_either_side_changes_no_error(where):
    library = build.library(mutant_tests.CFG)
    mutant_tests.check_fuzzer(library, (PAUSES[where],))
