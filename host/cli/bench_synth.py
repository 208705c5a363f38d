"""`lepton bench --synth`: builds what the README shows of FPGAs."""

import json
import sys
from pathlib import Path

from host.cli import options
from host.errors import LeptonError
from host.synth import benchmark
from host.synth.tools import Unfinished

SHOWN = ("core", "LUTs", "DSPs", "block RAMs", benchmark.SPEED, "seeds", "MMAC/s")
"""Columns for a terminal."""


def bench_synth(only: str | None, out: Path | None, seeds: int | None) -> None:
    """Builds the cases whose name has `only`, or all, and writes benchmarks/synth.json.

    `seeds` places with at most so many. Other rows of the file stay, and so does that of a case of
    which no seed was routed, which is refused behind all others.
    """
    from rich.console import Console
    from rich.table import Table

    from host.program import write_whole

    path = benchmark.RESULTS if out is None else out
    options.check_writable(path, "--out")
    cases = {case.name: case for case in benchmark.CASES}
    chosen = [name for name in cases if only is None or only in name]
    if not chosen:
        raise LeptonError(f"--only {only!r}: no case has that in its name: {'; '.join(cases)}")
    benchmark.results(path)  # a file of something else is refused now, not when all is built
    unrouted = []
    for name in chosen:
        print(f"{name}:", file=sys.stderr)
        try:
            row = benchmark.measured(cases[name], seeds, _tell)
        except Unfinished as error:
            _tell(str(error))
            unrouted.append(name)
            continue
        # Behind each case, so that an interrupted run leaves what it measured; read again, because
        # that took hours, in which another run may have written its rows.
        found = benchmark.results(path) | {name: row}
        found = {name: found[name] for name in cases if name in found}
        write_whole(path, (json.dumps(found, indent=1) + "\n").encode())
    # What there is of each resource stands in the README; 80 columns have no room for it.
    table = Table()
    shown = [i for i, title in enumerate(benchmark.HEAD) if title.partition(":")[0] in SHOWN]
    for i in shown:
        title = benchmark.HEAD[i].partition(":")[0]
        table.add_column(title, justify="right" if i else "left", no_wrap=title == benchmark.SPEED)
    for row in benchmark.rows(benchmark.results(path)):
        table.add_row(*(row[i].partition(" of ")[0] if 0 < i < 8 else row[i] for i in shown))
    Console(highlight=False).print(table)
    if unrouted:
        raise LeptonError(
            f"no seed was routed of {'; '.join(unrouted)}: {path} has of each what it had before; "
            "`lepton synth --first-seed` tries others"
        )


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
