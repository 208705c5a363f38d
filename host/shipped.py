"""The trained models that ship: their names, their datasets, where their weights are.

Without PyTorch, which takes seconds to load: what only asks for a name need not wait for it.
"""

from dataclasses import dataclass
from pathlib import Path

from host.errors import LeptonError

WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class ModelInfo:
    """One architecture trained on one dataset."""

    name: str
    dataset: str
    architecture: str
    """The name that ``lepton train`` takes together with ``--dataset``; `host.models` builds it."""
    input_shape: tuple[int, int, int]
    summary: str

    @property
    def weights(self) -> Path:
        """The state dict in the repository; a JSON file of the same name says what made it."""
        return WEIGHTS / f"{self.name}.pt"


MODELS: dict[str, ModelInfo] = {
    info.name: info
    for info in (
        ModelInfo("lenet5-mnist", "mnist", "lenet5", (1, 28, 28), "LeNet-5, handwritten digits"),
        ModelInfo("lenet5-fashion", "fashion-mnist", "lenet5", (1, 28, 28), "LeNet-5, clothing"),
        ModelInfo("lenet-cifar10", "cifar10", "lenet_cifar", (3, 32, 32), "LeNet-5, color photos"),
    )
}


def find(model: str, dataset: str | None = None) -> ModelInfo:
    """The entry of ``MODELS`` for a name in it, or for an architecture and a dataset.

    ``dataset`` may be left out where only one is possible. What is unknown, or contradicts itself
    as ``find("lenet5-mnist", "cifar10")`` does, is a ``LeptonError``.
    """
    known = [m for m in MODELS.values() if model in (m.name, m.architecture)]
    if not known:
        names = dict.fromkeys(n for m in MODELS.values() for n in (m.architecture, m.name))
        raise LeptonError(f"no model is called {model!r}; there are {', '.join(names)}")
    fitting = [m for m in known if dataset in (None, m.dataset)]
    if len(fitting) == 1:
        return fitting[0]
    datasets = " or ".join(m.dataset for m in known)
    if dataset is None:
        raise LeptonError(f"{model} needs a dataset: {datasets}")
    raise LeptonError(f"{model} is for the dataset {datasets}, not {dataset!r}")
