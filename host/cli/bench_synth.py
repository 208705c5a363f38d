"""`lepton bench --synth`: builds what the README shows of FPGAs."""

import json
import sys
from pathlib import Path

from host.cli import options
from host.errors import LeptonError


def bench_synth(only: str | None, out: Path | None, seeds: int | None) -> None:
    """Builds the cases whose name has `only`, or all, and writes benchmarks/synth.json.

    `seeds` places with at most so many. Other rows of the file stay.
    """
    from rich.console import Console
    from rich.table import Table

    from host.program import write_whole
    from host.synth import benchmark

    path = benchmark.RESULTS if out is None else out
    options.check_writable(path, "--out")
    cases = {case.name: case for case in benchmark.CASES}
    chosen = [name for name in cases if only is None or only in name]
    if not chosen:
        raise LeptonError(f"--only {only!r}: no case has that in its name: {'; '.join(cases)}")
    found = benchmark.results(path)
    for name in chosen:
        print(f"{name}:", file=sys.stderr)
        found[name] = benchmark.measured(cases[name], seeds, _tell)
        # Behind each case, so that an interrupted run leaves what it measured.
        ordered = {name: found[name] for name in cases if name in found}
        write_whole(path, (json.dumps(ordered, indent=1) + "\n").encode())
    table = Table()
    for i, title in enumerate(benchmark.HEAD):
        table.add_column(title, justify="right" if i >= 2 else "left")
    for row in benchmark.rows(found):
        table.add_row(*row)
    Console(highlight=False).print(table)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
