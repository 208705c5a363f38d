"""Integers of the shipped models out of the cache: those that quantization gives, and when."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from host import catalog, data, models, shipped
from host.integer_reference import reference
from host.qgraph import QGraph
from host.quantization import quantize

NAME = "lenet5-mnist"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def widths(tmp_path, monkeypatch):
    """Those that were quantized for, one after the other, in an empty cache."""
    monkeypatch.setenv("LEPTON_CACHE", str(tmp_path / "cache"))
    asked = []

    def noted(*given, multiplier_width, **named):
        asked.append(multiplier_width)
        return quantize(*given, multiplier_width=multiplier_width, **named)

    monkeypatch.setattr("host.quantization.quantize", noted)
    return asked


def outputs(graph: QGraph) -> dict[str, np.ndarray]:
    inputs = data.normalize(data.sample(NAME).pixels, NAME).numpy()
    return reference(graph, inputs, layers=True)


def test_a_network_is_quantized_once_for_each_width_and_stays_what_it_was(widths):
    wanted = quantize(models.load(NAME), data.calibration(NAME), name=NAME)
    for _ in range(2):
        graph = catalog.find(NAME).quantize(16)
        assert (graph.input, graph.output, graph.info) == (wanted.input, wanted.output, wanted.info)
        found = outputs(graph)
        for name, values in outputs(wanted).items():
            np.testing.assert_array_equal(found[name], values)
    assert catalog.find(NAME).quantize(12).info["multiplier_width"] == "12"
    assert widths == [16, 12]


def test_other_weights_are_quantized_anew(widths, tmp_path, monkeypatch):
    before = outputs(catalog.find(NAME).quantize(16))
    monkeypatch.setattr(shipped, "WEIGHTS", tmp_path)
    info = shipped.MODELS[NAME]
    torch.save(models.build(info).state_dict(), info.weights)
    after = outputs(catalog.find(NAME).quantize(16))
    assert widths == [16, 16]
    assert any((after[name] != values).any() for name, values in before.items())


def test_a_network_needs_no_cache_that_can_be_written(widths, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LEPTON_CACHE", str(tmp_path / "file"))
    assert catalog.find(NAME).quantize(16).info["multiplier_width"] == "16"
    monkeypatch.setenv("LEPTON_CACHE", "/proc/nowhere")
    assert catalog.find(NAME).quantize(12).info["multiplier_width"] == "12"
    assert widths == [16, 12]


def test_the_cost_of_a_model_known_before_does_not_wait_for_pytorch(widths, tmp_path):
    catalog.find(NAME).quantize(16)
    code = (
        "import sys; from host.cli import execute; "
        f"assert execute(['cost', '{NAME}', '--json', 'cost.json']) == 0; "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True, stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "False"
