"""Training and evaluation of the float models; the loop is open for compression to reuse."""

import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import nn
from torch.nn import functional
from torch.optim.lr_scheduler import OneCycleLR

from host import data, models, shipped
from host.checkpoint import Checkpoint
from host.data import Images
from host.errors import LeptonError
from host.monitor import Monitor, ProgressBar, TensorBoard
from host.muon import RATE, Muon

Optimizer = Literal["adamw", "muon"]
Loss = Callable[[nn.Module, torch.Tensor, torch.Tensor], torch.Tensor]
"""The scalar to minimize, from the module, a normalized batch and its labels."""


@dataclass(frozen=True)
class Recipe:
    """How to train, under a one-cycle schedule on shifted, maybe mirrored images."""

    epochs: int
    batch: int = 128
    peak_rate: float = 4e-3
    weight_decay: float = 1e-2
    shift: int = 2
    mirror: bool = True
    optimizer: Optimizer = "adamw"

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1:
            raise LeptonError(f"epochs={self.epochs}, batch={self.batch}: both must be 1 or more")

    def by(self, optimizer: Optimizer) -> "Recipe":
        """The same for another optimizer, at the rate that suits it."""
        if optimizer == self.optimizer:
            return self
        return replace(self, optimizer=optimizer, peak_rate=RATE)


RECIPES: dict[str, Recipe] = {
    "mnist": Recipe(epochs=15, mirror=False),
    "fashion-mnist": Recipe(epochs=30),
    "cifar10": Recipe(epochs=50, peak_rate=5e-3),
}


def cross_entropy(module: nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The usual loss of a classifier."""
    return functional.cross_entropy(module(inputs), labels)


def fit(
    module: nn.Module,
    images: Images,
    dataset: str,
    recipe: Recipe,
    *,
    seed: int = 0,
    loss: Loss = cross_entropy,
    after_step: Callable[[nn.Module], None] | None = None,
    monitors: Sequence[Monitor] = (),
    checkpoint: Checkpoint | None = None,
) -> None:
    """Train ``module`` in place and leave it in eval mode.

    Order, shifts and mirrorings come from ``seed`` alone, so on one machine the result is the
    same byte for byte. ``after_step`` runs behind every optimizer step: pruning keeps its zeros
    there. ``checkpoint`` is written behind every epoch; the same call goes on from it, to the
    same bytes as if it had not been stopped.
    """
    if not len(images):
        raise LeptonError(f"there are no {dataset} images to train on")
    steps = -(-len(images) // recipe.batch)
    kind = Muon if recipe.optimizer == "muon" else torch.optim.AdamW
    optimizer = kind(module.parameters(), lr=recipe.peak_rate, weight_decay=recipe.weight_decay)
    peaks = [group["lr"] for group in optimizer.param_groups]
    total = recipe.epochs * steps
    # Muon's momentum is no beta of Adam, and is left as it is.
    schedule = OneCycleLR(optimizer, peaks, total, cycle_momentum=kind is not Muon)
    generator = torch.Generator().manual_seed(seed)
    done = 0
    saved = checkpoint.load() if checkpoint else None
    if saved:
        for part, name in ((module, "module"), (optimizer, "optimizer"), (schedule, "schedule")):
            part.load_state_dict(saved[name])
        generator.set_state(saved["generator"])
        done = saved["epochs"]
    for monitor in monitors:
        monitor.start(recipe.epochs * steps)
        if done:
            monitor.resume(done * steps)
    module.train()
    epoch_loss = 0.0
    rest = batches(images, dataset, recipe, generator, recipe.epochs - done)
    for i, (inputs, labels) in enumerate(rest, done * steps):
        cost = loss(module, inputs, labels)
        optimizer.zero_grad()
        cost.backward()
        optimizer.step()
        schedule.step()
        if after_step is not None:
            after_step(module)
        epoch_loss += cost.item() / steps
        for monitor in monitors:
            monitor.step(cost.item())
        if (i + 1) % steps == 0:
            for monitor in monitors:
                monitor.epoch((i + 1) // steps, epoch_loss)
            epoch_loss = 0.0
            if checkpoint:
                checkpoint.save(
                    {
                        "module": module.state_dict(),
                        "optimizer": optimizer.state_dict(),
                        "schedule": schedule.state_dict(),
                        "generator": generator.get_state(),
                        "epochs": (i + 1) // steps,
                    }
                )
    module.eval()


def batches(
    images: Images, dataset: str, recipe: Recipe, generator: torch.Generator, epochs: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """``epochs`` times all images in random order, augmented and normalized, in batches."""
    labels = torch.from_numpy(images.labels).long()
    # Padded once, so that shifting a batch is only a choice of windows.
    padded = functional.pad(torch.from_numpy(images.pixels), (recipe.shift,) * 4)
    for _ in range(epochs):
        for chosen in torch.randperm(len(images), generator=generator).split(recipe.batch):
            yield (
                data.normalize(augment(padded, chosen, recipe, generator), dataset),
                labels[chosen],
            )


def augment(
    padded: torch.Tensor, chosen: torch.Tensor, recipe: Recipe, generator: torch.Generator
) -> torch.Tensor:
    """The chosen images, each cut at its own random place from its padding, some mirrored."""
    n, size = len(chosen), [n - 2 * recipe.shift for n in padded.shape[2:]]
    down, right = torch.randint(0, 2 * recipe.shift + 1, (2, n, 1), generator=generator)
    # numpy copies a window row by row, which is several times as fast as torch's byte by byte.
    windows = sliding_window_view(padded.numpy(), size, axis=(2, 3)).transpose(0, 2, 3, 1, 4, 5)
    pixels = torch.from_numpy(windows[chosen.numpy(), down[:, 0].numpy(), right[:, 0].numpy()])
    if recipe.mirror:
        mirrored = torch.rand(n, 1, 1, 1, generator=generator) < 0.5
        pixels = torch.where(mirrored, pixels.flip(3), pixels)
    return pixels


def evaluate(module: nn.Module, images: Images, dataset: str, batch: int = 1000) -> float:
    """The share of ``images``, 0 to 1, that ``module`` classifies right. Its mode is kept."""
    if not len(images):
        raise LeptonError(f"there are no {dataset} images to evaluate on")
    was_training = module.training
    module.eval()
    right = 0
    with torch.no_grad():
        for start in range(0, len(images), batch):
            inputs = data.normalize(images.pixels[start : start + batch], dataset)
            expected = torch.from_numpy(images.labels[start : start + batch])
            right += int((module(inputs).argmax(1) == expected).sum())
    module.train(was_training)
    return right / len(images)


@dataclass(frozen=True)
class Trained:
    """What a training left behind: the state dict, the JSON beside it, the test accuracy."""

    weights: Path
    metadata: Path
    accuracy: float


def train(
    model: str,
    dataset: str | None = None,
    *,
    epochs: int | None = None,
    seed: int = 0,
    folder: Path | None = None,
    out: Path | None = None,
    tensorboard: Path | None = None,
    note: str = "",
) -> Trained:
    """Train ``model`` (and ``dataset``: see ``shipped.find``) from scratch; measure it; save both.

    ``epochs`` defaults to the recipe that made the shipped weights, ``folder`` to what
    ``data.load`` finds, ``out`` to ``build/weights/MODEL.pt``. ``note`` goes into the metadata.
    """
    info = shipped.find(model, dataset)
    recipe = RECIPES[info.dataset]
    recipe = recipe if epochs is None else replace(recipe, epochs=epochs)
    images = data.load(info.dataset, "train", folder)
    tests = data.load(info.dataset, "test", folder)
    out = Path("build/weights", f"{info.name}.pt") if out is None else Path(out)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = models.build(info)
    with ExitStack() as stack:
        monitors: list[Monitor] = [ProgressBar(f"train {info.name}", stack)]
        if tensorboard is not None:
            monitors.append(TensorBoard(tensorboard, stack))
        fit(module, images, info.dataset, recipe, seed=seed, monitors=monitors)
    accuracy = evaluate(module, tests, info.dataset)
    metadata: dict[str, object] = {
        "model": info.name,
        "command": f"lepton train {info.architecture} --dataset {info.dataset}"
        f" --epochs {recipe.epochs} --seed {seed}",
        "dataset": info.dataset,
        "seed": seed,
        "epochs": recipe.epochs,
        "note": note,
        "test_accuracy": accuracy,
        "test_images": len(tests),
        "train_images": len(images),
        "recipe": asdict(recipe),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    return save(module, metadata, out)


def save(module: nn.Module, metadata: dict[str, object], out: Path) -> Trained:
    """Write the state dict to ``out``, the metadata beside it as JSON: each whole or not at all."""
    state, beside = io.BytesIO(), out.with_suffix(".json")
    torch.save(module.state_dict(), state)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _write_whole(out, state.getvalue())
        _write_whole(beside, (json.dumps(metadata, indent=2) + "\n").encode())
    except OSError as error:
        raise LeptonError(f"{out}: cannot be written ({error})") from error
    return Trained(out, beside, float(str(metadata["test_accuracy"])))


def _write_whole(path: Path, content: bytes) -> None:
    partial = path.with_name(f"{path.name}.part")
    partial.write_bytes(content)
    partial.replace(path)
