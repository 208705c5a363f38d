"""What the hardware runs: each node of a captured graph becomes a step, or is refused by name."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
from torch.fx import Graph, Node

from host.capture import RESHAPES, arguments, layer_name, shape_of
from host.errors import LeptonError
from host.qgraph import Padding, Shape, Window
from host.refusals import hint
from host.steps import (
    MAX_POOL,
    MAX_STRIDE,
    AvgPoolStep,
    ClampStep,
    ConvStep,
    FlattenStep,
    LinearStep,
    MaxPoolStep,
    Step,
)

aten = torch.ops.aten


def steps(graph: Graph) -> list[Step]:
    """The steps of a graph that is a chain from its one input to its one output."""
    nodes = [node for node in graph.nodes if node.op != "get_attr"]
    inputs = [node for node in nodes if node.op == "placeholder"]
    if len(inputs) != 1:
        raise LeptonError(f"forward() takes {len(inputs)} inputs; Lepton runs networks with one")
    reached = [inputs[0]]
    for node in nodes[:-1]:
        if not set(reached).isdisjoint(node.all_input_nodes):
            reached.append(node)
    found = _judged(reached[1:])
    _check_output(nodes[-1])
    _check_chain(reached)
    if not found:
        raise LeptonError("the network does nothing: no layer is left to run")
    return _with_unique_names(found)


def _judged(nodes: list[Node]) -> list[Step]:
    """A step for each node; operations without a rule are refused before wrong arguments are."""
    for node in nodes:
        if node.target not in _RULES:
            raise LeptonError(f"layer {layer_name(node)!r}: {hint(node.target)}")
    return [_step(node) for node in nodes]


def _check_output(node: Node) -> None:
    results = node.args[0]
    if not isinstance(results, Node) and (not isinstance(results, tuple) or len(results) != 1):
        raise LeptonError("forward() must return one tensor")


def _check_chain(nodes: list[Node]) -> None:
    for node in nodes:
        if len(node.users) > 1:
            users = ", ".join(repr(layer_name(user)) for user in node.users)
            raise LeptonError(
                f"the output of {layer_name(node)!r} has several readers ({users}); "
                "Lepton runs a chain of layers, without branches"
            )


def _with_unique_names(found: list[Step]) -> list[Step]:
    """A module that is called twice makes two layers: "fc" and "fc_2"."""
    taken: set[str] = set()
    renamed: list[Step] = []
    for step in found:
        name, count = step.name, 1
        while name in taken:
            count += 1
            name = f"{step.name}_{count}"
        taken.add(name)
        renamed.append(replace(step, name=name))
    return renamed


@dataclass(frozen=True)
class _Call:
    """A node with what a rule needs to know of it."""

    node: Node
    name: str
    given: dict[str, Any]
    input_shape: Shape
    output_shape: Shape

    @property
    def base(self) -> tuple[str, Node, Shape, Shape]:
        return self.name, self.node, self.input_shape, self.output_shape

    def refusal(self, problem: str) -> LeptonError:
        return LeptonError(f"layer {self.name!r}: {problem}")

    def pair(self, argument: str) -> tuple[int, int]:
        """An argument that is one number, one for both directions or (vertical, horizontal)."""
        value = self.given[argument]
        values = [value] if isinstance(value, int) else list(value)
        return values[0], values[-1]


def _step(node: Node) -> Step:
    source = node.args[0]
    assert isinstance(source, Node)
    shapes = shape_of(source)[1:], shape_of(node)[1:]
    return _RULES[node.target](_Call(node, layer_name(node), arguments(node), *shapes))


def _conv(call: _Call) -> Step:
    stride, dilation = call.pair("stride"), call.pair("dilation")
    channels = call.input_shape[0]
    if call.given["groups"] != 1:
        raise call.refusal(
            f"groups is {call.given['groups']}; supported: 1 (a dense Conv2d of "
            f"{channels} to {call.output_shape[0]} channels can hold the same weights)"
        )
    if dilation != (1, 1):
        raise call.refusal(
            f"dilation is {dilation}; supported: 1 (a larger kernel with zeros does the same)"
        )
    if max(stride) > MAX_STRIDE:
        raise call.refusal(f"stride is {stride}; supported: 1 to {MAX_STRIDE} each way")
    return ConvStep(*call.base, stride, _conv_padding(call))


def _conv_padding(call: _Call) -> Padding:
    padding = call.given["padding"]
    if padding == "valid":
        return (0, 0, 0, 0)
    if padding == "same":
        weight = call.node.args[1]
        assert isinstance(weight, Node)
        totals = [size - 1 for size in shape_of(weight)[2:]]
        # An even kernel gets the odd row or column of zeros at the end, as PyTorch does it.
        (top, bottom), (left, right) = ((total // 2, total - total // 2) for total in totals)
        return (top, bottom, left, right)
    return _symmetric(call)


def _symmetric(call: _Call) -> Padding:
    vertical, horizontal = call.pair("padding")
    return (vertical, vertical, horizontal, horizontal)


def _linear(call: _Call) -> Step:
    if len(call.input_shape) != 1:
        raise call.refusal(
            f"its input is {call.input_shape}; a Linear takes vectors, put nn.Flatten() before it"
        )
    return LinearStep(*call.base)


def _window(call: _Call) -> Window:
    if call.given["ceil_mode"]:
        raise call.refusal("ceil_mode=True is not supported; use ceil_mode=False and padding")
    kernel = call.pair("kernel_size")
    return Window(kernel, call.pair("stride") if call.given["stride"] else kernel)


def _max_pool(call: _Call) -> Step:
    window, dilation = _window(call), call.pair("dilation")
    if dilation != (1, 1):
        raise call.refusal(f"dilation is {dilation}; supported: 1")
    if max(window.kernel) > MAX_POOL:
        raise call.refusal(
            f"the kernel is {window.kernel}; supported: up to {MAX_POOL} each way "
            "(several smaller MaxPool2d after another do the same)"
        )
    return MaxPoolStep(*call.base, window, _symmetric(call))


def _avg_pool(call: _Call) -> Step:
    window, padding = _window(call), _symmetric(call)
    if call.given["divisor_override"] not in (None, prod(window.kernel)):
        raise call.refusal("divisor_override is not supported; leave it out")
    if any(padding) and not call.given["count_include_pad"]:
        raise call.refusal(
            "count_include_pad=False with padding is not supported; use count_include_pad=True"
        )
    return _averaging(call, window, padding)


def _adaptive_avg_pool(call: _Call) -> Step:
    sizes = list(zip(call.input_shape[1:], call.output_shape[1:], strict=True))
    if any(size % wanted for size, wanted in sizes):
        raise call.refusal(
            f"AdaptiveAvgPool2d from {call.input_shape[1:]} to {call.output_shape[1:]} has windows "
            "of different sizes; use an output size that divides the input size, or AvgPool2d"
        )
    (height, rows), (width, columns) = sizes
    kernel = (height // rows, width // columns)
    return _averaging(call, Window(kernel, kernel), (0, 0, 0, 0))


def _averaging(call: _Call, window: Window, padding: Padding) -> Step:
    # A stride that leaves one window is as good as the least that does, 1 for a window over all.
    top, bottom, left, right = padding
    _, height, width = call.input_shape
    freedom = height + top + bottom - window.kernel[0], width + left + right - window.kernel[1]
    (sy, sx) = (min(stride, 1 + free) for stride, free in zip(window.stride, freedom, strict=True))
    window = Window(window.kernel, (sy, sx))
    step = AvgPoolStep(*call.base, window, padding)
    if max(window.stride) > MAX_STRIDE:
        raise call.refusal(
            f"the stride is {window.stride}; supported: 1 to {MAX_STRIDE} each way, "
            "or a window as large as the feature map"
        )
    return step


def _clamp(lower: str, upper: str) -> Callable[[_Call], Step]:
    def rule(call: _Call) -> Step:
        bounds = call.given.get(lower, 0), call.given.get(upper)
        if bounds not in ((0, None), (0, 6)):
            raise call.refusal(
                f"a clamp to {list(bounds)} is not supported; use ReLU or ReLU6, that is [0, 6]"
            )
        return ClampStep(*call.base, bounds[1])

    return rule


def _relu6(call: _Call) -> Step:
    return ClampStep(*call.base, 6)


def _flatten(call: _Call) -> Step:
    if call.output_shape != (prod(call.input_shape),):
        raise call.refusal(
            f"reshaping {call.input_shape} to {call.output_shape} is not supported; "
            "supported: nn.Flatten(), that is all dimensions but the batch"
        )
    return FlattenStep(*call.base)


_RULES: dict[Any, Callable[[_Call], Step]] = {
    aten.conv2d.default: _conv,
    aten.conv2d.padding: _conv,
    aten.linear.default: _linear,
    aten.max_pool2d.default: _max_pool,
    aten.avg_pool2d.default: _avg_pool,
    aten.adaptive_avg_pool2d.default: _adaptive_avg_pool,
    aten.relu.default: _clamp("", ""),
    aten.relu_.default: _clamp("", ""),
    aten.relu6.default: _relu6,
    aten.relu6_.default: _relu6,
    aten.hardtanh.default: _clamp("min_val", "max_val"),
    aten.hardtanh_.default: _clamp("min_val", "max_val"),
    aten.clamp.default: _clamp("min", "max"),
    aten.clamp_.default: _clamp("min", "max"),
    aten.clamp_min.default: _clamp("min", ""),
    aten.clamp_min_.default: _clamp("min", ""),
    **dict.fromkeys(RESHAPES, _flatten),
}
