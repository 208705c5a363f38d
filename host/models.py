"""The float models that Lepton ships as modules: their layers, weights, cost in MACs."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import nn

from host.errors import LeptonError
from host.shipped import MODELS, ModelInfo


def lenet5() -> nn.Sequential:
    """LeNet-5 for 1x28x28 images, which ``conv1`` pads to 32x32; random weights."""
    return _lenet(nn.Conv2d(1, 6, 5, padding=2))


def lenet_cifar() -> nn.Sequential:
    """LeNet-5 for 3x32x32 images, 651,720 MACs each; random weights."""
    return _lenet(nn.Conv2d(3, 6, 5))


def _lenet(conv1: nn.Conv2d) -> nn.Sequential:
    layers: list[tuple[str, nn.Module]] = [
        ("conv1", conv1),
        ("relu1", nn.ReLU()),
        ("pool1", nn.MaxPool2d(2, 2)),
        ("conv2", nn.Conv2d(6, 16, 5)),
        ("relu2", nn.ReLU()),
        ("pool2", nn.MaxPool2d(2, 2)),
        ("flatten", nn.Flatten()),
        ("fc1", nn.Linear(400, 120)),
        ("relu3", nn.ReLU()),
        ("fc2", nn.Linear(120, 84)),
        ("relu4", nn.ReLU()),
        ("fc3", nn.Linear(84, 10)),
    ]
    return nn.Sequential(OrderedDict(layers))


ARCHITECTURES: dict[str, Callable[[], nn.Module]] = {
    "lenet5": lenet5,
    "lenet_cifar": lenet_cifar,
}


def build(info: ModelInfo) -> nn.Module:
    """The module of a model with random weights."""
    return ARCHITECTURES[info.architecture]()


def load(name: str, weights: Path | None = None, *, resize: bool = False) -> nn.Module:
    """A shipped model in eval mode, with its own weights or those of the file `weights`.

    With ``resize`` its layers take the widths of the weights, as pruning left them.
    """
    if name not in MODELS:
        raise LeptonError(f"no model is called {name!r}; there are {', '.join(MODELS)}")
    info = MODELS[name]
    path = info.weights if weights is None else Path(weights)
    module = build(info)
    try:
        state = torch.load(path, weights_only=True)
    except FileNotFoundError:
        raise LeptonError(f"{path}: no such weights file") from None
    except (OSError, EOFError, RuntimeError, UnpicklingError) as error:
        raise LeptonError(f"{path}: not a state dict that torch.save wrote") from error
    if resize and isinstance(state, dict):
        resize_to(module, state)
    try:
        module.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise LeptonError(f"{path}: not weights of {info.architecture}: {reason}") from error
    return module.eval()


def resize_to(module: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Gives every Conv2d, Linear and BatchNorm of ``module`` the width that it has in ``state``."""
    for name, layer in module.named_modules():
        weight = state.get(f"{name}.weight")
        if weight is None:
            continue
        if isinstance(layer, nn.Conv2d):
            layer.out_channels, layer.in_channels = weight.shape[:2]
        elif isinstance(layer, nn.Linear):
            layer.out_features, layer.in_features = weight.shape
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.num_features = len(weight)
        else:
            continue
        for part, old in (*layer.named_parameters(), *layer.named_buffers()):
            new = torch.empty_like(state.get(f"{name}.{part}", old))
            setattr(layer, part, nn.Parameter(new) if isinstance(old, nn.Parameter) else new)


def macs(module: nn.Module, input_shape: tuple[int, ...]) -> dict[str, int]:
    """Multiply-accumulates for one image, by the name of each layer that has any."""
    counts: dict[str, int] = {}
    hooks = [
        layer.register_forward_hook(_counter(name, counts))
        for name, layer in module.named_modules()
        if isinstance(layer, (nn.Conv2d, nn.Linear))
    ]
    try:
        with torch.no_grad():
            module(torch.zeros(1, *input_shape))
    finally:
        for hook in hooks:
            hook.remove()
    return counts


def _counter(name: str, counts: dict[str, int]) -> Callable[..., None]:
    def count(layer: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        weight = layer.get_parameter("weight")
        counts[name] = output.numel() * weight[0].numel()

    return count
