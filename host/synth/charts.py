"""The cost of a build as a picture."""

from pathlib import Path
from typing import Any

from host.errors import LeptonError
from host.synth import floorplan
from host.synth.flow import Synthesis
from host.synth.placement import Placement

FORMATS = (".png", ".svg")

COLORS = 20
"""Blocks with a colour of their own; the smallest share grey."""

OTHERS = "#dddddd"


def check_format(path: Path) -> None:
    """Refuses what no picture can be written as."""
    if path.suffix not in FORMATS:
        raise LeptonError(f"--picture: {path.name} ends in none of {', '.join(FORMATS)}")


def draw(title: str, synthesis: Synthesis, placement: Placement | None, path: Path) -> None:
    """Writes a picture: what each block takes, how full the part is, and where everything went, in
    the colours of the blocks."""
    from matplotlib.figure import Figure

    count = len(synthesis.hierarchy)
    height = max(6.5, 0.3 * count + 3)
    figure = Figure(figsize=(15 if placement else 8, height), layout="constrained")
    figure.suptitle(title)
    colors = _colors(synthesis)
    panels: Any = [["costs", "plan"], ["fill", "plan"]] if placement else [["costs"], ["fill"]]
    axes = figure.subplot_mosaic(
        panels, height_ratios=[max(5, count), 6], width_ratios=[8, 7] if placement else None
    )
    _costs(axes["costs"], synthesis, colors)
    _fill(axes["fill"], synthesis)
    if placement:
        floorplan.draw(axes["plan"], placement, colors, OTHERS)
        axes["plan"].set_title(f"floorplan: {_speed(placement)}")
    figure.savefig(path, dpi=100)


def _speed(placement: Placement) -> str:
    count = len(placement.frequencies)
    seeds = f", the fastest of {count} seeds" if count > 1 else ""
    return f"{placement.frequencies[placement.best]:.1f} MHz{seeds}"


def _colors(synthesis: Synthesis) -> dict[str, object]:
    """Of the blocks with the most cells of their own."""
    from matplotlib import colormaps

    table = colormaps["tab20"].colors  # pyright: ignore[reportAttributeAccessIssue]
    # Strong colours first, then the pale ones.
    order = [*table[::2], *table[1::2]]
    return dict(zip(list(synthesis.blocks)[:COLORS], order, strict=False))


def _costs(axes, synthesis: Synthesis, colors: dict[str, object]) -> None:
    """A bar for the LUTs and one for the flip-flops of each block, in a frame for all within it."""
    rows = synthesis.hierarchy
    for at, block in enumerate(rows):
        color = colors.get(block.name, OTHERS)
        axes.barh(at - 0.2, block.own.luts, 0.4, color=color)
        axes.barh(at + 0.2, block.own.ffs, 0.4, color=color, alpha=0.45)
        if block.whole != block.own:
            axes.barh(at - 0.2, block.whole.luts, 0.4, fill=False, edgecolor="black", linewidth=0.7)
        for offset, own, whole in (
            (-0.2, block.own.luts, block.whole.luts),
            (0.2, block.own.ffs, block.own.ffs),
        ):
            text = f" {own:,}" + (f", in all {whole:,}" if whole != own else "")
            axes.text(whole, at + offset, text, va="center", fontsize=7)
    names = [f"{'    ' * block.depth}{block.name}" for block in rows]
    axes.set_yticks(range(len(rows)), names, ha="left")
    axes.tick_params(axis="y", pad=5.5 * max(map(len, names)))
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.margins(x=0.2)
    axes.set_title("LUTs (strong) and flip-flops (pale) of each block; framed: with what is in it")


def _fill(axes, synthesis: Synthesis) -> None:
    there = {name: count for name, count in synthesis.device.available.items() if count}
    used = synthesis.usage.record()
    shares = [100 * used[name] / count for name, count in there.items()]
    axes.barh(list(there), shares, color="tab:gray")
    for i, (name, count) in enumerate(there.items()):
        axes.text(shares[i], i, f" {used[name]:,} of {count:,}", va="center")
    axes.set_xlim(0, max(130, 1.3 * max(shares)))
    axes.invert_yaxis()
    axes.set_title("% of the part")
