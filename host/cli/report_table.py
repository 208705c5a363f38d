"""The tables with which `lepton report` ends."""

from rich.console import Console
from rich.table import Table

from host.report import Report


def show(found: Report, *, to_stderr: bool) -> None:
    """Prints what each row brings, then what it needs; what the simulated core says; the rows."""
    console = Console(stderr=to_stderr, highlight=False)
    brought, needed = Table(), Table()
    brought.add_column("work, per image", no_wrap=True)
    for name in ("cycles", "factor", "in all", "alone: cycles", "factor"):
        brought.add_column(name, justify="right")
    needed.add_column("", no_wrap=True)
    for name in ("MACs", "utilization", "PEs", "memory", "weight bytes"):
        needed.add_column(name, justify="right")
    for i, e in enumerate(found.entries):
        title = f"+ {e.title}" if i else e.title
        alone = (f"{e.alone:,.0f}", f"{e.factor_alone:.2f}") if i else ("", "")
        factors = (f"{e.factor:.2f}", f"{e.total:.2f}") if i else ("", "")
        brought.add_row(title, f"{e.cycles:,.0f}", *factors, *alone)
        needed.add_row(
            title, f"{e.macs:,}", f"{e.utilization:.1%}", f"{e.pes:,}", f"{e.memory:,}",
            f"{e.weight_bytes:,.0f}",
        )  # fmt: skip
    brought.add_row("everything, RTL", f"{found.rtl_cycles:,.0f}", "", f"{found.total:.2f}", "", "")
    console.print(brought)
    console.print(needed)
    for e in found.entries:
        console.print(f"{e.title}: {e.what}", soft_wrap=True)
    console.print(
        f"{found.mismatched_bytes:,} of {found.checked_bytes:,} bytes of the simulated core differ "
        f"on {found.images:,} images; {found.accuracy:.2%} of them are right",
        soft_wrap=True,
    )
