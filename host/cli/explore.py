"""`lepton explore`: which configuration to build for a model, and what each step buys."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from host.cli import options
from host.cli.options import STDOUT, BatchOfLanes, Changes, Json, Model, Scheduler

UNMET = 1
INTERRUPTED = 130
ROWS = 12
"""Of the front, on the terminal."""


def explore(
    model: Model,
    device: Annotated[
        str, typer.Option("--device", metavar="DEVICE", help="up5k, ecp5-25k, ecp5-85k or any.")
    ] = "any",
    batch: BatchOfLanes = 1,
    max_latency: Annotated[
        float | None,
        typer.Option("--max-latency", metavar="MS", help="From a batch's input to its output."),
    ] = None,
    max_luts: Annotated[
        int | None, typer.Option("--max-luts", metavar="N", min=1, help="The core may take.")
    ] = None,
    budget: Annotated[
        float,
        typer.Option(
            "--budget-minutes", metavar="T", min=0,
            help="Begin no synthesis after that; 0 asks the models alone.",
        ),
    ] = 10,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", help="For the report, and to go on from later."),
    ] = Path("explore"),
    variants: Annotated[
        list[str] | None,
        typer.Option(
            "--variant", metavar="MODEL", help="A compressed form of the model (repeatable)."
        ),
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Leave out the compressed forms that ship.")
    ] = False,
    changes: Changes = None,
    shapes: Annotated[
        int, typer.Option("--shapes", metavar="N", min=1, help="Arrays that the models look into.")
    ] = 240,
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Synthesis runs side by side.")
    ] = None,
    scheduler: Scheduler = None,
    json_path: Json = None,
) -> None:  # fmt: skip
    """Find the configurations that are worth building for a model; recommend one, with its reason.

    Exit code 1 says that nothing meets the demands. Ctrl-C leaves a report of what is known.
    """
    fixed = options.fixed_fields(changes)
    options.check_writable(json_path, "--json", or_stdout=True)
    _check_folder(out)

    from rich.console import Console

    from host import catalog
    from host.cli.progress import Stages
    from host.errors import LeptonError
    from host.explore import page, report
    from host.explore.choice import Wishes
    from host.explore.run import Question
    from host.explore.run import explore as find
    from host.program import write_whole
    from host.synth.devices import DEVICES
    from host.synth.devices import device as named_device

    if max_latency is not None and max_latency <= 0:
        raise LeptonError(f"--max-latency {max_latency:g} leaves no time at all; give milliseconds")
    devices = tuple(DEVICES) if device == "any" else (named_device(device).name,)
    shipped = () if plain else catalog.variants_of(model)
    names = dict.fromkeys([model, *shipped, *(variants or ())])
    sources = [catalog.find(name) for name in names]
    for source in sources[1:]:
        if source.base != sources[0].base:
            raise LeptonError(
                f"--variant {source.name} comes from {source.base}, not from {sources[0].base}; "
                "the explorer compares variants of one model"
            )
    width = fixed.get("multiplier_width", 16)
    with Stages() as stages:
        stages.begin("Quantizing")
        graphs = {source.name: source.quantize(width) for source in sources}
        question = Question(
            graphs, devices, batch, Wishes(max_latency, max_luts), fixed, 60 * budget, shapes,
            workers, scheduler, {source.name: catalog.accuracy(source.name) for source in sources},
        )  # fmt: skip
        answer = find(question, out / "search.db", stages)
    report.write(answer, out)
    text = json.dumps(report.record(answer), indent=2) + "\n"
    console = Console(highlight=False, stderr=json_path == STDOUT)
    if json_path == STDOUT:
        sys.stdout.write(text)
    elif json_path is not None:
        write_whole(json_path, text.encode())
    console.print(_table(answer))
    if answer.evaluated:
        console.print(
            f"{answer.evaluated:,} configurations by the models in {answer.model_s:.1f} s of a "
            f"processor: {answer.evaluated / answer.model_s:,.0f} per second"
        )
    console.print(f"models: {page.errors(answer)}")
    if answer.accuracies:
        console.print(f"accuracy: {answer.accuracies}")
    console.print(answer.recommendation.sentence)
    console.print(f"report: {out / report.PAGE}")
    if answer.interrupted:
        raise typer.Exit(INTERRUPTED)
    if not answer.recommendation.meets:
        raise typer.Exit(UNMET)


def _check_folder(out: Path) -> None:
    """Refuses, before long work, a folder that cannot be written."""
    from host.errors import LeptonError

    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise LeptonError(f"--out: {out} cannot be written: {error.strerror}") from error


def _table(answer):
    """The best of the front; each figure in the row of how it is known."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from host.explore.charts import shown

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("rows x columns x lanes")
    table.add_column("figures")
    for name in ("images/s", "ms", "MHz", "LUTs", "DSPs", "RAMs"):
        table.add_column(name, justify="right")
    several = len(answer.question.devices) > 1 or len(answer.question.graphs) > 1
    for candidate in shown(answer)[:ROWS]:
        r, cfg = candidate.record(), candidate.point.config
        name = f"{cfg.rows} x {cfg.cols} x {cfg.lanes}"
        more = f"{candidate.point.variant} on {candidate.point.device}" if several else ""
        for how in ("estimated", "measured"):
            if how == "measured" and candidate.usage is None:
                continue
            cells = [
                form.format(r[f"{key}_{how}"]) if r[f"{key}_{how}"] is not None else ""
                for key, form in FIGURES
            ]
            table.add_row(name, how, *cells)
            name, more = more, ""
        if more:
            table.add_row(more)
    return table


FIGURES = (
    ("images_per_s", "{:,.0f}"), ("latency_ms", "{:.3g}"), ("mhz", "{:.0f}"), ("luts", "{:,}"),
    ("dsps", "{:,}"), ("brams", "{:,}"),
)  # fmt: skip
