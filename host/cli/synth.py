"""`lepton synth`: what a configuration costs on an FPGA, and how fast it is there."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from host.cli import options
from host.cli.options import STDOUT, Batch, Changes, ConfigName, Json

MODEL = "lenet-cifar10"


def synth(
    device: Annotated[
        str, typer.Option("--device", metavar="DEVICE", help="up5k, ecp5-25k or ecp5-85k.")
    ],
    config: ConfigName = "default",
    changes: Changes = None,
    seeds: Annotated[
        int,
        typer.Option("--seeds", metavar="N", min=0, help="Placements; 0: synthesis alone."),
    ] = 1,
    first_seed: Annotated[
        int,
        typer.Option("--first-seed", metavar="S", min=1, help="Seeds count up from here."),
    ] = 1,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--seed-minutes",
            metavar="M",
            min=0.01,
            help="A seed that takes longer is given up; default: an hour.",
        ),
    ] = None,
    megahertz: Annotated[
        float | None,
        typer.Option("--mhz", metavar="F", min=1, help="Fail when no seed reaches this."),
    ] = None,
    scope: Annotated[
        str, typer.Option("--scope", metavar="PART", help="core, array or requant.")
    ] = "core",
    model: Annotated[
        str, typer.Option("--model", metavar="MODEL", help="Whose cycles an image takes.")
    ] = MODEL,
    batch: Batch = None,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", metavar="FILE", help="Draw cost and floorplan (.png or .svg)."),
    ] = None,
    json_path: Json = None,
) -> None:
    """Synthesize, place and route a configuration with open tools; report cells and frequency.

    Exit code 2 says that it does not fit, or misses the frequency that --mhz asks for.
    """
    from host.synth.devices import device as named_device

    chosen, part = options.configuration(config, changes), named_device(device)
    options.check_writable(json_path, "--json", or_stdout=True)
    options.check_writable(picture, "--picture")

    from host.errors import LeptonError
    from host.program import write_whole
    from host.synth import Scope, charts, synthesize
    from host.synth.measure import cycles_of
    from host.synth.record import record

    if scope not in list(Scope):
        raise LeptonError(f"--scope takes {', '.join(Scope)}, not {scope!r}")
    if picture is not None:
        charts.check_format(picture)

    def tell(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    batch = batch or chosen.lanes
    cycles, macs, reason = None, 0, ""
    if scope == Scope.CORE:
        cycles, macs, reason = cycles_of(model, chosen, batch)
    synthesis = synthesize(chosen, part, Scope(scope), tell=tell)
    fits = not synthesis.misfits()
    placement = None
    if seeds and fits:
        placement = synthesis.place(
            seeds, first=first_seed, megahertz=megahertz, minutes=minutes, tell=tell
        )
    values = {"name": config, "model": model, "batch": batch}
    values |= record(chosen, scope, synthesis, placement, cycles, macs)
    if picture is not None:
        title = f"{config}, {chosen.rows} x {chosen.cols}, on {part.name}"
        charts.draw(title, synthesis, placement, picture)
    text = json.dumps(values, indent=2) + "\n"
    if json_path == STDOUT:
        sys.stdout.write(text)
    else:
        if json_path is not None:
            write_whole(json_path, text.encode())
        _show(values, synthesis, placement)
    if reason:
        tell(f"no cycles of {model}: {reason}")
    synthesis.check_fits()
    if placement is not None and megahertz is not None:
        placement.check_speed(megahertz)


def _show(values: dict, synthesis, placement) -> None:
    from rich.console import Console

    from host.cli import synth_tables

    console = Console(highlight=False)
    for table in synth_tables.synthesis(values["scope"], synthesis):
        console.print(table)
    if placement is not None:
        console.print(synth_tables.speed(placement))
    if values["images_per_s"] is not None:
        console.print(
            f"{values['model']}, batch {values['batch']}: {values['cycles_per_image']:,.0f} "
            f"cycles per image, {values['images_per_s']:,} images/s, "
            f"{values['mmacs_per_s']:,} MMAC/s"
        )
