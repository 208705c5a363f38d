"""What a compression is to do."""

import shlex
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from host.compress.distill import Distillation
from host.compress.widths import By
from host.errors import LeptonError
from host.train import Optimizer
from hw.config import Config, named

StepName = Literal["prune", "qat", "distill"]
STEPS: tuple[str, ...] = get_args(StepName)
KEEP = 0.5
"""Share of the cost that stays where nothing is asked for."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to do to which model; what cannot be meant is a LeptonError."""

    model: str
    """A name that `catalog.find` knows, or a folder."""
    config: Config
    config_name: str
    batch: int = 1
    steps: tuple[str, ...] = STEPS
    by: By = "cycles"
    keep: float | None = None
    """Share of the cost that may stay; None: `KEEP`, or what the accuracy allows."""
    target_accuracy: float | None = None
    """Of the integers, as a share."""
    epochs: int | None = None
    """Of recovery; None: those that trained the model."""
    qat_epochs: int = 8
    optimizer: Optimizer = "adamw"
    """Of recovery."""
    widths: tuple[tuple[str, int], ...] = ()
    """Of layers, to prune to these in place of those that the cost model proposes."""
    limit: int | None = None
    """Train on so many images only, for tests."""
    rtl_images: int = 256
    """For the simulated core at the end; 0: none."""
    seed: int = 0
    folder: Path | None = None
    """Of the data set."""
    distillation: Distillation = field(default_factory=Distillation)

    def __post_init__(self) -> None:
        if not self.steps:
            raise LeptonError(f"no step is named; there are {', '.join(STEPS)}")
        for step in self.steps:
            if step not in STEPS:
                raise LeptonError(f"there is no step {step!r}; there are {', '.join(STEPS)}")
        for name in ("keep", "target_accuracy"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 1:
                option = name.replace("_", "-")
                raise LeptonError(f"{option} is {value}; give a share above 0 and up to 1, as 0.5")
        if self.keep is not None and "prune" not in self.steps:
            raise LeptonError("keep is of pruning, and prune is not among the steps")
        if self.widths and "prune" not in self.steps:
            raise LeptonError("widths are of pruning, and prune is not among the steps")
        if self.widths and (self.keep is not None or self.target_accuracy is not None):
            raise LeptonError("widths say how far to prune; give no keep or target-accuracy too")

    def record(self) -> dict[str, Any]:
        """All that decides what comes out, but for the data set, as plain values for JSON."""
        return {
            "model": self.model,
            "config": self.config_name,
            "fields": dict(self.config.items()),
            "batch": self.batch,
            "steps": [step for step in STEPS if step in self.steps],
            "by": self.by,
            "keep": self.keep,
            "target_accuracy": self.target_accuracy,
            "epochs": self.epochs,
            "qat_epochs": self.qat_epochs,
            "optimizer": self.optimizer,
            "widths": dict(self.widths),
            "limit": self.limit,
            "rtl_images": self.rtl_images,
            "seed": self.seed,
            "distillation": asdict(self.distillation),
        }

    def command(self, dataset: str) -> str:
        """The command line that has this plan; where the data lies and the result goes is left."""
        words = ["lepton", "compress", self.model, "--dataset", dataset]
        words += ["--steps", ",".join(step for step in STEPS if step in self.steps)]
        usual = Plan(model=self.model, config=self.config, config_name=self.config_name)
        options = {
            "--keep": "keep", "--by": "by", "--target-accuracy": "target_accuracy",
            "--optimizer": "optimizer", "--epochs": "epochs",
            "--qat-epochs": "qat_epochs", "--train-images": "limit",
            "--rtl-images": "rtl_images", "--batch": "batch", "--config": "config_name",
        }  # fmt: skip
        for option, name in options.items():
            value = getattr(self, name)
            if value != getattr(usual, name) or (name == "config_name" and value != "default"):
                words += [option, str(value)]
        if self.widths:
            words += ["--widths", ",".join(f"{name}={width}" for name, width in self.widths)]
        before = dict(named(self.config_name).items())
        for name, value in self.config.items():
            if value != before[name]:
                words += ["--set", f"{name}={value}"]
        return shlex.join([*words, "--seed", str(self.seed)])
