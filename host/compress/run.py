"""One compression, stage by stage; each is kept, so that a stopped one does none of them twice."""

import io
import json
import zlib
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from host import catalog, data, graph_file, models, train
from host.compress import distill, qat
from host.compress.exact import accuracy
from host.compress.plan import KEEP, Plan
from host.compress.rows import Row, row
from host.compress.widths import Goal, Pruner
from host.compress.work import Work
from host.data import Images
from host.errors import LeptonError
from host.evaluation import measure
from host.measurement import Experiment, Watcher
from host.monitor import Monitor
from host.observers import SCHEMES, Scheme
from host.program import write_whole
from host.qgraph import QGraph
from host.quantization import quantize

HELD_BACK = 20
"""One in so many training images is held back."""
CALIBRATION = 1024
"""Training images that choose ranges."""
JUDGED = 2000
"""Training images on whose loss pruning compares channels."""
ROUNDS = (0.75, 0.5, 0.375, 0.25, 0.1875, 0.125)
"""Shares of the cost that are tried in turn where only an accuracy is wanted."""


class _Bar(Monitor):
    """A training as a stage."""

    def __init__(self, watch: Watcher, title: str) -> None:
        self.watch, self.title, self.done = watch, title, 0

    def start(self, steps: int) -> None:
        self.watch.begin(self.title, steps)

    def resume(self, done: int) -> None:
        self.done = done
        self.watch.advance(done)

    def step(self, loss: float) -> None:
        self.done += 1
        if self.done % 10 == 0:
            self.watch.advance(self.done)


class Run:
    """One compression; the data set is read when it is made."""

    work: Work

    def __init__(self, plan: Plan, watch: Watcher) -> None:
        self.plan, self.watch = plan, watch
        self.source = catalog.find(plan.model)
        self.dataset = self.source.dataset
        self.recipe = train.RECIPES[self.dataset]
        images = data.load(self.dataset, "train", plan.folder)
        self.tests = data.load(self.dataset, "test", plan.folder)
        if len(images) < HELD_BACK:
            raise LeptonError(
                f"{len(images)} training images are too few; at least {HELD_BACK} are needed, "
                "of which one is held back"
            )
        cut = len(images) - len(images) // HELD_BACK
        self.held = Images(images.pixels[cut:], images.labels[cut:])
        self.images = images.first(cut if plan.limit is None else min(cut, plan.limit))
        # The model before any compression: of a folder, what that was made from.
        self.teacher = models.load(self.source.base)
        for parameter in self.teacher.parameters():
            parameter.requires_grad_(False)
        self.calibration = data.normalize(self.images.first(CALIBRATION).pixels, self.dataset)
        distillation = plan.distillation if "distill" in plan.steps else None
        self.loss = distill.loss(distillation, self.teacher)
        self.scheme = SCHEMES[0]
        self.rows: list[Row] = []
        self.calibrations: dict[str, dict[str, float]] = {}

    def made_from(self) -> dict[str, int]:
        """Checksums of the images and of the model."""
        images = 0
        for part in (self.images, self.held, self.tests):
            images = zlib.crc32(part.labels.data, zlib.crc32(part.pixels.data, images))
        weights = 0
        for tensor in self.source.module.state_dict().values():
            weights = zlib.crc32(tensor.contiguous().numpy().data, weights)
        return {"images": images, "weights": weights}

    def into(self, work: Work) -> None:
        """Does all that is still to be done and finishes ``work``."""
        self.work, plan = work, self.plan
        module = self.source.module
        graph = self.source.quantize(plan.config.multiplier_width)
        self._row("float model", "as it was, and quantized as it runs", graph, module)
        graph = self._best_scheme("calibration", module)
        self._row("calibration", str(self.scheme), graph, None)
        widths: dict[str, int] = {}
        distilled = ", distilled" if "distill" in plan.steps else ""
        if "prune" in plan.steps:
            module, widths = self._pruned(module, graph)
        elif "qat" not in plan.steps:
            self._recover(module, self._epochs(), "distill", "Distilling")
        if "prune" in plan.steps or "qat" not in plan.steps:
            step = "prune" if "prune" in plan.steps else "distill"
            graph = self._best_scheme(step, module)
            kept = ", ".join(f"{name} {width}" for name, width in widths.items()) or "same widths"
            how = " of muon" if plan.optimizer == "muon" else ""
            what = f"{kept}; {self._epochs()} epochs{how}{distilled}; {self.scheme}"
            self._row(step, what, graph, module)
        if "qat" in plan.steps:
            graph = self._qat(module)
            what = f"{plan.qat_epochs} epochs{distilled}; {self.scheme}"
            self._row("qat", what, graph, None)
        self._save(module, graph, widths)
        work.finish()

    def _save(self, module: nn.Module, graph: QGraph, widths: dict[str, int]) -> None:
        """The files that `catalog.find` reads, and at last what the simulated core says."""
        folder, state = self.work.folder, io.BytesIO()
        torch.save(module.state_dict(), state)
        write_whole(folder / catalog.WEIGHTS, state.getvalue())
        graph_file.save(graph, folder / catalog.NETWORK)
        self._write_info(widths)
        if self.plan.rtl_images:
            self.rows[-1] = self._on_rtl(self.rows[-1])
            self._write_info(widths)

    def _on_rtl(self, last: Row) -> Row:
        plan, shipped = self.plan, len(data.sample(self.dataset))
        experiment = Experiment(
            model=str(self.work.folder), config=plan.config, config_name=plan.config_name,
            images=plan.rtl_images, batch=plan.batch,
            folder=plan.folder if plan.rtl_images > shipped else None,
        )  # fmt: skip
        hardware = measure(experiment, self.watch).hardware
        assert hardware is not None
        return replace(
            last,
            rtl_cycles=hardware.counters.cycles_per_image,
            rtl_bytes=hardware.checked_bytes,
            rtl_mismatches=hardware.mismatched_bytes,
        )

    def _write_info(self, widths: dict[str, int]) -> None:
        info: dict[str, Any] = {
            "version": catalog.VERSION,
            "base": self.source.base,
            "command": self.plan.command(self.dataset),
            "plan": self.work.plan,
            "images": {"train": len(self.images), "held": len(self.held), "test": len(self.tests)},
            "widths": widths,
            "scheme": str(self.scheme),
            "calibrations": self.calibrations,
            "missed": self._missed(),
            "rows": [row.record() for row in self.rows],
            "torch": torch.__version__,
        }
        content = json.dumps(info, indent=1) + "\n"
        write_whole(self.work.folder / catalog.INFO, content.encode())

    def _missed(self) -> str | None:
        plan, last = self.plan, self.rows[-1]
        wanted = plan.target_accuracy
        if wanted is not None and last.accuracy < wanted:
            nearest = max(self.rows[1:], key=lambda row: row.accuracy)
            return (
                f"an accuracy of {wanted:.2%}; the nearest is {nearest.accuracy:.2%} of the test "
                f"images, behind {nearest.step!r}, and the model has {last.accuracy:.2%}"
            )
        share = self._cost(last) / self._cost(self.rows[0])
        if plan.keep is not None and share > plan.keep:
            return f"{plan.keep:.1%} of the {plan.by}; nearest is {share:.1%}"
        return None

    def _cost(self, row: Row) -> float:
        return row.cycles if self.plan.by == "cycles" else row.macs

    def _epochs(self) -> int:
        return self.recipe.epochs if self.plan.epochs is None else self.plan.epochs

    def _quantized(self, module: nn.Module, scheme: Scheme) -> QGraph:
        return quantize(
            module, self.calibration, multiplier_width=self.plan.config.multiplier_width,
            name=self.source.base, scheme=scheme,
        )  # fmt: skip

    def _best_scheme(self, step: str, module: nn.Module) -> QGraph:
        """The network by the scheme whose integers are right most often on images held back."""

        def tried() -> dict[str, float]:
            self.watch.begin("Choosing how to calibrate", len(SCHEMES))
            found = {}
            for i, scheme in enumerate(SCHEMES, 1):
                found[str(scheme)] = accuracy(
                    self._quantized(module, scheme), self.held, self.dataset
                )
                self.watch.advance(i)
            return found

        right = self.calibrations[step] = self.work.once(f"{step}-schemes", tried)
        # Of equals the first, which is the simplest.
        self.scheme = max(SCHEMES, key=lambda scheme: right[str(scheme)])
        return self._quantized(module, self.scheme)

    def _pruned(self, module: nn.Module, graph: QGraph) -> tuple[nn.Module, dict[str, int]]:
        plan = self.plan
        goal = Goal(plan.config, plan.batch, plan.by)
        pruner = Pruner(module, graph, goal, self.images.first(JUDGED), self.dataset)
        if plan.widths:
            self._prune(pruner, None)
        elif plan.keep is not None or plan.target_accuracy is None:
            self._prune(pruner, plan.keep or KEEP)
        else:
            self._prune_while(pruner, self._wanted_of_held(plan.target_accuracy))
        self._recover(pruner.module, self._epochs(), "recovery", "Recovering")
        return pruner.module, pruner.widths

    def _prune(self, pruner: Pruner, share: float | None) -> None:
        """To that share of the cost, or to the widths of the plan."""

        def pruned() -> dict[str, Any]:
            if share is None:
                self.watch.begin("Pruning to the given widths")
                pruner.to(dict(self.plan.widths))
            else:
                self.watch.begin(f"Pruning to {share:.2%} of the {self.plan.by}")
                pruner.down_to(share, lambda left: self.watch.note(f"{left:.0%} left"))
            return {"widths": pruner.widths, "state": pruner.module.state_dict()}

        found = self.work.once(f"pruned-{share}", pruned)
        pruner.adopt(found["state"], found["widths"])

    def _wanted_of_held(self, wanted: float) -> float:
        """The accuracy on images held back that stands for this one on test images.

        The model was trained on both, images held back and others, so it is better on them than on
        test images. What it may lose, as a model that is not compressed yet, is the same on both.
        """
        first = self.rows[0]
        assert first.float_accuracy is not None
        return first.held_back - (first.float_accuracy - wanted)

    def _prune_while(self, pruner: Pruner, wanted: float) -> None:
        """Prune in rounds, each shortly recovered, to the last that still is as right as wanted."""
        short = max(1, self._epochs() // 6)
        for share in ROUNDS:
            kept = pruner.module.state_dict(), dict(pruner.widths)
            self._prune(pruner, share)
            if pruner.widths == kept[1]:
                return
            self._recover(pruner.module, short, f"trial-{share}", f"Trying {share:.0%}")
            graph = self._quantized(pruner.module, self.scheme)
            if accuracy(graph, self.held, self.dataset) < wanted:
                pruner.adopt(*kept)
                return

    def _recover(self, module: nn.Module, epochs: int, stage: str, title: str) -> None:
        recipe = replace(self.recipe.by(self.plan.optimizer), epochs=epochs)
        train.fit(
            module, self.images, self.dataset, recipe, seed=self.plan.seed, loss=self.loss,
            monitors=[_Bar(self.watch, title)], checkpoint=self.work.checkpoint(stage),
        )  # fmt: skip

    def _qat(self, module: nn.Module) -> QGraph:
        # A tenth of the rate: the network is there already, it only learns to round.
        rate = self.recipe.peak_rate / 10
        recipe = replace(self.recipe, epochs=self.plan.qat_epochs, peak_rate=rate)
        return qat.train_quantized(
            module, self.images, self.dataset, self.calibration, recipe, scheme=self.scheme,
            multiplier_width=self.plan.config.multiplier_width, name=self.source.base,
            seed=self.plan.seed, loss=self.loss,
            monitors=[_Bar(self.watch, "Training with rounding")],
            checkpoint=self.work.checkpoint("qat"),
        )  # fmt: skip

    def _row(self, step: str, what: str, graph: QGraph, module: nn.Module | None) -> None:
        def measured() -> dict[str, Any]:
            self.watch.begin(f"Measuring: {step}")
            right = train.evaluate(module, self.tests, self.dataset) if module else None
            return row(
                step, what, graph, self.dataset, self.tests, self.held, float_accuracy=right,
                config=self.plan.config, batch=self.plan.batch,
            ).record()  # fmt: skip

        self.rows.append(Row(**self.work.once(f"{step.replace(' ', '-')}-row", measured)))
