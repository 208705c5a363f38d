"""Tables of what compression and the other optimizations brought, from their records."""

import json
from collections.abc import Callable
from typing import Any

from host import catalog
from host.compress.rows import Row, cells
from host.docs.markdown import ROOT, table

BENCHMARKS = ROOT / "benchmarks"
COLUMNS = (
    "float", "integers", "parameters", "MACs", "cycles", "utilization", "cycles, RTL", "memory",
)  # fmt: skip


def _records() -> list[tuple[str, dict[str, Any]]]:
    """Names and records: the models that ship, then those that were made to be measured only."""
    shipped = [(name, catalog.read_info(path)) for name, path in catalog.variants().items()]
    others = sorted((BENCHMARKS / "compression").glob("*.json"))
    return shipped + [(path.stem, json.loads(path.read_text())) for path in others]


def _rows(record: dict[str, Any]) -> list[Row]:
    return [Row(**row) for row in record["rows"]]


def _compression() -> str:
    body = []
    for name, record in _records():
        for row in _rows(record):
            compared = ("", "")
            if row.rtl_bytes is not None:
                compared = (f"{row.rtl_bytes:,}", f"{row.rtl_mismatches:,}")
            body.append((name, row.step, *cells(row, COLUMNS), *compared))
    return table(("model", "step", *COLUMNS, "bytes", "different"), body, "  rrrrrrrrrr")


def _commands() -> str:
    body = [(name, f"`{record['command']}`", _widths(record)) for name, record in _records()]
    return table(("model", "command", "widths"), body)


def _widths(record: dict[str, Any]) -> str:
    return ", ".join(f"{layer} {width}" for layer, width in record["widths"].items()) or "as before"


def _summary() -> str:
    """The README's: each model before and behind all steps."""
    body = []
    for name, record in _records():
        first, last = _rows(record)[0], _rows(record)[-1]
        accuracy = f"{first.float_accuracy:.2%}", f"{last.accuracy:.2%}"
        macs = f"{last.macs:,} ({last.macs / first.macs:.0%})"
        cycles = f"{last.rtl_cycles:,.0f} ({last.cycles / first.cycles:.0%})"
        bytes_ = f"{last.rtl_mismatches:,} of {last.rtl_bytes:,}"
        body.append((name, *accuracy, f"{last.parameters:,}", macs, cycles, bytes_))
    head = (
        "model", "accuracy: float, before", "integers, after", "parameters", "MACs",
        "cycles per image, RTL", "bytes different",
    )  # fmt: skip
    return table(head, body, " rrrrrr")


def _report() -> str:
    path = BENCHMARKS / "report.json"
    if not path.exists():
        return "Not measured yet: the command above makes this table."
    record = json.loads(path.read_text())
    body = []
    for i, row in enumerate(record["rows"]):
        factors = (f"{row['factor']:.2f}", f"{row['total']:.2f}") if i else ("", "")
        alone = (f"{row['alone']:,.0f}", f"{row['factor_alone']:.2f}") if i else ("", "")
        body.append((
            row["title"], row["what"], f"{row['cycles']:,.0f}", *factors, *alone,
            f"{row['macs']:,}", f"{row['utilization']:.1%}", f"{row['pes']:,}",
            f"{row['memory']:,}", f"{row['weight_bytes']:,.0f}",
        ))  # fmt: skip
    last = record["rows"][-1]
    used = last["macs"] / (record["rtl_cycles"] * last["pes"])
    wrong, all_ = (f"{record[name]:,}" for name in ("mismatched_bytes", "checked_bytes"))
    what = f"simulated core; {wrong} of {all_} bytes differ"
    body.append((
        "everything", what, f"{record['rtl_cycles']:,.0f}", "", f"{record['total']:.2f}", "", "",
        f"{last['macs']:,}", f"{used:.1%}", f"{last['pes']:,}", f"{last['memory']:,}",
        f"{last['weight_bytes']:,.0f}",
    ))  # fmt: skip
    head = (
        "row", "what is on", "cycles per image", "factor", "in all", "alone: cycles", "factor",
        "MACs", "utilization", "PEs", "memory", "weight bytes",
    )  # fmt: skip
    return table(head, body, "  rrrrrrrrrr")


TABLES: dict[str, Callable[[], str]] = {
    "compression": _compression,
    "compression-commands": _commands,
    "compression-summary": _summary,
    "report": _report,
}
"""What makes each table, by the name that stands in the page."""
