"""host/compiler/jobs.py: how many results a job has at its end."""

import pytest

from host import models
from host.compiler import compile
from host.data import calibration
from host.quantization import quantize
from hw import isa
from hw.config import named


@pytest.fixture(scope="module")
def graph():
    return quantize(models.load("lenet-cifar10"), calibration("lenet-cifar10"))


def layers(graph, **changes):
    program = compile(graph, named("up5k").with_fields(changes))
    return [v for op, v in isa.decode(program.words.tolist()) if op is isa.Op.LAYER]


def test_vectors_of_slow_requantizers_are_cut_into_more_jobs_and_nothing_else_is(graph):
    """All results of a vector come behind its last slice: 60 of two values kept the layer behind it
    waiting for 1,900 cycles."""
    fast, slow = layers(graph, serial_requant=0), layers(graph, serial_requant=1)
    assert [v["tile_last"] + 1 for v in fast] == [3, 8, 60, 42, 5]
    assert [v["tile_last"] + 1 for v in slow[:2]] == [3, 8]
    tiles = [v["tile_last"] + 1 for v in slow[2:]]
    assert sum(tiles) == 60 + 42 + 5
    assert max(tiles) <= 30
    assert tiles[-1] == 5
