"""The tables with which `lepton synth` ends."""

from collections.abc import Iterator

from rich.table import Table

from host.synth.flow import Synthesis
from host.synth.placement import Placement


def synthesis(scope: str, built: Synthesis) -> Iterator[Table]:
    """Cells of a build against those of the part, and of each block in its hierarchy."""
    used = built.usage.record()
    part = Table(title=f"{scope} on {built.device.name}")
    part.add_column("")
    for name in ("used", "available", "share"):
        part.add_column(name, justify="right")
    for name, there in built.device.available.items():
        if there or used[name]:
            share = f"{used[name] / there:.0%}" if there else "-"
            part.add_row(name, f"{used[name]:,}", f"{there:,}", share)
    yield part
    blocks = Table()
    blocks.add_column("block")
    kinds = list(used)
    for kind in (*kinds, "luts in all"):
        blocks.add_column(kind, justify="right")
    for block in built.hierarchy:
        counts = (*(block.own.record()[kind] for kind in kinds), block.whole.luts)
        blocks.add_row(" " * block.depth + block.name, *(f"{count:,}" for count in counts))
    yield blocks


def speed(placed: Placement) -> str:
    """Frequencies over the seeds and the critical path."""
    seeds = placed.frequencies
    others = f"; {len(placed.unrouted)} more were not routed" if placed.unrouted else ""
    return (
        f"fmax {min(seeds):.1f} / {placed.median:.1f} / {max(seeds):.1f} MHz "
        f"(lowest, median, highest of {len(seeds)} seeds{others})\n"
        f"critical path {placed.critical_path.sentence()}\n"
        f"bitstream {placed.bitstream}"
    )
