"""host/onnx_export.py: ONNX Runtime, which shares no code with us, agrees with the reference."""

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from host import data, shipped
from host.cli import execute
from host.errors import LeptonError
from host.integer_reference import reference
from host.onnx_export import BIAS_ROWS, INPUT, OUTPUT, export
from host.qgraph import Linear, QGraph, Quantization, Requant
from host.quantization import quantize
from tests.campaigns.opinion import Opinion, Second, ask
from tests.host.networks import random_network


@pytest.mark.parametrize("model", shipped.MODELS)
def test_onnx_runtime_agrees_on_the_shipped_images(model):
    opinion = ask(model, data.sample(model))
    assert opinion.images == 256
    assert opinion.output_largest <= 1
    assert opinion.layer_largest <= 1
    assert opinion.alone_largest <= 1
    assert opinion.unexplained == 0, opinion
    # Twice what the worst model has, 32 of 2,174,464 bytes.
    assert opinion.layer_different <= 3e-5 * opinion.layer_bytes
    assert opinion.predictions_different == 0


@pytest.mark.parametrize("first", range(0, 30, 15), ids="seeds={}...".format)
def test_each_layer_of_a_random_network_differs_only_where_float32_rounds(first):
    total = Opinion()
    for seed in range(first, first + 15):
        module, inputs = random_network(seed)
        opinion = Second(quantize(module, inputs)).ask(inputs.numpy())
        assert opinion.unexplained == 0, f"random_network({seed}): {opinion}"
        assert opinion.alone_largest <= 1, f"random_network({seed}): {opinion}"
        total.add(opinion)
    assert total.layer_bytes > 10_000
    assert total.alone_different <= 1e-4 * total.layer_bytes, total


def linear(bias: list[int], zero_point: int) -> QGraph:
    rng = np.random.default_rng(1)
    channels = len(bias)
    layer = Linear(
        name="fc", input_shape=(5,), output_shape=(channels,), output=Quantization(0.5, 3),
        weight=rng.integers(-127, 128, (channels, 5)).astype(np.int8), bias=np.array(bias),
        requant=Requant(np.full(channels, 40_000), np.full(channels, 24), 3),
    )  # fmt: skip
    return QGraph(input=Quantization(0.25, zero_point), input_shape=(5,), layers=(layer,))


@pytest.mark.parametrize("zero_point", [-128, -1, 0, 1, 127])
def test_a_linear_keeps_its_bias_though_qlinearmatmul_has_none(zero_point):
    graph = linear([0, 1, -1, 63, -64, 16_129, -40_000, 100_000], zero_point)
    images = graph.input.dequantize(np.random.default_rng(2).integers(-128, 128, (200, 5), np.int8))
    opinion = Second(graph).ask(images)
    assert opinion.unexplained == 0
    assert opinion.layer_largest <= 1
    assert opinion.layer_different <= 2
    assert len(np.unique(reference(graph, images, dequantize=False))) > 20


def test_a_bias_that_would_need_too_many_weights_is_refused():
    limit = 127 * 127 * BIAS_ROWS
    export(linear([limit, 0], 0))
    with pytest.raises(LeptonError, match=r"layer 'fc': its bias of .* QLinearMatMul has no bias"):
        export(linear([limit + 127, 0], 0))


def test_a_sum_of_accumulators_is_exact():
    torch.manual_seed(3)
    module = nn.Sequential(nn.Conv2d(2, 5, 3, padding=1), nn.AvgPool2d((2, 3), (2, 1))).eval()
    images = torch.randn(20, 2, 9, 8)
    graph = quantize(module, images)
    assert graph.layers[0].sum_pool is not None  # type: ignore[attr-defined]
    opinion = Second(graph).ask(images.numpy())
    assert opinion.alone_different == 0
    assert opinion.layer_bytes == 20 * 5 * 4 * 6


def test_the_command_writes_a_network_of_any_batch(tmp_path, capsys):
    file = tmp_path / "lenet.onnx"
    assert execute(["export", "lenet5-mnist", "--out", str(file)]) == 0
    assert "lenet.onnx: 8 layers" in capsys.readouterr().out.replace("\n", "")
    model = onnx.load(file)
    assert [i.name for i in model.graph.input] == [INPUT]
    assert [o.name for o in model.graph.output] == [OUTPUT]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"
    kinds = {node.op_type for node in model.graph.node}
    assert {"QLinearConv", "QLinearMatMul", "MaxPool"} <= kinds


def test_an_unknown_model_is_refused_by_the_command(tmp_path, capsys):
    assert execute(["export", "lenet", "--out", str(tmp_path / "x.onnx")]) == 2
    assert "lenet5-mnist" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
