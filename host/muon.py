"""Muon: weights move by orthogonalized momentum, so that every direction learns at one pace.

PyTorch's own takes matrices only, and most of the weights here are convolutions.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

RATE = 0.02
"""At the peak, for weights; small networks here bear it from any start."""
OTHERS = 0.15
"""Share of that for what AdamW moves: biases, norms, and the layer of the classes."""
NEWTON = (3.4445, -4.7750, 2.0315)
"""Coefficients of the Newton-Schulz step, by Keller Jordan (kellerjordan.github.io/posts/muon)."""


class Muon(torch.optim.AdamW):
    """Muon for weight matrices and convolutions, each as outputs by inputs; AdamW for the rest.

    The last weight in the order of the parameters, which makes the classes, is AdamW's too.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float) -> None:
        wanted = [parameter for parameter in parameters if parameter.requires_grad]
        weights = [parameter for parameter in wanted if parameter.ndim > 1][:-1]
        chosen = {id(parameter) for parameter in weights}
        others = [parameter for parameter in wanted if id(parameter) not in chosen]
        super().__init__([{"params": others, "weight_decay": 0.0, "lr": lr * OTHERS}], lr=lr)
        self.add_param_group({"params": weights, "weight_decay": weight_decay, "momentum": 0.95})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step of both. A ``closure`` would compute the gradients anew between the two."""
        if closure is not None:
            raise NotImplementedError(
                "Muon takes no closure; compute the gradients before the step"
            )
        group = self.param_groups[1]
        for weight in group["params"]:
            if weight.grad is None:
                continue
            state = self.state[weight]
            if not state:
                # AdamW looks for the number of steps when a state is loaded.
                state |= {"step": torch.zeros(()), "average": torch.zeros_like(weight)}
            momentum = state["average"]
            momentum.lerp_(weight.grad, 1 - group["momentum"])
            ahead = weight.grad.lerp(momentum, group["momentum"]).flatten(1)
            outputs, inputs = ahead.shape
            weight.mul_(1 - group["lr"] * group["weight_decay"])
            rate = group["lr"] * max(1.0, outputs / inputs) ** 0.5
            weight.add_(orthogonal(ahead).view_as(weight), alpha=-rate)
            weight.grad = None  # AdamW leaves what has no gradient.
        return super().step()


def orthogonal(matrix: Tensor, steps: int = 5) -> Tensor:
    """About the nearest matrix whose singular values are all 1, as far as 0.7 to 1.2 is."""
    a, b, c = NEWTON
    wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = wide / (wide.norm() + 1e-7)
    for _ in range(steps):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if wide is not matrix else x
