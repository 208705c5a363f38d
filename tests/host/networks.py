"""Random legal networks, for tests that demand equality on whatever the user may bring."""

from collections import OrderedDict
from dataclasses import dataclass, field
from functools import cache
from math import prod
from random import Random

import torch
from torch import Tensor, nn

from host.capture import quiet
from host.qgraph import QGraph
from host.quantization import quantize


@dataclass(frozen=True)
class Size:
    """The largest network that may be drawn."""

    side: int
    channels: int
    features: int
    macs: int
    """Of the whole network, an average pool counted as the convolution it becomes."""


SIZES = {
    "tiny": Size(side=6, channels=4, features=12, macs=4_000),
    "small": Size(side=14, channels=12, features=60, macs=200_000),
    "medium": Size(side=32, channels=32, features=256, macs=4_000_000),
}


def random_network(seed: int, *, max_size: str = "small") -> tuple[nn.Module, Tensor]:
    """A network in eval mode and 24 inputs that calibrate it; the same ones for a seed, always.

    One in six is an MLP of 1 to 4 Linear layers; the others draw 1 to 6 layers on feature maps
    with odd and even sides and 1 channel or more, then mostly Flatten and 1 to 3 Linear layers:

    * Conv2d: kernel 1 to 5 and stride 1 to 4, each way; padding none, up to the kernel, "same" or
      "valid"; with or without bias; a third with BatchNorm2d (running statistics drawn, too).
    * MaxPool2d: kernel and stride 1 to 4 each way, so windows overlap or leave gaps, and padding.
    * AvgPool2d: the same, often straight behind a Conv2d; or with a kernel up to the whole map; or
      an even AdaptiveAvgPool2d.
    * ReLU, ReLU6, Dropout, Identity: anywhere, also first, last, doubled, around Flatten.
    * Linear: with or without bias, a fifth with BatchNorm1d.

    Some channels have weights of zeros, some biases are large, and inputs lie around zero, on one
    side of it, or far from it, at scales from 0.02 to 50.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        builder = _Builder(Random(seed), SIZES[max_size])
        shape = builder.build()
        module = nn.Sequential(OrderedDict(builder.layers)).eval()
        _randomize(module, builder.random)
        return module, _inputs(shape, builder.random)


@cache
def quantized_network(seed: int) -> tuple[QGraph, Tensor]:
    """A random network as integers, and its inputs: quantized once for all cores that run it."""
    module, inputs = random_network(seed)
    return quantize(module, inputs), inputs


@dataclass
class _Builder:
    random: Random
    size: Size
    layers: list[tuple[str, nn.Module]] = field(default_factory=list)
    shape: tuple[int, ...] = ()
    macs: int = 0

    def build(self) -> tuple[int, ...]:
        """Draw all layers; returns the shape of an input."""
        random, size = self.random, self.size
        if random.random() < 1 / 6:
            source = self.shape = (random.randint(1, size.features),)
            self.linears(random.randint(1, 4))
            return source
        source = self.shape = (
            random.randint(1, min(4, size.channels)),
            random.randint(3, size.side),
            random.randint(3, size.side),
        )
        self.feature_layers(random.randint(1, 6))
        if random.random() < 0.8:
            self.add("flat", nn.Flatten())
            self.linears(random.randint(0, 3))
        if not any(isinstance(layer, _RUNS) for _, layer in self.layers):
            self.add("relu", nn.ReLU())
        return source

    def add(self, kind: str, layer: nn.Module, macs: int = 0) -> bool:
        """Append a layer unless it does not fit: into the map, or into what the size allows."""
        try:
            # PyTorch warns of even kernels with padding="same", once in a process: here.
            with quiet(), torch.no_grad():
                output = layer.eval()(torch.zeros(1, *self.shape))
        except RuntimeError:
            return False
        shape = tuple(output.shape[1:])
        # `macs` is the work for one position of the output.
        work = macs * prod(shape[1:])
        if not prod(shape) or self.macs + work > self.size.macs or max(shape[1:], default=0) > 40:
            return False
        self.macs, self.shape = self.macs + work, shape
        self.layers.append((f"{kind}{len(self.layers)}", layer))
        return True

    def feature_layers(self, count: int) -> None:
        kinds = [self.conv, self.conv, self.conv_sum, self.max_pool, self.avg_pool]
        for _ in range(count):
            self.random.choice(kinds)()
            self.activation(0.45)

    def linears(self, count: int) -> None:
        self.activation(0.1)
        for _ in range(count):
            outputs = self.random.randint(1, self.size.features)
            (inputs,) = self.shape
            bias = self.random.random() < 0.8
            if self.add("fc", nn.Linear(inputs, outputs, bias), inputs * outputs):
                if self.random.random() < 0.2:
                    self.add("norm", nn.BatchNorm1d(outputs))
                self.activation(0.6)

    def activation(self, chance: float) -> None:
        random = self.random
        if random.random() < 0.1:
            self.add("nothing", random.choice([nn.Dropout(), nn.Identity()]))
        while random.random() < chance:
            self.add("relu", random.choice([nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU6()]))
            chance = 0.1

    def pair(self, lowest: int, highest: int) -> tuple[int, int]:
        """Two sizes, equal in half of the draws."""
        first = self.random.randint(lowest, highest)
        return first, self.random.choice([first, self.random.randint(lowest, highest)])

    def conv(self) -> None:
        random, channels = self.random, self.shape[0]
        kernel, outputs = self.pair(1, 5), random.randint(1, self.size.channels)
        stride = self.pair(1, random.choice([1, 1, 2, 4]))
        padding = random.choice([(0, 0), "valid", "same", self.pair(0, max(kernel))])
        if padding == "same":
            stride = (1, 1)
        bias = random.random() < 0.8
        layer = nn.Conv2d(channels, outputs, kernel, stride, padding, bias=bias)
        if self.add("conv", layer, channels * outputs * prod(kernel)) and random.random() < 0.33:
            self.add("norm", nn.BatchNorm2d(outputs))

    def conv_sum(self) -> None:
        """An average straight behind a convolution: the hardware adds its accumulators."""
        self.conv()
        kernel = self.pair(1, 3)
        self.add("avg", nn.AvgPool2d(kernel, self.random.choice([kernel, self.pair(1, 4)])))

    def max_pool(self) -> None:
        kernel, stride = self.pair(1, 4), self.pair(1, 4)
        padding = (
            self.random.randint(0, kernel[0] // 2),
            self.random.randint(0, kernel[1] // 2),
        )
        drawn = nn.MaxPool2d(kernel, stride, self.random.choice([(0, 0), padding]))
        self.add("pool", self.random.choice([nn.MaxPool2d(2), drawn, drawn]))

    def avg_pool(self) -> None:
        random, (channels, height, width) = self.random, self.shape
        kernel = self.pair(1, 4)
        padding = (random.randint(0, kernel[0] // 2), random.randint(0, kernel[1] // 2))
        divisors = [[n for n in (1, 2, 3, 4) if side % n == 0] for side in (height, width)]
        # A step of an adaptive pool is its window, which a convolution must be able to make.
        rows, columns = (
            random.choice([n for n in options if n == 1 or side // n <= 4])
            for options, side in zip(divisors, (height, width), strict=True)
        )
        layer, window = random.choice(
            [
                (nn.AvgPool2d(2), 4),
                (nn.AvgPool2d(kernel, self.pair(1, 4)), prod(kernel)),
                (nn.AvgPool2d(kernel, self.pair(1, 4), padding), prod(kernel)),
                (nn.AvgPool2d((height, width)), height * width),
                (nn.AvgPool2d((max(1, height - 1), width), self.pair(1, 4)), height * width),
                (nn.AdaptiveAvgPool2d((rows, columns)), height * width // (rows * columns)),
            ]
        )
        self.add("avg", layer, channels * channels * window)


_RUNS = (nn.Conv2d, nn.Linear, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.ReLU, nn.ReLU6)


@torch.no_grad()
def _randomize(module: nn.Module, random: Random) -> None:
    """Weights, biases and running statistics beyond PyTorch's tame ones."""
    for layer in module:  # type: ignore[attr-defined]
        if isinstance(layer, nn.Conv2d | nn.Linear):
            channels = len(layer.weight)
            layer.weight *= torch.empty(channels, *[1] * (layer.weight.ndim - 1)).uniform_(0.3, 3)
            if random.random() < 0.15:
                layer.weight[random.randrange(channels)] = 0
            if layer.bias is not None and random.random() < 0.2:
                layer.bias.mul_(random.choice([0.0, 10.0, 100.0]))
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            layer.running_mean.normal_(0, 0.5)
            layer.running_var.uniform_(0.2, 3)
            # Negative gains, too.
            layer.weight.normal_(0.7, 0.7)
            layer.bias.normal_(0, 0.5)


def _inputs(shape: tuple[int, ...], random: Random) -> Tensor:
    values = torch.randn(24, *shape)
    kind = random.choice(["around", "around", "positive", "negative", "far"])
    if kind == "positive":
        values = values.abs()
    elif kind == "negative":
        values = -values.abs()
    elif kind == "far":
        values = values + random.choice([-5.0, 5.0])
    return values * 10 ** random.uniform(-1.7, 1.7)
