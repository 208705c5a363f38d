"""`lepton report`: what each optimization brings to a model, in a table and a picture."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from host.cli import options
from host.cli.options import STDOUT, BatchOfLanes, Changes, ConfigName, Data, Json, Model
from host.errors import LeptonError

DIFFERENT = 1


def report(
    model: Model,
    compressed: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|DIR",
            help="The model made smaller. Default: the one that ships, else it is made now.",
        ),
    ] = None,
    lanes: Annotated[int, typer.Option(metavar="N", min=1, help="Lanes of the fastest core.")] = 4,
    ports: Annotated[
        int, typer.Option("--weight-ports", metavar="N", min=1, help="Its weight ports.")
    ] = 4,
    batch: BatchOfLanes = 16,
    config: ConfigName = "default",
    changes: Changes = None,
    images: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="For the simulated core; default: all that ship."),
    ] = None,
    data: Data = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE.png", help="Draw the cycles of each row."),
    ] = None,
    json_path: Json = None,
) -> None:
    """Show the work before and behind each optimization: lanes, dataflow, memory, compression.

    Cycles are those of the cost model, the last ones of the simulated core. Exit code 1 says that a
    byte of it differed.
    """
    chosen = options.configuration(config, changes)
    chosen = chosen.with_fields({"lanes": lanes, "weight_ports": ports})
    options.check_writable(json_path, "--json", or_stdout=True)
    options.check_writable(out, "--out")
    if out is not None and out.suffix != ".png":
        raise LeptonError(f"--out: the picture is written as .png, not as {out.name}")

    from host import report as reporting
    from host.cli import report_table
    from host.cli.progress import Stages
    from host.program import write_whole

    with Stages() as stages:
        smaller = compressed or _smaller(model, config, changes, data, stages)
        subject = reporting.Subject(
            model=model, compressed=smaller, config=chosen, config_name=config, batch=batch
        )
        found = reporting.report(subject, images, stages)
    if out is not None:
        reporting.save(reporting.chart(found), out)
    text = json.dumps(found.record(), indent=1) + "\n"
    if json_path == STDOUT:
        sys.stdout.write(text)
    elif json_path is not None:
        write_whole(json_path, text.encode())
    report_table.show(found, to_stderr=json_path == STDOUT)
    if found.mismatched_bytes:
        raise typer.Exit(DIFFERENT)


def _smaller(model: str, config: str, changes: list[str] | None, data: Path | None, stages) -> str:
    """The compressed model that there is, or the folder of one that is made now."""
    from host import catalog, compress

    shipped = catalog.variants_of(model)
    if shipped:
        return shipped[0]
    source = catalog.find(model)
    out = Path("build/compressed", Path(source.name).name)
    if not (out / catalog.INFO).exists():
        plan = compress.Plan(
            model=source.name, config=options.configuration(config, changes), config_name=config,
            folder=data,
        )  # fmt: skip
        compress.compress(plan, out, stages)
    return str(out)
