"""The cost model against the counters of the simulated core: equal, in every layer."""

from contextlib import nullcontext

import numpy as np
import pytest

from host import models
from host.compiler import compile
from host.cost import predict
from host.data import calibration
from host.driver import Session
from host.errors import LeptonError
from host.integer_reference import reference
from host.quantization import quantize
from hw.config import Config, named
from tests.e2e.test_networks import CONFIGS, MEMORIES
from tests.host.lifetimes import crowded
from tests.host.networks import quantized_network

BATCHES = 4

NARROW = {
    # Words come more slowly than they are taken and leave more slowly than they are read, and the
    # packet buffer is small enough to be full while a slot is awaited.
    "8 bits, 2 lanes": Config(rows=3, cols=2, lanes=2, link_width=8, packet_words=16, **MEMORIES),
    "16 bits": Config(rows=3, cols=2, link_width=16, packet_words=33, **MEMORIES),
}


def assert_equal(program, images, what):
    with Session(program) as session:
        session.run_layers(images)
        counted = session.counters
    predicted = predict(program, BATCHES).counted_by(program.config)
    assert counted is not None
    assert predicted.total == counted.total, what
    assert predicted.stamps.tolist() == counted.stamps.tolist(), what
    assert predicted.layers == counted.layers, what
    assert predicted.latency == counted.latency, what


@pytest.mark.parametrize("first", [100, 115], ids="seeds={}...".format)
@pytest.mark.parametrize("name", CONFIGS)
def test_predictions_equal_the_counters_of_random_networks(name, first):
    compared = 0
    for seed in range(first, first + 15):
        graph, inputs = quantized_network(seed)
        batch = (1, 2, 5)[seed % 3] * CONFIGS[name].lanes
        try:
            program = compile(graph, CONFIGS[name], batch=batch, layers=seed % 4 == 1)
        except LeptonError:
            continue
        images = np.resize(inputs.numpy(), (BATCHES * batch, *inputs.shape[1:]))
        assert_equal(program, images, f"random_network({seed}) on {name}, batch {batch}")
        compared += 1
    assert compared >= 13


@pytest.mark.parametrize("name", CONFIGS)
def test_predictions_equal_the_counters_where_one_slot_makes_images_wait(name):
    waited = 0
    for seed in range(130, 136):
        graph, inputs = quantized_network(seed)
        batch = (1, 2, 5)[seed % 3] * CONFIGS[name].lanes
        with crowded():
            program = compile(graph, CONFIGS[name], batch=batch)
        images = np.resize(inputs.numpy(), (BATCHES * batch, *inputs.shape[1:]))
        assert_equal(program, images, f"random_network({seed}) on {name}, batch {batch}")
        waited += predict(program, BATCHES).total["stall_input"] > 0
    assert waited > 2


@pytest.mark.parametrize("slots", ["many", "one"])
@pytest.mark.parametrize("name", NARROW)
def test_predictions_equal_the_counters_on_a_link_with_several_beats_for_a_word(name, slots):
    """Input was taken to come a word a cycle on any link."""
    cfg, waited = NARROW[name], 0
    for seed in range(140, 152):
        graph, inputs = quantized_network(seed)
        batch = (1, 2, 5)[seed % 3] * cfg.lanes
        with crowded() if slots == "one" else nullcontext():
            program = compile(graph, cfg, batch=batch)
        images = np.resize(inputs.numpy(), (BATCHES * batch, *inputs.shape[1:]))
        assert_equal(program, images, f"random_network({seed}) on {name}, batch {batch}")
        waited += predict(program, BATCHES).total["stall_input"] > 0
    assert waited > 2


def test_lenet_runs_in_4096_bytes_of_scratchpad_as_fast_as_predicted():
    """The part's block RAM: benchmarks/, `up5k`. 47,900 cycles are 85% utilization."""
    graph = quantize(models.load("lenet-cifar10"), calibration("lenet-cifar10"))
    assert named("up5k").scratchpad_bytes == 4096
    program = compile(graph, named("up5k"))
    images = np.random.default_rng(0).integers(-128, 128, (BATCHES, *graph.input_shape), np.int8)
    with Session(program) as session:
        got = session.run_layers(images)
        counted = session.counters
    (logits,) = got.values()
    assert (logits == reference(graph, images, layers=True)[next(iter(got))]).all()
    assert counted is not None
    assert counted.stamps.tolist() == predict(program, BATCHES).stamps.tolist()
    assert counted.cycles_per_image <= 47_900


@pytest.mark.parametrize("batch", [1, 16])
def test_predictions_equal_the_counters_of_lenet_on_the_default_core(batch):
    graph = quantize(models.load("lenet-cifar10"), calibration("lenet-cifar10"))
    program = compile(graph, named("default"), batch=batch)
    images = np.random.default_rng(batch).integers(
        -128, 128, (BATCHES * batch, *graph.input_shape), np.int8
    )
    assert_equal(program, images, f"batch {batch}")


def test_lenet_needs_no_more_cycles_than_promised():
    """18,500 cycles per image at batch 1 and 8,400 at batch 16 on the default core."""
    graph = quantize(models.load("lenet-cifar10"), calibration("lenet-cifar10"))
    for batch, most in ((1, 18_500), (16, 8_400)):
        predicted = predict(compile(graph, named("default"), batch=batch), BATCHES)
        assert predicted.cycles_per_image <= most
