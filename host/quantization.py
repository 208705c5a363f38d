"""From a trained PyTorch module to the integer network that the hardware runs."""

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from host.capture import capture, quiet
from host.errors import LeptonError
from host.integers import read
from host.observers import Scheme
from host.qgraph import QGraph
from host.quantizer import LeptonQuantizer, settle
from host.requant import encode_factor
from host.steps import Group, group
from host.supported import steps

with quiet():
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

__all__ = ["encode_factor", "quantize"]

MULTIPLIER_WIDTHS = range(8, 25)
BATCH = 128
"""Images that calibrate at a time."""


def quantize(
    module: nn.Module, calibration: Tensor, *, multiplier_width: int = 16, name: str = "",
    scheme: Scheme | None = None,
) -> QGraph:  # fmt: skip
    """Quantize ``module``, in eval mode, with ranges from ``calibration`` (N, C, H, W) or (N, F).

    ``scheme`` says how the ranges are chosen: unless told, by what was seen, channel by channel.
    The module is not changed. Whatever the hardware does not run is refused with a LeptonError
    that names the layer, what is wrong with it and what is legal instead.
    """
    check(module, calibration, multiplier_width)
    graph = capture(module, calibration[:BATCH])
    groups = group(steps(graph.graph))
    converted = _convert(graph, groups, calibration, scheme)
    info = {
        "model": name or type(module).__name__,
        "calibration": f"{len(calibration)} inputs",
        "multiplier_width": str(multiplier_width),
    }
    if scheme:
        info["scheme"] = str(scheme)
    return integers(converted, groups, calibration, multiplier_width, info)


def check(module: nn.Module, calibration: Tensor, multiplier_width: int) -> None:
    """Refuses what `quantize` cannot begin with."""
    if multiplier_width not in MULTIPLIER_WIDTHS:
        raise LeptonError(
            f"multiplier_width is {multiplier_width}; supported: "
            f"{MULTIPLIER_WIDTHS[0]} to {MULTIPLIER_WIDTHS[-1]}"
        )
    _check_calibration(calibration)
    _check_module(module)


def integers(
    converted: GraphModule, groups: list[Group], calibration: Tensor, width: int,
    info: dict[str, str],
) -> QGraph:  # fmt: skip
    """The integer network of a quantize-dequantize graph for inputs like ``calibration``."""
    source, layers = read(converted, groups, width)
    return QGraph(
        input=source, input_shape=tuple(calibration.shape[1:]), layers=tuple(layers), info=info
    )


def _check_calibration(calibration: Tensor) -> None:
    if not isinstance(calibration, Tensor):
        raise LeptonError(f"calibration is a {type(calibration).__name__}; give a torch.Tensor")
    shape = tuple(calibration.shape)
    if calibration.ndim not in (2, 4):
        raise LeptonError(f"calibration has shape {shape}; supported: (N, C, H, W) and (N, F)")
    if not calibration.numel():
        raise LeptonError(f"calibration has shape {shape}, without any value; give typical inputs")
    if calibration.dtype != torch.float32:
        raise LeptonError(f"calibration is {calibration.dtype}; convert it with .float()")
    if not calibration.isfinite().all():
        raise LeptonError("calibration holds NaN or infinity; give finite inputs")
    if not calibration.any():
        raise LeptonError("calibration holds only zeros; give typical inputs")


def _check_module(module: nn.Module) -> None:
    for name, part in module.named_modules():
        if part.training:
            where = f"layer {name!r}" if name else "the module"
            raise LeptonError(f"{where} is in training mode; call module.eval() first")
    for name, parameter in module.named_parameters():
        if parameter.dtype != torch.float32:
            raise LeptonError(
                f"parameter {name!r} is {parameter.dtype}; supported: torch.float32, "
                "convert the module with .float()"
            )


def _convert(
    graph: GraphModule, groups: list[Group], calibration: Tensor, scheme: Scheme | None
) -> GraphModule:
    """Observe the calibration inputs and make the quantize-dequantize graph."""
    with quiet(), torch.no_grad():
        prepared = prepare_pt2e(graph, LeptonQuantizer(groups, scheme))
        observe(prepared, groups, calibration)
        return convert_pt2e(prepared)


def observe(
    prepared: GraphModule, groups: list[Group], calibration: Tensor, batch: int = BATCH
) -> None:
    """Show a prepared graph the calibration inputs, ``batch`` at a time, and settle its scales."""
    # The batch is static: the last one reaches back into the one before it.
    size = min(batch, len(calibration))
    for start in range(0, len(calibration), size):
        start = min(start, len(calibration) - size)
        prepared(calibration[start : start + size])
    settle(prepared, groups)
