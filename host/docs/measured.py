"""Tables of what was measured, from benchmarks/ and the models' records; and of the commands."""

import inspect
import json
from collections.abc import Callable

from host import benchmarks
from host.cli import app
from host.docs.markdown import ROOT, table
from host.synth import benchmark as synth

NOT_MEASURED = "Not measured yet: `make bench` makes this table."
NOT_SYNTHESIZED = "Not measured yet: `make bench-synth` makes this table."


def _records() -> list[dict]:
    """The networks that ``make bench`` measured; none where it has not run."""
    return [r for r in benchmarks.results().values() if "model" in r]


def _measurements() -> str:
    rows = []
    for model in dict.fromkeys(r["model"] for r in _records()):
        runs = [r for r in _records() if r["model"] == model]
        first = runs[0]
        accuracy = (f"{first[k]:.2%}" for k in ("float_accuracy", "reference_accuracy", "accuracy"))
        bytes_ = (f"{sum(r[k] for r in runs):,}" for k in ("checked_bytes", "mismatched_bytes"))
        rows.append((model, f"{first['images']:,}", *accuracy, len(runs), *bytes_))
    if not rows:
        return NOT_MEASURED
    head = (
        "model", "images", "accuracy: float", "integers", "hardware", "cores and batches",
        "bytes compared", "different",
    )  # fmt: skip
    return table(head, rows, " rrrrrrr")


def _benchmarks() -> str:
    rows = benchmarks.rows(benchmarks.results())
    return table(benchmarks.HEAD, rows, "  rrrrr") if rows else NOT_MEASURED


def _throughput() -> str:
    rows = benchmarks.throughput_rows(benchmarks.results())
    return table(benchmarks.THROUGHPUT_HEAD, rows, "  rrrrr") if rows else NOT_MEASURED


def _synthesis() -> str:
    rows = synth.rows(synth.results())
    return table(synth.HEAD, rows, "  rrrrrrrrrr") if rows else NOT_SYNTHESIZED


def _models() -> str:
    rows = []
    for path in sorted((ROOT / "host" / "weights").glob("*.json")):
        r = json.loads(path.read_text())
        accuracy = f"{r['test_accuracy']:.2%}"
        rows.append((r["model"], accuracy, f"{r['test_images']:,}", f"`{r['command']}`"))
    head = ("model", "accuracy, float", "test images", "trained by")
    return table(head, rows, " rr")


def _layer_cycles() -> str:
    rows = [
        (benchmarks.describe(r["fields"]), r["batch"], layer["name"], f"{layer['macs']:,}",
         f"{layer['cycles']:,.0f}", f"{layer['utilization']:.1%}")
        for r in _records() if r["model"] == "lenet-cifar10" and r["config"] == "default"
        for layer in r["layers"] if layer["cycles"] is not None
    ]  # fmt: skip
    head = ("array", "batch", "layer", "MACs", "cycles per image", "utilization")
    return table(head, rows, " r rrr") if rows else NOT_MEASURED


def _commands() -> str:
    rows = (
        (f"`lepton {c.name}`", (inspect.getdoc(c.callback) or "").split("\n")[0])
        for c in app.registered_commands
    )
    return table(("command", "what it does"), rows)


TABLES: dict[str, Callable[[], str]] = {
    "measurements": _measurements,
    "benchmarks": _benchmarks,
    "throughput": _throughput,
    "layer-cycles": _layer_cycles,
    "models": _models,
    "synthesis": _synthesis,
    "commands": _commands,
}
"""What makes each table, by the name that stands in the page."""
