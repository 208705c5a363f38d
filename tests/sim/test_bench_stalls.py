"""The whole core in cocotb under stalls of both sides of its link, with resets in mid-run."""

import contextlib
import os
import re
from functools import cache

import pytest

from host.errors import LeptonError
from host.quantization import quantize
from hw.config import Config, named
from sim import build as cores
from sim.bench import build, cases, tops
from sim.bench.run import SEEDS, run
from sim.bench.stalls import PAIRS
from tests.host.networks import random_network

CONFIGS = {
    "tiny": named("tiny"),
    # Ports and requantizers that do not divide rows and columns, few results that may wait, and
    # four beats to a word.
    "odd": Config(
        rows=5,
        cols=3,
        weight_ports=2,
        requantizers=2,
        product_registers=2,
        result_depth=8,
        scratchpad_bytes=16384,
        weight_depth=8192,
        link_width=8,
    ),
}

IMAGES = 4

RESETS = 3


def seeds():
    first, _, last = os.environ.get(SEEDS, "0-7").partition("-")
    return range(int(first), int(last or first) + 1)


@cache
def network(seed):
    module, inputs = random_network(seed, max_size="tiny")
    return quantize(module, inputs), inputs[:IMAGES].numpy()


def networks(folder, cfg):
    """Those that fit, with a batch of 1 to 3 images each: the last batch may be filled in part."""
    found = []
    for seed in seeds():
        graph, images = network(seed)
        with contextlib.suppress(LeptonError):
            found.append(cases.write(folder, f"seed {seed}", graph, cfg, images, 1 + seed % 3))
    assert len(found) > len(seeds()) // 2, "most networks do not fit"
    return found


@pytest.mark.parametrize("stalls", PAIRS, ids=" in, ".join)
@pytest.mark.parametrize("config", CONFIGS)
def test_stalls_change_no_byte(config, stalls, tmp_path):
    cfg = CONFIGS[config]
    case = cases.case(networks(tmp_path, cfg), stalls=stalls)
    simulator = build.executable(cores.verilog(cfg))
    run(simulator, "core", "layers_equal_the_reference", tmp_path, case)


@pytest.mark.parametrize(
    "stalls",
    [("none", "none"), ("half", "half"), ("none", "windows")],
    ids=" in, ".join,
)
@pytest.mark.parametrize("config", CONFIGS)
def test_run_after_a_reset_in_mid_run_is_right(config, stalls, tmp_path):
    cfg = CONFIGS[config]
    case = cases.case(networks(tmp_path, cfg), stalls=stalls, resets=RESETS)
    simulator = build.executable(cores.verilog(cfg))
    run(simulator, "core", "a_run_after_a_reset_in_mid_run_is_right", tmp_path, case)


@pytest.mark.parametrize(
    "stalls",
    [("none", "none"), ("every third", "half"), ("bursts", "drip")],
    ids=" in, ".join,
)
def test_axi_stream_wrapper_equals_the_reference(stalls, tmp_path):
    case = cases.case(networks(tmp_path, tops.AXI), stalls=stalls, resets=1, axi=True)
    simulator = build.executable(build.convert("axi"))
    run(simulator, "core", "a_run_after_a_reset_in_mid_run_is_right", tmp_path, case)


def test_axi_stream_wrapper_has_the_ports_that_tools_look_for():
    text = build.convert("axi")
    (header,) = re.findall(r"module lepton\((.*?)\)", text, re.DOTALL)
    streams = [
        f"{side}_axis_{name}" for side in "sm" for name in ("tdata", "tvalid", "tready", "tlast")
    ]
    assert set(re.findall(r"\w+", header)) == {"aclk", "aresetn", *streams, "running"}
