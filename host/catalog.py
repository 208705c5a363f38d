"""What the name of a model on the command line stands for: a shipped one, or a compressed one."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from host import graph_file, kept_networks, shipped
from host.errors import LeptonError
from host.qgraph import QGraph

if TYPE_CHECKING:
    from torch import nn

INFO, WEIGHTS, NETWORK = "model.json", "model.pt", "model.qgraph"
"""Files of a compressed model: how it came about, its float weights, its integers."""
VERSION = 1
"""Of ``model.json``."""


@dataclass(frozen=True)
class Source:
    """A model that can be run: its float module and its integers."""

    name: str
    base: str
    """The entry of `shipped.MODELS` that it is, or came from."""
    dataset: str
    weights: Path
    """Of the float module."""
    quantize: Callable[[int], QGraph]
    """The integer network for requantizers of so many bits."""

    @cached_property
    def module(self) -> "nn.Module":
        """The float module in eval mode, with the widths that its weights have."""
        from host import models

        return models.load(self.base, self.weights, resize=True)

    def check_dataset(self, dataset: str | None) -> None:
        """Refuses another data set than the model's; None is no wish."""
        if dataset not in (None, self.dataset):
            raise LeptonError(f"{self.name} is for the dataset {self.dataset}, not {dataset!r}")


def variants() -> dict[str, Path]:
    """Folders of the compressed models that ship, by name."""
    return {path.parent.name: path.parent for path in sorted(shipped.WEIGHTS.glob(f"*/{INFO}"))}


def names() -> tuple[str, ...]:
    """All models that ship: the trained ones, then those compressed from them."""
    return (*shipped.MODELS, *variants())


def variants_of(name: str) -> tuple[str, ...]:
    """The shipped models that were compressed from that one."""
    return tuple(n for n, folder in variants().items() if read_info(folder)["base"] == name)


def accuracy(name: str) -> float | None:
    """Of a model on the test images, as noted when it was made; None where nothing was."""
    if name in shipped.MODELS:
        path = shipped.WEIGHTS / f"{name}.json"
        return json.loads(path.read_text()).get("test_accuracy") if path.exists() else None
    rows = read_info(variants().get(name, Path(name))).get("rows") or [{}]
    return rows[-1].get("accuracy")


def find(name: str) -> Source:
    """The model of that name, or in that folder; LeptonError for neither."""
    if name in variants():
        return _saved(variants()[name], name)
    if name not in shipped.MODELS and Path(name).is_dir():
        return _saved(Path(name), name)
    if name not in shipped.MODELS:
        raise LeptonError(
            f"no model is called {name!r}; there are {', '.join(names())}, and the folders "
            "that `lepton compress` writes"
        )
    info = shipped.MODELS[name]
    return Source(
        name, name, info.dataset, info.weights, lambda width: kept_networks.integers(info, width)
    )


def _saved(folder: Path, name: str) -> Source:
    info = read_info(folder)
    base = info["base"]
    if base not in shipped.MODELS:
        raise LeptonError(f"{folder}: made from {base!r}, which is no model of this version")
    graph = graph_file.load(folder / NETWORK)
    made_for = int(graph.info["multiplier_width"])

    def integers(width: int) -> QGraph:
        if width < made_for:
            raise LeptonError(
                f"{name} was quantized for multipliers of {made_for} bits and the hardware has "
                f"multiplier_width={width}; compress it again for that configuration"
            )
        return graph

    return Source(name, base, shipped.MODELS[base].dataset, folder / WEIGHTS, integers)


def read_info(folder: Path) -> dict[str, Any]:
    """``model.json`` of a compressed model; LeptonError for another version, or what is none."""
    try:
        info = json.loads((folder / INFO).read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise LeptonError(
            f"{folder} is no compressed model: {INFO} cannot be read ({error}); "
            "`lepton compress` writes such folders"
        ) from error
    if not isinstance(info, dict) or info.get("version") != VERSION or "base" not in info:
        raise LeptonError(f"{folder / INFO} is of another version; compress the model again")
    return info
