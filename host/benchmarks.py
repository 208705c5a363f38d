"""Measures the figures of the README: ``python -m host.benchmarks`` writes its results.json."""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from host.cli.progress import Stages
from host.evaluation import measure
from host.measurement import Experiment, Measurement
from host.program import write_whole
from hw.config import named

RESULTS = Path("benchmarks/results.json")


@dataclass(frozen=True)
class Case:
    """A model on a configuration."""

    model: str
    config: str = "default"
    fields: dict[str, int] = field(default_factory=dict)
    batch: int = 1


CASES = (
    Case("lenet5-mnist"),
    Case("lenet5-fashion"),
    Case("lenet-cifar10"),
    Case("lenet-cifar10", batch=16),
)


def run(case: Case) -> Measurement:
    """Measures a case on the images that ship."""
    experiment = Experiment(
        model=case.model,
        config=named(case.config).with_fields(case.fields),
        config_name=case.config,
        batch=case.batch,
    )
    with Stages() as stages:
        return measure(experiment, stages)


def table(records: list[dict]) -> Table:
    """The figures of all cases, for the terminal."""
    shown = Table()
    shown.add_column("model")
    shown.add_column("config")
    for name in ("batch", "cycles/image", "utilization", "different bytes", "images/s"):
        shown.add_column(name, justify="right")
    for r in records:
        shown.add_row(
            r["model"],
            f"{r['config']} ({r['fields']['rows']} x {r['fields']['cols']})",
            str(r["batch"]),
            f"{r['cycles_per_image']:,.0f}",
            f"{r['utilization']:.1%}",
            f"{r['mismatched_bytes']:,} of {r['checked_bytes']:,}",
            f"{r['images_per_s']:,.1f}",
        )
    return shown


def main() -> int:
    """Runs all cases; 1 if a byte differs somewhere."""
    records: list[dict] = [run(case).record() for case in CASES]
    RESULTS.parent.mkdir(exist_ok=True)
    write_whole(RESULTS, (json.dumps(records, indent=1) + "\n").encode())
    Console().print(table(records))
    return int(any(record["mismatched_bytes"] for record in records))


if __name__ == "__main__":
    sys.exit(main())
