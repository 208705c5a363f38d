"""`lepton bench`: measures the figures of the README."""

import json
from pathlib import Path
from typing import Annotated

import typer

from host.cli import options
from host.cli.bench_synth import bench_synth
from host.errors import LeptonError

DIFFERENT = 1


def bench(
    only: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Only cases whose name has this; others are kept."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Default: in benchmarks/."),
    ] = None,
    synth: Annotated[
        bool, typer.Option("--synth", help="Of FPGAs instead: cells and frequencies.")
    ] = False,
    seeds: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="With --synth: at most so many placements."),
    ] = None,
) -> None:
    """Measure the figures of the README on the simulated core, and show them beside the peers'.

    Exit code 1 says that a byte differed.
    """
    if synth:
        bench_synth(only, out, seeds)
        return
    if seeds is not None:
        raise LeptonError("--seeds goes with --synth only; the simulated core has no placements")
    from rich.console import Console
    from rich.table import Table

    from host import benchmarks
    from host.cli.progress import Stages
    from host.program import write_whole

    path = benchmarks.RESULTS if out is None else out
    options.check_writable(path, "--out")
    cases = {case.name: case for case in benchmarks.ALL}
    chosen = [name for name in cases if only is None or only in name]
    if not chosen:
        raise LeptonError(f"--only {only!r}: no case has that in its name: {'; '.join(cases)}")
    found = benchmarks.results()
    console = Console(highlight=False)
    for name in chosen:
        with Stages() as stages:
            Console(stderr=True, highlight=False).print(f"{name}:")
            found[name] = benchmarks.measured(cases[name], stages)
        # Behind each case, so that an interrupted run leaves what it measured and what was there.
        ordered = {name: found[name] for name in cases if name in found}
        write_whole(path, (json.dumps(ordered, indent=1) + "\n").encode())

    table = Table()
    *titles, _ = benchmarks.HEAD
    for i, title in enumerate(titles):
        table.add_column(title, justify="right" if i >= 2 else "left")
    # Beside the figures there is no room for the peers on 80 columns.
    peers = {}
    for *cells, peer in benchmarks.rows(found):
        table.add_row(*cells)
        peers |= {", ".join(filter(None, cells[:3])): peer} if peer else {}
    console.print(table)
    console.print("Peers, in cycles per image:" if peers else "")
    for what, peer in peers.items():
        console.print(f"  {what}: {peer}")
    times = Table(title="Simulating, with the workers' start", title_justify="left")
    for i, title in enumerate(benchmarks.THROUGHPUT_HEAD):
        times.add_column(title, justify="right" if i >= 2 else "left")
    for cells in benchmarks.throughput_rows(found):
        times.add_row(*cells)
    if times.row_count:
        console.print(times)
    for name in chosen:
        r = found[name]
        speed = ""
        if r.get("wall_s"):
            speed = f", {r['simulated_cycles'] / r['wall_s']:,.0f} simulated cycles per second"
        console.print(
            f"{name}: {r['mismatched_bytes']:,} of {r['checked_bytes']:,} bytes differ{speed}"
        )
    if any(found[name]["mismatched_bytes"] for name in chosen):
        raise typer.Exit(DIFFERENT)
