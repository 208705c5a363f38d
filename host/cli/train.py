"""`lepton train`: a model from scratch."""

from pathlib import Path
from typing import Annotated

import typer

from host.cli import options
from host.cli.options import Data


def train(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="lenet5 or lenet_cifar.")],
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="mnist, fashion-mnist or cifar10.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Default: those behind the shipped weights.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same machine: same weights.")] = 0,
    data: Data = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Default: build/weights/MODEL.pt."),
    ] = None,
    tensorboard: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write TensorBoard logs there.")
    ] = None,
) -> None:
    """Train a float model and measure it on the test images."""
    options.check_writable(out, "--out")

    from host import train as training

    trained = training.train(
        model, dataset, epochs=epochs, seed=seed, folder=data, out=out, tensorboard=tensorboard
    )
    typer.echo(f"{trained.accuracy:.2%} of the test images right; weights in {trained.weights}")
