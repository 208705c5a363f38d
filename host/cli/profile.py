"""`lepton profile`: where cycles and bytes of each layer go, as tables, roofline and timeline."""

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from host.cli import options
from host.cli.options import STDOUT, Batch, Changes, ConfigName, Json, Model
from host.errors import LeptonError

DIFFERENT = 1


def profile(
    model: Model,
    batch: Batch = None,
    config: ConfigName = "default",
    changes: Changes = None,
    source: Annotated[
        Literal["both", "rtl", "cost"],
        typer.Option(help="Counters of the simulated core, the cost model, or both compared."),
    ] = "both",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Write roofline.png, roofline.svg, timeline.json (for Perfetto), profile.json.",
        ),
    ] = None,
    json_path: Json = None,
) -> None:
    """Show where each layer's cycles and bytes go, measured and predicted; draw roofline, timeline.

    Exit code 1 says that the cost model and the core differ.
    """
    chosen = options.configuration(config, changes)
    options.check_writable(json_path, "--json", or_stdout=True)
    if out is not None:
        _make_folder(out)

    from rich.console import Console

    from host import catalog, profiling, roofline, timeline
    from host.cli import tables
    from host.cli.progress import Stages
    from host.compiler import compile
    from host.program import write_whole

    graph = catalog.find(model).quantize(chosen.multiplier_width)
    program = compile(graph, chosen, batch=batch)
    sources: tuple[profiling.Source, ...] = ("rtl", "cost") if source == "both" else (source,)
    with Stages() as stages:
        found = profiling.profile(program, sources, stages)

    title = f"{model} on {config} ({chosen.rows} x {chosen.cols}), batch {program.batch}"
    record = {"model": model, "config": config, **found.record()}
    text = json.dumps(record, indent=2) + "\n"
    if json_path == STDOUT:
        sys.stdout.write(text)
    elif json_path is not None:
        write_whole(json_path, text.encode())
    if out is not None:
        write_whole(out / "profile.json", text.encode())
        drawn = json.dumps(timeline.trace(program, found.activity, title), separators=(",", ":"))
        write_whole(out / "timeline.json", drawn.encode())
        for suffix in roofline.FORMATS:
            figure = roofline.roofline(found.layers(), chosen, title)
            roofline.save(figure, out / f"roofline{suffix}")

    console = Console(stderr=json_path == STDOUT, highlight=False)
    tables.show_profile(found, title, console)
    if out is not None:
        console.print(f"{out}: roofline.png, roofline.svg, profile.json, timeline.json")
    if found.differences():
        raise typer.Exit(DIFFERENT)


def _make_folder(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise LeptonError(f"--out: {out} is not a folder; name one, or a new one")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LeptonError(f"--out: {out} cannot be made: {error.strerror}") from error
    options.check_writable(out / "profile.json", "--out")
