"""`lepton synth`: what a configuration costs on an FPGA, and how fast it is there."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from host.cli import options
from host.cli.options import STDOUT, Batch, Changes, ConfigName, Json


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
    megahertz: Annotated[
        float | None,
        typer.Option("--mhz", metavar="F", min=1, help="Fail when no seed reaches this."),
    ] = None,
    scope: Annotated[
        str, typer.Option("--scope", metavar="PART", help="core, array or requant.")
    ] = "core",
    model: Annotated[
        str, typer.Option("--model", metavar="MODEL", help="Whose cycles an image takes.")
    ] = "lenet-cifar10",
    batch: Batch = 1,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", metavar="FILE.png", help="Draw what each block costs."),
    ] = None,
    json_path: Json = None,
) -> None:
    """Synthesize, place and route a configuration with open tools; report cells and frequency."""
    from host.synth.devices import device as named_device

    chosen, part = options.configuration(config, changes), named_device(device)
    options.check_writable(json_path, "--json", or_stdout=True)
    options.check_writable(picture, "--picture")

    from host.errors import LeptonError
    from host.program import write_whole
    from host.synth import Scope, charts, synthesize
    from host.synth.measure import cycles_of
    from host.synth.record import record

    try:
        what = Scope(scope)
    except ValueError:
        raise LeptonError(f"--scope takes {', '.join(Scope)}, not {scope!r}") from None

    def tell(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    synthesis = synthesize(chosen, part, what, tell=tell)
    cycles, macs, reason = cycles_of(model, chosen, batch) if what is Scope.CORE else (None, 0, "")
    if picture is not None:
        charts.draw(synthesis, picture)
    if seeds:
        synthesis.check_fits()
    placement = synthesis.place(seeds, megahertz=megahertz, tell=tell) if seeds else None
    values = {"name": config, "model": model, "batch": batch}
    values |= record(synthesis, placement, cycles, macs)
    text = json.dumps(values, indent=2) + "\n"
    if json_path is not None and json_path != STDOUT:
        write_whole(json_path, text.encode())
    if json_path == STDOUT:
        sys.stdout.write(text)
    else:
        from rich.console import Console

        from host.cli import synth_tables

        console = Console(highlight=False)
        for table in synth_tables.synthesis(synthesis):
            console.print(table)
        if placement is not None:
            console.print(synth_tables.speed(placement))
        if reason:
            console.print(f"no cycles of {model}: {reason}")
        elif placement is not None and cycles is not None:
            console.print(
                f"{model}, batch {batch}: {cycles:,.0f} cycles per image, "
                f"{values['images_per_s']:,} images/s, {values['mmacs_per_s']:,} MMAC/s"
            )
    if placement is not None and megahertz is not None:
        placement.check_speed(megahertz)
