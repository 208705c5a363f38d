"""Compression: a trained model to a smaller one whose bytes the hardware computes.

Steps in order: prune (and recover), quantize under training; both learn from the float teacher if
asked to. Every choice is made on training images that are held back from training; the test images
are only measured. docs/compression.md says why it is done so.
"""

import io
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import nn

from host import catalog, data, graph_file, models, train
from host.compress import distill, qat
from host.compress.distill import Distillation
from host.compress.exact import accuracy
from host.compress.rows import Row, row
from host.compress.widths import By, Goal, Pruner
from host.data import Images
from host.errors import LeptonError
from host.measurement import Watcher
from host.monitor import Monitor
from host.observers import SCHEMES, Scheme
from host.program import write_whole
from host.qgraph import QGraph
from host.quantization import quantize
from hw.config import Config

StepName = Literal["prune", "qat", "distill"]
HELD_BACK = 10
"""One in so many training images is held back."""
CALIBRATION = 1024
"""Training images that choose ranges."""
JUDGED = 2000
"""Training images on whose loss pruning compares channels."""
ROUNDS = (0.75, 0.5, 0.375, 0.25, 0.1875, 0.125)
"""Shares of the cost that are tried in turn where only an accuracy is wanted."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to do to which model."""

    model: str
    """A name in `models.MODELS`."""
    config: Config
    config_name: str
    batch: int = 1
    steps: tuple[str, ...] = ("prune", "qat", "distill")
    by: By = "cycles"
    keep: float | None = None
    """Share of the cost that may stay; None: half of it, or what the accuracy allows."""
    target_accuracy: float | None = None
    """Of the integers, as a share, on the images held back."""
    epochs: int | None = None
    """Of recovery; None: those that trained the model."""
    qat_epochs: int = 8
    limit: int | None = None
    """Train on so many images only, for tests."""
    seed: int = 0
    folder: Path | None = None
    distillation: Distillation = field(default_factory=Distillation)

    def __post_init__(self) -> None:
        for step in self.steps:
            if step not in get_args(StepName):
                raise LeptonError(
                    f"there is no step {step!r}; there are {', '.join(get_args(StepName))}"
                )
        if not self.steps:
            raise LeptonError("no step is named; there are prune, qat, distill")
        for name in ("keep", "target_accuracy"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 1:
                raise LeptonError(f"{name}={value}: a share above 0 and up to 1, such as 0.5")


@dataclass(frozen=True)
class Compressed:
    """What came out."""

    module: nn.Module
    graph: QGraph
    rows: tuple[Row, ...]
    widths: dict[str, int]
    scheme: Scheme
    missed: str | None
    """What was asked for and not reached, in a sentence."""


class _Bar(Monitor):
    """A training as a stage."""

    def __init__(self, watch: Watcher, title: str) -> None:
        self.watch, self.title, self.done = watch, title, 0

    def start(self, steps: int) -> None:
        self.watch.begin(self.title, steps)

    def step(self, loss: float) -> None:
        self.done += 1
        if self.done % 10 == 0:
            self.watch.advance(self.done)


class _Run:
    """One compression."""

    def __init__(self, plan: Plan, watch: Watcher) -> None:
        self.plan, self.watch = plan, watch
        info = models.find(plan.model)
        self.name, self.dataset, self.shape = info.name, info.dataset, info.input_shape
        images = data.load(info.dataset, "train", plan.folder)
        self.tests = data.load(info.dataset, "test", plan.folder)
        cut = len(images) - len(images) // HELD_BACK
        self.held = Images(images.pixels[cut:], images.labels[cut:])
        self.images = images.first(cut if plan.limit is None else min(cut, plan.limit))
        self.teacher = models.load(info.name)
        for parameter in self.teacher.parameters():
            parameter.requires_grad_(False)
        self.recipe = train.RECIPES[info.dataset]
        self.calibration = data.normalize(self.images.first(CALIBRATION).pixels, info.dataset)
        self.scheme = SCHEMES[0]
        self.rows: list[Row] = []
        distillation = plan.distillation if "distill" in plan.steps else None
        self.loss = distill.loss(distillation, self.teacher)

    def run(self) -> Compressed:
        plan = self.plan
        module = models.load(self.name)
        graph = self._quantized(module, SCHEMES[0])
        self._row("float model", "as shipped; min-max, per channel", graph, module)
        self.scheme, graph = self._best_scheme(module)
        self._row("calibration", str(self.scheme), graph, None)
        widths: dict[str, int] = {}
        if "prune" in plan.steps:
            module, widths = self._pruned(module, graph)
        elif "distill" in plan.steps and "qat" not in plan.steps:
            self._recover(module, self._epochs(), "Distilling")
        if "prune" in plan.steps or "qat" not in plan.steps:
            self.scheme, graph = self._best_scheme(module)
            what = " ".join(f"{name}={width}" for name, width in widths.items()) or "fine-tuned"
            how = ", distilled" if "distill" in plan.steps else ""
            self._row("prune" if widths else "distill", what + how, graph, module)
        if "qat" in plan.steps:
            graph = self._qat(module)
            what = f"{plan.qat_epochs} epochs, {self.scheme}"
            self._row("qat", what + (", distilled" if "distill" in plan.steps else ""), graph, None)
        return Compressed(module, graph, tuple(self.rows), widths, self.scheme, self._missed(graph))

    def _missed(self, graph: QGraph) -> str | None:
        wanted, last = self.plan.target_accuracy, self.rows[-1]
        if wanted is not None and last.held_back < wanted:
            return (
                f"the accuracy wanted was {wanted:.2%} and {last.held_back:.2%} of the images "
                "held back are right"
            )
        share = self._cost(last) / self._cost(self.rows[0])
        if "prune" in self.plan.steps and self.plan.keep is not None and share > self.plan.keep:
            return f"{self.plan.keep:.1%} of the {self.plan.by} were wanted; {share:.1%} are left"
        return None

    def _cost(self, row: Row) -> float:
        return row.cycles if self.plan.by == "cycles" else row.macs

    def _epochs(self) -> int:
        return self.recipe.epochs if self.plan.epochs is None else self.plan.epochs

    def _quantized(self, module: nn.Module, scheme: Scheme) -> QGraph:
        return quantize(
            module, self.calibration, multiplier_width=self.plan.config.multiplier_width,
            name=self.name, scheme=scheme,
        )  # fmt: skip

    def _best_scheme(self, module: nn.Module) -> tuple[Scheme, QGraph]:
        """The scheme whose integers are right most often on the images held back."""
        self.watch.begin("Choosing how to calibrate", len(SCHEMES))
        best: tuple[float, Scheme, QGraph] | None = None
        for i, scheme in enumerate(SCHEMES, 1):
            graph = self._quantized(module, scheme)
            right = accuracy(graph, self.held, self.dataset)
            # Of equals the first, which is the simplest.
            if best is None or right > best[0]:
                best = right, scheme, graph
            self.watch.advance(i)
        assert best is not None
        return best[1], best[2]

    def _pruned(self, module: nn.Module, graph: QGraph) -> tuple[nn.Module, dict[str, int]]:
        plan = self.plan
        goal = Goal(plan.config, plan.batch, plan.by)
        pruner = Pruner(module, graph, goal, self.images.first(JUDGED), self.dataset)
        if plan.keep is not None or plan.target_accuracy is None:
            self._prune(pruner, plan.keep or 0.5)
        else:
            self._prune_while(pruner, plan.target_accuracy)
        self._recover(pruner.module, self._epochs(), "Recovering")
        return pruner.module, pruner.widths

    def _prune(self, pruner: Pruner, share: float) -> None:
        self.watch.begin(f"Pruning to {share:.0%} of the {self.plan.by}")
        pruner.down_to(share, lambda left: self.watch.note(f"{left:.0%} left"))

    def _prune_while(self, pruner: Pruner, wanted: float) -> None:
        """Prune in rounds, each shortly recovered, to the last that still is as right as wanted."""
        short = max(1, self._epochs() // 6)
        for share in ROUNDS:
            kept = pruner.module, dict(pruner.widths), pruner.cost
            self._prune(pruner, share)
            if pruner.widths == kept[1]:
                return
            self._recover(pruner.module, short, f"Trying {share:.0%}")
            graph = self._quantized(pruner.module, self.scheme)
            if accuracy(graph, self.held, self.dataset) < wanted:
                pruner.module, pruner.widths, pruner.cost = kept
                return

    def _recover(self, module: nn.Module, epochs: int, title: str) -> None:
        recipe = replace(self.recipe, epochs=epochs)
        train.fit(
            module, self.images, self.dataset, recipe, seed=self.plan.seed, loss=self.loss,
            monitors=[_Bar(self.watch, title)],
        )  # fmt: skip

    def _qat(self, module: nn.Module) -> QGraph:
        # A tenth of the rate: the network is there already, it only learns to round.
        rate = self.recipe.peak_rate / 10
        recipe = replace(self.recipe, epochs=self.plan.qat_epochs, peak_rate=rate)
        return qat.train_quantized(
            module, self.images, self.dataset, self.calibration, recipe, scheme=self.scheme,
            multiplier_width=self.plan.config.multiplier_width, name=self.name,
            seed=self.plan.seed, loss=self.loss,
            monitors=[_Bar(self.watch, "Training with rounding")],
        )  # fmt: skip

    def _row(self, step: str, what: str, graph: QGraph, module: nn.Module | None) -> None:
        self.watch.begin(f"Measuring: {step}")
        right = train.evaluate(module, self.tests, self.dataset) if module else None
        self.rows.append(
            row(
                step, what, graph, self.dataset, self.tests, self.held, float_accuracy=right,
                config=self.plan.config, batch=self.plan.batch,
            )
        )  # fmt: skip


def compress(plan: Plan, watch: Watcher | None = None) -> Compressed:
    """Does the steps of a plan. LeptonError for what cannot be done."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        return _Run(plan, watch or Watcher()).run()


def save(compressed: Compressed, plan: Plan, command: str, folder: Path) -> None:
    """Writes the folder that `lepton run`, `cost` and `compile` take as a model."""
    folder.mkdir(parents=True, exist_ok=True)
    state = io.BytesIO()
    torch.save(compressed.module.state_dict(), state)
    write_whole(folder / catalog.WEIGHTS, state.getvalue())
    graph_file.save(compressed.graph, folder / catalog.NETWORK)
    info: dict[str, Any] = {
        "version": catalog.VERSION,
        "base": models.find(plan.model).name,
        "command": command,
        **record(compressed, plan),
    }
    write_whole(folder / catalog.INFO, (json.dumps(info, indent=1) + "\n").encode())


def record(compressed: Compressed, plan: Plan) -> dict[str, Any]:
    """What `--json` writes."""
    return {
        "model": models.find(plan.model).name,
        "config": plan.config_name,
        "fields": dict(plan.config.items()),
        "batch": plan.batch,
        "steps": list(plan.steps),
        "by": plan.by,
        "seed": plan.seed,
        "widths": compressed.widths,
        "scheme": str(compressed.scheme),
        "missed": compressed.missed,
        "rows": [row.record() for row in compressed.rows],
    }
