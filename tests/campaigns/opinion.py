"""A second opinion: ONNX Runtime on the exported networks against the integer reference.

End to end, every byte of every layer; then each layer by itself, on the input that the reference
gives it, where every byte that differs must lie as near to a rounding boundary as float32 is exact.
"""

import argparse
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import numpy as np
import onnxruntime
import torch
from torch.nn import functional

from host import data, models
from host.integer_reference import reference
from host.onnx_export import INPUT, export
from host.qgraph import AvgPool2d, Conv2d, Layer, Linear, QGraph, Quantization
from host.quantization import quantize
from tests.campaigns import records

CHUNK = 250

MARGIN = 2.0**-21
"""Of the value: ONNX Runtime rounds the scale of the weights, its product with the input's, the
quotient by the output's, the accumulator and the product, each to 2**-24 of itself."""


@dataclass
class Opinion:
    """Counts of bytes, unless they say otherwise."""

    images: int = 0
    layer_bytes: int = 0
    layer_different: int = 0
    layer_largest: int = 0
    """Largest difference of a byte of any layer, end to end."""
    output_bytes: int = 0
    output_different: int = 0
    output_largest: int = 0
    predictions_different: int = 0
    """Images of which the largest logit is another one."""
    alone_different: int = 0
    """Of layers by themselves, on equal input."""
    alone_largest: int = 0
    ties: int = 0
    """Of these: the exact result lies at a half, which the reference rounds to even."""
    near: int = 0
    """Of these: it lies within `MARGIN` of a half."""
    unexplained: int = 0

    def add(self, other: "Opinion") -> None:
        for name, value in asdict(other).items():
            mine = getattr(self, name)
            joined = max(mine, value) if name.endswith("largest") else mine + value
            setattr(self, name, joined)


class Runtime:
    """ONNX Runtime on an exported network."""

    def __init__(self, graph: QGraph) -> None:
        self.names = [layer.name for layer in graph.layers]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        model = export(graph, layers=True).SerializeToString()
        self.session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """The int8 output of every layer for float images."""
        found = cast(list[np.ndarray], self.session.run(self.names, {INPUT: images}))
        return dict(zip(self.names, found, strict=True))


class Second:
    """Asks ONNX Runtime about one network, whole and layer by layer."""

    def __init__(self, graph: QGraph) -> None:
        self.graph = graph
        self.whole = Runtime(graph)
        self.alone = [
            Runtime(QGraph(input=before, input_shape=layer.input_shape, layers=(layer,)))
            for before, layer in graph
        ]

    def ask(self, images: np.ndarray) -> Opinion:
        """Compares all layers for float images (N, ...)."""
        expected = reference(self.graph, images, layers=True)
        found = self.whole.run(images.astype(np.float32))
        opinion = Opinion(images=len(images))
        for name, right in expected.items():
            away = np.abs(found[name].astype(int) - right)
            opinion.layer_bytes += away.size
            opinion.layer_different += int(np.count_nonzero(away))
            opinion.layer_largest = max(opinion.layer_largest, int(away.max()))
        last = self.graph.layers[-1].name
        away = np.abs(found[last].astype(int) - expected[last])
        opinion.output_bytes = away.size
        opinion.output_different = int(np.count_nonzero(away))
        opinion.output_largest = int(away.max())
        flat = [values[last].reshape(len(images), -1).argmax(1) for values in (found, expected)]
        opinion.predictions_different = int(np.count_nonzero(flat[0] != flat[1]))
        source = self.graph.input.quantize(images)
        for (before, layer), alone in zip(self.graph, self.alone, strict=True):
            got = alone.run(before.dequantize(source))[layer.name]
            self._explain(opinion, layer, before, source, got, expected[layer.name])
            source = expected[layer.name]
        return opinion

    def _explain(
        self, opinion: Opinion, layer: Layer, before: Quantization, source: np.ndarray,
        got: np.ndarray, right: np.ndarray,
    ) -> None:  # fmt: skip
        away = np.abs(got.astype(int) - right)
        where = np.argwhere(away)
        opinion.alone_different += len(where)
        opinion.alone_largest = max(opinion.alone_largest, int(away.max(initial=0)))
        if not len(where):
            return
        exact = scaled(layer, source.astype(np.int64) - before.zero_point)
        for at in where:
            if exact is None:
                opinion.unexplained += 1
                continue
            value = exact[tuple(at)]
            distance = abs(value - (np.floor(value) + 0.5))
            if distance == 0:
                opinion.ties += 1
            elif distance <= abs(value) * MARGIN:
                opinion.near += 1
            else:
                opinion.unexplained += 1


def scaled(layer: Layer, x: np.ndarray) -> np.ndarray | None:
    """What a layer rounds, in float64, which holds it exactly; None for one that rounds nothing."""
    values = torch.from_numpy(x).double()
    if isinstance(layer, Linear):
        sums = values @ torch.from_numpy(layer.weight).double().T + torch.from_numpy(layer.bias)
    elif isinstance(layer, Conv2d | AvgPool2d):
        top, bottom, left, right = layer.padding
        values = functional.pad(values, (left, right, top, bottom))
        if isinstance(layer, Conv2d):
            weight, bias = (torch.from_numpy(v).double() for v in (layer.weight, layer.bias))
            sums = functional.conv2d(values, weight, bias, layer.stride)
            window = layer.sum_pool
        else:
            sums, window = values, layer.window
        if window is not None:
            (ky, kx), (sy, sx) = window.kernel, window.stride
            sums = sums.unfold(2, ky, sy).unfold(3, kx, sx).sum((-1, -2))
    else:
        return None
    per_channel = (-1, *[1] * (x.ndim - 2))
    factor = np.ldexp(layer.requant.multiplier.astype(np.float64), -layer.requant.shift)
    return sums.numpy() * factor.reshape(per_channel)


def chunks(images: np.ndarray) -> Iterator[np.ndarray]:
    """Images in pieces that fit any memory."""
    return (images[i : i + CHUNK] for i in range(0, len(images), CHUNK))


def ask(name: str, pixels: np.ndarray) -> Opinion:
    """The opinion on a shipped model, for images as uint8 (N, C, H, W)."""
    second = Second(quantize(models.load(name), data.calibration(name), name=name))
    total = Opinion()
    for part in chunks(pixels):
        total.add(second.ask(data.normalize(part, name).numpy()))
    return total


def main() -> None:
    """Asks about all shipped models, on the whole test sets where a folder has them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", action="append", type=Path, default=[], help="folder of a data set (repeatable)"
    )
    folders = parser.parse_args().data
    rows = []
    for name, info in models.MODELS.items():
        images, source = data.sample(name), "shipped"
        for folder in [*folders, None]:
            try:
                images = data.load(info.dataset, "test", folder) if folder else images
            except data.LeptonError:
                continue
            source = "test set" if folder else source
            break
        opinion = ask(name, images.pixels)
        print(f"{name}, {source}: {opinion}")
        rows.append({"model": name, "source": source, **asdict(opinion)})
    found = {"onnxruntime": onnxruntime.__version__, "models": rows}
    command = " ".join(["make opinion", *(f"--data {f}" for f in folders)])
    records.write("onnx", command, found)


if __name__ == "__main__":
    main()
