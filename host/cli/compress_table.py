"""The table with which `lepton compress` ends."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from host.compress.rows import Row


def compression(rows: Sequence[Row], missed: str | None, out: Path, *, to_stderr: bool) -> None:
    """Prints a row for each step of `lepton compress`, and where the model is."""
    console = Console(stderr=to_stderr, highlight=False)
    table = Table()
    table.add_column("step")
    for name in (
        "test accuracy: float", "integers", "parameters", "bytes", "MACs", "cycles, model",
        "utilization", "cycles, RTL", "PEs", "memory",
    ):  # fmt: skip
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            row.step,
            "" if row.float_accuracy is None else f"{row.float_accuracy:.2%}",
            f"{row.accuracy:.2%}",
            *(f"{n:,.0f}" for n in (row.parameters, row.bytes, row.macs, row.cycles)),
            f"{row.utilization:.1%}",
            "" if row.rtl_cycles is None else f"{row.rtl_cycles:,.0f}",
            *(f"{n:,}" for n in (row.pes, row.memory)),
        )
    console.print(table)
    for row in rows:
        console.print(f"{row.step}: {row.what}", soft_wrap=True)
    last = rows[-1]
    if last.rtl_bytes is not None:
        console.print(f"{last.rtl_mismatches} of {last.rtl_bytes:,} bytes of the RTL differ")
    if missed:
        console.print(f"Not reached: {missed}", soft_wrap=True)
    console.print(f"The model is in {out}: `lepton run {out}`", soft_wrap=True)
