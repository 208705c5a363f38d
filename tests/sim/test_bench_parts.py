"""Parts of the core in cocotb and Verilator, at full speed, against plain integers."""

import pytest

from sim.bench import build
from sim.bench.run import run
from sim.bench.tops import ARRAYS, REQUANTS


@pytest.mark.parametrize("seed", [1, 2], ids="seed={}".format)
@pytest.mark.parametrize("part", ARRAYS)
def test_array_sums_equal_a_numpy_product(part, seed, tmp_path):
    simulator = build.executable(build.convert("parts"))
    run(simulator, "array", "sums_equal_a_numpy_product", tmp_path, {"part": part, "seed": seed})


@pytest.mark.parametrize("part", REQUANTS)
def test_requantizer_equals_the_formula(part, tmp_path):
    simulator = build.executable(build.convert("parts"))
    run(simulator, "requant", "results_equal_the_formula", tmp_path, {"part": part, "seed": 1})
