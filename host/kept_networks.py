"""Integers of the models that ship, kept in the cache by all that decides them.

To quantize takes the ten seconds in which PyTorch and torchao load; to read what came of it, none.
"""

import importlib.metadata
from pathlib import Path

from host import data, graph_file
from host.datasets import key_of
from host.qgraph import QGraph
from host.shipped import ModelInfo
from sim.cache import cached, digest
from sim.errors import CacheError

FILE = "network"
LIBRARIES = ("torch", "torchao", "numpy")


def integers(info: ModelInfo, width: int) -> QGraph:
    """The integer network of a model for requantizers of `width` bits."""

    def make(folder: Path) -> None:
        (folder / FILE).write_bytes(graph_file.content(_quantized(info, width)))

    try:
        return graph_file.load(cached("networks", _key(info, width), make) / FILE)
    except CacheError:
        # It needs no cache, only more time.
        return _quantized(info, width)


def _quantized(info: ModelInfo, width: int) -> QGraph:
    from host import models
    from host.quantization import quantize

    module, inputs = models.load(info.name), data.calibration(info.dataset)
    return quantize(module, inputs, multiplier_width=width, name=info.name)


def _key(info: ModelInfo, width: int) -> str:
    # Of the sources more than quantization reads: too many cost ten seconds, one too few a lie.
    sources = [path.read_text() for path in sorted(Path(__file__).parent.glob("*.py"))]
    inputs = (info.weights, data.samples(key_of(info.dataset), "train"))
    versions = [importlib.metadata.version(name) for name in LIBRARIES]
    return digest(
        info.name, str(width), *versions, *sources, *(path.read_bytes() for path in inputs)
    )
