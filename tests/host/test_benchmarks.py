"""The measured figures on file, against the hardware that the sources describe now."""

import json
from functools import lru_cache

import pytest

from host import benchmarks, models
from host.benchmarks import ALL, CASES, PRODUCTS, THROUGHPUTS
from host.cli import execute
from host.compiler import compile
from host.cost import predict
from host.data import calibration
from host.product import model_window
from host.quantization import quantize

STALE = "cycles have changed: measure them with lepton bench, then python -m host.docs"


@lru_cache
def graph(model, width):
    return quantize(models.load(model), calibration(model), multiplier_width=width, name=model)


def test_every_case_is_measured_and_nothing_else():
    assert list(benchmarks.results()) == [case.name for case in ALL]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_cycle_of_a_network_changes_without_a_new_measurement(case):
    """The cost model has what the core counts (tests/e2e/test_cost.py)."""
    config = case.built
    program = compile(graph(case.model, config.multiplier_width), config, batch=case.batch)
    predicted = predict(program, 3)
    measured = benchmarks.results()[case.name]
    now = dict(config.items()), predicted.cycles_per_image, predicted.latency
    then = (measured[name] for name in ("fields", "cycles_per_image", "latency_cycles"))
    assert now == tuple(then), STALE


@pytest.mark.parametrize("case", PRODUCTS, ids=lambda case: case.name)
def test_no_cycle_of_a_product_changes_without_a_new_measurement(case):
    measured = benchmarks.results()[case.name]
    program, *_ = case.product.program(case.built)
    assert measured["fields"] == dict(case.built.items()), STALE
    assert measured["window_cycles"] == model_window(program), STALE


def test_no_measured_byte_differs():
    for name, measured in benchmarks.results().items():
        assert measured["checked_bytes"] > 0, name
        assert measured["mismatched_bytes"] == 0, name


@pytest.mark.parametrize("case", THROUGHPUTS, ids=lambda case: case.name)
def test_the_simulator_took_no_longer_than_promised(case):
    """The time on file is of the machine that measured it; here it is only held to its promise."""
    measured = benchmarks.results()[case.name]
    assert measured["images"] == 10_000
    assert measured["wall_s"] <= case.goal_s
    speed = measured["simulated_cycles"] / measured["wall_s"] / measured["processes"]
    assert speed >= 500_000


def test_every_peer_stands_beside_a_case_and_has_a_source():
    peers = json.loads(benchmarks.PEERS.read_text())
    assert peers["source"]
    shown = " ".join(row[-1] for row in benchmarks.rows(benchmarks.results()))
    for peer in (*peers["network"], *peers["product"]):
        assert f"{peer['name']} {peer['cycles']:,}" in shown


def test_bench_refuses_a_case_that_there_is_not(capsys):
    assert execute(["bench", "--only", "resnet"]) == 2
    assert "lenet5-mnist, 15 x 6, batch 1" in capsys.readouterr().err


def test_an_interrupted_run_of_all_cases_keeps_what_was_measured_before(tmp_path, monkeypatch):
    """It began an empty file, so that cases it did not come to were lost."""
    on_file = benchmarks.results()
    names = list(on_file)
    assert len(names) > 1

    def measured(case, stages):
        if case.name != names[0]:
            raise KeyboardInterrupt
        return {**on_file[case.name], "anew": True}

    monkeypatch.setattr(benchmarks, "measured", measured)
    out = tmp_path / "results.json"
    assert execute(["bench", "--out", str(out)]) == 130
    left = json.loads(out.read_text())
    assert list(left) == names
    assert left[names[0]]["anew"]
    assert left[names[1]] == on_file[names[1]]
