"""The whole core in cocotb under stalls of both sides of its link, with resets in mid-run."""

import contextlib
import os
import re
from dataclasses import asdict
from functools import cache
from random import Random

import pytest

from host.errors import LeptonError
from host.quantization import quantize
from hw.config import Config, named
from sim import build as cores
from sim.bench import build, cases, tops
from sim.bench.run import CONFIGS as RANDOM_CONFIGS
from sim.bench.run import SEEDS, run
from sim.bench.stalls import PAIRS, PATTERNS
from tests.host.configs import random_config
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

TURNS = 4
"""Patterns among which all networks are divided, where there are as many."""

RESET_STALLS = [("none", "none"), ("half", "half"), ("none", "windows")]

AXI_STALLS = [("none", "none"), ("every third", "half"), ("bursts", "drip")]


def seeds(variable=SEEDS, default="0-7"):
    first, _, last = os.environ.get(variable, default).partition("-")
    return range(int(first), int(last or first) + 1)


@cache
def network(seed):
    module, inputs = random_network(seed, max_size="tiny")
    return quantize(module, inputs), inputs[:IMAGES].numpy()


def networks(folder, cfg, batch=1, stalls=None, patterns=()):
    """Those that fit, with 1 to 3 batches of images each: the last may be filled in part.

    Of `patterns` each runs a part of them, and any `TURNS` in a row all; seeds that are asked for
    run under each.
    """
    found = []
    chosen = seeds()
    if stalls is not None and SEEDS not in os.environ:
        turns = min(TURNS, len(patterns))
        chosen = chosen[patterns.index(stalls) % turns :: turns]
    for seed in chosen:
        graph, images = network(seed)
        with contextlib.suppress(LeptonError):
            found.append(
                cases.write(folder, f"seed {seed}", graph, cfg, images, (1 + seed % 3) * batch)
            )
    assert len(found) > len(chosen) // 2, "most networks do not fit"
    return found


@pytest.mark.parametrize("stalls", PAIRS, ids=" in, ".join)
@pytest.mark.parametrize("config", CONFIGS)
def test_stalls_change_no_byte(config, stalls, tmp_path):
    cfg = CONFIGS[config]
    case = cases.case(networks(tmp_path, cfg, stalls=stalls, patterns=PAIRS), stalls=stalls)
    simulator = build.executable(cores.verilog(cfg))
    run(simulator, "core", "layers_equal_the_reference", tmp_path, case)


@pytest.mark.parametrize("seed", seeds(RANDOM_CONFIGS, "8"), ids="config={}".format)
def test_random_core_under_random_stalls_with_resets_equals_the_reference(seed, tmp_path):
    cfg, random = random_config(seed), Random(seed)
    stalls = (random.choice(["none", *PATTERNS]), random.choice(["none", *PATTERNS]))
    case = cases.case(networks(tmp_path, cfg, batch=cfg.lanes), stalls=stalls, resets=1)
    simulator = build.executable(cores.verilog(cfg))
    run(simulator, "core", "a_run_after_a_reset_in_mid_run_is_right", tmp_path, case)


@pytest.mark.parametrize("config", CONFIGS)
def test_every_packet_works_at_its_smallest_and_largest(config, tmp_path):
    cfg = CONFIGS[config]
    case = {"config": asdict(cfg), "stalls": ("half", "every third"), "axi": False}
    simulator = build.executable(cores.verilog(cfg))
    run(simulator, "packets", "every_packet_works_at_its_smallest_and_largest", tmp_path, case)


def test_every_packet_works_at_its_smallest_and_largest_on_axi_stream(tmp_path):
    case = {"config": asdict(tops.AXI), "stalls": ("none", "bursts"), "axi": True}
    simulator = build.executable(build.convert("axi"))
    run(simulator, "packets", "every_packet_works_at_its_smallest_and_largest", tmp_path, case)


def test_a_packet_that_ends_within_a_word_is_refused(tmp_path):
    case = {"config": asdict(CONFIGS["odd"]), "stalls": ("none", "half")}
    simulator = build.executable(cores.verilog(CONFIGS["odd"]))
    run(simulator, "packets", "a_packet_that_ends_within_a_word_is_refused", tmp_path, case)


def test_a_word_in_the_padding_is_refused(tmp_path):
    case = {"config": asdict(tops.AXI), "stalls": ("half", "none")}
    simulator = build.executable(build.convert("axi"))
    run(simulator, "packets", "a_word_in_the_padding_is_refused", tmp_path, case)


@pytest.mark.parametrize("stalls", RESET_STALLS, ids=" in, ".join)
@pytest.mark.parametrize("config", CONFIGS)
def test_run_after_a_reset_in_mid_run_is_right(config, stalls, tmp_path):
    cfg = CONFIGS[config]
    chosen = networks(tmp_path, cfg, stalls=stalls, patterns=RESET_STALLS)
    case = cases.case(chosen, stalls=stalls, resets=RESETS)
    simulator = build.executable(cores.verilog(cfg))
    run(simulator, "core", "a_run_after_a_reset_in_mid_run_is_right", tmp_path, case)


@pytest.mark.parametrize("stalls", AXI_STALLS, ids=" in, ".join)
def test_axi_stream_wrapper_equals_the_reference(stalls, tmp_path):
    chosen = networks(tmp_path, tops.AXI, stalls=stalls, patterns=AXI_STALLS)
    case = cases.case(chosen, stalls=stalls, resets=1, axi=True)
    simulator = build.executable(build.convert("axi"))
    run(simulator, "core", "a_run_after_a_reset_in_mid_run_is_right", tmp_path, case)


def test_axi_stream_wrapper_has_the_ports_that_tools_look_for():
    text = build.convert("axi")
    (header,) = re.findall(r"module lepton\((.*?)\)", text, re.DOTALL)
    streams = [
        f"{side}_axis_{name}" for side in "sm" for name in ("tdata", "tvalid", "tready", "tlast")
    ]
    assert set(re.findall(r"\w+", header)) == {"aclk", "aresetn", *streams, "running"}
