"""Networks for benches: pytest's side writes them with what the reference says, cocotb's reads."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from host.program import Program
from host.qgraph import QGraph
from hw.config import Config


@dataclass(frozen=True)
class Network:
    """A program that sends every layer, its input, and what the reference says of every layer."""

    name: str
    program: Program
    images: np.ndarray
    """int8 (N, ...)."""
    expected: dict[str, np.ndarray]
    """int8 (N, ...) of each layer, in order."""


def write(
    folder: Path, name: str, graph: QGraph, config: Config, images: np.ndarray, batch: int = 1
) -> dict[str, Any]:
    """Compiles, runs the reference, returns what `read` wants; LeptonError if it does not fit."""
    # Here, lest the simulator's Python load PyTorch: that takes longer than most benches.
    from host.compiler import compile
    from host.integer_reference import reference

    program = compile(graph, config, batch=batch, layers=True)
    expected = reference(graph, images, layers=True)
    stem = folder / name.replace(" ", "-")
    program.save(stem.with_suffix(".lepton"))
    arrays = {f"layer_{i}": values for i, values in enumerate(expected.values())}
    arrays["images"] = graph.input.quantize(images)
    np.savez(stem.with_suffix(".npz"), allow_pickle=False, **arrays)
    return {"name": name, "stem": str(stem), "layers": list(expected)}


def case(
    networks: list[dict[str, Any]],
    *,
    stalls: tuple[str, str] = ("none", "none"),
    resets: int = 0,
    axi: bool = False,
) -> dict[str, Any]:
    """A case of the bench of the core: networks one after the other.

    `stalls` names the patterns of the input and the output; after each network come so many
    resets in mid-run; with `axi` the core's ports are those of AXI4-Stream.
    """
    return {"networks": networks, "stalls": stalls, "resets": resets, "axi": axi, "seed": 1}


def read(network: dict[str, Any]) -> Network:
    """What was written."""
    stem = Path(network["stem"])
    with np.load(stem.with_suffix(".npz")) as arrays:
        layers = {name: arrays[f"layer_{i}"] for i, name in enumerate(network["layers"])}
        images = arrays["images"]
    return Network(network["name"], Program.load(stem.with_suffix(".lepton")), images, layers)
