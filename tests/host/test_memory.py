"""Where tensors lie: nothing is overwritten that is still to be read, in as little room as fits."""

from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from unittest import mock

import pytest

from host import models
from host.compiler import TooSmall, compile, memory
from host.cost import predict
from host.data import calibration
from host.explore.cycles import Evaluator
from host.quantization import quantize
from hw.config import named
from tests.e2e.test_networks import CONFIGS
from tests.host.lifetimes import crowded, layers, overwritten, released_behind
from tests.host.networks import random_network

BATCHES = (1, 2, 5)


@lru_cache
def random_graph(seed):
    return quantize(*random_network(seed, max_size="tiny"))


@lru_cache
def lenet():
    return quantize(models.load("lenet-cifar10"), calibration("lenet-cifar10"))


def programs(seeds, name):
    for seed in seeds:
        for batch in BATCHES:
            cfg = CONFIGS[name]
            yield seed, batch, compile(random_graph(seed), cfg, batch=batch * cfg.lanes)


@pytest.mark.parametrize("name", CONFIGS)
def test_no_byte_is_read_that_was_overwritten(name):
    for seed, batch, program in programs(range(25), name):
        assert overwritten(program) is None, f"random_network({seed}), batch {batch}"


@pytest.mark.parametrize("name", CONFIGS)
def test_no_byte_is_read_that_was_overwritten_in_the_least_room(name):
    late = 0
    with crowded():
        for seed, batch, program in programs(range(25), name):
            assert program.slots == 1
            assert overwritten(program) is None, f"random_network({seed}), batch {batch}"
            late += released_behind(program) > 0
    assert late > 15


def caught(name, seeds=25):
    """How many of the programs in the least room read a byte that was overwritten."""
    with crowded():
        return sum(overwritten(p) is not None for _, _, p in programs(range(seeds), name))


@pytest.mark.parametrize("name", ["3x2", "7x3"])
def test_a_row_too_many_over_the_input_is_caught(name):
    exact = memory.reach

    def too_far(step, tiling, source, target):
        return min(0, exact(step, tiling, source, target) + -(-target.pitch // 4) * 4)

    with mock.patch.object(memory, "reach", too_far):
        assert caught(name) > 10


def test_a_slot_that_is_free_a_layer_too_early_is_caught():
    place = memory._place

    def early(*arguments, **options):
        where = place(*arguments, **options)
        return replace(where, release=max(0, where.release - 1))

    with mock.patch.object(memory, "_place", early):
        assert caught("3x2") > 10


def test_each_step_of_the_plan_is_taken_when_the_one_before_does_not_fit():
    """LeNet at batch 2: 8,548 bytes apart, 5,476 with one slot, 4,384 over each other."""
    for size, slots, over in ((16384, 2, False), (8192, 1, False)):
        cfg = replace(named("up5k"), scratchpad_bytes=size, program_depth=1024)
        program = compile(lenet(), cfg, batch=2)
        assert (program.slots, released_behind(program) > 0) == (slots, over)
        assert overwritten(program) is None
    program = compile(lenet(), replace(named("up5k"), scratchpad_bytes=4096))
    assert (program.slots, released_behind(program)) == (1, 1)
    assert overwritten(program) is None


def test_a_refusal_says_what_would_do():
    refused = 0
    for seed in range(25):
        graph, cfg = random_graph(seed), replace(CONFIGS["3x2"], scratchpad_bytes=64)
        while True:
            try:
                assert compile(graph, cfg).scratchpad_used <= cfg.scratchpad_bytes
                break
            except TooSmall as error:
                needed, message = error.needed, str(error)
            assert cfg.scratchpad_bytes < needed
            assert f"need {needed} bytes" in message
            size = 1 << (needed - 1).bit_length()
            refused += 1
            cfg = replace(cfg, scratchpad_bytes=size)
            compile(graph, cfg)
    assert refused > 10


def test_with_all_layers_to_be_sent_nothing_shares_its_place():
    program = compile(lenet(), CONFIGS["3x2"], batch=2, layers=True)
    places = sorted(
        {(f["emit_source"], f["emit_words"]) for f in layers(program) if f["emit_words"]}
    )
    assert all(a + 4 * n <= b for (a, n), (b, _) in pairwise(places))
    assert overwritten(program) is None


def test_the_explorer_times_what_the_compiler_makes_in_the_least_room():
    for seed in range(12):
        graph, cfg = random_graph(seed), CONFIGS["7x3"]
        for batch in BATCHES:
            with crowded():
                program = compile(graph, cfg, batch=batch)
                assert program.slots == 1
                found = Evaluator(graph, batch)(cfg)
            assert found.per_image == predict(program).cycles_per_image
            assert found.latency == predict(program).latency
