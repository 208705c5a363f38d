"""Channels that only go together: what torch-pruning's dependency graph says of a module."""

import copy
import warnings
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn import functional

from host import data
from host.capture import quiet
from host.data import Images
from host.errors import LeptonError
from host.qgraph import Conv2d, Layer, Linear, QGraph, Requant, Shape

try:
    with quiet():
        import torch_pruning
except ImportError as error:  # pragma: no cover - `make setup` installs it
    raise LeptonError(f"pruning needs `pip install 'lepton[explore]'` ({error})") from error


@dataclass(frozen=True)
class Group:
    """Output channels of one layer, and what of other layers goes with each of them."""

    name: str
    """Of the layer."""
    channels: int
    inputs: tuple[tuple[str, int], ...]
    """Layers that read them, and how many of their inputs each channel is."""


def find(module: nn.Module, shape: Shape) -> list[Group]:
    """The groups of a module that takes (N, *shape), less the one that is its output."""
    names = {layer: name for name, layer in module.named_modules()}
    found = []
    for group in _dependencies(module, shape).get_all_groups(
        root_module_types=[nn.Conv2d, nn.Linear]
    ):
        root = names[group[0].dep.target.module]
        channels = len(group[0].idxs)
        inputs = []
        for dependency, indices in group[1:]:
            layer = dependency.target.module
            if isinstance(layer, nn.Conv2d | nn.Linear) and layer in names:
                inputs.append((names[layer], len(indices) // channels))
        if inputs:
            found.append(Group(root, channels, tuple(inputs)))
    # From the input to the output, which is the order of the module's layers.
    order = list(names.values())
    return sorted(found, key=lambda group: order.index(group.name))


def _dependencies(module: nn.Module, shape: Shape) -> "torch_pruning.DependencyGraph":
    for parameter in module.parameters():
        parameter.requires_grad_(True)
    # It follows the functions that autograd notes.
    with quiet(), torch.enable_grad():
        graph = torch_pruning.DependencyGraph()
        return graph.build_dependency(module, example_inputs=torch.zeros(2, *shape))


def importance(module: nn.Module, shape: Shape, images: Images, dataset: str) -> dict[str, list]:
    """For each group its channels from the least important: Taylor's first order of the loss."""
    module.zero_grad()
    for start in range(0, len(images), 500):
        inputs = data.normalize(images.pixels[start : start + 500], dataset)
        labels = torch.from_numpy(images.labels[start : start + 500]).long()
        functional.cross_entropy(module(inputs), labels).backward()
    graph = _dependencies(module, shape)
    order = {}
    measure = torch_pruning.importance.GroupTaylorImportance()
    for group in find(module, shape):
        layer = module.get_submodule(group.name)
        everything = graph.get_pruning_group(layer, _out(layer), list(range(group.channels)))
        scores = measure(everything)
        assert scores is not None
        order[group.name] = scores.argsort().tolist()
    module.zero_grad()
    return order


def without(module: nn.Module, shape: Shape, name: str, channels: list[int]) -> nn.Module:
    """A copy of the module without these output channels of one layer and all that reads them."""
    smaller = copy.deepcopy(module)
    layer = smaller.get_submodule(name)
    if channels:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _dependencies(smaller, shape).get_pruning_group(layer, _out(layer), channels).prune()
    return smaller


def _out(layer: nn.Module):
    if isinstance(layer, nn.Conv2d):
        return torch_pruning.prune_conv_out_channels
    return torch_pruning.prune_linear_out_channels


def narrowed(graph: QGraph, groups: list[Group], widths: dict[str, int]) -> QGraph:
    """The integer network with only so many channels of each group: for its cost, not its values.

    Cycles and memories depend on shapes alone, so which channels are left does not matter here.
    """
    sizes: dict[str, dict[str, int]] = {}
    for group in groups:
        left = widths[group.name]
        sizes.setdefault(group.name, {})["out"] = left
        for reader, count in group.inputs:
            sizes.setdefault(reader, {})["in"] = left * count
    layers, shape = [], graph.input_shape
    for layer in graph.layers:
        layers.append(_cut(layer, shape, sizes.get(layer.name, {})))
        shape = layers[-1].output_shape
    return replace(graph, layers=tuple(layers))


def _cut(layer: Layer, shape: Shape, sizes: dict[str, int]) -> Layer:
    """The layer for inputs of another shape, with fewer outputs where ``sizes`` says so."""
    if not isinstance(layer, Conv2d | Linear):
        if len(layer.output_shape) == len(shape):
            out = (shape[0], *layer.output_shape[1:])
        else:
            out = (int(torch.Size(shape).numel()),)
        return replace(layer, input_shape=shape, output_shape=out)
    out, into = layer.weight.shape[:2]
    out, into = sizes.get("out", out), sizes.get("in", into)
    requant = layer.requant
    kept = Requant(
        requant.multiplier[:out], requant.shift[:out], requant.zero_point, requant.lo, requant.hi
    )
    return replace(
        layer,
        weight=layer.weight[:out, :into],
        bias=layer.bias[:out],
        requant=kept,
        input_shape=shape,
        output_shape=(out, *layer.output_shape[1:]),
    )
