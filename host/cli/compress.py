"""`lepton compress`: a model made smaller, and a table of what each step brought."""

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from host.cli import options
from host.cli.options import STDOUT, Batch, Changes, ConfigName, Data, Json, Model
from host.errors import LeptonError

MISSED = 1


def compress(
    model: Model,
    dataset: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="mnist, fashion-mnist or cifar10: what the model is of."),
    ] = None,
    steps: Annotated[
        str, typer.Option(help="Of prune, qat and distill, with commas between them.")
    ] = "prune,qat,distill",
    keep: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Prune to this share of the cost; default 0.5, or what --target-accuracy allows.",
        ),
    ] = None,
    by: Annotated[Literal["cycles", "macs"], typer.Option(help="The cost to save.")] = "cycles",
    target_accuracy: Annotated[
        float | None,
        typer.Option(metavar="A", help="Prune as far as this share of test images is to be right."),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Of recovery. Default: those that trained the model."),
    ] = None,
    qat_epochs: Annotated[int, typer.Option(min=1, help="Of training with rounding.")] = 8,
    optimizer: Annotated[
        Literal["adamw", "muon"], typer.Option(help="Of recovery; muon suits narrow layers.")
    ] = "adamw",
    widths: Annotated[
        str | None,
        typer.Option(metavar="LAYER=N,...", help="Prune these layers to these widths instead."),
    ] = None,
    train_images: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Train on the first N images only.")
    ] = None,
    rtl_images: Annotated[
        int, typer.Option(metavar="N", min=0, help="Images for the simulated core; 0: no RTL.")
    ] = 256,
    batch: Batch = None,
    config: ConfigName = "default",
    changes: Changes = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same machine: same weights.")] = 0,
    data: Data = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="Default: build/compressed/MODEL."),
    ] = None,
    json_path: Json = None,
) -> None:
    """Prune a model, quantize it under training, and show what each step brought.

    Stopped by Ctrl-C, the same command goes on where it was. Exit code 1 says that what was asked
    for was not reached, or that a byte differed.
    """
    chosen = options.configuration(config, changes)
    batch = batch or chosen.lanes
    options.check_writable(json_path, "--json", or_stdout=True)

    from host import catalog
    from host import compress as compression
    from host.cli import compress_table
    from host.cli.progress import Stages
    from host.program import write_whole

    source = catalog.find(model)
    source.check_dataset(dataset)
    out = out or Path("build/compressed", Path(source.name).name)
    compression.check_free(out)
    plan = compression.Plan(
        model=source.name, config=chosen, config_name=config, batch=batch,
        steps=tuple(name.strip() for name in steps.split(",") if name.strip()), by=by, keep=keep,
        target_accuracy=target_accuracy, epochs=epochs, qat_epochs=qat_epochs,
        optimizer=optimizer, widths=_widths(widths), limit=train_images,
        rtl_images=rtl_images, seed=seed, folder=data,
    )  # fmt: skip
    try:
        with Stages() as stages:
            compressed = compression.compress(plan, out, stages)
    except KeyboardInterrupt:
        if compression.unfinished(out).exists():
            typer.echo(
                f"What is done is kept in {compression.unfinished(out)}: the same command goes on "
                "from there.",
                err=True,
            )
        raise
    text = json.dumps(compressed.record, indent=1) + "\n"
    if json_path == STDOUT:
        sys.stdout.write(text)
    elif json_path is not None:
        write_whole(json_path, text.encode())
    compress_table.show(compressed, to_stderr=json_path == STDOUT)
    if compressed.missed or compressed.rows[-1].rtl_mismatches:
        raise typer.Exit(MISSED)


def _widths(text: str | None) -> tuple[tuple[str, int], ...]:
    """Names and widths out of ``conv1=6,fc1=42``."""
    found = []
    for part in text.split(",") if text else ():
        name, _, width = part.strip().partition("=")
        if not name or not width.isdecimal():
            raise LeptonError(f"--widths: {part.strip()!r} is not LAYER=N, as conv1=6")
        found.append((name, int(width)))
    return tuple(found)
