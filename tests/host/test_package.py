"""`import host`: the Python interface of the README."""

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import host
from hw.config import named

ROOT = Path(__file__).parents[2]


def test_import_is_quick_because_pytorch_waits():
    code = "import sys, host; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("name", host.__all__)
def test_every_name_stays_what_it_is_whatever_is_imported(name):
    value = getattr(host, name)
    for module in pkgutil.iter_modules(host.__path__):
        assert module.name not in host.__all__
        if module.name != "docs":
            importlib.import_module(f"host.{module.name}")
    assert getattr(host, name) is value
    assert callable(value)
    assert name in dir(host)


def test_unknown_names_are_refused_as_python_does():
    with pytest.raises(AttributeError, match="module 'host' has no attribute 'quantise'"):
        host.quantise  # noqa: B018


def test_module_goes_all_the_way_to_equal_logits(tmp_path):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3)).eval()
    images = torch.randn(5, 1, 6, 6)
    qgraph = host.quantize(module, torch.randn(32, 1, 6, 6))
    host.compile(qgraph, named("tiny")).save(tmp_path / "program")
    program = host.Program.load(tmp_path / "program")
    with host.Session(program, target="sim") as session:
        logits = session.run(images.numpy())
        int8 = session.run(images.numpy(), dequantize=False)
        assert session.counters is not None
        assert session.counters.cycles > 0
    np.testing.assert_array_equal(logits, host.reference(qgraph, images))
    np.testing.assert_array_equal(int8, host.reference(qgraph, images, dequantize=False))
