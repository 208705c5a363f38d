"""Distillation: the student learns the teacher's soft answers beside the labels."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from host.errors import LeptonError
from host.train import Loss, cross_entropy


@dataclass(frozen=True)
class Distillation:
    """How much of the loss is the teacher's, and at which temperature it speaks."""

    temperature: float = 3.0
    share: float = 0.7

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise LeptonError(f"temperature={self.temperature}: it must be above 0")
        if not 0 <= self.share <= 1:
            raise LeptonError(f"share={self.share}: the teacher's share is from 0 to 1")

    def loss(self, teacher: nn.Module) -> Loss:
        """The loss of a student of ``teacher``, which is in eval mode and stays as it is.

        ``(1 - share) * cross entropy + share * T^2 * KL(teacher / T, student / T)``; T squared
        keeps the gradients of both parts alike at any temperature.
        """

        def mixed(module: nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            logits = module(inputs)
            with torch.no_grad():
                wanted = functional.log_softmax(teacher(inputs) / self.temperature, 1)
            said = functional.log_softmax(logits / self.temperature, 1)
            soft = functional.kl_div(said, wanted, log_target=True, reduction="batchmean")
            hard = functional.cross_entropy(logits, labels)
            return (1 - self.share) * hard + self.share * self.temperature**2 * soft

        return mixed


def loss(distillation: Distillation | None, teacher: nn.Module) -> Loss:
    """The loss with that distillation, or cross entropy without any."""
    return distillation.loss(teacher) if distillation else cross_entropy
