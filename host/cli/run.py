"""`lepton run`: a shipped model on the hardware, and a table of what came out."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from host.cli import options
from host.cli.options import STDOUT, Batch, Changes, ConfigName, Data, Json, Model, Scheduler

DIFFERENT = 1


def run(
    model: Model,
    images: Annotated[
        int | None,
        typer.Option(
            "--images",
            metavar="N",
            min=1,
            help="The first N test images; more than the 256 that ship come from the dataset.",
        ),
    ] = None,
    batch: Batch = None,
    config: ConfigName = "default",
    changes: Changes = None,
    target: Annotated[
        str,
        typer.Option(
            metavar="[sim|reference|netlist:DEVICE|uart:PORT]",
            help="The simulated core, the integer reference alone, the core's netlist for an FPGA, "
            "simulated, or hardware at a serial port.",
        ),
    ] = "sim",
    baud: Annotated[
        int | None, typer.Option(metavar="B", min=1, help="Of the serial port; else a million.")
    ] = None,
    layers: Annotated[
        bool, typer.Option("--layers", help="Compare every intermediate tensor too.")
    ] = False,
    waves: Annotated[
        Path | None,
        typer.Option(metavar="FILE.fst", help="Record every signal (.fst or .vcd); slow, large."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Simulated cores side by side, a process each."),
    ] = None,
    scheduler: Scheduler = None,
    data: Data = None,
    json_path: Json = None,
) -> None:
    """Stream a model's test images through the hardware; compare every byte with the reference.

    Exit code 1 says that a byte differed.
    """
    chosen = options.configuration(config, changes)
    batch = batch or chosen.lanes
    options.check_writable(waves, "--waves")
    options.check_writable(json_path, "--json", or_stdout=True)

    from host.cli import tables
    from host.cli.progress import Stages
    from host.evaluation import measure
    from host.measurement import Experiment
    from host.program import write_whole

    experiment = Experiment(
        model=model, config=chosen, config_name=config, images=images, batch=batch,
        target=target, baud=baud, layers=layers, waves=waves, folder=data,
        workers=workers, scheduler=scheduler,
    )  # fmt: skip
    with Stages() as stages:
        measurement = measure(experiment, stages)
    text = json.dumps(measurement.record(), indent=2) + "\n"
    if json_path == STDOUT:
        sys.stdout.write(text)
    elif json_path is not None:
        write_whole(json_path, text.encode())
    tables.show(measurement, to_stderr=json_path == STDOUT)
    if measurement.hardware and measurement.hardware.mismatched_bytes:
        raise typer.Exit(DIFFERENT)
