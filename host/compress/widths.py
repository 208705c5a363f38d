"""Which widths to prune to: greedily, the least harm for what the cost model says it saves."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from host import data, models
from host.compiler import compile
from host.compress.groups import Group, find, importance, narrowed, without
from host.cost import predict
from host.data import Images
from host.errors import LeptonError
from host.qgraph import QGraph, Shape
from hw.config import Config

By = Literal["cycles", "macs"]
PORTION = 4
"""Channels of a layer that go at once, at the end."""


@dataclass(frozen=True)
class Goal:
    """What pruning saves: cycles of an image on a configuration, or multiply-accumulates."""

    config: Config
    batch: int = 1
    by: By = "cycles"

    def cost(self, graph: QGraph) -> float:
        """Of one image."""
        if self.by == "macs":
            return float(graph.macs)
        return predict(compile(graph, self.config, batch=self.batch)).cycles_per_image


class Pruner:
    """Prunes a module, step by step, for a goal.

    In each step it takes away from one layer as many channels as the next lower cost needs, and
    from the layer where the loss on ``images`` grows least for what is saved. ``images`` are of
    the training set. Widths so land where the array's columns or slices are full. A step may save
    more than was left to save; then layers are widened again as far as the goal allows.
    """

    def __init__(
        self, module: nn.Module, graph: QGraph, goal: Goal, images: Images, dataset: str
    ) -> None:
        self.module, self.graph, self.goal = module, graph, goal
        self._first = module
        self.images, self.dataset = images, dataset
        self.shape: Shape = graph.input_shape
        self.original = find(module, self.shape)
        self.widths = {group.name: group.channels for group in self.original}
        self._known: dict[tuple[int, ...], float] = {}
        self.start = self.cost = self.cost_at(self.widths)

    def adopt(self, state: dict[str, torch.Tensor], widths: dict[str, int]) -> None:
        """Be as far as this state and these widths are, which pruning reached before."""
        self.module = copy.deepcopy(self._first)
        models.resize_to(self.module, state)
        self.module.load_state_dict(state)
        self.widths, self.cost = dict(widths), self.cost_at(widths)

    def cost_at(self, widths: dict[str, int]) -> float:
        """What the network costs at these widths."""
        key = tuple(widths[group.name] for group in self.original)
        if key not in self._known:
            self._known[key] = self.goal.cost(narrowed(self.graph, self.original, widths))
        return self._known[key]

    def down_to(self, share: float, told: Callable[[float], None] | None = None) -> None:
        """Prune until the cost is at most this share of what it was, or nothing is left to take.

        ``told`` hears the share reached, after each step.
        """
        most = share * self.start
        while self.cost > most and self._step(most):
            if told:
                told(self.cost / self.start)
        if self.cost <= most and self._widen(most):
            self.module = self._afresh()
            if told:
                told(self.cost / self.start)

    def to(self, widths: dict[str, int]) -> None:
        """Prune to these widths; a layer that is not named stays as it is."""
        for name, width in widths.items():
            if name not in self.widths:
                raise LeptonError(
                    f"widths: no layer {name!r} can be pruned; there are {', '.join(self.widths)}"
                )
            if not 1 <= width <= self.widths[name]:
                raise LeptonError(f"widths: {name} is from 1 to {self.widths[name]}, not {width}")
        self.widths = {**self.widths, **widths}
        self.cost, self.module = self.cost_at(self.widths), self._afresh()

    def _step(self, wanted: float) -> bool:
        """One step; False where no width below saves anything."""
        order = importance(self.module, self.shape, self.images, self.dataset)
        before = self._loss(self.module)
        best: tuple[float, nn.Module, dict[str, int]] | None = None
        for group in find(self.module, self.shape):
            for width in self._lower(group):
                widths = {**self.widths, group.name: width}
                # What is saved beyond the goal is not worth any harm.
                saved = self.cost - max(self.cost_at(widths), wanted)
                smaller = without(
                    self.module, self.shape, group.name, order[group.name][: group.channels - width]
                )
                harm = max(self._loss(smaller) - before, 0.0)
                # Equal harm, such as none: the one that saves most.
                score = (harm + 1e-3) / saved
                if best is None or score < best[0]:
                    best = score, smaller, widths
        if best is None:
            return False
        _, self.module, self.widths = best
        self.cost = self.cost_at(self.widths)
        return True

    def _widen(self, most: float) -> bool:
        """Widen layers while the cost stays within ``most``; says whether any was.

        The next to be widened is the one where the loss falls most for what it costs.
        """
        order = importance(self._first, self.shape, self.images, self.dataset)

        def loss(widths: dict[str, int]) -> float:
            module = self._first
            for group in self.original:
                left_out = order[group.name][: group.channels - widths[group.name]]
                module = without(module, self.shape, group.name, left_out)
            return self._loss(module)

        found = False
        while True:
            now = loss(self.widths)
            best: tuple[float, dict[str, int]] | None = None
            for group in self.original:
                for width in self._higher(group, most):
                    widths = {**self.widths, group.name: width}
                    # What costs nothing comes first.
                    score = (now - loss(widths)) / max(self.cost_at(widths) - self.cost, 1e-9)
                    if best is None or score > best[0]:
                        best = score, widths
            if best is None:
                return found
            self.widths, found = best[1], True
            self.cost = self.cost_at(self.widths)

    def _higher(self, group: Group, most: float) -> list[int]:
        """The nearest two widths above that are worth their cost, which is at most ``most``.

        Of widths that cost the same only the largest.
        """
        edges = [e for e in self._edges(group)[::-1] if e > self.widths[group.name]]
        found: dict[float, int] = {}
        for width in [*edges, group.channels]:
            cost = self.cost_at({**self.widths, group.name: width})
            if cost > most or width == self.widths[group.name]:
                break
            found[cost] = width
            if len(found) > 2:
                break
        return [found[cost] for cost in sorted(found)[:2]]

    def _afresh(self) -> nn.Module:
        """The first module pruned to these widths, layer by layer, in ever smaller portions."""
        module = self._first
        for group in self.original:
            excess = group.channels - self.widths[group.name]
            while excess:
                portion = excess if excess <= PORTION else -(-excess // 2)
                order = importance(module, self.shape, self.images, self.dataset)[group.name]
                module = without(module, self.shape, group.name, order[:portion])
                excess -= portion
        return module

    def _lower(self, group: Group) -> list[int]:
        """The next widths below at which the cost falls, the nearest two of them."""
        found: list[int] = []
        last = self.cost
        for width in self._edges(group):
            cost = self.cost_at({**self.widths, group.name: width})
            if cost < last:
                found.append(width)
                last = cost
            if len(found) == 2:
                break
        return found

    def _edges(self, group: Group) -> list[int]:
        """Widths below the present one where cycles may fall, from the widest.

        Full columns, and where a reader's kernel rows fill their slices; for MACs, steps of a
        sixteenth.
        """
        now, cfg = group.channels, self.goal.config
        if self.goal.by == "macs":
            return list(range(now - ceil(now / 16), 0, -ceil(now / 16)))
        edges = set(range(cfg.cols, now, cfg.cols))
        weights = {layer.name: getattr(layer, "weight", None) for layer in self.graph.layers}
        for reader, count in group.inputs:
            weight = weights.get(reader)
            assert weight is not None
            row = weight.shape[3] if weight.ndim == 4 else count
            edges |= {cfg.rows * slices // row for slices in range(1, now * row // cfg.rows + 1)}
        edges.add(now // 2)
        return sorted((e for e in edges if 0 < e < now), reverse=True)

    def _loss(self, module: nn.Module) -> float:
        """Mean cross entropy on the images, without any recovery."""
        inputs = data.normalize(self.images.pixels, self.dataset)
        with torch.no_grad():
            logits = module(inputs)
        labels = torch.from_numpy(self.images.labels).long()
        return float(functional.cross_entropy(logits, labels))
