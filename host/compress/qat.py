"""Quantization-aware training: torchao's PT2E QAT, with Lepton's own quantizer."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from host import train
from host.capture import capture, quiet
from host.checkpoint import Checkpoint
from host.data import Images
from host.errors import LeptonError
from host.monitor import Monitor
from host.observers import Scheme, WeightObserver, observer_of
from host.qgraph import QGraph
from host.quantization import check, integers, observe
from host.quantizer import LeptonQuantizer, settle
from host.steps import Group, group
from host.supported import steps
from host.train import Loss, Recipe

with quiet():
    from torchao.quantization.pt2e import FakeQuantize
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_qat_pt2e


class _Rounding(nn.Module):
    """A prepared graph as a module to be trained. PT2E's graphs refuse ``train`` and ``eval``,
    and this one has nothing left that would behave in two ways."""

    def __init__(self, graph: GraphModule) -> None:
        super().__init__()
        self.graph = graph

    def forward(self, x: Tensor) -> Tensor:
        return self.graph(x)

    def train(self, mode: bool = True) -> "_Rounding":
        self.training = mode
        return self


def train_quantized(
    module: nn.Module, images: Images, dataset: str, calibration: Tensor, recipe: Recipe, *,
    scheme: Scheme | None = None, multiplier_width: int = 16, name: str = "", seed: int = 0,
    loss: Loss = train.cross_entropy, monitors: Sequence[Monitor] = (),
    checkpoint: Checkpoint | None = None,
) -> QGraph:  # fmt: skip
    """The integer network of ``module`` after ``recipe`` of training with all rounding in place.

    The ranges of activations are those of ``calibration``, chosen before; the scales of weights
    follow the weights. ``module``, in eval mode, is not changed. ``images`` are used in whole
    batches, because the exported graph has a fixed one.
    """
    check(module, calibration, multiplier_width)
    if not len(images):
        raise LeptonError(f"there are no {dataset} images to train on")
    recipe = replace(recipe, batch=min(recipe.batch, len(calibration), len(images)))
    whole = len(images) // recipe.batch * recipe.batch
    graph = capture(module, calibration[: recipe.batch])
    groups = group(steps(graph.graph))
    scheme = scheme or Scheme()
    with quiet():
        prepared = prepare_qat_pt2e(graph, LeptonQuantizer(groups, scheme, training=True))
        _calibrate(prepared, groups, calibration, recipe.batch)
        for name_, parameter in prepared.named_parameters():
            parameter.requires_grad_("_lepton_" in name_)
        train.fit(
            _Rounding(prepared), images.first(whole), dataset, recipe, seed=seed, loss=loss,
            monitors=monitors, checkpoint=checkpoint,
        )  # fmt: skip
        _forget(prepared)
        with torch.no_grad():
            # One more look at the weights, behind the last step, and what they ask of the scales.
            _observing(prepared, weights=True, activations=False)
            prepared(calibration[: recipe.batch])
            settle(prepared, groups)
            converted = convert_pt2e(prepared)
    info = {
        "model": name or type(module).__name__,
        "calibration": f"{len(calibration)} inputs",
        "multiplier_width": str(multiplier_width),
        "scheme": str(scheme),
        "trained": f"{recipe.epochs} epochs quantized",
    }
    return integers(converted, groups, calibration, multiplier_width, info)


def _calibrate(prepared: GraphModule, groups: list[Group], calibration: Tensor, batch: int) -> None:
    """Choose ranges on unrounded values, then freeze those of the activations."""
    for part in _quantizers(prepared):
        part.disable_fake_quant()
    with torch.no_grad():
        observe(prepared, groups, calibration, batch)
    for part in _quantizers(prepared):
        scale, zero_point = part.calculate_qparams()
        part.scale.resize_(scale.shape).copy_(scale)
        part.zero_point.resize_(zero_point.shape).copy_(zero_point)
        part.enable_fake_quant()
    _observing(prepared, weights=True, activations=False)


def _observing(prepared: GraphModule, *, weights: bool, activations: bool) -> None:
    for part in _quantizers(prepared):
        kind = weights if isinstance(observer_of(part), WeightObserver) else activations
        part.enable_observer(kind)


def _forget(prepared: GraphModule) -> None:
    """Drop the floors of the weights before: `settle` sets them for the trained ones."""
    for part in _quantizers(prepared):
        if isinstance(observer_of(part), WeightObserver):
            observer_of(part).floor = 0.0


def _quantizers(prepared: GraphModule) -> list[FakeQuantize]:
    return [part for part in prepared.modules() if isinstance(part, FakeQuantize)]
