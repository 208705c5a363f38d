"""Lepton's side of torchao's PT2E quantization: what is int8, and how scales are chosen."""

from typing import Any, cast

import torch
from torch.fx import Graph, GraphModule, Node

from host.capture import quiet, tensor_of
from host.observers import Scheme, activations, observer_of, weights
from host.steps import Group

with quiet():
    from torchao.quantization.pt2e.quantizer import QuantizationAnnotation, Quantizer
    from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

MAX_BIAS = 2**22
"""Largest bias in units of its accumulator: half the range of 24 bits, the smallest accumulator."""
MIN_FACTOR = 2.0**-24
"""Smallest rescaling factor: with less, all the weights of a channel together do not show."""
MAX_FACTOR = 2.0**6
"""Largest rescaling factor: already an output that takes only every 64th value."""


class LeptonQuantizer(Quantizer):
    """Quantizes the input, the weights, and the output of each group behind its last step.

    A clamp or pool of a group so decides what range its int8 has to cover: what a ReLU cuts off or
    a MaxPool2d drops needs no codes.
    """

    def __init__(
        self, groups: list[Group], scheme: Scheme | None = None, *, training: bool = False
    ) -> None:
        super().__init__()
        self.groups = groups
        self.activations = activations(scheme or Scheme(), training=training)
        self.weights = weights(scheme or Scheme(), training=training)

    def annotate(self, model: GraphModule) -> GraphModule:
        source = next(node for node in model.graph.nodes if node.op == "placeholder")
        annotations = {source: QuantizationAnnotation(output_qspec=self.activations)}
        for group in self.groups[1:]:
            assert group.head
            assert group.last
            head = annotations[group.head.node] = QuantizationAnnotation()
            if group.has_weights:
                head.input_qspec_map[cast(Node, group.head.node.args[1])] = self.weights
            last = annotations.setdefault(group.last.node, QuantizationAnnotation())
            last.output_qspec = self.activations
        for node, annotation in annotations.items():
            annotation._annotated = True
            node.meta[Q_ANNOTATION_KEY] = annotation
        return model

    def validate(self, model: GraphModule) -> None:
        """Nothing: `host.supported` has refused what is not legal, before."""


def spine(graph: Graph) -> list[Node]:
    """The nodes that the activations pass, from the input to the output."""
    output = next(node for node in graph.nodes if node.op == "output").args[0]
    node = output[0] if isinstance(output, tuple | list) else output
    nodes = [node]
    while nodes[-1].op != "placeholder":
        nodes.append(nodes[-1].args[0])
    return nodes[::-1]


def settle(prepared: GraphModule, groups: list[Group]) -> None:
    """Raise calibrated scales that are too fine for the integers behind them.

    * An output step is at least 1/`MAX_FACTOR` of that of the accumulator. This also gives an
      output that was constantly zero a scale.
    * A channel whose bias is beyond `MAX_BIAS` gets coarser weights. Where the output spans 255
      steps, such a bias leaves a factor of at most 255/MAX_BIAS = 2**-14, and rounding the weights
      of 400 inputs to twice the step moves the output by some 0.02.
    """

    def observer(node: Node) -> Any:
        return observer_of(prepared.get_submodule(str(node.target)))

    path = spine(prepared.graph)
    outputs = [observer(n) for n in path if n.op == "call_module"]
    before, _ = outputs[0].calculate_qparams()
    for group, output in zip(groups[1:], outputs[1:], strict=True):
        assert group.head
        unit = before / group.window
        if not group.has_weights:
            output.floor = float(unit) / MAX_FACTOR
            before, _ = output.calculate_qparams()
            continue
        node = next(n for n in path if n.name == group.head.node.name)
        weights = observer(cast(Node, node.args[1]))
        bias = tensor_of(prepared, cast(Node, node.args[2])).abs()
        if bias.any():
            weights.dead = float(bias.max() / unit) / 2**16
        output.floor = float((unit * weights.calculate_qparams()[0]).max()) / MAX_FACTOR
        after, _ = output.calculate_qparams()
        weights.floor = torch.maximum(bias / (unit * MAX_BIAS), MIN_FACTOR * after / unit)
        before = after
