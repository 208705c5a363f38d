"""A second opinion: ONNX Runtime on the exported networks against the integer reference.

End to end, every byte of every layer; then each layer by itself, on the input that the reference
gives it, where every byte that differs must lie as near to a rounding boundary as float32 is exact.
"""

import argparse
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import numpy as np
import onnxruntime
import torch
from torch.nn import functional

from host import data, models, shipped
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
    right: int = 0
    """Images that the reference classifies as their labels say, where labels are given."""
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

    def ask(self, images: np.ndarray, labels: np.ndarray | None = None) -> Opinion:
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
        if labels is not None:
            opinion.right = int(np.count_nonzero(flat[1] == labels))
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


def ask(name: str, images: data.Images) -> Opinion:
    """The opinion on a shipped model, for images of its data set."""
    second = Second(quantize(models.load(name), data.calibration(name), name=name))
    total = Opinion()
    # In pieces that fit any memory.
    for i in range(0, len(images.pixels), CHUNK):
        part = slice(i, i + CHUNK)
        pixels = data.normalize(images.pixels[part], name).numpy()
        total.add(second.ask(pixels, np.asarray(images.labels[part])))
    return total


def folder_of(text: str) -> tuple[str, Path]:
    """``mnist=FOLDER``: by name, since MNIST and Fashion-MNIST have files of the same names."""
    name, equal, folder = text.partition("=")
    names = [info.dataset for info in shipped.MODELS.values()]
    if not equal or name not in names:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FOLDER; names are {names}")
    return name, Path(folder)


def main() -> None:
    """Asks about all shipped models, on the whole test sets where a folder has them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", action="append", type=folder_of, default=[],
        help="NAME=FOLDER of a whole data set (repeatable)",
    )  # fmt: skip
    folders, start = dict(parser.parse_args().data), time.monotonic()
    rows = []
    for name, info in shipped.MODELS.items():
        images, source = data.sample(name), "the repository"
        if info.dataset in folders:
            images, source = data.load(info.dataset, "test", folders[info.dataset]), "test set"
        opinion = ask(name, images)
        print(f"{name}, {source}: {opinion}")
        rows.append({"model": name, "source": source, **asdict(opinion)})
    found = {"onnxruntime": onnxruntime.__version__, "models": rows}
    # Where the folders of a machine lie is nobody else's.
    chosen = " ".join(f"{name}=FOLDER" for name in folders)
    command = f'make opinion DATA="{chosen}"' if folders else "make opinion"
    found["seconds"] = round(time.monotonic() - start)
    records.write("onnx", command, found)


if __name__ == "__main__":
    main()
