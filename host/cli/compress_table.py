"""The tables with which `lepton compress` ends."""

from rich.console import Console
from rich.table import Table

from host.compress import Compressed
from host.compress.rows import COSTS, WORTH, cells


def show(compressed: Compressed, *, to_stderr: bool) -> None:
    """Prints a row for each step: what it is worth, then what it costs; and where the model is."""
    console = Console(stderr=to_stderr, highlight=False)
    rows, record = compressed.rows, compressed.record
    # Two tables, because one is wider than 80 columns.
    for columns in (WORTH, COSTS):
        table = Table()
        table.add_column("step", no_wrap=True)
        for name in columns:
            table.add_column(name, justify="right")
        for row in rows:
            table.add_row(row.step, *cells(row, columns))
        console.print(table)
    for row in rows:
        console.print(f"{row.step}: {row.what}", soft_wrap=True)
    first, last = rows[0], rows[-1]
    console.print(
        f"Of the cycles {last.cycles / first.cycles:.1%} are left, of the multiply-accumulates "
        f"{last.macs / first.macs:.1%}; {record['images']['test']:,} test images, "
        f"{record['images']['held']:,} held back, {record['images']['train']:,} to train",
        soft_wrap=True,
    )
    if last.rtl_bytes is not None:
        console.print(f"{last.rtl_mismatches} of {last.rtl_bytes:,} bytes of the RTL differ")
    if compressed.missed:
        console.print(f"Not reached: {compressed.missed}", soft_wrap=True)
    console.print(
        f"The model is in {compressed.folder}: `lepton run {compressed.folder}`", soft_wrap=True
    )
