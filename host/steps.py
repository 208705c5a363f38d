"""The network between PyTorch and integers: legal operations, grouped by requantization."""

from dataclasses import dataclass, field
from math import prod

from torch.fx import Node

from host.qgraph import Padding, Shape, Window

MAX_STRIDE = 4
"""Largest stride of a convolution."""
MAX_POOL = 4
"""Largest window side that the pooling unit holds."""


@dataclass(frozen=True)
class Step:
    """One legal operation, still in floats; shapes are without the batch."""

    name: str
    node: Node
    input_shape: Shape
    output_shape: Shape


@dataclass(frozen=True)
class ConvStep(Step):
    stride: tuple[int, int]
    padding: Padding


@dataclass(frozen=True)
class LinearStep(Step):
    pass


@dataclass(frozen=True)
class MaxPoolStep(Step):
    window: Window
    padding: Padding


@dataclass(frozen=True)
class AvgPoolStep(Step):
    window: Window
    padding: Padding

    @property
    def can_sum(self) -> bool:
        """Whether the pooling unit can add the accumulators of a convolution in its place."""
        return not any(self.padding) and max(self.window.kernel) <= MAX_POOL


@dataclass(frozen=True)
class ClampStep(Step):
    """ReLU, or with an upper bound ReLU6."""

    upper: float | None


@dataclass(frozen=True)
class FlattenStep(Step):
    pass


@dataclass
class Group:
    """Steps that share one quantization of their output.

    ``head`` requantizes (None: the input of the network is quantized), ``sum_pool`` is done by it,
    and the rest only chooses among the values, so that it needs no scale of its own.
    """

    head: ConvStep | LinearStep | AvgPoolStep | None
    sum_pool: AvgPoolStep | None = None
    rest: list[Step] = field(default_factory=list)

    @property
    def last(self) -> Step | None:
        """The step behind which the range of the output shows; None for the bare input."""
        return (self.rest or [self.sum_pool or self.head])[-1]

    @property
    def has_weights(self) -> bool:
        return isinstance(self.head, ConvStep | LinearStep)

    @property
    def window(self) -> int:
        """How many accumulators or activations an average divides by."""
        pool = self.head if isinstance(self.head, AvgPoolStep) else self.sum_pool
        return prod(pool.window.kernel) if pool else 1


def group(steps: list[Step]) -> list[Group]:
    """The groups of a network, the first one headed by its input."""
    groups = [Group(None)]
    for step in steps:
        current = groups[-1]
        if isinstance(step, AvgPoolStep) and step.can_sum and _is_bare_conv(current):
            current.sum_pool = step
        elif isinstance(step, ConvStep | LinearStep | AvgPoolStep):
            groups.append(Group(step))
        else:
            current.rest.append(step)
    return groups


def _is_bare_conv(group: Group) -> bool:
    return isinstance(group.head, ConvStep) and not group.sum_pool and not group.rest
