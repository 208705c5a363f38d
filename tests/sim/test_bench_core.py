"""The whole core in cocotb and Verilator, against the PyTorch reference, layer by layer."""

from functools import cache

import pytest

from host import data, models
from host.quantization import quantize
from hw.config import named
from sim import build as cores
from sim.bench import build, cases
from sim.bench.run import run


@cache
def quantized(model):
    return quantize(models.load(model), data.calibration(model), name=model)


@pytest.mark.parametrize(
    ("model", "config", "images"),
    [
        ("lenet5-mnist", "default", 10),
        ("lenet-cifar10", "default", 2),
        ("lenet5-mnist", "tiny", 1),
    ],
    ids=lambda value: f"{value}-images" if isinstance(value, int) else value,
)
def test_lenet_equals_the_reference_in_every_layer(model, config, images, tmp_path):
    cfg = named(config)
    inputs = data.normalize(data.sample(model).pixels[:images], model).numpy()
    case = cases.case([cases.write(tmp_path, model, quantized(model), cfg, inputs)])
    simulator = build.executable(cores.verilog(cfg))
    run(simulator, "core", "layers_equal_the_reference", tmp_path, case)
