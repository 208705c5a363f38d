"""Tables of what was measured, from benchmarks/ and the models' records; and of the commands."""

import inspect
import json
from collections.abc import Callable

from host import benchmarks
from host.cli import app
from host.docs.markdown import ROOT, table
from host.explore import figures, resources
from host.synth import benchmark as synth

NOT_MEASURED = "Not measured yet: `make bench` makes this table."
NOT_SYNTHESIZED = "Not measured yet: `make bench-synth` makes this table."
NOT_EXPLORED = "Not measured yet: `make explored` makes this table."


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


def _explored() -> str:
    rows = []
    for device, entry in figures.results()["devices"].items():
        named = entry.get("before", {})
        for name, r in named.items():
            speed = (f"{r['images_per_s']:,.0f}", f"{r['mhz']:.1f}") if r["mhz"] else ("-", "-")
            cycles = r["cycles_per_image"]
            why = "" if r["mhz"] else "does not run this batch" if not cycles else "does not fit"
            rows.append(
                (
                    device,
                    f"`{name}` {why}".strip(),
                    f"{cycles:,.0f}" if cycles else "-",
                    *reversed(speed),
                    *(f"{r[kind]:,}" if kind in r else "-" for kind in ("luts", "dsps", "brams")),
                )
            )
        if entry.get("recommended"):
            rows.append(_recommended(device, entry["recommended"]))
        rows += [_built(device, row) for row in entry.get("built", {}).values()]
    head = ("device", "configuration", "cycles per image", "MHz", "images per second", "LUTs",
            "DSPs", "block RAMs")  # fmt: skip
    return table(head, rows, "  rrrrrr") if rows else NOT_EXPLORED


def _core(r: dict) -> str:
    """A network on a core, as the table names it."""
    f = r["fields"]
    lanes = f", {f['lanes']} lanes" if f["lanes"] > 1 else ""
    return f"{r['variant']}, {f['rows']} x {f['cols']}{lanes}, batch {r['batch']}"


def _built(device: str, r: dict) -> tuple[str, ...]:
    return (
        device,
        _core(r),
        f"{r['cycles_per_image']:,.0f}",
        f"{r['mhz']:.1f}",
        f"{r['images_per_s']:,.0f}",
        *(f"{r[name]:,}" for name in ("luts", "dsps", "brams")),
    )


def _recommended(device: str, r: dict) -> tuple[str, ...]:
    built = r["mhz_measured"] is not None
    kind = "measured" if r["luts_measured"] is not None else "estimated"
    note = "" if kind == "measured" else " estimated"
    what = f"**{_core(r)}**"
    return (
        device,
        what if built else f"{what} (not placed)",
        f"{r['cycles_per_image']:,.0f}",
        f"{r['mhz_measured']:.1f}" if built else "-",
        f"{r['images_per_s_measured']:,.0f}" if built else "-",
        *(f"{r[f'{name}_{kind}']:,}{note}" for name in ("luts", "dsps", "brams")),
    )


def _resource_errors() -> str:
    rows = []
    for family in ("ice40", "ecp5"):
        fitted = resources.model(family)
        errors = fitted.errors()
        cells = [f"{errors[k]:.1%}" if k in errors else "-" for k in RESOURCES]
        rows.append((family, fitted.fitted_to, fitted.held_back, *cells))
    head = ("family", "fitted to", "held back", "LUTs", "FFs", "DSPs", "block RAMs", "SPRAMs",
            "MHz")  # fmt: skip
    return table(head, rows, " rrrrrrrr")


RESOURCES = ("luts", "ffs", "dsps", "brams", "sprams", "mhz")


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
    "explored": _explored,
    "resource-errors": _resource_errors,
    "models": _models,
    "synthesis": _synthesis,
    "commands": _commands,
}
"""What makes each table, by the name that stands in the page."""
