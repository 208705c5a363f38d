"""Quantization: the integer network says what the float one says, or the user is told why not."""

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from host.errors import LeptonError
from host.integer_reference import reference
from host.qgraph import AvgPool2d, Clamp, Conv2d, Flatten, Linear, MaxPool2d, QGraph, Window
from host.quantization import encode_factor, quantize
from host.quantizer import MAX_BIAS
from tests.host.networks import SIZES, random_network


def inputs(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(64, *shape, generator=torch.Generator().manual_seed(seed))


def seeded(build: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build().eval()


def chain(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers).eval()


def kinds(graph: QGraph) -> list[type]:
    return [type(layer) for layer in graph.layers]


def lenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(256, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )


@torch.no_grad()
def worst(module: nn.Module, x: Tensor, graph: QGraph | None = None) -> float:
    """The largest error of the integer logits, as a part of the range of the float ones."""
    expected = module(x).numpy()
    error = np.abs(reference(graph or quantize(module, x), x) - expected).max()
    return float(error / max(np.ptp(expected), 1e-6))


# What the float network says


def test_every_layer_is_close_to_its_float_output():
    module, x = seeded(lenet), inputs(1, 24, 24)
    graph = quantize(module, x, name="lenet")
    outputs = reference(graph, x, layers=True)
    assert list(outputs) == ["0", "2", "3", "5", "6", "7", "9"]
    # A ReLU is part of the layer before it.
    shows = {"0": 1, "2": 2, "3": 4, "5": 5, "6": 6, "7": 8, "9": 9}
    for layer in graph.layers:
        with torch.no_grad():
            expected = module[: shows[layer.name] + 1](x).numpy()  # type: ignore[index]
        error = np.abs(layer.output.dequantize(outputs[layer.name]) - expected)
        # What exceeds the range of the pooled output behind it was saturated.
        assert error.mean() < 1.5 * layer.output.scale, layer.name
        assert outputs[layer.name].shape[1:] == layer.output_shape


def test_class_decisions_agree():
    module, x = seeded(lenet), inputs(1, 24, 24)
    with torch.no_grad():
        expected = module(x).argmax(1).numpy()
    decided = reference(quantize(module, x), x).argmax(1)
    assert (decided == expected).mean() > 0.95


@pytest.mark.parametrize("seed", range(20))
def test_random_networks_are_legal_and_close(seed):
    module, x = random_network(seed, max_size="tiny")
    graph = quantize(module, x)
    assert graph.macs <= SIZES["tiny"].macs
    with torch.no_grad():
        expected = module(x).numpy()
    logits = reference(graph, x)
    assert logits.shape == expected.shape
    assert np.abs(logits - expected).mean() <= 0.04 * np.abs(expected).max() + 1e-6


def test_random_networks_are_the_same_for_a_seed():
    (first, x), (second, y) = random_network(5), random_network(5)
    assert torch.equal(x, y)
    assert torch.equal(first(x), second(y))


def test_the_module_is_not_changed():
    module = seeded(lambda: chain(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU()))
    x = inputs(1, 6, 6)
    before, state = module(x), {k: v.clone() for k, v in module.state_dict().items()}
    quantize(module, x)
    assert torch.equal(module(x), before)
    assert all(torch.equal(state[k], v) for k, v in module.state_dict().items())


def test_multiplier_width_bounds_the_multipliers():
    module, x = seeded(lenet), inputs(1, 24, 24)
    for width in (8, 16, 24):
        graph = quantize(module, x, multiplier_width=width)
        multiplier = graph.layers[0].requant.multiplier  # type: ignore[attr-defined]
        assert 2 ** (width - 1) <= multiplier.min() <= multiplier.max() < 2**width
    with pytest.raises(LeptonError, match="multiplier_width is 7; supported: 8 to 24"):
        quantize(module, x, multiplier_width=7)


# Layers, in any order


def test_weights_are_symmetric_per_channel_and_use_the_range():
    graph = quantize(seeded(lenet), inputs(1, 24, 24))
    for layer in graph.layers:
        if isinstance(layer, Conv2d | Linear):
            assert layer.weight.dtype == np.int8
            largest = np.abs(layer.weight.astype(int)).reshape(len(layer.weight), -1).max(1)
            assert (largest == 127).all()


CONV = nn.Conv2d(2, 3, 3)


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (chain(CONV, nn.ReLU(), nn.MaxPool2d(2)), [Conv2d, MaxPool2d]),
        (chain(CONV, nn.MaxPool2d(2), nn.ReLU()), [Conv2d, MaxPool2d]),
        (chain(CONV, nn.MaxPool2d(2), nn.Flatten(), nn.ReLU6()), [Conv2d, MaxPool2d, Flatten]),
        (chain(CONV, nn.ReLU(), nn.MaxPool2d(2), nn.ReLU6()), [Conv2d, MaxPool2d]),
        (chain(CONV, nn.AvgPool2d(2), nn.ReLU()), [Conv2d]),
        (chain(CONV, nn.ReLU(), nn.AvgPool2d(2)), [Conv2d, AvgPool2d]),
        (chain(CONV, nn.MaxPool2d(3), nn.AvgPool2d(2), nn.ReLU()), [Conv2d, MaxPool2d, AvgPool2d]),
        (chain(CONV, nn.AvgPool2d(2), nn.AvgPool2d(2)), [Conv2d, AvgPool2d]),
        (chain(CONV, nn.AvgPool2d(2, padding=1)), [Conv2d, AvgPool2d]),
        (chain(CONV, nn.AvgPool2d(5, 2)), [Conv2d, AvgPool2d]),
        (chain(nn.ReLU(), CONV), [Clamp, Conv2d]),
        (chain(nn.MaxPool2d(2), nn.ReLU6(), CONV), [MaxPool2d, Clamp, Conv2d]),
        (chain(nn.AvgPool2d(2), nn.ReLU(), CONV), [AvgPool2d, Conv2d]),
        (chain(nn.MaxPool2d(2), nn.MaxPool2d(3, 1), CONV), [MaxPool2d, MaxPool2d, Conv2d]),
        (chain(nn.Flatten(), nn.ReLU(), nn.Linear(242, 4)), [Flatten, Clamp, Linear]),
        (chain(nn.Flatten(), nn.Linear(242, 4), nn.Linear(4, 5)), [Flatten, Linear, Linear]),
        (chain(nn.Dropout(), CONV, nn.Identity(), nn.Dropout2d(), nn.ReLU()), [Conv2d]),
    ],
    ids=lambda value: (
        ",".join(type(m).__name__ for m in value.children()) if isinstance(value, nn.Module) else ""
    ),
)
def test_clamps_fold_in_any_order(module, expected):
    x = inputs(2, 11, 11)
    graph = quantize(module, x)
    assert kinds(graph) == expected
    assert worst(module, x, graph) < 0.03
    relus = [m for m in module.children() if isinstance(m, nn.ReLU | nn.ReLU6)]
    if relus and Clamp not in expected:
        # Nothing negative is left, so one of the requantizers cuts off at zero.
        requants = [layer.requant for layer in graph.layers if hasattr(layer, "requant")]  # type: ignore[attr-defined]
        assert any(requant.lo == requant.zero_point for requant in requants)


def test_relu6_bounds_the_integers():
    x = inputs(4) * 10
    graph = quantize(chain(nn.Linear(4, 3), nn.ReLU6()), x)
    (layer,) = graph.layers
    assert isinstance(layer, Linear)
    assert (layer.requant.lo, layer.requant.hi) == (-128, -128 + round(6 / layer.output.scale))
    assert reference(graph, x).max() == pytest.approx(6, rel=0.01)


def test_sum_pool_divides_by_its_window():
    x = inputs(2, 11, 11)
    module = seeded(lambda: chain(nn.Conv2d(2, 3, 3), nn.AvgPool2d((2, 3), (2, 1))))
    graph = quantize(module, x)
    (layer,) = graph.layers
    assert isinstance(layer, Conv2d)
    assert layer.sum_pool == Window((2, 3), (2, 1))
    assert layer.output_shape == (3, 4, 7)
    assert layer.conv_shape == (3, 9, 9)
    assert worst(module, x, graph) < 0.02


@pytest.mark.parametrize("padding", ["same", "valid", 0, 2, (1, 2)])
@pytest.mark.parametrize("kernel", [(3, 3), (2, 4), (1, 5)])
def test_convolution_paddings(kernel, padding):
    module = seeded(lambda: nn.Conv2d(2, 3, kernel, padding=padding))
    with torch.no_grad():
        assert worst(module, inputs(2, 7, 8)) < 0.02


@pytest.mark.parametrize(
    ("pool", "window"),
    [
        (nn.AdaptiveAvgPool2d(1), Window((8, 12), (1, 1))),
        (nn.AdaptiveAvgPool2d((4, 3)), Window((2, 4), (2, 4))),
        (nn.AdaptiveAvgPool2d((None, 3)), Window((1, 4), (1, 4))),
        (nn.AvgPool2d((8, 12)), Window((8, 12), (1, 1))),
        (nn.AvgPool2d((7, 3), (9, 4)), Window((7, 3), (2, 4))),
    ],
)
def test_average_pools_become_fixed_windows(pool, window):
    module, x = chain(pool), inputs(2, 8, 12)
    graph = quantize(module, x)
    (layer,) = graph.layers
    assert isinstance(layer, AvgPool2d)
    assert layer.window == window
    assert worst(module, x, graph) < 0.02


class Functional(nn.Module):
    """A chain that is not a Sequential, with the usual idioms."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))
        self.fc = nn.Linear(27, 27)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu_(self.features(x))
        x = functional.dropout(functional.max_pool2d(x, 2), training=self.training)
        x = functional.relu6(self.fc(x.view(x.size(0), -1)))
        return self.fc(x.clamp(min=0).contiguous())


def test_functional_calls_and_shared_layers():
    module, x = seeded(Functional), inputs(2, 8, 8)
    graph = quantize(module, x)
    assert [layer.name for layer in graph.layers] == [
        "features.0", "max_pool2d", "view", "fc", "fc_2",
    ]  # fmt: skip
    assert worst(module, x, graph) < 0.03


@pytest.mark.parametrize(
    "flatten",
    [
        lambda x: torch.flatten(x, 1),
        lambda x: x.view(-1, 18),
        lambda x: x.reshape(x.shape[0], -1),
        lambda x: x.flatten(1).flatten(1),
    ],
)
def test_idioms_of_flattening(flatten):
    class Flattening(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return flatten(x)

    graph = quantize(chain(Flattening(), nn.Linear(18, 3)), inputs(2, 3, 3))
    assert kinds(graph) == [Flatten, Linear]


# BatchNorm and awkward channels


def with_statistics(module: nn.Module) -> nn.Module:
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            assert part.running_mean is not None
            assert part.running_var is not None
            part.running_mean.normal_()
            part.running_var.uniform_(0.1, 4)
            if part.affine:
                nn.init.normal_(part.weight)
                nn.init.normal_(part.bias)
    return module


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (lambda: chain(nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6), nn.ReLU()), (2, 7, 7)),
        (
            lambda: chain(nn.Conv2d(2, 6, 2, padding="same", bias=False), nn.BatchNorm2d(6)),
            (2, 7, 7),
        ),
        (lambda: chain(nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6, affine=False)), (2, 7, 7)),
        (lambda: chain(nn.Linear(9, 6), nn.BatchNorm1d(6), nn.ReLU()), (9,)),
        (lambda: chain(nn.Linear(9, 6, bias=False), nn.Dropout(), nn.BatchNorm1d(6)), (9,)),
    ],
    ids=["conv", "same", "not affine", "linear", "dropout between"],
)
def test_batch_norm_folds(build, shape):
    module, x = seeded(lambda: with_statistics(build())), inputs(*shape)
    graph = quantize(module, x)
    assert len(graph.layers) == 1
    assert worst(module, x, graph) < 0.02


def test_batch_norm_behind_one_call_of_a_shared_layer_leaves_the_other():
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.norm = nn.Linear(5, 5), nn.BatchNorm1d(5)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.norm(self.fc(x)))

    module = seeded(lambda: with_statistics(Shared()))
    assert worst(module, inputs(5)) < 0.03


@torch.no_grad()
def test_dead_channels_keep_their_bias():
    module = seeded(lambda: nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 3)))
    module[0].weight[1] = 0  # type: ignore[index]
    module[0].bias[1] = 1.5  # type: ignore[index]
    assert worst(module, inputs(6)) < 0.02
    module[1].weight.zero_()  # type: ignore[index]
    graph = quantize(module, inputs(6))
    np.testing.assert_allclose(
        reference(graph, inputs(6))[0],
        module[1].bias,  # type: ignore[index]
        atol=graph.output.scale,
    )


@torch.no_grad()
def test_a_network_that_is_always_zero_quantizes():
    module = chain(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    module[0].bias -= 1e3  # type: ignore[index]
    module[2].bias.zero_()  # type: ignore[index]
    assert not reference(quantize(module, inputs(3)), inputs(3)).any()


@pytest.mark.parametrize("weight", [1e-12, 1e-7, 1e-3, 1.0])
@pytest.mark.parametrize("bias", [-1e6, 0.0, 3.0, 1e6])
@torch.no_grad()
def test_biases_fit_whatever_the_weights(weight, bias):
    module = seeded(lambda: chain(nn.Conv2d(2, 3, 3), nn.AvgPool2d(2), nn.ReLU()))
    module[0].weight[0] *= weight  # type: ignore[index]
    module[0].bias[0] = bias  # type: ignore[index]
    x = inputs(2, 8, 8)
    graph = quantize(module, x)
    (layer,) = graph.layers
    assert isinstance(layer, Conv2d)
    assert np.abs(layer.bias).max() * 4 <= MAX_BIAS + 4
    assert worst(module, x, graph) < 0.02


# What is refused

IMAGE, VECTOR = (2, 12, 12), (8,)


class Residual(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + functional.relu(x)


class Concat(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, functional.relu(x)], 1)


class Two(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = functional.relu(x)
        return y, functional.max_pool2d(y, 2)


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class TwoInputs(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


class AlwaysDropping(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(x, 0.5)


class Doubled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.fc.weight * 2)


REFUSED = [
    (nn.Conv2d(2, 2, 3, dilation=2), IMAGE, "layer '0': dilation is (2, 2); supported: 1"),
    (nn.Conv2d(2, 4, 3, groups=2), IMAGE, "layer '0': groups is 2; supported: 1 (a dense Conv2d"),
    (nn.Conv2d(2, 2, 3, stride=5), IMAGE, "layer '0': stride is (5, 5); supported: 1 to 4"),
    (nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"), IMAGE, "padding_mode='zeros'"),
    (nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"), IMAGE, "padding_mode='zeros'"),
    (
        nn.Conv2d(2, 2, 20),
        IMAGE,
        "torch.export cannot trace Sequential on inputs of (64, 2, 12, 12)",
    ),
    (nn.ConvTranspose2d(2, 2, 3), IMAGE, "layer '0': a transposed convolution is not supported"),
    (nn.MaxPool2d(5), IMAGE, "layer '0': the kernel is (5, 5); supported: up to 4"),
    (nn.MaxPool2d(2, ceil_mode=True), IMAGE, "layer '0': ceil_mode=True is not supported"),
    (nn.MaxPool2d(2, dilation=2), IMAGE, "layer '0': dilation is (2, 2)"),
    (nn.MaxPool2d(2, return_indices=True), IMAGE, "layer '0': return_indices=True"),
    (nn.AvgPool2d(2, ceil_mode=True), IMAGE, "layer '0': ceil_mode=True is not supported"),
    (nn.AvgPool2d(2, divisor_override=3), IMAGE, "layer '0': divisor_override is not supported"),
    (nn.AvgPool2d(2, padding=1, count_include_pad=False), IMAGE, "count_include_pad=True"),
    (nn.AvgPool2d(5), IMAGE, "layer '0': the stride is (5, 5); supported: 1 to 4"),
    (nn.AdaptiveAvgPool2d(5), IMAGE, "layer '0': AdaptiveAvgPool2d from (12, 12) to (5, 5)"),
    (
        nn.AdaptiveMaxPool2d(2),
        IMAGE,
        "layer '0': AdaptiveMaxPool2d is not supported; use MaxPool2d",
    ),
    (nn.Sigmoid(), IMAGE, "layer '0': sigmoid is not supported; leave it out"),
    (nn.Tanh(), VECTOR, "layer '0': tanh is not supported"),
    (nn.Softmax(1), VECTOR, "layer '0': softmax is not supported; leave it out"),
    (nn.LogSoftmax(1), VECTOR, "layer '0': log_softmax is not supported; leave it out"),
    (nn.GELU(), VECTOR, "layer '0': gelu is not supported; use ReLU or ReLU6"),
    (nn.LeakyReLU(), VECTOR, "layer '0': leaky_relu is not supported; use ReLU or ReLU6"),
    (nn.Hardtanh(), VECTOR, "layer '0': a clamp to [-1.0, 1.0] is not supported"),
    (nn.LayerNorm(8), VECTOR, "layer '0': layer_norm is not supported; use BatchNorm"),
    (nn.GroupNorm(1, 2), IMAGE, "layer '0': group_norm is not supported; use BatchNorm"),
    (nn.BatchNorm2d(2), IMAGE, "layer '0': BatchNorm must directly follow a Conv2d or Linear"),
    (nn.LSTM(8, 4), VECTOR, "layer '0': lstm is not supported; Lepton runs feed-forward"),
    (nn.PixelShuffle(1), IMAGE, "layer '0': pixel_shuffle is not supported; supported: Conv2d"),
    (nn.Linear(12, 3), IMAGE, "layer '0': its input is (2, 12, 12); a Linear takes vectors"),
    (nn.Unflatten(1, (2, 4)), VECTOR, "layer '0': reshaping (8,) to (2, 4) is not supported"),
    (nn.Flatten(0), IMAGE, "layer '0': reshaping"),
    (nn.Identity(), VECTOR, "the network does nothing"),
    (Residual(), IMAGE, "layer '0.add': add of tensors is not supported; Lepton runs a chain"),
    (Concat(), IMAGE, "layer '0.cat': cat of tensors is not supported; Lepton runs a chain"),
    (Two(), IMAGE, "forward() must return one tensor"),
    (Branching(), IMAGE, "torch.export cannot trace Sequential"),
    (AlwaysDropping(), IMAGE, "layer '0.dropout' drops values in eval mode too"),
    (Doubled(), VECTOR, "layer '0.linear': its weight is computed in forward()"),
]


@pytest.mark.parametrize(("module", "shape", "message"), REFUSED, ids=[r[2] for r in REFUSED])
def test_refused_with_one_sentence(module, shape, message):
    with pytest.raises(LeptonError) as caught:
        quantize(chain(module), inputs(*shape))
    text = str(caught.value)
    assert message in text
    assert "\n" not in text
    assert len(text) < 300


def test_a_second_input_is_refused():
    with pytest.raises(LeptonError, match=r"torch\.export cannot trace TwoInputs"):
        quantize(TwoInputs().eval(), inputs(*IMAGE))


@pytest.mark.parametrize(
    "module",
    [
        chain(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.BatchNorm2d(3)),
        chain(nn.Conv2d(2, 3, 3), nn.MaxPool2d(2), nn.BatchNorm2d(3)),
        chain(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.BatchNorm1d(300)),
    ],
)
def test_batch_norm_elsewhere_is_refused(module):
    with pytest.raises(LeptonError, match="layer '2': BatchNorm must directly follow"):
        quantize(module, inputs(*IMAGE))


def test_batch_norm_without_statistics_is_refused():
    module = chain(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3, track_running_stats=False))
    with pytest.raises(LeptonError, match="layer '1': BatchNorm without running statistics"):
        quantize(module, inputs(*IMAGE))


def test_training_mode_is_refused():
    module = nn.Sequential(nn.Linear(8, 2))
    with pytest.raises(LeptonError, match=r"the module is in training mode; call module.eval\(\)"):
        quantize(module, inputs(8))
    module.eval()
    module[0].train()
    with pytest.raises(LeptonError, match="layer '0' is in training mode"):
        quantize(module, inputs(8))


def test_other_parameters_are_refused():
    with pytest.raises(LeptonError, match=r"parameter '0\.weight' is torch\.float64"):
        quantize(chain(nn.Linear(8, 2)).double(), inputs(8))
    module = chain(nn.Linear(8, 2))
    nn.init.constant_(module[0].weight, float("nan"))  # type: ignore[index]
    with pytest.raises(LeptonError, match="layer '0': its weight holds NaN or infinity"):
        quantize(module, inputs(8))


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        (inputs(8).numpy(), "calibration is a ndarray; give a torch.Tensor"),
        (inputs(8).double(), "calibration is torch.float64; convert it with .float()"),
        (torch.zeros(4, 8, dtype=torch.int8), "calibration is torch.int8"),
        (torch.zeros(8), r"calibration has shape \(8,\); supported: \(N, C, H, W\) and \(N, F\)"),
        (torch.zeros(0, 8), r"calibration has shape \(0, 8\), without any value"),
        (torch.full((4, 8), float("nan")), "calibration holds NaN or infinity"),
        (torch.full((4, 8), float("inf")), "calibration holds NaN or infinity"),
        (torch.zeros(4, 8), "calibration holds only zeros"),
        (torch.ones(4, 7), "torch.export cannot trace Sequential on inputs of"),
    ],
)
def test_calibration_is_checked(calibration, message):
    with pytest.raises(LeptonError, match=message):
        quantize(chain(nn.Linear(8, 2)), calibration)


# Factors


def best_by_search(factor: float, width: int) -> tuple[int, int]:
    """The contract, word by word."""
    for shift in range(47, -1, -1):
        multiplier = round(Fraction(factor) * 2**shift)
        if multiplier < 2**width:
            return multiplier, shift
    raise AssertionError


@pytest.mark.parametrize("width", [8, 16, 24])
def test_factors_follow_the_contract(width):
    rng = np.random.default_rng(width)
    corners = [1.0, 0.5, 2.0**-47, 3 * 2.0**-48, 2.0**width - 1, 2.0 ** (width - 1) - 0.25]
    # Carries: rounds up to 2**width, so that one bit less is left.
    corners += [(2**width - 0.5) / 2**20, (2**width - 0.25) / 2**20, (2**width - 0.75) / 2**20]
    # Ties, to the even neighbour.
    corners += [(2**width - 1.5) / 2**20, (2**width - 2.5) / 2**20]
    factors = np.concatenate([corners, np.exp2(rng.uniform(-47, width - 1, 200))])
    multiplier, shift = encode_factor(factors, width)
    expected = [best_by_search(float(factor), width) for factor in factors]
    assert list(zip(multiplier.tolist(), shift.tolist(), strict=True)) == expected
    assert multiplier.dtype == shift.dtype == np.int64


@pytest.mark.parametrize(
    ("factor", "message"),
    [
        (0.0, "must be positive and finite"),
        (-1.0, "must be positive and finite"),
        (float("nan"), "must be positive and finite"),
        (float("inf"), "must be positive and finite"),
        (65536.0, "does not fit in 16 bits"),
        (65535.5, "does not fit in 16 bits"),
        (2.0**-48, "too small"),
        (1e-300, "too small"),
    ],
)
def test_factors_that_no_multiplier_makes_are_refused(factor, message):
    with pytest.raises(LeptonError, match=message):
        encode_factor([0.5, factor], 16)
