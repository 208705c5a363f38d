"""What the name of a model on the command line stands for: a shipped one, or a compressed one."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from host import data, graph_file, models
from host.errors import LeptonError
from host.qgraph import QGraph
from host.quantization import quantize

INFO, WEIGHTS, NETWORK = "model.json", "model.pt", "model.qgraph"
"""Files of a compressed model: how it came about, its float weights, its integers."""
VERSION = 1
"""Of ``model.json``."""


@dataclass(frozen=True)
class Source:
    """A model that can be run: its float module and its integers."""

    name: str
    base: str
    """The entry of `models.MODELS` that it is, or came from."""
    dataset: str
    module: nn.Module
    """In eval mode."""
    quantize: Callable[[int], QGraph]
    """The integer network for requantizers of so many bits."""

    def check_dataset(self, dataset: str | None) -> None:
        """Refuses another data set than the model's; None is no wish."""
        if dataset not in (None, self.dataset):
            raise LeptonError(f"{self.name} is for the dataset {self.dataset}, not {dataset!r}")


def variants() -> dict[str, Path]:
    """Folders of the compressed models that ship, by name."""
    return {path.parent.name: path.parent for path in sorted(models.WEIGHTS.glob(f"*/{INFO}"))}


def names() -> tuple[str, ...]:
    """All models that ship: the trained ones, then those compressed from them."""
    return (*models.MODELS, *variants())


def variants_of(name: str) -> tuple[str, ...]:
    """The shipped models that were compressed from that one."""
    return tuple(n for n, folder in variants().items() if read_info(folder)["base"] == name)


def accuracy(name: str) -> float | None:
    """Of a model on the test images, as noted when it was made; None where nothing was."""
    if name in models.MODELS:
        path = models.WEIGHTS / f"{name}.json"
        return json.loads(path.read_text()).get("test_accuracy") if path.exists() else None
    rows = read_info(variants().get(name, Path(name))).get("rows") or [{}]
    return rows[-1].get("accuracy")


def find(name: str) -> Source:
    """The model of that name, or in that folder; LeptonError for neither."""
    if name in variants():
        return _saved(variants()[name], name)
    if name not in models.MODELS and Path(name).is_dir():
        return _saved(Path(name), name)
    if name not in models.MODELS:
        raise LeptonError(
            f"no model is called {name!r}; there are {', '.join(names())}, and the folders "
            "that `lepton compress` writes"
        )
    module, dataset = models.load(name), models.MODELS[name].dataset
    return Source(
        name, name, dataset, module,
        lambda width: quantize(
            module, data.calibration(dataset), multiplier_width=width, name=name
        ),
    )  # fmt: skip


def _saved(folder: Path, name: str) -> Source:
    info = read_info(folder)
    base = info["base"]
    if base not in models.MODELS:
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

    module = models.load(base, folder / WEIGHTS, resize=True)
    return Source(name, base, models.MODELS[base].dataset, module, integers)


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
