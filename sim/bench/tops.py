"""What is simulated besides the core: parts of it, side by side in one build, and its wrapper."""

from collections.abc import Mapping

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out, connect, flipped

from hw.array import Array
from hw.config import Config
from hw.requant import Requant
from hw.wrappers import AxiStream

ARRAYS = {
    "array_1x1": Config(rows=1, cols=1),
    "array_3x2": Config(rows=3, cols=2),
    "array_5x3_2_ports": Config(rows=5, cols=3, weight_ports=2, product_registers=2),
    "array_4x4_2_ports": Config(rows=4, cols=4, weight_ports=2),
}

REQUANTS = {
    "requant_32_16": Config(),
    "requant_24_12": Config(acc_width=24, multiplier_width=12),
    "requant_40_24": Config(acc_width=40, multiplier_width=24),
}

AXI = Config(
    rows=5,
    cols=3,
    weight_ports=2,
    requantizers=2,
    link_width=64,
    scratchpad_bytes=8192,
    weight_depth=4096,
)
"""Odd wherever it can be; with a link of 64 bits, so that half of the packets end with padding."""


class Parts(wiring.Component):
    """Components that have nothing to do with each other, each with its ports behind its name."""

    def __init__(self, parts: Mapping[str, Array | Requant]) -> None:
        self.parts = parts
        super().__init__({name: Out(part.signature) for name, part in parts.items()})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for name, part in self.parts.items():
            m.submodules[name] = part
            connect(m, flipped(getattr(self, name)), part)
        return m


def parts() -> Parts:
    """All arrays and requantizers."""
    arrays = {name: Array(cfg) for name, cfg in ARRAYS.items()}
    return Parts({**arrays, **{name: Requant(cfg) for name, cfg in REQUANTS.items()}})


def axi() -> AxiStream:
    """A small core behind AXI4-Stream."""
    return AxiStream(AXI)
