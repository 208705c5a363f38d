"""How scales are chosen: each method does what its name says."""

import numpy as np
import pytest
import torch
from torch import nn

from host.errors import LeptonError
from host.integer_reference import reference
from host.observers import SCHEMES, Scheme
from host.qgraph import Linear
from host.quantization import quantize


def network():
    """A Linear layer whose channels have weights of very different sizes."""
    torch.manual_seed(0)
    layer = nn.Linear(8, 4)
    with torch.no_grad():
        layer.weight *= torch.tensor([0.01, 0.1, 1.0, 10.0])[:, None]
    return nn.Sequential(layer).eval()


def quantized(module, scheme):
    """The one layer of the network."""
    layer = quantize(module, inputs(), scheme=scheme).layers[0]
    assert isinstance(layer, Linear)
    return layer


def inputs():
    """Values about zero, and one in 20,000 that is far away."""
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(5000, 8, generator=generator)
    values[1234, 5], values[4321, 2] = 300.0, -300.0
    return values


def test_a_channel_of_its_own_scale_uses_all_of_int8():
    assert np.abs(quantized(network(), Scheme("channel")).weight).max(1).tolist() == [127] * 4


def test_one_scale_for_all_channels_keeps_their_proportions():
    module = network()
    layer = quantized(module, Scheme("tensor"))
    weight, exact = layer.weight, module.get_parameter("0.weight").detach().numpy()
    step = np.abs(exact).max() / 127
    assert np.abs(weight * step - exact).max() <= step / 2 * 1.001
    for constants in (layer.requant.multiplier, layer.requant.shift):
        assert len(set(constants.tolist())) == 1


def step(method, values=None):
    graph = quantize(
        network(), inputs() if values is None else values, scheme=Scheme(calibration=method)
    )
    return graph.input.scale


def test_minmax_covers_everything_that_was_seen():
    assert step("minmax") == pytest.approx(600 / 255, rel=1e-5)


def test_percentile_leaves_out_what_is_rare():
    values = inputs().flatten()
    kept = values.abs().kthvalue(len(values) - 10).values
    assert step("percentile") < 2 * kept / 255 * 1.2


def test_percentile_of_values_without_outliers_is_nearly_all_of_them():
    even = torch.linspace(-1, 1, 8000).reshape(-1, 8)
    assert step("percentile", even) == pytest.approx(2 / 255, rel=2e-3)


def test_square_error_has_less_of_it_than_the_whole_range():
    def error(method):
        graph = quantize(network(), inputs(), scheme=Scheme(calibration=method))
        again = graph.input.dequantize(graph.input.quantize(inputs().numpy()))
        return float(np.square(again - inputs().numpy()).mean())

    # The outliers cost so much that a little clipping is all that pays.
    assert error("mse") <= error("minmax")


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_every_scheme_makes_a_network_close_to_the_float_one(scheme):
    torch.manual_seed(3)
    module = nn.Sequential(nn.Conv2d(2, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(80, 4)).eval()
    values = torch.rand(64, 2, 6, 6)
    found = reference(quantize(module, values, scheme=scheme), values)
    with torch.no_grad():
        wanted = module(values).numpy()
    assert np.abs(found - wanted).max() < 0.05 * np.ptp(wanted)


@pytest.mark.parametrize("fields", [{"weights": "row"}, {"calibration": "median"}], ids=str)
def test_an_unknown_scheme_is_refused_with_those_there_are(fields):
    (name, value) = next(iter(fields.items()))
    with pytest.raises(LeptonError, match=f"{name}='{value}' is none of"):
        Scheme(**fields)
